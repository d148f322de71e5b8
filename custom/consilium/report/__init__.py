"""From result folders to JSON, tables, pictures and one HTML page. No nvflare here."""
