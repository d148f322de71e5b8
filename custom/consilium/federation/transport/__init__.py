"""Transfer of models and updates between FLARE's processes, and its limits."""
