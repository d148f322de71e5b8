"""Rounds in which the hospital whose turn it is combines updates that the server can't read."""
