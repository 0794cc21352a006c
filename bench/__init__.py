"""Benchmarks, each side by side with a peer in one run: `python -m bench NAME` (see `BENCHMARKS`)."""
