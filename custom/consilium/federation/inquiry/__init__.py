"""Jobs without training: readiness check, statistics and evaluation of models."""
