"""Queries over tables with file indexes: files are passed over, and the rows are those of the table without indexes."""

import datetime as dt
import random
import re
from pathlib import Path
from typing import Any

import pytest

from tests.unit.exec.conftest import Asker
from tsdb.errors import ColumnNotFound, NotSupportedError, OptionError

COLUMNS = "(k INT, s STRING, d DATE, t TIMESTAMP(6), f DOUBLE{key}) {parts}"
INDEXES = """'file-index.bloom-filter.columns' = 's,d,t,f', 'file-index.bitmap.columns' = 's,k',
    'file-index.bloom-filter.s.items' = '200', 'file-index.bloom-filter.t.fpp' = '0.01',
    'file-index.in-manifest-threshold' = '{threshold}'"""


def files_kept(ask: Asker, sql: str) -> tuple[int, int]:
    text = ask.rows(f"EXPLAIN {sql}")[0][0]
    found = re.search(r", files (\d+) of (\d+)", text)
    assert found, text
    return int(found[1]), int(found[2])


@pytest.mark.parametrize("threshold", ["1 b", "10 mb"], ids=["beside", "in the manifest"])
def test_files_without_the_value_are_not_read(ask: Asker, warehouse: Path, threshold: str) -> None:
    ask.run(f"CREATE TABLE t {COLUMNS.format(key='', parts='')} WITH ({INDEXES.format(threshold=threshold)})")
    for i in range(6):  # values of all files lie in the same range, so statistics alone keep all of them
        ask.run(
            f"INSERT INTO t SELECT value * 6 + {i}, CAST(value * 6 + {i} AS STRING), DATE '2024-01-01', NULL, value "
            "FROM generate_series(0, 99) AS g(value)"
        )
    beside = list((warehouse / "default.db" / "t").rglob("*.index"))
    assert len(beside) == (6 if threshold == "1 b" else 0)
    for sql, kept in (
        ("SELECT * FROM t WHERE k = 306", 1),
        ("SELECT * FROM t WHERE k IN (306, 12)", 1),
        ("SELECT * FROM t WHERE k = 306 OR k = 307", 2),
        ("SELECT * FROM t WHERE s = '100'", 1),
        ("SELECT * FROM t WHERE d = DATE '2024-01-02'", 0),
        ("SELECT * FROM t WHERE s = '300' AND k > 5", 1),
        ("SELECT * FROM t", 6),
    ):
        assert files_kept(ask, sql) == (kept, 6), sql
    assert ask.rows("SELECT k, s FROM t WHERE s = '100' AND k = 100") == [(100, "100")]
    assert files_kept(ask, "SELECT * FROM t /*+ OPTIONS('file-index.read.enabled' = 'false') */ WHERE k = 306")[0] == 6


CONDITIONS = (
    "s = {s}", "s <> {s}", "s IN ({s}, 'b')", "s IS NULL", "s IS NOT NULL", "s < {s}", "s LIKE 'a%'", "k = {k}",
    "k <= {k}", "k > {k} OR s = {s}", "d = {d}", "d <> {d}", "t = {t}", "t >= {t}", "f = {f}", "f < {f}",
    "k = {k} AND s = {s}", "k + 1 = {k}", "s = {s} OR d = {d}", "NOT (s = {s})",
)  # fmt: skip


@pytest.mark.parametrize("key", ["", ", PRIMARY KEY (k) NOT ENFORCED"], ids=["append", "keyed"])
def test_no_row_is_lost(ask: Asker, key: str) -> None:
    for name, more in (("t", INDEXES.format(threshold="200 b")), ("plain", "'bucket' = '{b}'")):
        bucket = "'bucket' = '1', 'write-only' = 'true'" if key else "'write-only' = 'true'"
        options = bucket if name == "plain" else f"{bucket}, {more}"
        ask.run(f"CREATE TABLE {name} {COLUMNS.format(key=key, parts='')} WITH ({options})")
    rng = random.Random(11)

    def constant(column: str) -> str:
        made: dict[str, Any] = {
            "k": str(rng.randrange(40)),
            "s": repr(rng.choice(["a", "ab", "b", "a long text of more than seven bytes " * 2, ""])),
            "d": f"DATE '{dt.date(2024, 1, 1 + rng.randrange(20))}'",
            "t": f"TIMESTAMP '2024-01-01 00:00:{rng.randrange(20):02d}.{rng.randrange(3)}00001'",
            "f": rng.choice(["0.0", "-0.0", "1.5", "-2.25", "CAST('NaN' AS DOUBLE)"]),
        }
        return str(made[column])

    for _ in range(8):
        rows = ", ".join(
            "(" + ", ".join("NULL" if c != "k" and rng.random() < 0.2 else constant(c) for c in "ksdtf") + ")"
            for _ in range(rng.randrange(1, 12))
        )
        for name in ("t", "plain"):
            ask.run(f"INSERT INTO {name} VALUES {rows}")
    for _ in range(4):
        for condition in CONDITIONS:
            where = condition.format(**{c: constant(c) for c in "ksdtf"})
            found, wanted = (ask.bag(f"SELECT * FROM {name} WHERE {where}") for name in ("t", "plain"))
            assert repr(found) == repr(wanted), where
    assert ask.count("DELETE FROM t WHERE s = 'a'") == ask.count("DELETE FROM plain WHERE s = 'a'")
    ask.rows("CALL sys.compact('default.t')")
    assert repr(ask.bag("SELECT * FROM t WHERE s = 'b'")) == repr(ask.bag("SELECT * FROM plain WHERE s = 'b'"))


def test_files_of_other_times_are_judged_by_what_they_were(ask: Asker) -> None:
    ask.run(f"CREATE TABLE t {COLUMNS.format(key='', parts='')} WITH ({INDEXES.format(threshold='1 mb')})")
    ask.run("INSERT INTO t (k, s) VALUES (1, 'a')")
    with pytest.raises(NotSupportedError, match=r"used by 'file-index\.bloom-filter\.columns'"):
        ask.run("ALTER TABLE t DROP COLUMN s")
    with pytest.raises(ColumnNotFound, match="no column `nothing`"):
        ask.run("ALTER TABLE t SET ('file-index.bitmap.columns' = 'nothing')")
    ask.run("ALTER TABLE t RENAME COLUMN s TO name")
    ask.run("ALTER TABLE t ALTER COLUMN k TYPE BIGINT")
    ask.run("ALTER TABLE t ADD COLUMN s STRING")
    assert ask.rows("SELECT k FROM t WHERE name = 'a'") == [(1,)]
    assert ask.rows("SELECT k FROM t WHERE s IS NULL AND k = 1") == [(1,)]
    assert files_kept(ask, "SELECT * FROM t WHERE name = 'b'") == (0, 1)
    ask.run("INSERT INTO t (k, name) VALUES (2, 'a'), (3, 'z')")  # and new files get the indexes of the renamed column
    assert files_kept(ask, "SELECT * FROM t WHERE name = 'm'") == (0, 2)
    assert ask.bag("SELECT k FROM t WHERE name = 'a'") == [(1,), (2,)]


def test_a_deleted_file_takes_its_index_along(ask: Asker, warehouse: Path) -> None:
    ask.run(
        f"CREATE TABLE t {COLUMNS.format(key='', parts='')} WITH ({INDEXES.format(threshold='1 b')}, "
        "'snapshot.num-retained.min' = '1', 'snapshot.num-retained.max' = '1')"
    )
    ask.run("INSERT INTO t (k, s) VALUES (1, 'a')")
    ask.run("INSERT OVERWRITE t (k, s) VALUES (2, 'b')")
    ask.run("INSERT INTO t (k, s) VALUES (3, 'c')")
    ask.rows("CALL sys.expire_snapshots('default.t', 1)")
    assert len(list((warehouse / "default.db" / "t").rglob("*.index"))) == 2


def test_what_cannot_be_is_refused_when_the_table_is_made(ask: Asker) -> None:
    with pytest.raises(OptionError, match="no index 'bloom'"):
        ask.run("CREATE TABLE t (k INT) WITH ('file-index.bloom.columns' = 'k')")
    with pytest.raises(NotSupportedError, match="BOOLEAN"):
        ask.run("CREATE TABLE t (k BOOLEAN) WITH ('file-index.bloom-filter.columns' = 'k')")


@pytest.mark.parametrize("threshold", ["1 b", "1 mb"])
@pytest.mark.parametrize("key", ["", ", PRIMARY KEY (k) NOT ENFORCED"], ids=["append", "keyed"])
def test_files_get_indexes_later(ask: Asker, warehouse: Path, key: str, threshold: str) -> None:
    ask.run(f"CREATE TABLE t {COLUMNS.format(key=key, parts='')} WITH ('deletion-vectors.enabled' = 'true', "
            f"'file-index.in-manifest-threshold' = '{threshold}', 'snapshot.num-retained.min' = '1')")  # fmt: skip
    for i in range(3):
        ask.run(f"INSERT INTO t (k, s) SELECT value * 3 + {i}, CAST(value * 3 + {i} AS STRING) FROM "
                "generate_series(0, 9) AS g(value)")  # fmt: skip
    ask.run("ALTER TABLE t RENAME COLUMN s TO name")
    ask.run("DELETE FROM t WHERE k = 5")
    everything = ask.bag("SELECT * FROM t")
    assert ask.rows("CALL sys.rewrite_file_index('default.t')") == [(0, 0)]
    files = len(ask.rows("SELECT * FROM `t$files` WHERE level > 0" if key else "SELECT * FROM `t$files`"))
    for options, kept in (
        ("'file-index.bloom-filter.columns' = 'name', 'file-index.bloom-filter.name.items' = '50'", 0),
        ("'file-index.bitmap.columns' = 'k,name'", 0),
    ):
        ask.run(f"ALTER TABLE t SET ({options})")
        assert ask.rows("CALL sys.rewrite_file_index('default.t')")[0][0] > 0
        assert ask.bag("SELECT * FROM t") == everything
        assert files_kept(ask, "SELECT * FROM t WHERE name = '0x'") == (kept, files)
        assert ask.rows("SELECT k FROM t WHERE name = '7'") == [(7,)]
    ask.rows("CALL sys.expire_snapshots('default.t', 1)")
    assert ask.bag("SELECT * FROM t") == everything
    beside = [path.name for path in (warehouse / "default.db" / "t").rglob("*.index")]
    assert all(name.endswith("-1.index") for name in beside) and bool(beside) == (threshold == "1 b")
    ask.run("ALTER TABLE t RESET ('file-index.bloom-filter.columns', 'file-index.bitmap.columns')")
    ask.rows("CALL sys.rewrite_file_index('default.t')")
    ask.rows("CALL sys.expire_snapshots('default.t', 1)")
    assert not list((warehouse / "default.db" / "t").rglob("*.index"))
    assert ask.bag("SELECT * FROM t") == everything
