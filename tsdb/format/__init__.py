"""File formats of data files."""
