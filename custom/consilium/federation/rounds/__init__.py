"""The server's side of a training: its rounds, when they count, what makes them durable."""
