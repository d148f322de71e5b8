"""Records that travel between sites or are written down, made of bounded types."""
