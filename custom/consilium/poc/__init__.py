"""FLARE's proof of concept on this machine: one real process for the server and for each hospital."""
