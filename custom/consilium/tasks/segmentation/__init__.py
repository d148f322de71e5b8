"""What volumetric segmentation problems share."""
