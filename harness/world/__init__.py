"""What a scenario plays in: clients, their dialogues, and what it knows of the server under test."""
