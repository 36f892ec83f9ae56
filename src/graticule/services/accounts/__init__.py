"""Who uses the server, how they show it, and what they were granted."""
