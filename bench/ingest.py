"""Ingest into a primary-key table with 2 buckets: rows per second and peak memory, against pypaimon-rust."""

from typing import Any

from bench import rows, side


def main(row_count: int, repeat: int) -> None:
    file = rows.arrow_file(row_count, keys=row_count, seed=1)

    def once(who: str) -> dict[str, Any]:
        with side.warehouse() as folder:
            got = side.run(who, "ingest", warehouse=str(folder), file=str(file), options={})
        return {"rows_per_s": got["rows"] / got["seconds"], "cpu": got["cpu"], "peak_mib": got["peak_mib"]}

    got = side.alternate([side.OURS, side.RUST], repeat, once)
    for who, numbers in got.items():
        rate = numbers["rows_per_s"] / 1e6
        print(
            f"ingest {row_count:,} rows  {who:14} {rate:6.2f} M rows/s  {numbers['cpu']:.2f} s of "
            f"processor  peak {numbers['peak_mib']:,.0f} MiB"
        )
    ours, rust = got[side.OURS], got[side.RUST]
    rate, memory = ours["rows_per_s"] / rust["rows_per_s"], ours["peak_mib"] / rust["peak_mib"]
    cpu = rust["cpu"] / ours["cpu"]
    print(f"ingest ratios: rows/s {rate:.2f}x, processor {cpu:.2f}x, memory {memory:.2f}x")
