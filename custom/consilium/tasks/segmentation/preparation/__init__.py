"""Preparation of a case: files to checked voxels, and voxels to the arrays that a network reads."""
