"""Cases on disk, without FLARE: layouts, checks, preprocessing cache, split."""
