"""UPDATE, DELETE and MERGE of tables whose merge engine folds or keeps the first row."""

import pytest

import tsdb

GROUPS = "'merge-engine' = 'partial-update', 'fields.g.sequence-group' = 'b'"
REMOVING = f"{GROUPS}, 'partial-update.remove-record-on-sequence-group' = 'g'"
NEWS = "USING (VALUES (1, 10), (4, 40)) AS s(k, a) ON t.k = s.k"
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
        (GROUPS, f"MERGE INTO t {NEWS} WHEN MATCHED THEN UPDATE SET a = NULL", tsdb.DataError, "keeps the old value"),
        (GROUPS, f"MERGE INTO t {NEWS} WHEN MATCHED THEN DELETE", tsdb.NotSupportedError, "remove-record-on-sequence"),
        (AGGREGATION, f"MERGE INTO t {NEWS} WHEN MATCHED THEN UPDATE SET a = 1", tsdb.NotSupportedError, "adds a new"),
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


def test_merge_into_partial_update_is_its_update_delete_and_insert(make):
    con = make(REMOVING)
    merged = con.execute(
        f"MERGE INTO t {NEWS} WHEN MATCHED THEN UPDATE SET a = t.a + s.a WHEN NOT MATCHED THEN INSERT (k, a) "
        "VALUES (s.k, s.a) WHEN NOT MATCHED BY SOURCE AND t.k = 3 THEN DELETE"
    )
    assert merged.rowcount == 3
    assert rows(con) == [(1, 11, "x", 1), (2, 2, "y", None), (4, 40, None, None)]
    con.execute("INSERT INTO t VALUES (3, NULL, 'new', 6)")
    assert rows(con)[2] == (3, None, "new", 6)
    con.execute("INSERT INTO t AS o VALUES (2, 5, NULL, NULL) ON CONFLICT (k) DO UPDATE SET a = o.a * excluded.a")
    assert rows(con)[1] == (2, 10, None, None)


@pytest.mark.parametrize("options", [AGGREGATION, "'merge-engine' = 'first-row'"])
def test_merge_inserts_what_is_missing_into_any_table(make, options):
    con = make(options)
    con.execute(f"MERGE INTO t {NEWS} WHEN NOT MATCHED THEN INSERT (k, a) VALUES (s.k, s.a)")
    con.execute("INSERT INTO t VALUES (1, 7, 'never', 7), (5, 50, NULL, NULL) ON CONFLICT DO NOTHING")
    assert rows(con)[0] == (1, 1, "x", 1) and rows(con)[3:] == [(4, 40, None, None), (5, 50, None, None)]


def test_merge_deletes_from_a_table_that_adds_up(make):
    con = make(f"{AGGREGATION}, 'aggregation.remove-record-on-delete' = 'true'")
    con.execute(f"MERGE INTO t {NEWS} WHEN MATCHED THEN DELETE")
    con.execute("DELETE FROM t USING (VALUES (2)) AS s(k) WHERE t.k = s.k")
    con.execute("INSERT INTO t VALUES (1, 5, 'y', 2), (2, 6, 'z', 2)")
    assert rows(con) == [(1, 5, "y", 2), (2, 6, "z", 2), (3, 3, "z", 5)]


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


def test_a_kind_in_a_column_is_that_of_the_statement(tmp_path):
    with tsdb.connect(tmp_path) as con:
        con.execute("CREATE TABLE t (k INT PRIMARY KEY NOT ENFORCED, op STRING, v INT) WITH ('rowkind.field' = 'op')")
        con.execute("INSERT INTO t VALUES (1, '+I', 1), (2, '+I', 1), (3, '+U', 1), (1, '-D', NULL)")
        con.execute("DELETE FROM t WHERE k = 2")
        con.execute("UPDATE t SET v = 5")
        assert con.execute("SELECT * FROM t").fetchall() == [(3, "+U", 5)]


def test_columns_of_sequence_groups_are_renamed_and_not_dropped(tmp_path):
    with tsdb.connect(tmp_path) as con:
        con.execute(
            "CREATE TABLE t (k INT PRIMARY KEY NOT ENFORCED, a INT, g INT, h INT) WITH ('merge-engine' = "
            "'partial-update', 'fields.g,h.sequence-group' = 'a', 'fields.a.aggregate-function' = 'sum', "
            "'partial-update.remove-record-on-sequence-group' = 'h')"
        )
        con.execute("INSERT INTO t VALUES (1, 1, 1, 1)")
        for old, new in (("a", "total"), ("h", "hour")):
            con.execute(f"ALTER TABLE t RENAME COLUMN {old} TO {new}")
        con.execute("INSERT INTO t VALUES (1, 2, 1, 2)")
        assert con.execute("SELECT total, g, hour FROM t").fetchall() == [(3, 1, 2)]
        for name in ("total", "g", "hour"):
            with pytest.raises(tsdb.Error, match=name):
                con.execute(f"ALTER TABLE t DROP COLUMN {name}")
        with pytest.raises(tsdb.Error, match="is no sequence column of a group"):
            con.execute("ALTER TABLE t RESET ('fields.g,hour.sequence-group')")
        con.execute("DELETE FROM t")
        assert con.execute("SELECT * FROM t").fetchall() == []
