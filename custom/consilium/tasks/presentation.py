"""The colors of targets in pictures and curves."""

REGION_COLORS = ("#ffb000", "#29c7ac", "#ff4f79")
"""By the place of the region; told apart by color-blind readers, and on gray."""
