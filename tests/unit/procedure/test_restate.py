"""Old states taken back, manifests written anew, branches merged, procedures that are statements or refused."""

import pytest

import tsdb
from tsdb.errors import NotSupportedError, ProgrammingError
from tsdb.procedure import PROCEDURES, REFUSED


@pytest.fixture
def ask(tmp_path):
    with tsdb.connect(str(tmp_path)) as connection:
        cursor = connection.cursor()

        def run(sql):
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else None

        run("CREATE TABLE t (k INT, v STRING, PRIMARY KEY (k) NOT ENFORCED) WITH ('bucket' = '1')")
        for i in range(3):
            run(f"INSERT INTO t VALUES ({i}, 'v{i}'), (9, 'x{i}')")
        run("CALL sys.compact('t')")
        yield run


def rows(ask, table="t"):
    return sorted(ask(f"SELECT * FROM {table}"))


SECOND = [(0, "v0"), (1, "v1"), (9, "x1")]


@pytest.mark.parametrize("how", ["2", "'two'", "snapshot_id => 2", "tag => 'two'"])
def test_an_old_state_is_the_latest_again(ask, how):
    ask("CALL sys.create_tag('t', 'two', 2)")
    now = rows(ask)
    assert ask(f"CALL sys.rollback_to_as_latest('t', {how})") == [(4, 2, 5)]
    assert rows(ask) == SECOND and rows(ask, "t VERSION AS OF 4") == now
    ask("INSERT INTO t VALUES (7, 'more')")
    ask("CALL sys.compact('t')")
    assert rows(ask) == sorted([*SECOND, (7, "more")])


def test_what_was_taken_back_outlives_the_snapshots_between(ask):
    ask("CALL sys.rollback_to_as_latest('t', 2)")
    ((tag,),) = ask("SELECT tag_name FROM t$tags")
    with pytest.raises(ProgrammingError, match="snapshot 5 has taken back"):
        ask(f"CALL sys.delete_tag('t', '{tag}')")
    ask("CALL sys.expire_snapshots('t', retain_max => 1, older_than => '2100-01-01')")
    assert ask("SELECT snapshot_id FROM t$snapshots") == [(5,)] and rows(ask) == SECOND
    ask(f"CALL sys.delete_tag('t', '{tag}')")
    ask("CALL sys.remove_orphan_files('t', '2100-01-01')")
    assert rows(ask) == SECOND


def test_an_expired_snapshot_is_taken_from_its_tag(ask):
    ask("CALL sys.create_tag('t', 'two', 2)")
    ask("CALL sys.expire_snapshots('t', retain_max => 1, older_than => '2100-01-01')")
    assert ask("CALL sys.rollback_to_as_latest('t', snapshot_id => 2)") == [(4, 2, 5)]
    assert rows(ask) == SECOND
    with pytest.raises(ProgrammingError, match="either `snapshot_id` or `tag`"):
        ask("CALL sys.rollback_to_as_latest('t')")


def test_manifests_written_anew(ask):
    before = rows(ask)
    assert ask("CALL sys.compact_manifest('t', dry_run => true)")[0][0].startswith("Dry run: 4 manifest files")
    assert ask("CALL sys.compact_manifest('t')") == [("success",)]
    assert rows(ask) == before and ask("SELECT num_deleted_files FROM t$manifests") == [(0,)]
    ask("CALL sys.compact_manifest('t')")
    assert ask("SELECT max(snapshot_id) FROM t$snapshots") == [(5,)], "there was nothing to do"


def test_a_lost_manifest_is_forgotten(ask, tmp_path):
    ask("CREATE TABLE log (k INT)")
    for i in range(3):
        ask(f"INSERT INTO log VALUES ({i})")
    name = ask("SELECT file_name FROM log$manifests")[1][0]
    (tmp_path / "default.db" / "log" / "manifest" / name).unlink()
    assert ask("CALL sys.remove_unexisting_manifests('log')") == [(name,)]
    assert rows(ask, "log") == [(0,), (2,)]
    assert ask("SELECT total_record_count FROM log$snapshots WHERE snapshot_id = 4") == [(2,)]
    assert ask("CALL sys.remove_unexisting_manifests('log')") == []


def test_branches_of_an_append_table_are_merged(ask):
    ask("CREATE TABLE log (k INT)")
    ask("INSERT INTO log VALUES (1)")
    ask("CALL sys.create_tag('log', 'one')")
    ask("CALL sys.create_branch('log', 'b', 'one')")
    ask("CALL sys.create_branch('log', 'b', 'one', true)")
    ask("INSERT INTO log$branch_b VALUES (2)")
    ask("INSERT INTO log VALUES (3)")
    ask("CALL sys.merge_branch('log', 'b')")
    assert rows(ask, "log") == [(1,), (2,), (3,)] and rows(ask, "log$branch_b") == [(1,), (2,)]
    ask("CALL sys.merge_branch('log', 'main', 'b')")
    assert rows(ask, "log$branch_b") == [(1,), (2,), (3,)]
    assert ask("CALL sys.merge_branch('log', 'b')") == [("nothing to merge",)]
    ask("DELETE FROM log WHERE k = 1")
    with pytest.raises(ProgrammingError, match=r"snapshot 4 of branch `main` of .* is OVERWRITE"):
        ask("CALL sys.merge_branch('log', 'b')")
    ask("CALL sys.create_branch('t', 'b', snapshot_id => 2)")
    with pytest.raises(NotSupportedError, match="primary key"):
        ask("CALL sys.merge_branch('t', 'b')")


def test_merge_into_by_procedure(ask):
    ask("CREATE TABLE s (k INT, v STRING, what STRING)")
    ask("INSERT INTO s VALUES (0, 'new', 'u'), (9, '', 'd'), (5, 'five', 'i')")
    ask("""CALL sys.merge_into(target_table => 't', target_alias => 'a', source_table => 's',
        merge_condition => 'a.k = s.k',
        matched_upsert_condition => 's.what = ''u''', matched_upsert_setting => 'v = s.v',
        not_matched_insert_condition => 'TRUE', not_matched_insert_values => 's.k, s.v',
        matched_delete_condition => 's.what = ''d''')""")
    assert rows(ask) == [(0, "new"), (1, "v1"), (2, "v2"), (5, "five")]
    ask("""CALL sys.merge_into(target_table => 't', source_sqls => 'CREATE TEMPORARY VIEW w AS SELECT 5 AS k;',
        source_table => 'w', merge_condition => 't.k = w.k', not_matched_by_source_delete_condition => 't.k < 2')""")
    assert rows(ask) == [(2, "v2"), (5, "five")]


def test_analyze_statement(ask):
    ask("ANALYZE TABLE t COMPUTE STATISTICS FOR COLUMNS k")
    ((count, columns),) = ask("SELECT mergedRecordCount, colstat FROM t$statistics")
    assert count == 4 and '"k"' in columns and '"v"' not in columns
    ask("ANALYZE TABLE default.t COMPUTE STATISTICS FOR ALL COLUMNS")
    assert '"v"' in ask("SELECT colstat FROM t$statistics")[0][0]
    ask("ANALYZE TABLE t COMPUTE STATISTICS")
    assert ask("SELECT mergedRecordCount, colstat FROM t$statistics") == [(4, "{}")]
    with pytest.raises(NotSupportedError, match="statistics are those of a whole table"):
        ask("ANALYZE TABLE t PARTITION (dt = 'a') COMPUTE STATISTICS")


def test_refused_procedures_say_why(ask):
    assert not REFUSED.keys() & PROCEDURES.keys()
    with pytest.raises(NotSupportedError, match=r"`migrate_table` is not supported: .*Hive"):
        ask("CALL sys.migrate_table('hive', 'default.t')")
    assert ask("CALL sys.repair('default, default.t')")[0][0].startswith("nothing to repair")


def test_clones(ask):
    ask("CREATE DATABASE other")
    ask("CALL sys.clone(database => 'default', `table` => 't', target_database => 'other', target_table => 'c')")
    assert rows(ask, "other.c") == rows(ask)
    ask("CALL sys.copy('t', 'other.c', 'k = 9')")
    assert rows(ask, "other.c") == [(9, "x2")]
    ask("""CALL sys.clone(database => 'default', `table` => 't', target_database => 'other', target_table => 'e',
        meta_only => TRUE)""")
    assert rows(ask, "other.e") == [] and "'bucket' = '1'" in ask("SHOW CREATE TABLE other.e")[0][0]
    with pytest.raises(ProgrammingError, match="needs the argument `target_table`"):
        ask("CALL sys.clone('default', 't', target_database => 'other')")
    with pytest.raises(NotSupportedError, match="only tables of this warehouse"):
        ask("CALL sys.clone('default', 't', clone_from => 'hive')")


KEYED = ", PRIMARY KEY (k) NOT ENFORCED) WITH ('bucket' = '2'"


@pytest.mark.parametrize("start", [0, 1])
@pytest.mark.parametrize(
    "kind",
    [
        ") WITH ('deletion-vectors.enabled' = 'true'",
        ") WITH ('bucket' = '-1'",
        KEYED,
        f"{KEYED}, 'changelog-producer' = 'input'",
        f"{KEYED}, 'changelog-producer' = 'lookup'",
        f"{KEYED}, 'deletion-vectors.enabled' = 'true'",
    ],
)
def test_a_stream_sees_what_is_taken_back(tmp_path, kind, start):
    with tsdb.connect(tmp_path) as con:
        con.execute(f"CREATE TABLE r (k INT, v INT{kind})")
        con.execute("INSERT INTO r VALUES (1, 1), (2, 2), (3, 3)")
        old = con.execute("SELECT max(snapshot_id) FROM r$snapshots").fetchone()[0]
        con.execute("DELETE FROM r WHERE k = 1")
        con.execute("INSERT INTO r VALUES (2, 9)")
        con.execute("CALL sys.rollback_to_as_latest('r', ?)", (old,))
        con.execute("INSERT INTO r VALUES (4, 4)")
        now = sorted(con.execute("SELECT * FROM r").fetchall())
        assert now == [(1, 1), (2, 2), (3, 3), (4, 4)]
        con.execute("SET 'execution.mode' = 'streaming'")
        con.execute("SET 'scan.bounded.mode' = 'latest'")
        options = f"OPTIONS('scan.mode' = 'from-snapshot-full', 'scan.snapshot-id' = '{old + start}')"
        state = []
        for op, *row in con.execute(f"SELECT * FROM r /*+ {options} */").fetchall():
            (state.append if op[0] == "+" else state.remove)(tuple(row))
        assert sorted(state) == now
