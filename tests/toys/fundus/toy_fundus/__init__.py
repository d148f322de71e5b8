"""Diabetic retinopathy, graded from one photograph of each eye: a task in a package of its own."""
