"""The LSM of one bucket: sorted runs, merging by selection, the write buffer, and compaction (what to do, and doing
it).
"""
