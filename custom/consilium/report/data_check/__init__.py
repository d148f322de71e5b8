"""The report of a hospital's dataset folder, for the hospital itself."""
