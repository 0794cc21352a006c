"""INSERT INTO keyed SELECT * FROM log, of five times as many rows as the other benchmarks have: peak memory.

A writer's memory is bounded by 'write-buffer-size', whatever the number of rows: a full buffer becomes sorted level-0
files, and no compaction or commit holds more than a step of each run. So the same is loaded with the default buffer
and with a small one.
"""

from bench import rows, side

PARTS = 5
ASKED_MIB = 2048
BUFFERS = ("256 mb", "64 mb")


def main(row_count: int, repeat: int) -> None:
    del repeat
    with side.warehouse() as folder:
        for part in range(PARTS):
            file = rows.arrow_file(row_count, keys=row_count, seed=1)
            side.run(side.OURS, "fill_log", warehouse=str(folder), file=str(file), first=part * row_count)
        for size in BUFFERS:
            got = side.run(side.OURS, "load", warehouse=str(folder), options={"write-buffer-size": size})
            assert got["rows"] == PARTS * row_count
            print(
                f"memory {PARTS * row_count:,} rows, 'write-buffer-size' = '{size}': peak {got['peak_mib']:,.0f} MiB "
                f"(asked {ASKED_MIB:,} MiB), {got['rows'] / got['seconds'] / 1e6:.2f} M rows/s with compaction"
            )
