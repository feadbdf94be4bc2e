"""The embedded system under test: reference MTAs on loopback."""
