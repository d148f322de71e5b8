"""Kits prepared for container systems and for Slurm."""
