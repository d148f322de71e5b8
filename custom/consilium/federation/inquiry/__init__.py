"""Jobs without training: readiness check and statistics."""
