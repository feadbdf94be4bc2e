"""Proof of the harness: with one thing about a server broken, exactly the rule that it breaks must fail."""
