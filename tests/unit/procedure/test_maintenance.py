"""Procedures that look after a table: tags, branches, consumers, partitions, orphans, statistics."""

import datetime as dt
import json
import os

import pytest

import tsdb
from tsdb import clock
from tsdb.errors import AlreadyExists, OptionError, ProgrammingError
from tsdb.procedure import PROCEDURES

DAY_S = 86_400


@pytest.fixture
def ask(tmp_path):
    with tsdb.connect(str(tmp_path)) as connection:
        cursor = connection.cursor()

        def run(sql):
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else None

        run("CREATE TABLE t (dt STRING, k INT, v STRING, PRIMARY KEY (dt, k) NOT ENFORCED) PARTITIONED BY (dt)"
            " WITH ('bucket' = '1')")  # fmt: skip
        for day, key, value in (("a", 1, "one"), ("b", 2, "two"), ("a", 1, "three"), ("c", 3, "four")):
            run(f"INSERT INTO t VALUES ('{day}', {key}, '{value}')")
        yield run


def rows(ask, table="t"):
    return sorted(ask(f"SELECT * FROM {table}"))


NOW = [("a", 1, "three"), ("b", 2, "two"), ("c", 3, "four")]


def test_tags(ask):
    ask("CALL sys.create_tag('t', 'one', 1)")
    ask("CALL sys.create_tag(table => 'default.t', tag => 'two', snapshot => 2, time_retained => '1 d')")
    time = ask("SELECT commit_time FROM t$snapshots WHERE snapshot_id = 3")[0][0]
    millis = int(time.replace(tzinfo=dt.UTC).timestamp() * 1000)
    ask(f"CALL sys.create_tag_from_timestamp('t', 'three', {millis})")
    assert ask("SELECT tag_name, snapshot_id FROM t$tags ORDER BY 1") == [("one", 1), ("three", 3), ("two", 2)]
    ask("CALL sys.rename_tag('t', 'one', 'uno')")
    ask("CALL sys.replace_tag('t', 'two', 4)")
    assert ask("SELECT tag_name, snapshot_id FROM t$tags ORDER BY 1") == [("three", 3), ("two", 4), ("uno", 1)]
    with pytest.raises(AlreadyExists):
        ask("CALL sys.rename_tag('t', 'uno', 'two')")
    with pytest.raises(ProgrammingError, match="no tag `nine`"):
        ask("CALL sys.delete_tag('t', 'uno,nine')")
    assert ask("CALL sys.delete_tag('t', 'uno,two')") == [("uno",), ("two",)]
    assert ask("CALL sys.expire_tags('t', '2100-01-01')") == [("three",)]


def test_a_tag_that_is_replaced_gives_its_files_free(ask, tmp_path):
    ask("CALL sys.create_tag('t', 'x', 1)")
    ask("CALL sys.expire_snapshots(`table` => 't', retain_max => 1, older_than => '2100-01-01')")
    before = len(list(tmp_path.rglob("manifest-*")))
    ask("CALL sys.replace_tag('t', 'x', 4)")
    assert len(list(tmp_path.rglob("manifest-*"))) < before and rows(ask) == NOW
    assert ask("CALL sys.remove_orphan_files('t', '2100-01-01', true)") == [(0, 0)]


def test_branches(ask):
    ask("CALL sys.create_tag('t', 'two', 2)")
    ask("CALL sys.create_branch('t', 'b', 'two')")
    ask("INSERT INTO t$branch_b VALUES ('d', 4, 'branch')")
    ask("UPDATE t$branch_b SET v = 'changed' WHERE k = 2")
    branch = [("a", 1, "one"), ("b", 2, "changed"), ("d", 4, "branch")]
    assert rows(ask, "t$branch_b") == branch and rows(ask) == NOW
    assert ask("SELECT count(*) FROM t$branch_b$snapshots") == [(3,)]
    assert ask("SELECT branch_name FROM t$branches") == [("b",)]
    both = rows(ask, "t /*+ OPTIONS('scan.fallback-branch' = 'b') */")
    assert both == [*NOW, ("d", 4, "branch")]
    assert rows(ask, "t /*+ OPTIONS('scan.fallback-branch' = 'b') */ WHERE k > 2") == [NOW[2], ("d", 4, "branch")]
    ask("CALL sys.rename_branch('t', 'b', 'c')")
    assert rows(ask, "`t$branch_c`") == branch
    ask("CALL sys.fast_forward('t', 'c')")
    assert rows(ask) == branch
    ask("CALL sys.delete_branch('t', 'c')")
    assert rows(ask) == branch and ask("SELECT * FROM t$branches") == []
    ask("INSERT INTO t VALUES ('e', 5, 'on')")
    assert rows(ask) == [*branch, ("e", 5, "on")]


def test_rolling_back(ask):
    ask("CALL sys.create_tag('t', 'two', 2)")
    time = ask("SELECT commit_time FROM t$snapshots WHERE snapshot_id = 3")[0][0]
    millis = int(time.replace(tzinfo=dt.UTC).timestamp() * 1000)
    ask(f"CALL sys.rollback_to_timestamp('t', {millis})")
    assert rows(ask) == NOW[:2]
    ask("CALL sys.rollback('t', 'two')")
    assert rows(ask) == [("a", 1, "one"), ("b", 2, "two")]
    ask("CALL sys.rollback('t', snapshot => 1)")
    assert rows(ask) == [("a", 1, "one")]
    with pytest.raises(ProgrammingError, match="no snapshot with a watermark"):
        ask("CALL sys.rollback_to_watermark('t', 5)")


def test_partitions(ask, tmp_path):
    ask("CALL sys.mark_partition_done('t', 'dt=a;dt=b')")
    done = sorted(tmp_path.rglob("_SUCCESS"))
    assert [path.parent.name for path in done] == ["dt=a", "dt=b"]
    first = json.loads(done[0].read_text())
    ask("CALL sys.mark_partition_done('t', 'dt=a')")
    assert json.loads(done[0].read_text())["creationTime"] == first["creationTime"]
    ask("CALL sys.drop_partition('t', 'dt=a', 'dt=c')")
    assert rows(ask) == NOW[1:2]
    gone = ask("CALL sys.expire_partitions('t', expiration_time => '1 d', expire_strategy => 'update-time')")
    assert gone == [] and rows(ask) == NOW[1:2]
    ask("INSERT INTO t VALUES ('20200101', 7, 'old')")
    assert ask("CALL sys.expire_partitions('t', '1 d', 'yyyyMMdd')") == [("dt=20200101",)]
    assert rows(ask) == NOW[1:2]
    with pytest.raises(ProgrammingError, match="give `expiration_time`"):
        ask("CALL sys.expire_partitions('t')")


def test_consumers(ask):
    ask("CALL sys.reset_consumer('t', 'me', 2)")
    ask("CALL sys.reset_consumer('t', 'you', 3)")
    ask("CALL sys.expire_snapshots(`table` => 't', retain_max => 1, older_than => '2100-01-01')")
    assert ask("SELECT min(snapshot_id) FROM t$snapshots") == [(2,)]
    assert ask("SELECT * FROM t$consumers ORDER BY 1") == [("me", 2), ("you", 3)]
    ask("CALL sys.clear_consumers('t', 'm.*')")
    ask("CALL sys.reset_consumer('t', 'you')")
    assert ask("SELECT * FROM t$consumers") == []


def test_options_for_one_time(ask):
    wanted = "snapshot.num-retained.min=2,snapshot.num-retained.max=2,snapshot.time-retained=0 ms"
    assert ask(f"CALL sys.expire_snapshots(`table` => 't', options => '{wanted}')") == [(2,)]
    with pytest.raises(OptionError, match=r"unknown option 'snapshot\.num'"):
        ask("CALL sys.expire_snapshots(`table` => 't', options => 'snapshot.num=2')")


def everything(path):
    return {p for p in path.rglob("*") if p.is_file()}


def test_orphans(ask, tmp_path):
    ask("CREATE TABLE d (k INT, v STRING) WITH ('deletion-vectors.enabled' = 'true')")
    ask("INSERT INTO d VALUES (1, 'a'), (2, 'b')")
    ask("DELETE FROM d WHERE k = 1")
    ask("CALL sys.create_tag('t', 'two', 2)")
    ask("CALL sys.create_branch('t', 'b', 'two')")
    ask("INSERT INTO t$branch_b VALUES ('d', 4, 'branch')")
    ask("CALL sys.analyze('t', '*')")
    ask("CALL sys.expire_snapshots(`table` => 't', retain_max => 1, older_than => '2100-01-01')")
    kept = everything(tmp_path)
    assert ask("CALL sys.remove_orphan_files('default.*', '2100-01-01')") == [(0, 0)]
    root = tmp_path / "default.db" / "t"
    strange = [
        root / "manifest" / "manifest-none-0",
        root / "index" / "index-none-0",
        root / "statistics" / "stat-none-0",
        root / "dt=a" / "bucket-0" / "data-none-0.parquet",
        root / "dt=zz" / "bucket-7" / "data-none-1.parquet",
        root / "snapshot" / ".snapshot-9.x.tmp",
        root / "branch" / "branch-b" / "snapshot" / ".snapshot-9.x.tmp",
    ]
    for path in strange:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345")
    outside = root / "dt=a" / "_SUCCESS"
    outside.write_bytes(b"{}")
    assert ask("CALL sys.remove_orphan_files('t')") == [(0, 0)], "they are young"
    old = clock.current().now_ms() / 1000 - 2 * DAY_S
    for path in [*strange[:-1], *kept, outside]:
        os.utime(path, (old, old))
    assert ask("CALL sys.remove_orphan_files('t', dry_run => true)") == [(6, 30)]
    assert everything(tmp_path) == kept | set(strange) | {outside}
    assert ask("CALL sys.remove_orphan_files('t')") == [(6, 30)]
    assert everything(tmp_path) == kept | {strange[-1], outside}
    assert rows(ask) == NOW and len(rows(ask, "t$branch_b")) == 3


def test_files_that_are_not_there(ask, tmp_path):
    (path,) = [row[0] for row in ask("SELECT file_path FROM t$files WHERE partition = '{c}'")]
    os.unlink(path)
    assert ask("CALL sys.remove_unexisting_files('t', true)") == [(path,)]
    assert ask("CALL sys.remove_unexisting_files('t')") == [(path,)]
    assert rows(ask) == NOW[:2] and ask("CALL sys.remove_unexisting_files('t')") == []


def test_purging(ask, tmp_path):
    ask("CALL sys.create_tag('t', 'two', 2)")
    ask("CALL sys.create_branch('t', 'b', 'two')")
    ask("CALL sys.purge_files('t')")
    assert rows(ask) == [] and ask("SELECT * FROM t$tags") == []
    assert not list((tmp_path / "default.db" / "t").rglob("*.parquet"))
    ask("INSERT INTO t VALUES ('a', 1, 'again')")
    assert rows(ask) == [("a", 1, "again")]


def test_statistics(ask):
    ask("CALL sys.analyze('t', 'k, v')")
    (row,) = ask("SELECT * FROM t$statistics")
    assert row[:3] == (4, 0, 3)
    columns = json.loads(row[4])
    assert columns["k"] == {
        "colId": 1,
        "nullCount": 0,
        "distinctCount": 3,
        "avgLen": 4,
        "maxLen": 4,
        "min": "1",
        "max": "3",
    }
    assert columns["v"]["min"] == "four" and columns["v"]["maxLen"] == 5
    assert ask("SELECT commit_kind FROM t$snapshots WHERE snapshot_id = 5") == [("ANALYZE",)]
    ask("INSERT INTO t VALUES ('z', 1, 'more')")
    assert ask("SELECT snapshot_id FROM t$statistics") == [(4,)]
    with pytest.raises(ProgrammingError, match="no column `kk`"):
        ask("CALL sys.analyze('t', 'kk')")


def test_tags_that_are_due(ask):
    ask("ALTER TABLE t SET ('tag.automatic-creation' = 'process-time')")
    (made,) = ask("CALL sys.trigger_tag_automatic_creation('t')")
    assert ask("SELECT tag_name FROM t$tags") == [made]
    assert ask("CALL sys.trigger_tag_automatic_creation('t')") == []


def test_every_argument_is_described():
    for procedure in PROCEDURES.values():
        assert procedure.description.endswith(".")
        assert all(argument.description for argument in procedure.arguments)


def test_default_values(ask):
    ask("CALL sys.alter_column_default_value('t', 'v', 'nothing')")
    ask("INSERT INTO t (dt, k) VALUES ('z', 9)")
    assert rows(ask)[-1] == ("z", 9, "nothing")


def test_a_reader_of_what_lies_between_keeps_it(ask):
    log = ask("SELECT * FROM t$audit_log /*+ OPTIONS('incremental-between' = '0,4') */")
    assert len(log) == 4
    ask("CALL sys.expire_snapshots(`table` => 't', retain_max => 2, older_than => '2100-01-01')")
    assert ask("SELECT count(*) FROM t /*+ OPTIONS('incremental-between' = '3,4') */") == [(1,)]
