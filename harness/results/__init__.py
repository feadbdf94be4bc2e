"""What a run came to: the model, and what is written from it."""
