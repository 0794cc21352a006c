"""Postponed buckets, and tables that get another number of buckets."""

import re
import shutil
from pathlib import Path

import pytest

import tsdb
from tsdb.catalog.filesystem import FileSystemCatalog
from tsdb.errors import CommitConflict, OptionError, ProgrammingError
from tsdb.fs.local import LocalFileIO
from tsdb.table.redistribute import redistribute
from tsdb.table.scan import live_files
from tsdb.table.table import Identifier
from tsdb.table.write import TableWriter

JAVA = Path(__file__).parent.parent.parent / "fixtures" / "java-warehouse"
QUERY = "SELECT * FROM t ORDER BY k"
POSTPONED = "CREATE TABLE t (k INT, v STRING, PRIMARY KEY (k) NOT ENFORCED) WITH ('bucket' = '-2'%s)"


@pytest.fixture
def con(tmp_path):
    with tsdb.connect(tmp_path) as connection:
        yield connection


def table_of(tmp_path, name="t", database="default"):
    return FileSystemCatalog(LocalFileIO(), str(tmp_path)).get_table(Identifier(database, name))


def buckets_of(table):
    """By partition values: the buckets that have files, and how many the manifests say there are."""
    found = {}
    for entry in live_files(table, table.latest_snapshot()):
        found.setdefault(entry.partition, (set(), set()))
        found[entry.partition][0].add(entry.bucket)
        found[entry.partition][1].add(entry.total_buckets)
    return sorted(found.values(), key=str)


def test_rows_wait_until_they_are_compacted(con, tmp_path):
    con.execute(POSTPONED % "")
    con.execute("INSERT INTO t VALUES (1, 'a'), (2, 'b'), (1, 'a2')")
    con.execute("INSERT INTO t VALUES (2, 'b2'), (3, 'c')")
    assert con.execute(QUERY).fetchall() == []
    assert buckets_of(table_of(tmp_path)) == [({-2}, {-2})]
    names = [path.name for path in (tmp_path / "default.db/t/bucket-postpone").iterdir()]
    assert len(names) == 2 and all(re.match(r"data--u-.*-s-\d+-w-.*-0\.parquet", name) for name in names)
    con.execute("CALL sys.compact('default.t')")
    assert con.execute(QUERY).fetchall() == [(1, "a2"), (2, "b2"), (3, "c")]
    assert buckets_of(table_of(tmp_path)) == [({0}, {1})]
    con.execute("UPDATE t SET v = 'u' WHERE k = 3")
    con.execute("DELETE FROM t WHERE k = 1")
    assert con.execute(QUERY).fetchall() == [(1, "a2"), (2, "b2"), (3, "c")], "changes wait, too"
    assert con.execute("CALL sys.compact('default.t')").fetchall() != [("nothing to compact",)]
    assert con.execute(QUERY).fetchall() == [(2, "b2"), (3, "u")]
    assert con.execute("CALL sys.compact('default.t')").fetchall() == [("nothing to compact",)]
    con.execute("INSERT OVERWRITE t VALUES (9, 'only')")
    con.execute("CALL sys.compact('default.t')")
    assert con.execute(QUERY).fetchall() == [(9, "only")]


@pytest.mark.parametrize(
    ("options", "buckets"),
    [
        ({"postpone.default-bucket-num": "4"}, 4),
        ({"postpone.target-row-num-per-bucket": "40"}, 3),
        ({"postpone.target-size-per-bucket": "1 kb"}, 2),
        ({}, 1),
    ],
)
def test_how_many_buckets_a_partition_gets(con, tmp_path, options, buckets):
    con.execute(POSTPONED % "".join(f", '{key}' = '{value}'" for key, value in options.items()))
    con.execute("INSERT INTO t SELECT value, 'v' FROM generate_series(1, 100) AS g(value)")
    con.execute("CALL sys.compact('default.t')")
    ((there, total),) = buckets_of(table_of(tmp_path))
    assert total == {buckets} and there == set(range(buckets))
    con.execute("INSERT INTO t SELECT value, 'w' FROM generate_series(51, 500) AS g(value)")
    con.execute("CALL sys.compact('default.t')")
    assert buckets_of(table_of(tmp_path)) == [(set(range(buckets)), {buckets})], "it keeps the number it has"
    assert con.execute("SELECT v, count(*) FROM t GROUP BY v ORDER BY v").fetchall() == [("v", 50), ("w", 450)]


def test_batch_statements_may_write_to_buckets_at_once(con, tmp_path):
    con.execute(POSTPONED % ", 'postpone.batch-write-fixed-bucket' = 'true', 'postpone.default-bucket-num' = '2'")
    con.execute("INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')")
    con.execute("INSERT INTO t VALUES (1, 'a2')")
    assert con.execute(QUERY).fetchall() == [(1, "a2"), (2, "b"), (3, "c")]
    assert buckets_of(table_of(tmp_path))[0][1] == {2}


def test_the_waiting_rows_of_paimon_java(tmp_path):
    shutil.copytree(JAVA / "db.db" / "postpone", tmp_path / "db.db" / "postpone")
    with tsdb.connect(tmp_path) as con:
        con.execute("INSERT INTO db.postpone VALUES (3, 'ours')")
        assert con.execute("SELECT * FROM db.postpone").fetchall() == []
        con.execute("CALL sys.compact('db.postpone')")
        assert sorted(con.execute("SELECT * FROM db.postpone").fetchall()) == [(2, "b"), (3, "ours")]
    assert buckets_of(table_of(tmp_path, "postpone", "db")) == [({0}, {1})]


def test_of_two_compactions_one_loses(con, tmp_path, monkeypatch):
    con.execute(POSTPONED % "")
    con.execute("INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    table, prepare = table_of(tmp_path), TableWriter.prepare_commit

    def overtaken(writer, compact=None):
        monkeypatch.setattr(TableWriter, "prepare_commit", prepare)
        con.execute("CALL sys.compact('default.t')")
        return prepare(writer, compact)

    monkeypatch.setattr(TableWriter, "prepare_commit", overtaken)
    with pytest.raises(CommitConflict):
        redistribute(table, partitions=None, full=True, user="late")
    assert con.execute(QUERY).fetchall() == [(1, "a"), (2, "b")]
    live = {entry.file.file_name for entry in live_files(table, table.latest_snapshot())}
    assert {path.name for path in (tmp_path / "default.db/t/bucket-0").iterdir()} >= live
    assert con.execute("SELECT count(*) FROM t$files").fetchone() == (1,)


def test_a_stream_sees_rows_when_they_get_their_bucket(con):
    con.execute(POSTPONED % "")
    con.execute("INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    con.execute("CALL sys.compact('default.t')")
    con.execute("SET 'execution.mode' = 'streaming'")
    stream = con.execute("SELECT * FROM t")
    assert sorted(stream.fetchmany(2)) == [("+I", 1, "a"), ("+I", 2, "b")]
    con.execute("SET 'execution.mode' = 'batch'")
    con.execute("INSERT INTO t VALUES (2, 'b2'), (3, 'c')")
    con.execute("DELETE FROM t WHERE k = 1")
    con.execute("CALL sys.compact('default.t')")
    changes = []
    while len(changes) < 4:
        changes += stream.fetchmany(4)
    assert sorted(changes) == [("+I", 3, "c"), ("+U", 2, "b2"), ("-D", 1, "a"), ("-U", 2, "b")]
    stream.close()


PARTITIONED = """CREATE TABLE t (day STRING, k INT, v STRING, PRIMARY KEY (day, k) NOT ENFORCED)
                 PARTITIONED BY (day) WITH ('bucket' = '2')"""


@pytest.mark.parametrize("how", ["overwrite", "rescale"])
def test_a_partition_after_the_other(con, tmp_path, how):
    con.execute(PARTITIONED)
    con.execute("INSERT INTO t SELECT CASE WHEN value < 50 THEN 'a' ELSE 'b' END, value, 'v' "
                "FROM generate_series(0, 99) AS g(value)")  # fmt: skip
    con.execute("DELETE FROM t WHERE k = 60")
    con.execute("ALTER TABLE t SET ('bucket' = '5')")
    before = con.execute(QUERY).fetchall()
    for day in "ab":
        with pytest.raises(ProgrammingError, match="2 buckets where this commit writes 5; rewrite it with CALL"):
            con.execute(f"INSERT INTO t VALUES ('{day}', 1, 'x')")
    con.execute("INSERT INTO t VALUES ('new', 1, 'x')")
    if how == "overwrite":
        con.execute("INSERT OVERWRITE t PARTITION (day = 'a') SELECT k, v FROM t WHERE day = 'a'")
    else:
        con.execute("CALL sys.rescale(`table` => 'default.t', `partition` => 'day=a')")
    con.execute("INSERT INTO t VALUES ('a', 3, 'x')")
    with pytest.raises(ProgrammingError, match=r"partition {'day': 'b'} .* files in 2 buckets"):
        con.execute("INSERT INTO t VALUES ('b', 55, 'x')")
    assert sorted(max(total) for _, total in buckets_of(table_of(tmp_path))) == [2, 5, 5]
    con.execute("CALL sys.rescale('default.t')")
    con.execute("INSERT INTO t VALUES ('b', 55, 'x')")
    assert {n for _, total in buckets_of(table_of(tmp_path)) for n in total} == {5}
    wanted = {row[:2]: row[2] for row in before} | {("new", 1): "x", ("a", 3): "x", ("b", 55): "x"}
    assert {row[:2]: row[2] for row in con.execute(QUERY).fetchall()} == wanted
    assert con.execute("CALL sys.rescale('default.t')").fetchall() == [("nothing to rescale",)]


def test_point_lookups_find_the_bucket_by_the_number_of_their_partition(con):
    con.execute(PARTITIONED)
    con.execute("INSERT INTO t SELECT 'a', value, 'v' FROM generate_series(0, 99) AS g(value)")
    con.execute("ALTER TABLE t SET ('bucket' = '7')")
    con.execute("INSERT INTO t SELECT 'b', value, 'w' FROM generate_series(0, 99) AS g(value)")
    for k in range(0, 100, 9):
        assert con.execute(f"SELECT * FROM t WHERE k = {k} ORDER BY day").fetchall() == [("a", k, "v"), ("b", k, "w")]


def test_an_append_table_with_a_bucket_key(con, tmp_path):
    con.execute("CREATE TABLE t (k INT, v STRING) WITH ('bucket' = '2', 'bucket-key' = 'k')")
    con.execute("INSERT INTO t SELECT value % 10, 'v' FROM generate_series(0, 99) AS g(value)")
    con.execute("ALTER TABLE t SET ('bucket' = '3')")
    with pytest.raises(ProgrammingError, match="files in 2 buckets"):
        con.execute("INSERT INTO t VALUES (1, 'x')")
    with pytest.raises(ProgrammingError, match="files in 2 buckets"):
        con.execute("UPDATE t SET v = 'x' WHERE k = 1")
    con.execute("CALL sys.rescale('default.t')")
    con.execute("INSERT INTO t VALUES (1, 'x')")
    assert con.execute("SELECT count(*), count(DISTINCT k) FROM t").fetchall() == [(101, 10)]
    assert buckets_of(table_of(tmp_path))[0][1] == {3}


@pytest.mark.parametrize("value", ["-1", "-2", "0"])
@pytest.mark.parametrize("before", ["2", "-1", "-2"])
def test_only_a_number_becomes_another_number(con, before, value):
    con.execute(f"CREATE TABLE t (k INT, PRIMARY KEY (k) NOT ENFORCED) WITH ('bucket' = '{before}')")
    if before == value:
        con.execute(f"ALTER TABLE t SET ('bucket' = '{value}')")
        return
    with pytest.raises(OptionError, match=f"'bucket' cannot be changed from '{before}' to '{value}'"):
        con.execute(f"ALTER TABLE t SET ('bucket' = '{value}')")
    with pytest.raises(OptionError, match="'bucket' cannot be changed"):
        con.execute("ALTER TABLE t RESET ('bucket')")


@pytest.mark.parametrize(
    ("bucket", "call", "message"),
    [
        ("2", "'default.t', 3", r"cannot get 3 buckets; ALTER TABLE `t` SET \('bucket' = '3'\) first"),
        ("2", "'default.t', 0", "`bucket_num` is 0; use 1 to"),
        ("-1", "'default.t', 3", "its buckets have no number to change"),
        ("-2", "'default.t'", "procedure rescale needs `bucket_num`"),
    ],
)
def test_refused_rescales(con, bucket, call, message):
    con.execute(f"CREATE TABLE t (k INT, PRIMARY KEY (k) NOT ENFORCED) WITH ('bucket' = '{bucket}')")
    with pytest.raises(ProgrammingError, match=message):
        con.execute(f"CALL sys.rescale({call})")


@pytest.mark.parametrize("options", ["'deletion-vectors.enabled' = 'true'", "'merge-engine' = 'first-row'"])
@pytest.mark.parametrize("bucket", ["2", "-2"])
def test_rescaling_what_hides_its_newest_rows(con, tmp_path, options, bucket):
    con.execute(
        f"CREATE TABLE t (k INT, v STRING, PRIMARY KEY (k) NOT ENFORCED) WITH ('bucket' = '{bucket}', {options})"
    )
    con.execute("INSERT INTO t SELECT value, 'v' FROM generate_series(1, 50) AS g(value)")
    con.execute("CALL sys.compact('default.t')")
    if "vectors" in options:
        con.execute("DELETE FROM t WHERE k <= 10")
    con.execute("INSERT INTO t /*+ OPTIONS('write-only' = 'true') */ VALUES (60, 'x'), (50, 'y')")
    if bucket == "2":
        con.execute("ALTER TABLE t SET ('bucket' = '3')")
    else:
        con.execute("CALL sys.compact('default.t')")
    con.execute("CALL sys.rescale('default.t', 3)")
    assert buckets_of(table_of(tmp_path)) == [({0, 1, 2}, {3})]
    first, last = (11, "y") if "vectors" in options else (1, "v")
    wanted = [*((k, "v") for k in range(first, 50)), (50, last), (60, "x")]
    assert con.execute(QUERY).fetchall() == wanted
    con.execute("INSERT INTO t VALUES (61, 'x')")
    con.execute("CALL sys.compact('default.t')")
    assert con.execute(QUERY).fetchall() == [*wanted, (61, "x")]
