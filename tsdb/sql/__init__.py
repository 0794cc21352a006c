"""SQL: text → statements → names resolved → the SQL that DataFusion plans. Only this package (and `exec/batch`) knows sqlglot."""
