"""Procedures: `CALL sys.<name>(…)`, by name."""
