"""Training, evaluation and prediction on one site's cases: plain PyTorch and MONAI, no FLARE needed."""
