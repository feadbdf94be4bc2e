"""The scenarios as pytest has them: its items, its options, its session, what it shows."""
