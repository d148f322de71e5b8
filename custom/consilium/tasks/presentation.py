"""The colors of targets in pictures and curves."""

TARGET_COLORS = ("#ffb000", "#29c7ac", "#ff4f79")
"""By the place of the target; told apart by color-blind readers, and on gray."""
