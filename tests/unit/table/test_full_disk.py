"""No space at any step of a statement: it fails as a whole, or is done and says so; no file is left over."""

import errno
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import tsdb
from tests.unit.table.test_stops import forget_what_was_read
from tsdb.fs.local import LocalFileIO
from tsdb.table import commit as commit_module

ROOT = Path(__file__).parent.parent.parent.parent
WRITES = ("write_bytes", "try_create", "replace", "open_output")
TABLES = {
    "key": "k INT, v STRING, PRIMARY KEY (k) NOT ENFORCED) WITH ('num-sorted-run.compaction-trigger' = '2', "
    "'file-index.bitmap.columns' = 'v', 'file-index.in-manifest-threshold' = '1 b'",
    "dynamic": "k INT, v STRING, PRIMARY KEY (k) NOT ENFORCED) WITH ('bucket' = '-1'",
    "vectors": "k INT, v STRING, PRIMARY KEY (k) NOT ENFORCED) WITH ('deletion-vectors.enabled' = 'true'",
    "places": "k INT, v STRING) WITH ('deletion-vectors.enabled' = 'true'",
    "append": "k INT, v STRING) WITH ('file-index.bloom-filter.columns' = 'k', "
    "'file-index.in-manifest-threshold' = '1 b'",
}
STATEMENTS = (
    "INSERT INTO t VALUES (2, 'new'), (9, 'new')",
    "DELETE FROM t WHERE k < 3",
    "CALL sys.compact('default.t')",
)


class FullDisk:
    """From the n-th file on, or only once, there is no space for a new one."""

    def __init__(self, n, forever):
        self.left, self.forever = n, forever

    def before(self, operation):
        def counted(this, path, *data, **how):
            self.left -= 1
            if self.left == -1 or (self.forever and self.left < -1):
                raise OSError(errno.ENOSPC, "No space left on device", path)
            return operation(this, path, *data, **how)

        return counted


def rows(path):
    forget_what_was_read()
    with tsdb.connect(path) as con:
        return sorted(con.execute("SELECT k, v FROM t").fetchall())


def warehouse(path, columns):
    con = tsdb.connect(path)
    con.execute(f"CREATE TABLE t ({columns})")
    for values in ("(1, 'a'), (3, 'x')", "(2, 'b'), (4, 'y')"):
        con.execute(f"INSERT INTO t VALUES {values}")
    return con


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("statement", STATEMENTS, ids=["insert", "delete", "compact"])
def test_a_full_disk(tmp_path, monkeypatch, kind, statement):
    with warehouse(str(tmp_path / "whole"), TABLES[kind]) as con:
        con.execute(statement)
    before, after = [(1, "a"), (2, "b"), (3, "x"), (4, "y")], rows(str(tmp_path / "whole"))
    for n in range(0, 80, 1 if kind == "key" else 3):
        path = str(tmp_path / str(n))
        failed = None
        with warehouse(path, TABLES[kind]) as con, monkeypatch.context() as patch, warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            disk = FullDisk(n, forever=n % 2 == 0)
            for name in WRITES:
                patch.setattr(LocalFileIO, name, disk.before(getattr(LocalFileIO, name)))
            try:
                con.execute(statement)
            except tsdb.OperationalError as err:
                failed = err
        told = str(failed)
        assert rows(path) == (after if failed is None else before), told
        assert failed is None or "No space left on device" in told
        with tsdb.connect(path) as con:
            found = con.execute(
                "CALL sys.remove_orphan_files(`table` => 'default.t', older_than => '2999-01-01 00:00')"
            )
            assert "rows are committed" in told or found.fetchone()[0] == 0
            con.execute("CALL sys.compact('default.t')")
            assert rows(path) == (after if "rows are committed" in told or failed is None else before)
            con.execute("INSERT INTO t VALUES (7, 'next')")
        assert (7, "next") in rows(path)
        if disk.left >= 0:
            break
    assert disk.left >= 0


PARTS = "k INT, v STRING, PRIMARY KEY (k, v) NOT ENFORCED) PARTITIONED BY (v) WITH ('bucket' = '1'"
LOG = "k INT, v STRING, PRIMARY KEY (k) NOT ENFORCED) WITH ('bucket' = '1', 'changelog-producer' = "
OTHER_STATEMENTS = {
    "update": (TABLES["key"], "UPDATE t SET v = 'new' WHERE k > 2"),
    "update in places": (TABLES["places"], "UPDATE t SET v = 'new' WHERE k > 2"),
    "update of files": (TABLES["append"], "UPDATE t SET v = 'new' WHERE k > 2"),
    "merge": (TABLES["key"], "MERGE INTO t USING (VALUES (2, 'm'), (8, 'm')) AS s(a, b) ON t.k = s.a "
              "WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (a, b)"),
    "overwrite": (TABLES["dynamic"], "INSERT OVERWRITE t VALUES (2, 'new'), (9, 'new')"),
    "overwrite with vectors": (TABLES["vectors"], "INSERT OVERWRITE t VALUES (2, 'new'), (9, 'new')"),
    "overwrite a partition": (PARTS, "INSERT OVERWRITE t PARTITION (v = 'x') VALUES (9)"),
    "truncate": (TABLES["append"], "TRUNCATE TABLE t"),
    "drop a partition": (PARTS, "ALTER TABLE t DROP PARTITION (v = 'x')"),
    "lookup": (LOG + "'lookup'", "INSERT INTO t VALUES (2, 'new'), (9, 'new')"),
    "input": (LOG + "'input'", "INSERT INTO t VALUES (2, 'new'), (9, 'new')"),
    "full compaction": (LOG + "'full-compaction'", "CALL sys.compact('default.t')"),
    "add a column": (TABLES["key"], "ALTER TABLE t ADD COLUMN w INT FIRST"),
    "rename a column": (TABLES["append"], "ALTER TABLE t RENAME COLUMN v TO w"),
    "set an option": (TABLES["key"], "ALTER TABLE t SET ('snapshot.num-retained.max' = '20')"),
    "rescale": (LOG + "'none'", "ALTER TABLE t SET ('bucket' = '2'); CALL sys.rescale('default.t')"),
    "sort": (TABLES["append"],
             "CALL sys.compact(`table` => 'default.t', order_strategy => 'zorder', order_by => 'v,k')"),
    "rewrite indexes": (TABLES["append"], "ALTER TABLE t SET ('file-index.bitmap.columns' = 'v'); "
                        "CALL sys.rewrite_file_index('default.t')"),
    "expire": (TABLES["key"], "CALL sys.expire_snapshots(`table` => 'default.t', retain_max => 1)"),
    "tag": (TABLES["key"], "CALL sys.create_tag('default.t', 'x', 1)"),
    "branch": (TABLES["append"], "CALL sys.create_branch('default.t', 'b')"),
    "roll back": (TABLES["append"], "CALL sys.rollback_to('default.t', 1)"),
    "analyze": (TABLES["append"], "ANALYZE TABLE t COMPUTE STATISTICS FOR ALL COLUMNS"),
    "rename": (TABLES["append"], "ALTER TABLE t RENAME TO u"),
    "create": (TABLES["append"], "CREATE TABLE u (k INT, PRIMARY KEY (k) NOT ENFORCED)"),
    "create as": (TABLES["append"], "CREATE TABLE u AS SELECT * FROM t"),
    "replace": (TABLES["append"], "CREATE OR REPLACE TABLE t AS SELECT k, 'r' AS v FROM t"),
    "drop": (TABLES["append"], "DROP TABLE t"),
    "a database": (TABLES["append"], "CREATE DATABASE other"),
    "a view": (TABLES["append"], "CREATE VIEW u AS SELECT * FROM t"),
}  # fmt: skip


def everything(path):
    """All that a statement may change, as a new process sees it: tables, schemas, rows, tags, branches."""
    forget_what_was_read()
    found = {}
    with tsdb.connect(path) as con:
        found["databases"] = con.execute("SHOW DATABASES").fetchall()
        for (name,) in con.execute("SHOW TABLES").fetchall():
            found[name] = sorted(map(str, con.execute(f"SELECT * FROM {name}").fetchall()))
            found[f"{name} columns"] = con.execute(f"DESCRIBE {name}").fetchall()
            if (name,) in con.execute("SHOW VIEWS").fetchall():
                continue
            found[f"{name} snapshots"] = con.execute(f"SELECT count(*) FROM {name}$snapshots").fetchone()[0] > 1
            for part, columns in (("tags", "tag_name"), ("branches", "branch_name"), ("options", "key, `value`")):
                found[f"{name} {part}"] = sorted(con.execute(f"SELECT {columns} FROM {name}${part}").fetchall())
    return found


def writing(patch, n):
    """Counts the files that are written; there is no space for the n-th."""
    disk = FullDisk(n, forever=n % 2 == 0)
    for name in WRITES:
        patch.setattr(LocalFileIO, name, disk.before(getattr(LocalFileIO, name)))
    return disk


@pytest.mark.parametrize("case", OTHER_STATEMENTS)
def test_a_full_disk_at_any_statement(tmp_path, monkeypatch, case):
    columns, text = OTHER_STATEMENTS[case]
    *first, last = text.split("; ")
    whole = str(tmp_path / "whole")
    with warehouse(whole, columns) as con:
        for statement in first:
            con.execute(statement)
        before = everything(whole)
        with monkeypatch.context() as patch:
            disk = writing(patch, 1000)
            con.execute(last)
    after, steps = everything(whole), 1000 - disk.left
    for n in sorted({steps * i // 8 for i in range(8)}):
        path = str(tmp_path / str(n))
        failed = None
        with warehouse(path, columns) as con, monkeypatch.context() as patch, warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            for statement in first:
                con.execute(statement)
            writing(patch, n)
            try:
                con.execute(last)
            except tsdb.OperationalError as err:
                failed = err
        told = str(failed)
        assert failed is None or "No space left on device" in told
        is_done = failed is None or "committed" in told
        assert everything(path) == (after if is_done else before), (n, told)
        with tsdb.connect(path) as con:  # nothing is left over, and the same goes on
            for (name,) in con.execute("SHOW TABLES").fetchall():
                orphans = f"CALL sys.remove_orphan_files(`table` => 'default.{name}', older_than => '2999-01-01 00:00')"
                if (name,) not in con.execute("SHOW VIEWS").fetchall() and "committed" not in told:
                    assert con.execute(orphans).fetchone()[0] == 0, (n, told)
            if not is_done:
                con.execute(last)
        assert everything(path) == after, (n, told)


def test_rows_are_there_though_the_compaction_that_came_with_them_failed(tmp_path, monkeypatch):
    with warehouse(str(tmp_path), TABLES["key"] + ", 'commit.force-compact' = 'true'") as con:
        publish, calls = commit_module.try_publish, []

        def second_fails(table, snapshot):
            calls.append(snapshot.commit_kind)
            if len(calls) == 2:
                raise OSError(errno.EIO, "Input/output error")
            return publish(table, snapshot)

        con.execute("INSERT INTO t VALUES (4, 'y')")
        monkeypatch.setattr(commit_module, "try_publish", second_fails)
        with pytest.warns(RuntimeWarning, match="is committed; the compaction with it failed"):
            con.execute("INSERT INTO t VALUES (5, 'z')")
        assert calls == ["APPEND", "COMPACT"] and len(rows(str(tmp_path))) == 5
        con.execute("INSERT INTO t VALUES (6, 'z')")
        assert con.execute("SELECT count(*) FROM t$files").fetchone()[0] == 1


def test_an_interrupt_after_the_publication_deletes_nothing(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    for statement in (
        "CALL sys.compact('default.t')",
        "CALL sys.rescale('default.t')",
        "INSERT INTO t VALUES (2, 'b')",
    ):
        path = str(tmp_path / statement[:14])
        with warehouse(path, TABLES["dynamic"].replace("-1", "1")) as con, monkeypatch.context() as patch:
            con.execute("ALTER TABLE t SET ('bucket' = '2')") if "rescale" in statement else None
            patch.setattr(commit_module, "after_commit", interrupted)
            with pytest.raises(KeyboardInterrupt):
                con.execute(statement)
        assert rows(path) == [(1, "a"), (2, "b"), (3, "x"), (4, "y")]


LIMITED = """
import resource, signal, sys
import tsdb
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writing past the limit is an error then
path, form = sys.argv[1:]
con = tsdb.connect(path)
con.execute(f"CREATE TABLE t (k INT, v STRING) WITH ('file.format' = '{form}')")
con.execute("INSERT INTO t VALUES (1, 'a')")
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
rows = "SELECT CAST(value AS INT), CAST(random() AS STRING) FROM generate_series(1, 50000) AS g(value)"
copied = f"COPY ({rows}) TO '{path}/copy.{form}'" if form != "avro" else "SELECT 1 / 0"
for statement in (f"INSERT INTO t {rows}", copied):
    try:
        con.execute(statement).fetchall()
        print("done")
    except tsdb.Error as err:
        print("told")
print(con.execute("SELECT count(*) FROM t").fetchone()[0])
"""


@pytest.mark.parametrize("form", ["parquet", "orc", "avro"])
def test_a_file_that_cannot_grow_is_an_error_in_every_format(tmp_path, form):
    command = [sys.executable, "-c", LIMITED, str(tmp_path), form]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={"PYTHONPATH": str(ROOT)})
    assert ended.stdout.split() == ["told", "told", "1"], ended
    assert len(list((tmp_path / "default.db" / "t" / "bucket-0").iterdir())) == 1
    assert not list(tmp_path.glob("*copy*"))
