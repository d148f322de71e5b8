"""Parts shared by volumetric segmentation problems."""
