"""Parts of `trainer_parts.py`: changes of the trainer that have to earn their place."""
