"""Keeps tables in step with the files they were made of, and takes such steps back."""
