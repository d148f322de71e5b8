"""Startup kits and the policies in them, the same for simulated and provisioned sites."""
