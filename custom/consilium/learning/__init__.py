"""Training, evaluation and prediction on one site's cases, with PyTorch and MONAI and without FLARE."""
