"""Names: resolved as written, else without case; wrong ones are errors at their place; shapes keep their meaning."""

from typing import Any

import pytest

from tsdb.errors import BindError, ColumnNotFound, Error, ProgrammingError, TableNotFound
from tsdb.sql.parser import parse_one
from tsdb.sql.qualify import qualify_expression
from tsdb.sql.statements import Delete, Select
from tsdb.sql.table_ref import bind_reference, inline_view, references, table_options
from tsdb.sql.unparse import to_datafusion

from .conftest import TABLES, Bind, Rows

RESOLVED = {
    "SELECT ID, CUSTOMER FROM orders": 'SELECT "id", "Customer" FROM "orders"',
    "SELECT o.customer FROM orders O": 'SELECT "O"."Customer" FROM "orders" AS "O"',
    "SELECT d.orders.ID FROM d.orders": 'SELECT "orders"."id" FROM "d"."orders"',
    "WITH Q AS (SELECT id AS Z FROM orders) SELECT z FROM q": (
        'WITH "Q" AS (SELECT "id" AS "Z" FROM "orders") SELECT "Z" FROM "Q"'
    ),
    "WITH q(c) AS (SELECT id FROM orders) SELECT C FROM q": (
        'WITH "q"("c") AS (SELECT "id" FROM "orders") SELECT "c" FROM "q"'
    ),
    "SELECT ID % 7 AS n, N % 2 AS m FROM orders": 'SELECT "id" % 7 AS "n", ("id" % 7) % 2 AS "m" FROM "orders"',
    "SELECT customer AS C FROM orders GROUP BY c ORDER BY c": (
        'SELECT "Customer" AS "C" FROM "orders" GROUP BY "C" ORDER BY "C" ASC NULLS FIRST'
    ),
    "SELECT id FROM orders WHERE customer IN (SELECT NAME FROM customers WHERE CITY = CUSTOMER)": (
        'SELECT "id" FROM "orders" WHERE "Customer" IN (SELECT "Name" FROM "customers" WHERE "city" = "Customer")'
    ),
    "SELECT s.INNER FROM nested": 'SELECT "S"."Inner" FROM "nested"',
    "SELECT NESTED.s.inner FROM nested": 'SELECT "nested"."S"."Inner" FROM "nested"',
    "SELECT X FROM (VALUES (1)) AS v(x)": 'SELECT "x" FROM (VALUES (1)) AS "v"("x")',
    "SELECT anything FROM generate_series(1, 3)": 'SELECT "anything" FROM generate_series(1, 3)',
    "SELECT K FROM l UNION SELECT K FROM r ORDER BY K": (
        'SELECT "k" FROM "l" UNION SELECT "k" FROM "r" ORDER BY "k" ASC NULLS FIRST'
    ),
}


@pytest.mark.parametrize(("sql", "expected"), RESOLVED.items(), ids=list(RESOLVED))
def test_resolved_text(bind: Bind, sql: str, expected: str) -> None:
    assert bind(sql).sql == expected


WRONG: dict[str, tuple[type[Error], int, str]] = {
    "SELECT custmer FROM orders": (ColumnNotFound, 8, "column `custmer` does not exist. Did you mean `Customer`?"),
    "SELECT o.idd FROM orders o": (ColumnNotFound, 10, "column `idd` does not exist in `o`. Did you mean `id`?"),
    "SELECT id FROM order": (TableNotFound, 16, "table `order` does not exist. Did you mean `orders`?"),
    "SELECT x.id FROM orders": (BindError, 8, "there is no table or alias `x` in this FROM clause."),
    "SELECT k FROM l, r": (BindError, 8, "column `k` is ambiguous: it is in `l` and `r`; write the table before it"),
    "SELECT 1 FROM l JOIN r USING (w)": (BindError, 31, "column `w` of USING does not exist on both sides of the join"),
    "SELECT q.k FROM (SELECT * FROM l, r) q": (
        BindError,
        8,
        "column `k` is in `q` more than once; give the columns other names",
    ),
}


@pytest.mark.parametrize(("sql", "expected"), WRONG.items(), ids=list(WRONG))
def test_wrong_names_point_at_the_text(bind: Bind, sql: str, expected: tuple[type[Error], int, str]) -> None:
    with pytest.raises(expected[0]) as caught:
        bind(sql)
    assert caught.value.position is not None
    assert (caught.value.position.column, caught.value.message) == expected[1:]


SHAPES: dict[str, list[tuple[Any, ...]]] = {
    "SELECT k, v, w FROM l JOIN r USING (k)": [(1, "a", "A"), (1, "a", "A"), (1, "b", "A")],
    "SELECT K, w FROM l RIGHT JOIN r USING (K)": [(1, "A"), (1, "A"), (1, "A"), (3, "C"), (None, "N")],
    "SELECT * FROM l FULL JOIN r USING (k) WHERE k >= 2": [(2, "c", None), (3, None, "C")],
    "SELECT * FROM l NATURAL JOIN r": [(1, "a", "A"), (1, "a", "A"), (1, "b", "A")],
    "SELECT COUNT(*) FROM l AS a JOIN l AS b USING (k, v)": [(6,)],
    "SELECT a.k FROM l a JOIN r USING (k) JOIN l c USING (k, v)": [(1,)] * 5,
    "SELECT x.k, (SELECT MAX(w) FROM r WHERE r.k = x.k) FROM (SELECT DISTINCT k FROM l) x": [
        (1, "A"),
        (2, None),
        (None, None),
    ],
    "SELECT k FROM l WHERE EXISTS (SELECT 1 FROM r WHERE r.K = l.K) GROUP BY k": [(1,)],
    "SELECT k FROM l WHERE k NOT IN (SELECT k FROM r WHERE k IS NOT NULL)": [(2,)],
    "SELECT v FROM l LEFT SEMI JOIN r ON l.k = r.k": [("a",), ("a",), ("b",)],
    "SELECT upper(v) AS v, COUNT(*) FROM l GROUP BY 1": [("A", 2), ("B", 1), ("C", 1), ("N", 1)],
    "SELECT DISTINCT k + 1 FROM l WHERE k IS NOT NULL ORDER BY k + 1": [(2,), (3,)],
    "SELECT k, RANK() OVER w FROM l WINDOW w AS (PARTITION BY V ORDER BY K) ORDER BY 1 LIMIT 1": [(None, 1)],
    "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT I + 1 FROM N WHERE i < 3) SELECT * FROM n": [(1,), (2,), (3,)],
    "SELECT * FROM (SELECT K FROM l ORDER BY k DESC LIMIT 1) AS s(M)": [(2,)],
    "SELECT * EXCEPT (V) FROM l WHERE k = 2": [(2,)],
    "SELECT k, v FROM l QUALIFY ROW_NUMBER() OVER (PARTITION BY k ORDER BY v DESC) = 1": [
        (1, "b"),
        (2, "c"),
        (None, "n"),
    ],
    "SELECT a.k FROM l a, LATERAL (SELECT 1 AS one) b WHERE a.k = 2": [(2,)],
    "SELECT 1 WHERE 1 = 1": [(1,)],
    "(SELECT k FROM l) EXCEPT (SELECT k FROM r) ORDER BY 1": [(2,)],
    "TABLE r": [(1, "A"), (3, "C"), (None, "N")],
}


@pytest.mark.parametrize(("sql", "expected"), SHAPES.items(), ids=list(SHAPES))
def test_shapes_keep_their_meaning(rows: Rows, sql: str, expected: list[tuple[Any, ...]]) -> None:
    assert rows(sql) == sorted(expected, key=repr)


def test_output_names_are_unique_inside_and_as_written_outside(bind: Bind, rows: Rows) -> None:
    sql = "SELECT 1, 1, l.k AS x, v AS x, l.*, r.* FROM l JOIN r ON l.k = r.k"
    assert bind(sql).names == ("1", "1", "x", "x", "k", "v", "k", "w")
    assert rows(sql + " AND v = 'b'") == [(1, 1, 1, "b", 1, "b", 1, "A")]
    nested = "SELECT * FROM (SELECT l.*, r.* FROM l JOIN r ON l.k = r.k) AS q"
    assert bind(nested).names == ("k", "v", "k", "w")
    assert len(rows(nested)) == 3


def test_unnamed_expressions_are_shown_as_written(bind: Bind) -> None:
    names = bind('SELECT COUNT(*), sum(amount) AS s, `id` + 1, "Customer" FROM orders GROUP BY 3, 4').names
    assert names == ("COUNT(*)", "s", "id + 1", "Customer")
    assert bind("SELECT * FROM generate_series(1, 3)").names is None


def test_references_leave_out_common_table_expressions_and_functions() -> None:
    statement = parse_one(
        "WITH a AS (SELECT * FROM t), b AS (SELECT * FROM a JOIN d.a ON TRUE) "
        "SELECT * FROM b, u$files, generate_series(1, 2), TABLE(TUMBLE(TABLE w, DESCRIPTOR(ts), INTERVAL '1' DAY)) "
        "WHERE x IN (SELECT y FROM v)"
    )
    assert isinstance(statement, Select)
    assert [table.sql() for table in references(statement.query)] == ["t", "d.a", "u$files", "w", "v"]


@pytest.mark.parametrize(
    ("clause", "expected"),
    {
        "t /*+ OPTIONS('a'='b', c.d = 3) */": {"a": "b", "c.d": "3"},
        "t AS x /*+ OPTIONS('a'='b') */": {"a": "b"},
        "t VERSION AS OF 3": {"scan.snapshot-id": "3"},
        "t FOR VERSION AS OF 'v1'": {"scan.tag-name": "v1"},
        "t FOR SYSTEM_TIME AS OF TIMESTAMP '1970-01-01 00:00:01' AS x": {"scan.timestamp-millis": "1000"},
        "t TIMESTAMP AS OF '1970-01-01T01:00:01+01:00'": {"scan.timestamp-millis": "1000"},
        "t /* OPTIONS('a'='b') */": {},
    }.items(),
)
def test_versions_and_hints_are_options_of_the_reference(clause: str, expected: dict[str, str]) -> None:
    statement = parse_one(f"SELECT * FROM {clause}")
    assert isinstance(statement, Select)
    (table,) = references(statement.query)
    assert table_options(table) == expected
    bind_reference(table, "t__1")
    alias = "x" if " x" in clause else "t"
    assert to_datafusion(statement.query) == f'SELECT * FROM "t__1" AS "{alias}"'


def test_an_expression_over_one_table() -> None:
    statement = parse_one("DELETE FROM orders WHERE ORDERS.id = 1 AND customer = 'x'")
    assert isinstance(statement, Delete) and statement.where is not None
    resolved = qualify_expression(statement.where, TABLES["orders"].schema, "orders", statement)
    assert to_datafusion(resolved) == """"orders"."id" = 1 AND "Customer" = 'x'"""
    with pytest.raises(ColumnNotFound, match="nope"):
        qualify_expression(parse_one("DELETE FROM orders WHERE nope = 1").where, TABLES["orders"].schema)  # type: ignore[attr-defined]


UNNESTS: dict[str, list[tuple[Any, ...]]] = {
    "SELECT id, x FROM orders CROSS JOIN UNNEST(tags) AS u (x)": [(1, "x"), (1, "y"), (4, "z")],
    "SELECT o.ID, u.X FROM orders AS o, UNNEST(o.Tags) AS u (x) WHERE U.x <> 'y'": [(1, "x"), (4, "z")],
    "SELECT id, tag FROM orders LEFT JOIN UNNEST(tags) AS tag ON TRUE": [
        (1, "x"),
        (1, "y"),
        (2, None),
        (3, None),
        (4, "z"),
    ],
    "SELECT id, x, n FROM orders CROSS JOIN UNNEST(tags) WITH ORDINALITY AS u (x, n)": [
        (1, "x", 1),
        (1, "y", 2),
        (4, "z", 1),
    ],
    "SELECT orders.id, u.* FROM orders CROSS JOIN UNNEST(tags) AS u (id) ORDER BY 2": [(1, "x"), (1, "y"), (4, "z")],
    "SELECT c.city, COUNT(*) FROM customers c JOIN orders o ON c.name = o.customer "
    "CROSS JOIN LATERAL UNNEST(o.tags) AS u (x) GROUP BY c.city": [("Rome", 2)],
    "SELECT u.a, v.b FROM orders CROSS JOIN UNNEST(tags) AS u (a) CROSS JOIN UNNEST(tags) AS v (b) WHERE id = 1": [
        ("x", "x"),
        ("x", "y"),
        ("y", "x"),
        ("y", "y"),
    ],
    "SELECT u.q, id FROM deep CROSS JOIN UNNEST(items) AS u (p, q)": [("a", 1), ("b", 1)],
    "SELECT key, value FROM deep CROSS JOIN UNNEST(m)": [("k", 7)],
    "SELECT x FROM UNNEST(ARRAY[1, 2]) AS u (x)": [(1,), (2,)],
}


@pytest.mark.parametrize(("sql", "expected"), UNNESTS.items(), ids=list(UNNESTS))
def test_unnest_in_from(rows: Rows, sql: str, expected: list[tuple[Any, ...]]) -> None:
    assert rows(sql) == sorted(expected, key=repr)


def test_a_view_is_inlined_under_its_own_database(bind: Bind) -> None:
    outer = parse_one("WITH t AS (SELECT 1 AS x) SELECT v.y FROM v JOIN t ON TRUE")
    view = parse_one("SELECT x FROM d.t")
    assert isinstance(outer, Select) and isinstance(view, Select)
    (table,) = references(outer.query)
    inline_view(table, view.query, ("y",))
    assert to_datafusion(outer.query) == (
        'WITH "t" AS (SELECT 1 AS "x") SELECT "v"."y" FROM (SELECT "x" FROM "d"."t") AS "v"("y") JOIN "t" ON TRUE'
    )
    assert [reference.sql() for reference in references(outer.query)] == ["d.t"]


def test_long_and_deep_statements(bind: Bind) -> None:
    terms = " OR ".join(f"k = {i}" for i in range(3000))
    assert bind(f"SELECT k FROM l WHERE {terms}").sql.count(" OR ") == 2999
    assert bind("SELECT " + " + ".join(["k"] * 1000) + " AS s FROM l").names == ("s",)
    with pytest.raises(ProgrammingError, match="nested too deeply"):
        bind("SELECT " + "(" * 2000 + "1" + ")" * 2000)
