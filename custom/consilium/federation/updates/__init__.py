"""What becomes of the sites' updates: looked at, kept on disk, combined or refused."""
