"""smtp-harness: the whole internet around a mail server, and a verdict for each of its documented rules."""
