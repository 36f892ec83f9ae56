"""What the server does in the background, for how long, and on whose behalf."""
