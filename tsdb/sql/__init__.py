"""SQL: text → statements → names resolved → the SQL that DataFusion plans."""
