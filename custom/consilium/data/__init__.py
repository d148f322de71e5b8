"""Cases on disk: layouts, intake checks, the preprocessing cache, splits, synthetic cohorts. No nvflare here."""
