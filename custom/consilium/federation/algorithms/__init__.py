"""Algorithms, the half at the server: what is sent, how the answers combine, the step, what is durable."""
