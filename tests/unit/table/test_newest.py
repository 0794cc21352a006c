"""Others commit and expire before any file operation of a commit, a compaction or a query: it works all the same."""

import re
import threading

import pyarrow as pa
import pytest

import tsdb
from tests.unit.table.tables import make_table
from tests.unit.table.test_stops import forget_what_was_read
from tsdb.errors import CommitConflict, OperationalError, SnapshotExpired
from tsdb.fs.local import LocalFileIO
from tsdb.table import expire
from tsdb.table.changelog import Retention
from tsdb.table.commit import Overwrite, commit
from tsdb.table.compact import compact
from tsdb.table.expire import expire_snapshots
from tsdb.table.read import read_table
from tsdb.table.replay import commit_rows
from tsdb.table.scan import plan_scan
from tsdb.table.table import open_table
from tsdb.table.write import TableWriter

READS = ("read_bytes", "exists", "list_files", "size_bytes", "open_input", "try_create", "write_bytes", "open_output")


class MeddledFileIO(LocalFileIO):
    """Before its n-th operation something happens."""

    def __init__(self, n, meddle):
        self.left, self.meddle = n, meddle

    def __getattribute__(self, name):
        if name in READS:
            self.left -= 1
            if self.left == -1:
                self.meddle()
                forget_what_was_read()
        return super().__getattribute__(name)


def insert(table, keys, value, user="u", **how):
    rows = pa.table({"k": pa.array(keys, pa.int32()), "v": [value] * len(keys)})
    with TableWriter(table, user=user, overwrite="overwrite" in how) as writer:
        writer.write(rows)
        messages = writer.prepare_commit()
    return commit(table, messages, user=user, **how) if how else commit_rows(table, messages, user=user)


def state(table):
    rows = read_table(table, plan_scan(table, table.latest_snapshot()))
    return dict(zip(rows["k"].to_pylist(), rows["v"].to_pylist(), strict=True))


def expire_all_but_one(table):
    expire_snapshots(table, Retention(1, 1, 2**60, 100))


def meddled(path, n, options):
    """A table of a few snapshots, and itself seen by a process whose n-th operation others come before.

    What they do: new rows, a compaction that replaces all files, and the expiration of all but the newest snapshot.
    """
    table = make_table(path, {"k": "INT NOT NULL", "v": "STRING"}, ("k",), (), {**OPTIONS, **options})
    for i in range(3):
        insert(table, [i, i + 1], f"v{i}")

    def meddle():
        insert(table, [20], "other", user="other")
        compact(table, user="other")
        insert(table, [21], "other", user="other")
        expire_all_but_one(table)

    files = MeddledFileIO(n, meddle)
    return table, files, open_table(files, table.identifier, table.path)


OPTIONS = {"bucket": "1", "manifest.merge-min-count": "3", "write-only": "true"}
KINDS = [{}, {"bucket": "-1"}, {"deletion-vectors.enabled": "true", "deletion-vectors.merge-on-read": "true"}]
BEFORE = {0: "v0", 1: "v1", 2: "v2", 3: "v2"}
OTHERS = {20: "other", 21: "other"}


@pytest.mark.parametrize("options", KINDS, ids=["plain", "dynamic buckets", "deletion vectors"])
@pytest.mark.parametrize("work", ["insert", "overwrite", "compact"])
def test_the_base_of_a_commit_expires_meanwhile(tmp_path, work, options):
    met = 0
    for n in range(0, 400, 7 if options else 3):
        table, files, theirs = meddled(tmp_path / str(n), n, options)
        forget_what_was_read()
        try:
            match work:
                case "insert":
                    insert(theirs, [3, 9], "new")
                case "overwrite":
                    insert(theirs, [3, 9], "new", overwrite=Overwrite({}))
                case "compact":
                    compact(theirs, user="c")
        except tsdb.errors.CommitConflict:
            assert work == "compact" or (work == "overwrite" and options.get("bucket") == "-1")
            met += 1
        new = {3: "new", 9: "new"}
        found = state(table)
        if files.left >= 0:
            break
        if work == "overwrite":
            assert found in (new, {**new, **OTHERS}, {**new, 21: "other"}, {**BEFORE, **OTHERS})
        else:
            assert found == {**BEFORE, **OTHERS, **(new if work == "insert" else {})}
    assert files.left >= 0 and n > 10 and met < n / 4


def warehouse(path):
    con = tsdb.connect(str(path))
    con.execute("CREATE TABLE t (k INT, v STRING, PRIMARY KEY (k) NOT ENFORCED) WITH ('bucket' = '1')")
    con.execute("CREATE TABLE copy (k INT, v STRING)")
    con.execute("INSERT INTO t VALUES (1, 'a'), (3, 'x')")
    con.execute("INSERT INTO t VALUES (2, 'b')")
    return con


def replace_and_expire(path):
    with tsdb.connect(str(path)) as con:
        con.execute("INSERT OVERWRITE t VALUES (3, 'c')")
        con.execute("INSERT INTO t VALUES (4, 'd')")
        con.execute("CALL sys.compact(`table` => 'default.t')")
        con.execute("CALL sys.expire_snapshots(`table` => 'default.t', retain_max => 1, retain_min => 1)")


OLD, NEW = [(1, "a"), (2, "b"), (3, "x")], [(3, "c"), (4, "d")]
STATEMENTS = {
    "SELECT k, v FROM t": (OLD, NEW),
    "SELECT k, v FROM t WHERE k = 3": ([(3, "x")], [(3, "c")]),
    "SELECT a.k, b.v FROM t AS a JOIN t AS b ON a.k = b.k": (OLD, NEW),
    "INSERT INTO copy SELECT k, v FROM t": (OLD, NEW),
}


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_statement_reads_the_newest_where_its_snapshot_expires_while_it_is_planned(tmp_path, monkeypatch, statement):
    monkeypatch.setattr(expire, "first_held_id", lambda table: None)  # as if another process expired
    outcomes = []
    for n in range(0, 300, 4):
        path = tmp_path / str(n)
        with warehouse(path) as con, monkeypatch.context() as patch:
            forget_what_was_read()
            counting = Counting(n, lambda path=path: replace_and_expire(path))
            for name in READS:
                patch.setattr(LocalFileIO, name, counting.before(getattr(LocalFileIO, name)))
            try:
                cursor = con.execute(statement)
                outcomes.append("planned")
                if statement.startswith("INSERT"):
                    cursor = con.execute("SELECT k, v FROM copy")
                found = sorted(cursor.fetchall())
                assert found in STATEMENTS[statement]
                outcomes[-1] = "old" if found == STATEMENTS[statement][0] else "new"
            except SnapshotExpired as err:
                assert "snapshot.time-retained" in str(err)
        if counting.left >= 0:
            break
    assert counting.left >= 0 and {"old", "new"} <= set(outcomes), outcomes


LATER = {
    "SELECT count(*) FROM t$snapshots": (1, 2),
    "SELECT count(*) FROM t$files": (1, 2),
    "SELECT count(*) FROM t$partitions": (1,),
    "SELECT count(*) FROM t$audit_log": (2, 3),
    "SELECT record_count FROM sys.tables WHERE table_name = 't'": (2, 3),
    "ANALYZE TABLE t COMPUTE STATISTICS FOR ALL COLUMNS": None,
    "CALL sys.rewrite_file_index('default.t')": None,
    "CALL sys.expire_snapshots('default.t', 1)": None,
    "CALL sys.rescale('default.t')": None,
    "CALL sys.rollback_to('default.t', 2)": None,
}


@pytest.mark.parametrize("statement", LATER)
def test_who_looks_at_several_files_looks_again_where_they_expire_meanwhile(tmp_path, monkeypatch, statement):
    monkeypatch.setattr(expire, "first_held_id", lambda table: None)  # as if another process expired
    outcomes = []
    for n in range(0, 300, 5):
        path = tmp_path / str(n)
        with warehouse(path) as con, monkeypatch.context() as patch:
            con.execute(
                "ALTER TABLE t SET ('file-index.bitmap.columns' = 'v', 'file-index.in-manifest-threshold' = '1 b')"
            )
            if "rescale" in statement:
                con.execute("ALTER TABLE t SET ('bucket' = '2')")
            forget_what_was_read()
            counting = Counting(n, lambda path=path: replace_and_expire(path))
            for name in READS:
                patch.setattr(LocalFileIO, name, counting.before(getattr(LocalFileIO, name)))
            try:
                cursor = con.execute(statement)
                outcomes.append("done")
                if LATER[statement] is not None:
                    ((found,),) = cursor.fetchall()
                    assert found in LATER[statement]
            except (CommitConflict, OperationalError) as err:
                outcomes.append("told")
                assert re.search("expired|conflict|not found|run the statement again", str(err)), err
            patch.undo()
            forget_what_was_read()
            rows = con.execute("SELECT k, v FROM t").fetchall()
            assert sorted(rows) in (OLD[:1] + OLD[2:], OLD, NEW, [*OLD[:2], (3, "c"), (4, "d")])
        if counting.left >= 0:
            break
    assert counting.left >= 0 and "done" in outcomes, outcomes


class Counting:
    """Something happens before the n-th of all calls."""

    def __init__(self, n, meddle):
        self.left, self.meddle = n, meddle

    def before(self, operation):
        def counted(*args, **options):
            self.left -= 1
            if self.left == -1:
                forget_what_was_read()
                other = threading.Thread(target=self.meddle)  # the operation may be one of a thread of DataFusion
                other.start()
                other.join()
                forget_what_was_read()
            return operation(*args, **options)

        return counted
