"""Running statements: `plan.py` plans for both modes, `batch/` runs over snapshots, `streaming/` over changes."""
