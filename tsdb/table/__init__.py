"""The whole table: scanning, reading, writing, committing, following, time travel."""
