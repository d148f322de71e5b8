"""Train, evaluate and predict on one site's cases: plain PyTorch and MONAI, no FLARE needed."""
