"""How models and updates travel between FLARE's processes."""
