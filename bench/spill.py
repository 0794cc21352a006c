"""A sort, a join and a grouping of more than fits 64 MB of 'memory.limit': time, and peak memory of the process."""

from bench import side

LIMIT = "64 mb"


def main(row_count: int, repeat: int) -> None:
    numbers = f"generate_series(1, {row_count}) AS g(value)"
    queries = {
        "sort": f"SELECT value, value * 7919 % {row_count + 3} AS k FROM {numbers} ORDER BY k",
        "group": f"SELECT value % {row_count // 4} AS k, count(*) FROM {numbers} GROUP BY 1",
        "join": f"SELECT a.value, b.k FROM generate_series(1, {row_count // 4}) AS a(value) "
        f"JOIN (SELECT value * 3 AS k FROM {numbers}) AS b ON a.value = b.k",
    }
    for name, sql in queries.items():
        with side.warehouse() as folder:
            got = side.run(side.OURS, "stream_rows", warehouse=str(folder), sql=sql, limit=LIMIT)
        print(
            f"spill {name} of {row_count:,} rows within {LIMIT}: {got['rows']:,} rows, the first after "
            f"{got['first']:.1f} s, the last after {got['seconds']:.1f} s, peak {got['peak_mib']:,.0f} MiB"
        )
