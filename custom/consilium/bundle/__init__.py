"""MONAI bundles of trained models: what others need to run a model, with a card that says what it is."""
