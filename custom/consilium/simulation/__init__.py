"""A simulated federation on one machine, with the real policy, baselines and the demo."""
