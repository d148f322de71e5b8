"""A whole federation on one machine: the simulator under the real policy, what to compare with, the demo."""
