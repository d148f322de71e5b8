"""Brain tumor segmentation on four-contrast MRI."""
