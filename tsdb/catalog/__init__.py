"""Databases and tables by name, and the system tables."""
