"""Graticule: an open, self-hosted spatial Iceberg REST catalog."""
