"""The profile: what is known of a server under test."""
