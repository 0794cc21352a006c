"""PEP 249, and what goes beyond it: Arrow, pandas, and cursors of changes that go on."""
