"""Records that are sent or stored, made of bounded types."""
