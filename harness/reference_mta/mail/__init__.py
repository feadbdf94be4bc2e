"""What becomes of a message: annotated before it is accepted, then delivered here or queued for elsewhere."""
