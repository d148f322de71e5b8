"""Train, evaluate and predict on one site's cases: plain PyTorch and MONAI, usable in a notebook without FLARE."""
