"""Namespaces, tables, views and functions: what the Iceberg REST protocol is about."""
