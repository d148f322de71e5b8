"""Kits prepared for Docker, Kubernetes and Slurm."""
