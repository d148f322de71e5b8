"""The evaluation of models at every hospital: its numbers for tables, and its page."""
