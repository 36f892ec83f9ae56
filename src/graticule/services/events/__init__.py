"""What happened: the audit log, and the webhooks that hear of it."""
