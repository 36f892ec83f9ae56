"""Buckets that were connected: what may be done there, and the credentials for it."""
