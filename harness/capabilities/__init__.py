"""What a scenario may need beyond a connection, and how a profile grants it."""
