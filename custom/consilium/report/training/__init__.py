"""The report of a training: numbers, pictures and one page."""
