"""Queries that go on: changes in, changes out."""
