"""From an address to the draft of a profile."""
