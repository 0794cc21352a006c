"""Money that is moved between accounts: at no version of no sink is any of it missing or there twice.

A commit is a transfer, of two rows in two files; jobs and cursors run beside the writer and take steps smaller than a
commit, so whoever shows half of one is found out.
"""

import json
import random
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import tsdb
from tsdb import Connection
from tsdb.exec.streaming.pipeline import Pipeline

ACCOUNTS = 6
EACH = 100
TOTAL = ACCOUNTS * EACH
STREAM = "SET 'execution.mode' = 'streaming'; SET 'execution.checkpointing.interval' = '0 ms'"
MOVES = "(id BIGINT, account INT, amount BIGINT) WITH ('bucket' = '2', 'bucket-key' = 'account')"
BALANCES = "SELECT account, sum(amount) FROM moves GROUP BY account"


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step takes a file of a commit, not all of it."""
    monkeypatch.setattr(Pipeline.advance, "__defaults__", (1,))


@pytest.fixture
def con(tmp_path: Path) -> Iterator[Connection]:
    with tsdb.connect(str(tmp_path / "w")) as connection:
        connection.execute(f"CREATE TABLE moves {MOVES}")
        yield connection


class Bank:
    """Moves money: into `moves`, and with `producer` into `accounts`, a table of balances by account."""

    def __init__(self, con: Connection, producer: str | None = None) -> None:
        self._con, self._rng = con, random.Random(17)
        self._id = 0
        self._keyed = producer is not None
        self.balances = dict.fromkeys(range(ACCOUNTS), EACH)
        if self._keyed:
            every = ", 'full-compaction.delta-commits' = '1'" if producer == "full-compaction" else ""
            con.execute(
                "CREATE TABLE accounts (account INT, bank INT, amount BIGINT, PRIMARY KEY (account) NOT ENFORCED)"
                f" WITH ('bucket' = '2', 'changelog-producer' = '{producer}'{every})"
            )
        self._write(dict.fromkeys(self.balances, EACH))

    def transfer(self, times: int = 1) -> None:
        """One commit each."""
        for _ in range(times):
            giver, taker = self._rng.sample(range(ACCOUNTS), 2)
            amount = self._rng.randint(1, 20)
            self._id += 1
            self._write({giver: -amount, taker: amount})

    def _write(self, moved: dict[int, int]) -> None:
        if self._id:
            for account, amount in moved.items():
                self.balances[account] += amount
        self._con.execute("SET 'execution.mode' = 'batch'")
        if self._keyed:
            rows = ", ".join(f"({a}, {a % 2}, {self.balances[a]})" for a in moved)
            self._con.execute(f"INSERT INTO accounts VALUES {rows}")
        else:
            rows = ", ".join(f"({self._id}, {a}, {amount})" for a, amount in moved.items())
            self._con.execute(f"INSERT INTO moves VALUES {rows}")


def start(con: Connection, insert: str) -> None:
    con.execute(STREAM)
    con.execute(insert)
    con.execute("SET 'execution.mode' = 'batch'")


def settle(con: Connection, bank: Bank, transfers: int = 8) -> None:
    """Move money while the jobs run; some wait for them, so that checkpoints fall wherever they like."""
    for number in range(transfers):
        bank.transfer()
        if number % 3 == 2:
            for job in con.jobs():
                job.checkpoint(30)
    for _ in range(2):  # a chain has its end only when the first has
        for job in con.jobs():
            job.checkpoint(30)
    for job in con.jobs():
        job.stop(30)


def rows(con: Connection, query: str) -> list[tuple[object, ...]]:
    con.execute("SET 'execution.mode' = 'batch'")
    return con.execute(query).fetchall()


def check_every_snapshot(con: Connection, table: str, count: int | None = ACCOUNTS) -> None:
    """All the money is there in each, whatever made it."""
    ids = [n for (n,) in rows(con, f"SELECT snapshot_id FROM `{table}$snapshots` ORDER BY 1")]
    assert len(ids) >= 2
    for number in ids:
        hint = f"/*+ OPTIONS('scan.snapshot-id' = '{number}') */"
        ((total, found),) = rows(con, f"SELECT sum(amount), count(*) FROM {table} {hint}")
        if found or total is not None:  # a table with deletion vectors shows nothing before its first compaction
            assert total == TOTAL, (table, number)
            assert count is None or found == count, (table, number)


KEYED = "(account INT, amount BIGINT, PRIMARY KEY (account) NOT ENFORCED) WITH ('bucket' = '2'{})"
SUMS = ", 'merge-engine' = 'aggregation', 'fields.amount.aggregate-function' = 'sum'"
PARTS = "(p INT, account INT, amount BIGINT, PRIMARY KEY ({}) NOT ENFORCED) PARTITIONED BY (p) WITH ('bucket' = '{}')"
PARTED = "SELECT CAST(sum(amount) / 40 AS INT), account, sum(amount) FROM moves GROUP BY account"
TABLES = {
    "none": (KEYED.format(""), BALANCES),
    "input": (KEYED.format(", 'changelog-producer' = 'input'"), BALANCES),
    "lookup": (KEYED.format(", 'changelog-producer' = 'lookup'"), BALANCES),
    "full-compaction": (
        KEYED.format(", 'changelog-producer' = 'full-compaction', 'full-compaction.delta-commits' = '1'"),
        BALANCES,
    ),
    "deletion vectors": (KEYED.format(", 'deletion-vectors.enabled' = 'true'"), BALANCES),
    "dynamic buckets": (KEYED.format("").replace("'2'", "'-1'"), BALANCES),
    "partial-update": (KEYED.format(", 'merge-engine' = 'partial-update'"), BALANCES),
    "partial-update input": (
        KEYED.format(", 'merge-engine' = 'partial-update', 'changelog-producer' = 'input'"),
        BALANCES,
    ),
    "sums of moves": (KEYED.format(SUMS), "SELECT account, amount FROM moves"),
    "sums of moves, lookup": (
        KEYED.format(SUMS + ", 'changelog-producer' = 'lookup'"),
        "SELECT account, amount FROM moves",
    ),
    "sums of balances": (KEYED.format(SUMS), BALANCES),
    "sums of balances, input": (KEYED.format(SUMS + ", 'changelog-producer' = 'input'"), BALANCES),
    "moving rows": (PARTS.format("account", -1), PARTED),
}


@pytest.mark.parametrize("sink", TABLES)
def test_every_snapshot_of_a_table_has_all_the_money(con: Connection, sink: str) -> None:
    columns, query = TABLES[sink]
    con.execute(f"CREATE TABLE sink {columns}")
    bank = Bank(con)
    start(con, f"INSERT INTO sink {query}")
    settle(con, bank)
    check_every_snapshot(con, "sink")
    assert dict(rows(con, "SELECT account, amount FROM sink")) == bank.balances


@pytest.mark.parametrize("columns", [
    MOVES.partition(" WITH")[0],
    MOVES,
    "(id BIGINT, account INT, amount BIGINT, PRIMARY KEY (id, account) NOT ENFORCED) WITH ('bucket' = '2')",
    "(id BIGINT, account INT, amount BIGINT, PRIMARY KEY (id, account) NOT ENFORCED)"
    " WITH ('bucket' = '2', 'merge-engine' = 'first-row')",
], ids=["append", "append, buckets", "keyed", "first-row"])  # fmt: skip
def test_every_snapshot_of_a_log_of_moves_has_whole_moves(con: Connection, columns: str) -> None:
    con.execute(f"CREATE TABLE sink {columns}")
    bank = Bank(con)
    start(con, "INSERT INTO sink SELECT id, account, amount FROM moves")
    settle(con, bank)
    check_every_snapshot(con, "sink", None)
    assert Counter(rows(con, "SELECT * FROM sink")) == Counter(rows(con, "SELECT * FROM moves"))


@pytest.mark.parametrize("producer", ["none", "input", "lookup", "full-compaction"])
def test_updates_of_a_table_are_folded_into_another_with_fewer_keys(con: Connection, producer: str) -> None:
    """Two banks have the accounts: a change of an account takes its old amount back, in an engine that adds up."""
    bank = Bank(con, producer)
    con.execute(
        f"CREATE TABLE banks (bank INT, amount BIGINT, PRIMARY KEY (bank) NOT ENFORCED) WITH ('bucket'='1'{SUMS})"
    )
    con.execute(f"CREATE TABLE copy {KEYED.format('')}")
    start(con, "INSERT INTO banks SELECT bank, amount FROM accounts")
    start(con, "INSERT INTO copy SELECT account, amount FROM accounts")
    settle(con, bank)
    check_every_snapshot(con, "banks", 2)
    check_every_snapshot(con, "copy")
    by_bank: Counter[int] = Counter()
    for account, amount in bank.balances.items():
        by_bank[account % 2] += amount
    assert dict(rows(con, "SELECT * FROM banks")) == by_bank


def test_a_chain_of_jobs_and_of_materialized_tables(con: Connection) -> None:
    lookup = ", 'changelog-producer' = 'lookup'"
    con.execute(f"CREATE TABLE first {KEYED.format(lookup)}")
    con.execute(
        "CREATE TABLE last (k INT, amount BIGINT, accounts BIGINT, richest BIGINT, PRIMARY KEY (k) NOT ENFORCED)"
    )
    bank = Bank(con)
    start(con, f"INSERT INTO first {BALANCES}")
    start(con, "INSERT INTO last SELECT 0, sum(amount), count(*), max(amount) FROM first HAVING count(*) > 0")
    con.execute(
        "CREATE MATERIALIZED TABLE mat FRESHNESS = INTERVAL '1' SECOND AS"
        " SELECT account, sum(amount) AS amount FROM moves GROUP BY account"
    )
    con.execute(
        "CREATE MATERIALIZED TABLE pairs (PRIMARY KEY (account) NOT ENFORCED) FRESHNESS = INTERVAL '1' SECOND AS"
        " SELECT a.account, (a.amount + b.amount) / 2 AS amount FROM mat AS a JOIN mat AS b ON a.account = b.account"
    )
    settle(con, bank)
    for table in ("first", "mat", "pairs"):
        check_every_snapshot(con, table)
    check_every_snapshot(con, "last", 1)
    assert rows(con, "SELECT amount, accounts, richest FROM last") == [(TOTAL, ACCOUNTS, max(bank.balances.values()))]
    assert dict(rows(con, "SELECT account, amount FROM pairs")) == bank.balances


@pytest.mark.parametrize("path", ["out", "out.json"])
def test_files_grow_by_whole_moves(con: Connection, tmp_path: Path, path: str) -> None:
    out = tmp_path / path
    con.execute(
        f"CREATE TABLE files (id BIGINT, account INT, amount BIGINT) WITH ('connector' = 'filesystem',"
        f" 'path' = '{out}', 'format' = 'json')"
    )
    bank = Bank(con)
    start(con, "INSERT INTO files SELECT id, account, amount FROM moves")
    seen: Counter[str] = Counter()
    for _ in range(6):
        bank.transfer()
        for job in con.jobs():
            job.checkpoint(30)
        parts = sorted(out.glob("part-*")) if out.is_dir() else [out]
        seen = Counter(line for part in parts for line in part.read_text().splitlines())
        assert sum(json.loads(line)["amount"] * n for line, n in seen.items()) == TOTAL
        if out.is_dir():
            assert all(
                sum(json.loads(line)["amount"] for line in p.read_text().splitlines()) in (0, TOTAL) for p in parts
            )
    assert all(n == 1 for n in seen.values())
    assert len(seen) == ACCOUNTS + 2 * 6


class _Pages(list[str]):
    """What is written to standard output, write by write."""

    def write(self, text: str) -> int:
        self.append(text)
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""


@pytest.mark.parametrize(
    ("table", "query"),
    [
        ("p (id BIGINT, account INT, amount BIGINT)", "SELECT id, account, amount FROM moves"),
        (
            "p (id INT, account INT, amount BIGINT, PRIMARY KEY (account) NOT ENFORCED)",
            BALANCES.replace("SELECT", "SELECT 0,"),
        ),
    ],
    ids=["moves", "balances"],
)
def test_print_shows_whole_versions(con: Connection, monkeypatch: pytest.MonkeyPatch, table: str, query: str) -> None:
    con.execute(f"CREATE TABLE {table} WITH ('connector' = 'print')")
    pages = _Pages()
    monkeypatch.setattr(sys, "stdout", pages)
    bank = Bank(con)
    start(con, f"INSERT INTO p {query}")
    settle(con, bank)
    monkeypatch.undo()
    total, shown = 0, 0
    for page in pages:
        for line in page.splitlines():
            op, _, values = line.partition("[")
            total += int(values.rstrip("]").split(", ")[2]) * (1 if op in ("+I", "+U") else -1)
            shown += 1
        assert total == TOTAL, page
    assert shown >= ACCOUNTS + 16


PARTNER = "SELECT 1 FROM moves AS o WHERE o.id = m.id AND o.account <> m.account AND o.amount = -m.amount"
CONSTANT = {
    "a sum of sums": (f"SELECT sum(t) FROM ({BALANCES.replace('(amount)', '(amount) AS t')})", TOTAL),
    "what all have twice and once": (
        "SELECT sum(x) FROM (SELECT 2 * amount AS x FROM moves UNION ALL SELECT -amount FROM moves)",
        TOTAL,
    ),
    "the same accounts twice": (
        "SELECT sum(a.t + b.t) FROM (SELECT account, sum(amount) AS t FROM moves GROUP BY account) AS a"
        " JOIN (SELECT account, sum(amount) AS t FROM moves GROUP BY account) AS b ON a.account = b.account",
        2 * TOTAL,
    ),
    "accounts that differ from themselves": (
        "SELECT count(*) FROM (SELECT account, sum(amount) AS t FROM moves GROUP BY account) AS a"
        " FULL JOIN (SELECT account, sum(amount) AS t FROM moves GROUP BY account) AS b"
        " ON a.account = b.account AND a.t = b.t WHERE a.account IS NULL OR b.account IS NULL",
        0,
    ),
    "given and taken": (
        "SELECT g.t + t.t FROM (SELECT coalesce(sum(amount), 0) AS t FROM moves WHERE id > 0 AND amount < 0) AS g"
        " CROSS JOIN (SELECT coalesce(sum(amount), 0) AS t FROM moves WHERE id > 0 AND amount > 0) AS t",
        0,
    ),
    "halves by outer join": (
        "SELECT count(*) FROM moves AS a LEFT JOIN moves AS b"
        " ON a.id = b.id AND a.account <> b.account AND a.amount = -b.amount WHERE a.id > 0 AND b.id IS NULL",
        0,
    ),
    "halves by anti join": (f"SELECT count(*) FROM moves AS m WHERE m.id > 0 AND NOT EXISTS ({PARTNER})", 0),
    "halves by semi join": (
        f"SELECT sum(amount) FROM moves AS m WHERE m.id = 0 OR EXISTS ({PARTNER})",
        TOTAL,
    ),
    "halves by count": (
        "SELECT count(*) FROM (SELECT id, count(*) AS n FROM moves WHERE id > 0 GROUP BY id) WHERE n <> 2",
        0,
    ),
    "everybody but the richest and the richest": (
        "SELECT sum(t) FROM (SELECT t FROM (SELECT account, t, row_number() OVER (ORDER BY t DESC, account) AS r FROM"
        " (SELECT account, sum(amount) AS t FROM moves GROUP BY account)) WHERE r <= 2 UNION ALL"
        " SELECT t FROM (SELECT account, t, row_number() OVER (ORDER BY t DESC, account) AS r FROM"
        " (SELECT account, sum(amount) AS t FROM moves GROUP BY account)) WHERE r > 2)",
        TOTAL,
    ),
    "a scalar subquery": ("SELECT count(*) * 0 + (SELECT sum(amount) FROM moves) FROM moves", TOTAL),
}


@pytest.mark.parametrize("name", CONSTANT)
def test_no_version_of_a_query_shows_half_a_transfer(con: Connection, tmp_path: Path, name: str) -> None:
    """A cursor beside the writer: one row, always the same, whatever is moved."""
    query, constant = CONSTANT[name]
    bank = Bank(con)
    with tsdb.connect(str(tmp_path / "w")) as other:
        other.execute("SET 'execution.mode' = 'streaming'")
        cursor = other.execute(query)
        shown: Counter[tuple[object, ...]] = Counter()
        for number in range(8):
            for version in _versions(cursor):
                for op, *row in version:
                    shown[tuple(row)] += 1 if op in ("+I", "+U") else -1
                assert +shown == Counter([(constant,)]), number
            bank.transfer(1 + number % 3)


@pytest.mark.parametrize("producer", [None, "none", "input", "lookup", "full-compaction"])
def test_versions_of_a_cursor_are_whole(con: Connection, tmp_path: Path, producer: str | None) -> None:
    """Beside the writer, and row by row over all that was: the balances of each version add up, and come to the end."""
    bank = Bank(con, producer)
    query = BALANCES if producer is None else "SELECT account, amount FROM accounts"
    with tsdb.connect(str(tmp_path / "w")) as other:
        other.execute("SET 'execution.mode' = 'streaming'")
        cursor = other.execute(query)
        balances: dict[object, object] = {}
        versions = 0
        for number in range(8):
            for version in _versions(cursor):
                balances |= {account: amount for op, account, amount in version if op in ("+I", "+U")}
                assert sum(balances.values()) == TOTAL
                versions += 1
            assert balances == bank.balances
            bank.transfer(1 + number % 3)
        assert versions == 1 + 13
        other.execute("SET 'scan.bounded.mode' = 'latest'")
        table = "moves" if producer is None else "accounts"
        start = f"{table} /*+ OPTIONS('scan.mode' = 'from-snapshot-full', 'scan.snapshot-id' = '1') */"
        replay = other.execute(query.replace(table, start))
        balances = {}
        last, versions = 0, 0
        for op, account, amount in replay:
            if replay.version != last:
                assert not last or sum(balances.values()) == TOTAL, last
                last, versions = replay.version, versions + 1
            balances |= {account: amount} if op in ("+I", "+U") else {}
        assert balances == bank.balances
        assert versions == 1 + 15


def _versions(cursor: tsdb.Cursor) -> Iterator[list[tuple[object, ...]]]:
    """The rows of each version that there is."""
    while (version := cursor.poll(0)).num_rows:
        yield [tuple(row.values()) for row in version.to_pylist()]
