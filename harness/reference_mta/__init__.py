"""The reference MTA: a mail server that enforces every documented rule, each by a check of its own."""
