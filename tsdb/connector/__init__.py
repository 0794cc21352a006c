"""Connectors: tables that live outside the warehouse."""
