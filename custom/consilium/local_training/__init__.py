"""Training without a federation: one hospital's cases alone, or several folders pooled."""
