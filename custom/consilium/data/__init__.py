"""Cases on disk: layouts, intake checks, preprocessing cache, splits, synthetic cohorts. No nvflare here."""
