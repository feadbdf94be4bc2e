"""Real mail servers, set up in a sandbox of their own; each system is one folder beside these modules."""
