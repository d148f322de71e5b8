"""The evaluation of a model on a hospital's labeled cases: rows for tables and a page."""
