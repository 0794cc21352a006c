"""Statements over snapshots: queries by DataFusion, changes of rows through the table's writer."""
