"""Nexmark: the queries as streams over the same events, in events a second of wall and of processor time.

The events lie in append tables with a WATERMARK, committed in several snapshots; each query follows them from the
first to the last. What its changes add up to is compared with batch mode over the same tables. Every figure counts all
events, also those that a query does not read. Beside it the ratio to what Flink 2.0.2 did in 2M such events from
Parquet files (local cluster, parallelism 2 on two cores, blackhole sink, the better of its default and mini-batch
settings). Ties are broken by more columns than in the original, so that there is one answer; `count_char` (q14) is a
difference of lengths; of q10, which writes files, there is the query.
"""

import resource
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

import tsdb
from bench.nexmark_events import Events

_SNAPSHOT_EVENTS = 100_000
_WINDOW = "TABLE(TUMBLE(TABLE {0}, DESCRIPTOR(`dateTime`), INTERVAL '10' SECOND))"
_HOP = "TABLE(HOP(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '2' SECOND, INTERVAL '10' SECOND))"
_DAY = "DATE_FORMAT(`dateTime`, 'yyyy-MM-dd')"
_RANKS = ("price < 10000", "price >= 10000 AND price < 1000000", "price >= 1000000")
_BY_RANK = ", ".join(f"COUNT(*) FILTER (WHERE {rank})" for rank in _RANKS)


def _distinct(column: str) -> str:
    filtered = (f"COUNT(DISTINCT {column}) FILTER (WHERE {rank})" for rank in _RANKS)
    return ", ".join([f"COUNT(DISTINCT {column})", *filtered])


_COUNTS = f"COUNT(*), {_BY_RANK}, {_distinct('bidder')}, {_distinct('auction')}"
_WON = "A.id = B.auction AND B.`dateTime` BETWEEN A.`dateTime` AND A.expires"
_CHANNEL = "REGEXP_EXTRACT(url, '(&|^)channel_id=([^&]*)', 2)"
_PER_WINDOW = (
    f"SELECT auction, COUNT(*) AS num, window_start AS starttime, window_end AS endtime FROM {_HOP}"
    " GROUP BY auction, window_start, window_end"
)

QUERIES = {
    "q0": "SELECT auction, bidder, price, `dateTime`, extra FROM bid",
    "q1": "SELECT auction, bidder, 0.908 * price AS price, `dateTime`, extra FROM bid",
    "q2": "SELECT auction, price FROM bid WHERE MOD(auction, 123) = 0",
    "gb": "SELECT bidder, COUNT(*) FROM bid GROUP BY bidder",
    "q3": "SELECT P.name, P.city, P.state, A.id FROM auction AS A INNER JOIN person AS P ON A.seller = P.id"
    " WHERE A.category = 10 AND (P.state = 'OR' OR P.state = 'ID' OR P.state = 'CA')",
    "q4": "SELECT Q.category, AVG(Q.final) FROM (SELECT MAX(B.price) AS final, A.category FROM auction A, bid B"
    f" WHERE {_WON} GROUP BY A.id, A.category) Q GROUP BY Q.category",
    "q5": f"SELECT AB.auction, AB.num FROM ({_PER_WINDOW}) AS AB JOIN (SELECT MAX(CB.num) AS maxn, CB.starttime,"
    f" CB.endtime FROM ({_PER_WINDOW}) AS CB GROUP BY CB.starttime, CB.endtime) AS MB"
    " ON AB.starttime = MB.starttime AND AB.endtime = MB.endtime AND AB.num >= MB.maxn",
    "q6": "SELECT Q.seller, AVG(Q.price) OVER (PARTITION BY Q.seller ORDER BY Q.`dateTime`, Q.id"
    " ROWS BETWEEN 10 PRECEDING AND CURRENT ROW) FROM (SELECT * FROM (SELECT A.id, A.seller, B.price, B.`dateTime`,"
    " ROW_NUMBER() OVER (PARTITION BY A.id, A.seller ORDER BY B.price DESC, B.`dateTime`, B.bidder) AS rownum"
    f" FROM auction AS A, bid AS B WHERE {_WON}) WHERE rownum <= 1) AS Q",
    "q7": "SELECT B.auction, B.price, B.bidder, B.`dateTime`, B.extra FROM bid B JOIN (SELECT MAX(price) AS maxprice,"
    f" window_end AS `dateTime` FROM {_WINDOW.format('bid')} GROUP BY window_start, window_end) B1"
    " ON B.price = B1.maxprice WHERE B.`dateTime` BETWEEN B1.`dateTime` - INTERVAL '10' SECOND AND B1.`dateTime`",
    "q8": "SELECT P.id, P.name, P.starttime FROM (SELECT id, name, window_start AS starttime, window_end AS endtime"
    f" FROM {_WINDOW.format('person')} GROUP BY id, name, window_start, window_end) P JOIN (SELECT seller,"
    f" window_start AS starttime, window_end AS endtime FROM {_WINDOW.format('auction')}"
    " GROUP BY seller, window_start, window_end) A"
    " ON P.id = A.seller AND P.starttime = A.starttime AND P.endtime = A.endtime",
    "q9": "SELECT id, itemName, seller, category, auction, bidder, price, bid_time FROM (SELECT A.id, A.itemName,"
    " A.seller, A.category, B.auction, B.bidder, B.price, B.`dateTime` AS bid_time, ROW_NUMBER() OVER (PARTITION BY"
    f" A.id ORDER BY B.price DESC, B.`dateTime`, B.bidder) AS rownum FROM auction A, bid B WHERE {_WON})"
    " WHERE rownum <= 1",
    "q10": f"SELECT auction, bidder, price, `dateTime`, extra, {_DAY}, DATE_FORMAT(`dateTime`, 'HH:mm') FROM bid",
    "q11": "SELECT B.bidder, COUNT(*) AS bid_count, SESSION_START(B.`dateTime`, INTERVAL '10' SECOND) AS starttime,"
    " SESSION_END(B.`dateTime`, INTERVAL '10' SECOND) AS endtime FROM bid B"
    " GROUP BY B.bidder, SESSION(B.`dateTime`, INTERVAL '10' SECOND)",
    "q12": "SELECT bidder, COUNT(*) FROM TABLE(TUMBLE(TABLE arriving, DESCRIPTOR(p_time), INTERVAL '10' SECOND))"
    " GROUP BY bidder, window_start, window_end",
    "q13": "SELECT B.auction, B.bidder, B.price, B.`dateTime`, S.`value` FROM (SELECT *, PROCTIME() AS p_time FROM bid)"
    " B JOIN side_input FOR SYSTEM_TIME AS OF B.p_time AS S ON MOD(B.auction, 10000) = S.key",
    "q14": "SELECT auction, bidder, 0.908 * price AS price, CASE WHEN HOUR(`dateTime`) >= 8 AND HOUR(`dateTime`) <= 18"
    " THEN 'dayTime' WHEN HOUR(`dateTime`) <= 6 OR HOUR(`dateTime`) >= 20 THEN 'nightTime' ELSE 'otherTime' END"
    " AS kind, `dateTime`, extra, CHAR_LENGTH(extra) - CHAR_LENGTH(REPLACE(extra, 'c', '')) AS c_counts FROM bid"
    " WHERE 0.908 * price > 1000000 AND 0.908 * price < 50000000",
    "q15": f"SELECT {_DAY} AS `day`, {_COUNTS} FROM bid GROUP BY {_DAY}",
    "q16": f"SELECT channel, {_DAY} AS `day`, MAX(DATE_FORMAT(`dateTime`, 'HH:mm')), {_COUNTS} FROM bid"
    f" GROUP BY channel, {_DAY}",
    "q17": f"SELECT auction, {_DAY} AS `day`, COUNT(*), {_BY_RANK}, MIN(price), MAX(price), AVG(price), SUM(price)"
    f" FROM bid GROUP BY auction, {_DAY}",
    "q18": "SELECT auction, bidder, price, channel, url, `dateTime`, extra FROM (SELECT *, ROW_NUMBER() OVER (PARTITION"
    " BY bidder, auction ORDER BY `dateTime` DESC, price, extra) AS rank_number FROM bid) WHERE rank_number <= 1",
    "q19": "SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY auction ORDER BY price DESC, `dateTime`, extra)"
    " AS rank_number FROM bid) WHERE rank_number <= 10",
    "q20": "SELECT auction, bidder, price, channel, url, B.`dateTime`, B.extra, itemName, description, initialBid,"
    " reserve, A.`dateTime` AS opened, expires, seller, category, A.extra AS more FROM bid AS B INNER JOIN auction AS A"
    " ON B.auction = A.id WHERE A.category = 10",
    "q21": "SELECT auction, bidder, price, channel, CASE WHEN LOWER(channel) = 'apple' THEN '0' WHEN LOWER(channel) ="
    " 'google' THEN '1' WHEN LOWER(channel) = 'facebook' THEN '2' WHEN LOWER(channel) = 'baidu' THEN '3'"
    f" ELSE {_CHANNEL} END AS channel_id FROM bid WHERE {_CHANNEL} IS NOT NULL"
    " OR LOWER(channel) IN ('apple', 'google', 'facebook', 'baidu')",
    "q22": "SELECT auction, bidder, price, channel, SPLIT_INDEX(url, '/', 3) AS dir1, SPLIT_INDEX(url, '/', 4) AS dir2,"
    " SPLIT_INDEX(url, '/', 5) AS dir3 FROM bid",
}
FLINK = {
    "q0": 1.75, "q1": 2.31, "q2": 4.23, "gb": 2.25, "q3": 3.90, "q4": 0.41, "q5": 1.13, "q7": 0.22, "q8": 3.18,
    "q18": 0.41, "q19": 0.35, "q20": 0.25, "q22": 1.13,
}  # fmt: skip
_NOT_COMPARED = {"q12": "its windows are those of the clock"}
_NAMES = {pa.int64(): "BIGINT", pa.string(): "STRING", pa.timestamp("ms"): "TIMESTAMP(3)"}


def fill(con: tsdb.Connection, events: int, snapshot_events: int = _SNAPSHOT_EVENTS) -> None:
    """The tables of the suite with so many events, as snapshots of so many."""
    source = Events()
    for start in range(0, events, snapshot_events):
        for name, rows in source.tables(start, min(events, start + snapshot_events)).items():
            if start == 0:
                columns = ", ".join(f"`{field.name}` {_NAMES[field.type]}" for field in rows.schema)
                con.execute(
                    f"CREATE TABLE {name} ({columns}, WATERMARK FOR `dateTime` AS `dateTime` - INTERVAL '4' SECOND)"
                )
            con.register("events", rows)
            con.execute(f"INSERT INTO {name} SELECT * FROM events")
            con.unregister("events")
    con.execute("CREATE VIEW arriving AS SELECT *, PROCTIME() AS p_time FROM bid")
    con.execute("CREATE TABLE side_input (key BIGINT, `value` STRING, PRIMARY KEY (key) NOT ENFORCED)")
    keys = pa.table({"key": pa.array(range(10_000), pa.int64()), "value": [f"value {i}" for i in range(10_000)]})
    con.register("keys", keys)
    con.execute("INSERT INTO side_input SELECT * FROM keys")


def follow(con: tsdb.Connection, query: str) -> Iterator[pa.Table]:
    """The changes from the first snapshot to the last."""
    con.execute("SET 'execution.mode' = 'streaming'")
    con.execute("SET 'scan.bounded.mode' = 'latest'")
    con.execute("SET 'scan.mode' = 'from-snapshot-full'")
    con.execute("SET 'scan.snapshot-id' = '1'")
    try:
        with con.execute(query).fetch_record_batch() as reader:
            yield from reader
    finally:
        for key in ("execution.mode", "scan.bounded.mode", "scan.mode", "scan.snapshot-id"):
            con.execute(f"RESET '{key}'")


def compare(con: tsdb.Connection, query: str, changes: pa.Table) -> str:
    """Whether the changes add up to what batch mode says."""
    wanted = con.execute(query).fetch_arrow_table()
    names = [f"c{i}" for i in range(wanted.num_columns)]
    comes = pc.is_in(changes.column(0), pa.array(["+I", "+U"]))
    weights = pc.if_else(comes, pa.scalar(1, pa.int64()), pa.scalar(-1, pa.int64()))
    left = changes.drop_columns([changes.column_names[0]]).rename_columns(names).append_column("w", weights)
    right = wanted.rename_columns(names).append_column("w", pa.array([-1] * wanted.num_rows, pa.int64()))
    both = pa.concat_tables([left, right.cast(left.schema)])
    sums = both.group_by(names).aggregate([("w", "sum")])
    wrong = sums.filter(pc.not_equal(sums["w_sum"], 0)).num_rows
    return "= batch" if not wrong else f"DIFFERS in {wrong} rows"


def run(con: tsdb.Connection, name: str, events: int) -> dict[str, float]:
    """One query, measured."""
    start, cpu, rows = time.perf_counter(), time.process_time(), 0
    for batch in follow(con, QUERIES[name]):
        rows += batch.num_rows
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return {"wall": events / seconds / 1e6, "cpu": events / cpu / 1e6, "rows": rows}


def verdict(con: tsdb.Connection, name: str) -> str:
    """What the comparison with batch mode says."""
    if name in _NOT_COMPARED:
        return _NOT_COMPARED[name]
    changes = list(follow(con, QUERIES[name]))
    return compare(con, QUERIES[name], pa.Table.from_batches(changes)) if changes else "no rows"


def main(row_count: int, repeat: int, queries: Sequence[str] = tuple(QUERIES)) -> None:
    """row_count: events, 20 million at the most. repeat: the best run counts; then each is compared with batch."""
    events = min(row_count, 20_000_000)
    with tempfile.TemporaryDirectory() as place, tsdb.connect(place) as con:
        fill(con, events)
        con.execute("SET 'execution.state.memory' = '256 mb'")
        measured = {}
        for name in queries:
            try:
                best = max((run(con, name, events) for _ in range(repeat)), key=lambda r: r["wall"])
            except tsdb.Error as err:
                print(f"nexmark {name:4} FAILS: {str(err).splitlines()[0][:140]}")
                continue
            measured[name] = best["wall"]
            ratio = f"{best['wall'] / FLINK[name]:5.2f} x Flink" if name in FLINK else ""
            print(
                f"nexmark {name:4} {best['wall']:7.3f} M events/s  {best['cpu']:7.3f} per CPU second"
                f"  {best['rows']:>9,} changes  {ratio}", flush=True,
            )  # fmt: skip
        ratios = [wall / FLINK[name] for name, wall in measured.items() if name in FLINK]
        print(
            f"nexmark {events:,} events: geometric mean {_mean(measured.values()):.3f} M events/s of {len(measured)}"
            f" queries, {_mean(ratios):.2f} x Flink in {len(ratios)} of them, {resident_mb():,.0f} MB resident"
        )
        print("nexmark beside batch:", ", ".join(f"{name} {verdict(con, name)}" for name in measured), flush=True)


def resident_mb() -> float:
    """The most memory that this process had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _mean(values: Iterable[float]) -> float:
    return statistics.geometric_mean(values) if (values := list(values)) else 0.0
