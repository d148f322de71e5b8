"""Use of a trained model on new cases: files in, files out. No FLARE, and no labels needed."""
