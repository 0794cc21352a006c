"""'lookup-wait' and 'lookup-compact': when the compactions that look up are done; what they tell stays true."""

import pytest

import tsdb

TABLE = "CREATE TABLE t (k INT, v INT, PRIMARY KEY (k) NOT ENFORCED) WITH ('bucket' = '1', {})"
PRODUCER = "'changelog-producer' = 'lookup'"
VECTORS = "'deletion-vectors.enabled' = 'true'"


def kinds(con):
    return [row[0] for row in con.execute("SELECT commit_kind FROM t$snapshots").fetchall()]


def accumulated(path):
    """What the changes of all snapshots add up to, by key."""
    with tsdb.connect(str(path), options={"execution.mode": "streaming", "scan.bounded.mode": "latest"}) as con:
        rows = con.execute("SELECT k, v FROM t /*+ OPTIONS('scan.snapshot-id' = '1') */").fetchall()
    state = {}
    for op, k, v in rows:
        if op in ("-U", "-D"):
            assert state.pop(k) == v
        else:
            assert k not in state
            state[k] = v
    return state


@pytest.mark.parametrize("engine", [PRODUCER, VECTORS, "'merge-engine' = 'first-row'"])
def test_a_commit_that_does_not_wait_is_there_before_its_compaction(tmp_path, engine):
    with tsdb.connect(str(tmp_path)) as con:
        con.execute(TABLE.format(f"{engine}, 'lookup-wait' = 'false'"))
        for i in range(4):
            con.execute(f"INSERT INTO t VALUES (1, {i}), ({i + 2}, {i})")
        assert kinds(con) == ["APPEND", "COMPACT"] * 4
        users = [row[0] for row in con.execute("SELECT commit_user FROM t$snapshots").fetchall()]
        assert len(set(users)) == 8  # they are commits of their own
        first = 0 if "first-row" in engine else 3
        rows = [(1, first), *((i + 2, i) for i in range(4))]
        assert sorted(con.execute("SELECT k, v FROM t").fetchall()) == rows
    if engine == PRODUCER:
        assert accumulated(tmp_path) == dict(rows)


@pytest.mark.parametrize("engine", [PRODUCER, VECTORS])
def test_a_gentle_compaction_lets_level_0_become_some_runs(tmp_path, engine):
    with tsdb.connect(str(tmp_path)) as con:
        con.execute(TABLE.format(f"{engine}, 'lookup-compact' = 'gentle'"))
        for i in range(4):
            con.execute(f"INSERT INTO t VALUES (1, {i}), ({i + 2}, {i})")
        assert kinds(con) == ["APPEND"] * 4
        for i in range(4, 12):
            con.execute(f"INSERT INTO t VALUES (1, {i}), ({i + 2}, {i})")
        assert 1 <= kinds(con).count("COMPACT") <= 3
        con.execute("CALL sys.compact('default.t')")
        rows = [(1, 11), *((i + 2, i) for i in range(12))]
        assert sorted(con.execute("SELECT k, v FROM t").fetchall()) == rows
    if engine == PRODUCER:
        assert accumulated(tmp_path) == dict(rows)


def test_the_interval_of_gentle_compactions(tmp_path):
    with tsdb.connect(str(tmp_path)) as con:
        # amplification and ratio never ask for a compaction here, the interval does
        never = "'compaction.max-size-amplification-percent' = '100000', 'compaction.size-ratio' = '0'"
        gentle = "'lookup-compact' = 'gentle', 'lookup-compact.max-interval' = '3'"
        trigger = "'num-sorted-run.compaction-trigger' = '3'"
        con.execute(TABLE.format(f"{VECTORS}, {gentle}, {trigger}, {never}"))
        for i in range(7):
            con.execute(f"INSERT INTO t VALUES ({i}, {i})")
        assert kinds(con)[:4] == ["APPEND", "APPEND", "APPEND", "COMPACT"]
        assert con.execute("SELECT count(*) FROM t").fetchone()[0] >= 3


def test_another_mode_is_refused(tmp_path):
    with tsdb.connect(str(tmp_path)) as con, pytest.raises(tsdb.errors.OptionError, match="radical"):
        con.execute(TABLE.format("'lookup-compact' = 'soft'"))
