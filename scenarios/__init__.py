"""The scenarios, one folder for each source of rules."""
