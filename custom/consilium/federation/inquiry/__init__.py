"""Jobs that ask the sites something and train nothing: readiness and statistics."""
