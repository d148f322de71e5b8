"""The server's side of a training: rounds, checkpoints, selection, rollback, final evaluation."""
