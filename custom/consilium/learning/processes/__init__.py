"""The training processes of one site: alone, or several that share every batch."""
