"""The sending side: SMTP sessions that are recorded to the byte and bounded in every direction."""
