"""Text → statement, over a table of cases."""

import pytest
from sqlglot import exp

from tsdb.data_types import parse_type
from tsdb.errors import NotSupportedError, Position, SqlSyntaxError
from tsdb.sql.catalog_statements import CreateDatabase, DatabaseName, DropDatabase, UseDatabase
from tsdb.sql.parser import parse_one, parse_script
from tsdb.sql.script import normalized
from tsdb.sql.statements import (
    AddColumn,
    AlterTable,
    Call,
    ColumnDef,
    CreateTable,
    CreateView,
    Delete,
    Describe,
    DescribeJob,
    DropColumn,
    DropJob,
    DropPartition,
    DropTable,
    DropView,
    ExecuteStatementSet,
    Explain,
    Insert,
    ModifyColumn,
    RenameColumn,
    RenameTable,
    ResetOption,
    ResetTableOptions,
    Select,
    SetOption,
    SetTableOptions,
    ShowCreateTable,
    ShowStatement,
    StopJob,
    TableName,
    TruncateTable,
    Update,
)

T = TableName(("t",))
INT = parse_type("INT")

PLAIN = {
    "CREATE DATABASE IF NOT EXISTS d": CreateDatabase(DatabaseName("d"), True),
    "create schema d": CreateDatabase(DatabaseName("d")),
    "DROP DATABASE IF EXISTS d CASCADE": DropDatabase(DatabaseName("d"), True, True),
    "USE d": UseDatabase(DatabaseName("d")),
    "USE DATABASE `d e`": UseDatabase(DatabaseName("d e")),
    "DROP TABLE IF EXISTS a.t": DropTable(TableName(("a", "t")), True),
    "DROP TEMPORARY VIEW v": DropView(TableName(("v",))),
    "ALTER TABLE t RENAME TO u": RenameTable(T, TableName(("u",))),
    "ALTER TABLE t SET ('bucket' = '8', 'x.y' = 'z')": AlterTable(T, (SetTableOptions({"bucket": "8", "x.y": "z"}),)),
    "ALTER TABLE t RESET ('bucket')": AlterTable(T, (ResetTableOptions(("bucket",)),)),
    "ALTER TABLE t ADD (c INT AFTER a, d INT FIRST)": AlterTable(
        T, (AddColumn(ColumnDef("c", INT), after="a"), AddColumn(ColumnDef("d", INT), first=True))
    ),
    "ALTER TABLE t ADD COLUMN c INT COMMENT 'x'": AlterTable(T, (AddColumn(ColumnDef("c", INT, "x")),)),
    "ALTER TABLE t ADD COLUMNS (c INT)": AlterTable(T, (AddColumn(ColumnDef("c", INT)),)),
    "ALTER TABLE t DROP (a, b)": AlterTable(T, (DropColumn("a"), DropColumn("b"))),
    "ALTER TABLE t DROP COLUMN IF EXISTS a": AlterTable(T, (DropColumn("a", True),)),
    "ALTER TABLE t RENAME a TO b": AlterTable(T, (RenameColumn("a", "b"),)),
    "ALTER TABLE t RENAME COLUMN a TO b": AlterTable(T, (RenameColumn("a", "b"),)),
    "ALTER TABLE t MODIFY (c BIGINT)": AlterTable(T, (ModifyColumn("c", parse_type("BIGINT")),)),
    "ALTER TABLE t ALTER COLUMN c TYPE BIGINT": AlterTable(T, (ModifyColumn("c", parse_type("BIGINT")),)),
    "ALTER TABLE t ALTER COLUMN c DROP NOT NULL": AlterTable(T, (ModifyColumn("c", nullable=True),)),
    "ALTER TABLE t DROP PARTITION (dt = '2024', n = 1)": AlterTable(T, (DropPartition({"dt": "2024", "n": 1}),)),
    "TRUNCATE TABLE t": TruncateTable(T),
    "SET": SetOption(),
    "SET 'execution.mode' = 'streaming'": SetOption("execution.mode", "streaming"),
    "SET execution.mode = streaming": SetOption("execution.mode", "streaming"),
    "SET a.min-pause = 10 s": SetOption("a.min-pause", "10 s"),
    "SET 'a'": SetOption("a"),
    "RESET": ResetOption(),
    "RESET 'a.b'": ResetOption("a.b"),
    "RESET a.b-c": ResetOption("a.b-c"),
    "SHOW TABLES": ShowStatement("tables"),
    "SHOW TABLES FROM d LIKE 'x%'": ShowStatement("tables", {"database": "d", "like": "x%"}),
    "SHOW DATABASES": ShowStatement("databases"),
    "SHOW JOBS": ShowStatement("jobs"),
    "SHOW COLUMNS FROM t": ShowStatement("columns", {"table": T}),
    "SHOW PARTITIONS t": ShowStatement("partitions", {"table": T}),
    "SHOW FUNCTIONS": ShowStatement("functions"),
    "SHOW OPTIONS": ShowStatement("options"),
    "SHOW VIEWS": ShowStatement("views"),
    "SHOW CREATE TABLE t": ShowCreateTable(T),
    "DESCRIBE t": Describe(T),
    "DESC EXTENDED t": Describe(T, True),
    "CALL sys.compact('d.t')": Call("sys.compact", ("d.t",)),
    "CALL sys.x(`table` => 'd.t', n => -3, f => TRUE, m => MAP['a', 1], l => ARRAY[1, 2])": Call(
        "sys.x", (), {"table": "d.t", "n": -3, "f": True, "m": {"a": 1}, "l": [1, 2]}
    ),
    "STOP JOB 'x' WITH SAVEPOINT": StopJob("x", True),
    "STOP JOB insert-into_default.t": StopJob("insert-into_default.t"),
    "DROP JOB IF EXISTS 'x'": DropJob("x", True),
    "DESCRIBE JOB 'x'": DescribeJob("x"),
    "DESCRIBE JOB insert-into_default.t": DescribeJob("insert-into_default.t"),
    "DESCRIBE job": Describe(TableName(("job",))),
}


@pytest.mark.parametrize(("sql", "expected"), PLAIN.items(), ids=list(PLAIN))
def test_plain_statements(sql: str, expected: object) -> None:
    assert parse_one(sql) == expected


def test_create_table_with_everything() -> None:
    statement = parse_one(
        """CREATE TEMPORARY TABLE IF NOT EXISTS `d`.t (
             k BIGINT NOT NULL COMMENT 'the key', "Mixed" VARCHAR, d DECIMAL(10, 2) DEFAULT 1.5,
             off BIGINT METADATA FROM 'offset' VIRTUAL, part BIGINT METADATA,
             total AS d * 2, ts TIMESTAMP(3),
             r ROW<a INT, b ARRAY<STRING>>, m MAP<STRING, INT NOT NULL>, xs INT ARRAY,
             WATERMARK FOR ts AS ts - INTERVAL '5' SECOND,
             PRIMARY KEY (k, part) NOT ENFORCED
           ) COMMENT 'all' PARTITIONED BY (part) WITH ('bucket' = '4', connector.path = '/x')"""
    )
    assert isinstance(statement, CreateTable)
    columns = {column.name: column for column in statement.columns}
    assert statement.name == TableName(("d", "t"))
    assert (statement.temporary, statement.if_not_exists, statement.comment) == (True, True, "all")
    assert (statement.primary_key, statement.partition_keys) == (("k", "part"), ("part",))
    assert statement.options == {"bucket": "4", "connector.path": "/x"}
    assert list(columns) == ["k", "Mixed", "d", "off", "part", "total", "ts", "r", "m", "xs"]
    assert columns["k"] == ColumnDef("k", parse_type("BIGINT NOT NULL"), "the key")
    assert columns["Mixed"].type == parse_type("STRING")
    assert columns["d"].default == "1.5"
    assert (columns["off"].metadata_key, columns["part"].metadata_key) == ("offset", "part")
    assert columns["total"].type is None and columns["total"].computed is not None
    assert columns["xs"].type == parse_type({"type": "ARRAY", "element": "INT"})
    row = parse_type(
        {
            "type": "ROW",
            "fields": [
                {"id": 0, "name": "a", "type": "INT"},
                {"id": 1, "name": "b", "type": {"type": "ARRAY", "element": "STRING"}},
            ],
        }
    )
    assert columns["r"].type == row
    assert statement.watermark is not None and statement.watermark.column == "ts"


@pytest.mark.parametrize(
    ("written", "expected"),
    {
        "INTEGER": "INT",
        "text": "STRING",
        "VARCHAR(10)": "VARCHAR(10)",
        "CHARACTER VARYING(3)": "VARCHAR(3)",
        "VARBINARY": "BYTES",
        "DOUBLE PRECISION": "DOUBLE",
        "NUMERIC": "DECIMAL(10, 0)",
        "TIMESTAMP": "TIMESTAMP(6)",
        "DATETIME": "TIMESTAMP(6)",
        "TIMESTAMP_LTZ(3)": "TIMESTAMP(3) WITH LOCAL TIME ZONE",
        "TIMESTAMP(3) WITH LOCAL TIME ZONE": "TIMESTAMP(3) WITH LOCAL TIME ZONE",
        "timestamptz": "TIMESTAMP(6) WITH LOCAL TIME ZONE",
        "TIME": "TIME(0)",
        "INT NOT NULL": "INT NOT NULL",
    }.items(),
)
def test_type_names(written: str, expected: str) -> None:
    statement = parse_one(f"CREATE TABLE t (a {written})")
    assert isinstance(statement, CreateTable)
    assert statement.columns[0].type == parse_type(expected)


def test_inline_primary_key_like_and_as_select() -> None:
    inline = parse_one("CREATE TABLE t (id INT PRIMARY KEY, v TEXT)")
    like = parse_one("CREATE TABLE t LIKE d.u")
    copied = parse_one("CREATE TABLE t WITH ('a' = 'b') AS SELECT 1 AS x")
    assert isinstance(inline, CreateTable) and inline.primary_key == ("id",)
    assert isinstance(like, CreateTable) and like.like == TableName(("d", "u"))
    assert isinstance(copied, CreateTable) and isinstance(copied.as_select, exp.Select)
    assert copied.options == {"a": "b"}


def test_create_view_keeps_the_text_of_its_query() -> None:
    view = parse_one("CREATE OR REPLACE VIEW v (a, b) COMMENT 'c' AS SELECT x, y FROM t -- end")
    assert isinstance(view, CreateView)
    assert view.query_text == "SELECT x, y FROM t"
    assert (view.columns, view.comment, view.or_replace) == (("a", "b"), "c", True)


def test_insert_forms() -> None:
    plain = parse_one("INSERT INTO t SELECT * FROM s")
    full = parse_one("INSERT OVERWRITE t /*+ OPTIONS('a'='b') */ PARTITION (dt = '2024', h) (x, y) SELECT 1, 2")
    values = parse_one("INSERT INTO TABLE t (a) VALUES (1), (2)")
    assert isinstance(plain, Insert) and (plain.columns, plain.partition, plain.overwrite) == (None, None, False)
    assert isinstance(full, Insert)
    assert (full.columns, full.partition, full.overwrite) == (("x", "y"), {"dt": "2024"}, True)
    assert full.target_options == {"a": "b"}
    assert isinstance(values, Insert) and values.columns == ("a",) and values.source.find(exp.Values) is not None


def test_update_and_delete() -> None:
    update = parse_one("UPDATE t SET a = a + 1, `B` = 'x' WHERE k = 3")
    delete = parse_one("DELETE FROM t WHERE k IN (1, 2)")
    everything = parse_one("DELETE FROM t")
    assert isinstance(update, Update) and list(update.assignments) == ["a", "B"] and isinstance(update.where, exp.EQ)
    assert isinstance(delete, Delete) and isinstance(delete.where, exp.In)
    assert isinstance(everything, Delete) and everything.where is None


def test_explain_and_statement_sets_hold_statements() -> None:
    explain = parse_one("EXPLAIN CHANGELOG_MODE SELECT 1")
    analyze = parse_one("EXPLAIN ANALYZE INSERT INTO t SELECT 1")
    both = parse_one("EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT ';'; INSERT INTO b SELECT 2; END")
    assert isinstance(explain, Explain) and explain.mode == "changelog_mode" and isinstance(explain.statement, Select)
    assert isinstance(analyze, Explain) and analyze.mode == "analyze" and isinstance(analyze.statement, Insert)
    assert isinstance(both, ExecuteStatementSet)
    assert [str(insert.target) for insert in both.statements] == ["a", "b"]
    assert both.statements[1].text == "INSERT INTO b SELECT 2"


def test_script_is_cut_at_semicolons_only_outside_of_strings_names_and_comments() -> None:
    script = "SELECT ';' AS `a;b`; -- not ; here\n/* nor ; here */ SELECT 2;;\n  SELECT \"x;y\" FROM t"
    statements = parse_script(script)
    assert [statement.text for statement in statements] == ["SELECT ';' AS `a;b`", "SELECT 2", 'SELECT "x;y" FROM t']
    assert [(s.position.line, s.position.column) for s in statements] == [(1, 1), (2, 18), (3, 3)]
    assert parse_script(" ; -- nothing\n") == []


def test_normalized_text_forgets_layout_only() -> None:
    first = normalized("insert into t\n  -- why\n  select 'A  b', x /* y */ from s /*+ OPTIONS('a'='b') */")
    assert first == "INSERT INTO t SELECT 'A  b' , x FROM s /*+ OPTIONS('a'='b') */"
    assert normalized("INSERT INTO t SELECT 'A  b', x FROM s /*+ OPTIONS('a'='b') */") == first
    assert normalized("INSERT INTO t SELECT 'a  b', x FROM s") != first


def test_system_tables_keep_their_suffix() -> None:
    describe = parse_one("DESCRIBE d.t$snapshots")
    assert isinstance(describe, Describe)
    assert (describe.target.table, describe.target.system, describe.target.database) == ("t", "snapshots", "d")


ERRORS = {
    "SELEC 1": (1, 1, "`SELEC` does not begin a statement. Did you mean `SELECT`?"),
    "SELECT a FRM t": (1, 14, "`t` is not expected here. Did you mean `FROM`?"),
    "SELECT a, FROM t": (1, 11, "expected something after `,`, but found `FROM`."),
    "SELECT FROM t": (1, 8, "expected a column or an expression after SELECT, but found `FROM`."),
    "SELECT *\nFROM t\nWHERE": (3, 6, "expected an expression, but the statement ends here."),
    "SELECT (1 + 2\nFROM t": (2, 1, "expected `)`, but found `FROM`."),
    "SELECT * FROM": (1, 14, "expected a table name, but the statement ends here."),
    "SELECT * FROM t JOIN u ON": (1, 26, "expected a condition after ON, but the statement ends here."),
    "SELECT 1;\nSELECT 'abc": (2, 8, "this string is not closed: a ' is missing"),
    "SELECT `abc": (1, 8, "this quoted name is not closed: a ` is missing"),
    "SELECT 1 /* x": (1, 10, "this comment is not closed: a */ is missing"),
    "SELECT 1 -- it's\nFROM t WHERE a = b'": (2, 19, "this string is not closed: a ' is missing"),
    "SELECT x'zz'": (1, 8, "this text cannot be read: Numeric string contains invalid characters"),
    "SELECT * FROM t,": (1, 17, "expected a table name, but the statement ends here."),
    "ALTER TABLE t SET x = 1": (1, 19, "expected `(`, but found `x`."),
    "CREATE TABLE t (a INTT)": (1, 19, "`INTT` is not a type. Did you mean `INT`?"),
    "CREATE TABLE t (a INT": (1, 22, "expected `)`, but the statement ends here."),
    "INSERT INTO t": (1, 14, "expected VALUES or a query, but the statement ends here."),
    "INSERT INTO t VALUES (1,)": (1, 25, "expected something after `,`, but found `)`."),
    "UPDATE t SET a": (1, 15, "expected `=`, but the statement ends here."),
    "ALTER TABLE t RENAME a b": (1, 24, "expected `TO`, but found `b`."),
    "SELECT * FROM (SELECT 1) /*+ OPTIONS('a'='b') */": (1, 26, "an OPTIONS hint must stand behind a table's name"),
    "EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT 1;": (1, 1, "this statement set is not closed: END; is missing"),
}


@pytest.mark.parametrize(("sql", "expected"), ERRORS.items(), ids=list(ERRORS))
def test_syntax_errors_point_at_the_text(sql: str, expected: tuple[int, int, str]) -> None:
    with pytest.raises(SqlSyntaxError) as caught:
        parse_script(sql)
    position = caught.value.position
    assert position is not None
    assert (position.line, position.column, caught.value.message) == expected
    assert position == Position(expected[0], expected[1], sql.split("\n")[expected[0] - 1])


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE MATERIALIZED VIEW v AS SELECT 1",
        "CREATE TABLE t (a INT UNIQUE)",
        "CREATE TABLE t (a INT, FOREIGN KEY (a) REFERENCES u (b))",
        "BEGIN",
        "SELECT * FROM t MATCH_RECOGNIZE (PATTERN (A) DEFINE A AS TRUE)",
        "SELECT * FROM t TABLESAMPLE SYSTEM (10) REPEATABLE (1)",
        "SELECT a FROM t CONNECT BY PRIOR a = b",
        "SELECT a FROM t GROUP BY a WITH ROLLUP",
    ],
)
def test_what_is_understood_but_not_done_says_so(sql: str) -> None:
    with pytest.raises(NotSupportedError) as caught:
        parse_one(sql)
    assert caught.value.position is not None
