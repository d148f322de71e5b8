"""Parts of the comparison with nnU-Net, see `benchmarks/nnunet.py`."""
