"""A federation on one machine: the simulator under the real policy, baselines, the demo."""
