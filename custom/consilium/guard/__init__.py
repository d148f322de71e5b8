"""What may be submitted and asked: looked at by every site for itself, and by the server."""
