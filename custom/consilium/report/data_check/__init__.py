"""What was found in a hospital's dataset folder, for the hospital itself."""
