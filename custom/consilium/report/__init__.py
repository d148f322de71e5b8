"""Reports from result folders, without FLARE: JSON, tables, pictures and HTML pages."""
