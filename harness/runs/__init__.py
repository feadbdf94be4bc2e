"""A run: how it is put together, played, watched, and gathered into its result."""
