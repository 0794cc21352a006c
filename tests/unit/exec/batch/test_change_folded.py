"""UPDATE and DELETE of tables whose merge engine folds or keeps the first row."""

import pytest

import tsdb

GROUPS = "'merge-engine' = 'partial-update', 'fields.g.sequence-group' = 'b'"
REMOVING = f"{GROUPS}, 'partial-update.remove-record-on-sequence-group' = 'g'"
AGGREGATION = "'merge-engine' = 'aggregation', 'fields.a.aggregate-function' = 'sum'"


@pytest.fixture
def make(tmp_path):
    with tsdb.connect(tmp_path) as con:

        def table(options, values="(1, 1, 'x', 1), (2, 2, 'y', NULL), (3, 3, 'z', 5)"):
            con.execute(f"CREATE TABLE t (k INT PRIMARY KEY NOT ENFORCED, a INT, b STRING, g INT) WITH ({options})")
            con.execute(f"INSERT INTO t VALUES {values}")
            return con

        yield table


def rows(con):
    return con.execute("SELECT * FROM t ORDER BY k").fetchall()


def test_update_of_partial_update_keeps_groups_it_does_not_touch(make):
    con = make(GROUPS)
    assert con.execute("UPDATE t SET a = a + 10").rowcount == 3
    # a group whose sequence was never set has no values
    assert rows(con) == [(1, 11, "x", 1), (2, 12, None, None), (3, 13, "z", 5)]
    con.execute("UPDATE t SET b = NULL WHERE k = 3")
    assert rows(con)[2] == (3, 13, None, 5)


@pytest.mark.parametrize(
    ("options", "statement", "error", "message"),
    [
        (GROUPS, "UPDATE t SET a = NULL", tsdb.DataError, "keeps the old value"),
        (GROUPS, "UPDATE t SET b = 'q'", tsdb.DataError, r"`g` is NULL in it"),
        (GROUPS, "DELETE FROM t", tsdb.NotSupportedError, "remove-record-on-sequence-group"),
        (REMOVING, "DELETE FROM t", tsdb.DataError, r"`g` is NULL in it"),
        (
            GROUPS.replace("'b'", "'a,b', 'fields.a.aggregate-function' = 'sum'"),
            "UPDATE t SET b = 'q'",
            tsdb.NotSupportedError,
            "column `a` of its sequence group has a function",
        ),
        (AGGREGATION, "UPDATE t SET a = 1", tsdb.NotSupportedError, "adds a new row to the old one"),
        (AGGREGATION, "DELETE FROM t", tsdb.NotSupportedError, "aggregation.remove-record-on-delete"),
        ("'merge-engine' = 'first-row'", "DELETE FROM t", tsdb.NotSupportedError, "keeps the first row"),
        ("'merge-engine' = 'first-row'", "UPDATE t SET a = 1", tsdb.NotSupportedError, "keeps the first row"),
    ],
)
def test_what_would_have_another_effect_is_refused(make, options, statement, error, message):
    con = make(options)
    before = rows(con)
    with pytest.raises(error, match=message):
        con.execute(statement)
    assert rows(con) == before


@pytest.mark.parametrize(
    "options",
    [
        f"{AGGREGATION}, 'aggregation.remove-record-on-delete' = 'true'",
        "'merge-engine' = 'partial-update', 'partial-update.remove-record-on-delete' = 'true'",
        REMOVING,
    ],
)
def test_a_deleted_row_leaves_nothing_behind(make, options):
    con = make(options)
    assert con.execute("DELETE FROM t WHERE k = 1").rowcount == 1
    assert [k for k, *_ in rows(con)] == [2, 3]
    con.execute("INSERT INTO t VALUES (1, 10, NULL, 7)")
    assert rows(con)[0] == (1, 10, None, 7)
    con.execute("CALL sys.compact('default.t')")
    assert rows(con)[0] == (1, 10, None, 7)
