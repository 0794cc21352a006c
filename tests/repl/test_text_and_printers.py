"""What results look like in every format."""

import io
import json
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from tsdb_repl.commands import run_command
from tsdb_repl.printer import printer
from tsdb_repl.runner import Session, run_script
from tsdb_repl.text import column_texts

import tsdb

TABLE = pa.table(
    {
        "id": pa.array([1, None], pa.int32()),
        "s": ['a,"b"\n客', None],
        "d": pa.array([Decimal("1.50"), Decimal("-20.25")], pa.decimal128(10, 2)),
        "ts": pa.array([1704164645678, None], pa.timestamp("ms")),
        "z": pa.array([1704164645678901, None], pa.timestamp("us", "UTC")),
    }
)


def printed(fmt: str, *tables: pa.Table, live: bool = False) -> str:
    out = io.StringIO()
    to = printer(fmt, tables[0].schema, out, live=live)
    for table in tables:
        to.rows(table)
    to.close()
    return out.getvalue()


def test_table() -> None:
    assert printed("table", TABLE).splitlines() == [
        "  id | s         |      d | ts                      | z",
        "-----+-----------+--------+-------------------------+---------------------------",
        '   1 | a,"b"\\n客 |   1.50 | 2024-01-02 03:04:05.678 | 2024-01-02 03:04:05.678901',
        "NULL | NULL      | -20.25 | NULL                    | NULL",
    ]


def test_live_table_has_its_header_before_any_row_and_widths_grow() -> None:
    changes = pa.table({"op": ["+I"], "x": pa.array([1], pa.int64()), "s": ["a"]})
    out = io.StringIO()
    to = printer("table", changes.schema, out, live=True)
    assert out.getvalue().splitlines()[0].split() == ["op", "|", "x", "|", "s"]
    to.rows(changes)
    to.rows(changes.set_column(2, "s", pa.array(["longer than the others"])))
    to.rows(changes)
    lines = out.getvalue().splitlines()
    assert lines[2] == "+I |          1 | a" and lines[3].endswith("longer than the others") and len(lines) == 5


def test_csv() -> None:
    assert printed("csv", TABLE) == (
        'id,s,d,ts,z\n1,"a,""b""\n客",1.50,2024-01-02 03:04:05.678,2024-01-02 03:04:05.678901\n,,-20.25,,\n'
    )
    assert printed("csv", pa.table({"s": ["", None]})) == 's\n""\n\n'


def test_json_keeps_every_digit() -> None:
    lines = printed("json", TABLE).splitlines()
    assert lines[0] == (
        '{"id": 1, "s": "a,\\"b\\"\\n客", "d": 1.50, "ts": "2024-01-02T03:04:05.678", '
        '"z": "2024-01-02T03:04:05.678901Z"}'
    )
    assert json.loads(lines[1]) == {"id": None, "s": None, "d": -20.25, "ts": None, "z": None}
    odd = pa.table({"f": [float("nan"), float("inf")], "b": [b"\xff", None]})
    assert [json.loads(x) for x in printed("json", odd).splitlines()] == [
        {"f": "NaN", "b": "/w=="},
        {"f": "Infinity", "b": None},
    ]


def test_arrow_is_an_ipc_stream() -> None:
    buffer = io.BytesIO()
    out = io.TextIOWrapper(buffer)
    to = printer("arrow", TABLE.schema, out)
    to.rows(TABLE)
    to.close()
    assert pa.ipc.open_stream(buffer.getvalue()).read_all().equals(TABLE)


TEXTS: list[tuple[pa.Array, list[str]]] = [
    (pa.array([True, None]), ["true", "NULL"]),
    (pa.array([b"\x00\xff"]), ["x'00ff'"]),
    (pa.array([[1, None]]), ["[1, NULL]"]),
    (pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int32())), ["{k=1}"]),
    (pa.array([{"a": 1, "b": None}], pa.struct([("a", pa.int32()), ("b", pa.string())])), ["(1, NULL)"]),
    (pa.array([1], pa.timestamp("ns")), ["1970-01-01 00:00:00.000000001"]),
    (pa.array([0.1, 1e300]), ["0.1", "1e+300"]),
]


@pytest.mark.parametrize(("values", "expected"), TEXTS, ids=lambda x: str(x)[:20])
def test_values(values: Any, expected: list[str]) -> None:
    assert column_texts(pa.chunked_array([values])) == expected


class Screen(io.StringIO):
    """A terminal of 60 columns."""

    def isatty(self) -> bool:
        return True


def test_a_table_fits_into_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    wide = pa.table({"id": [1], "a": ["x" * 100], "b": ["客" * 100], "c": ["short"]})
    out = Screen()
    to = printer("table", wide.schema, out)
    to.rows(wide)
    lines = out.getvalue().splitlines()
    assert [len(part) for part in lines[1].split("-+-")] == [2, 22, 22, 5]
    assert lines[2] == f" 1 | {'x' * 21}… | {'客' * 10}…  | short"


def test_a_single_column_is_never_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    plan = pa.table({"plan": ["y" * 100]})
    out = Screen()
    printer("table", plan.schema, out).rows(plan)
    assert "y" * 100 in out.getvalue()


def test_markdown() -> None:
    rows = pa.table({"id": [1, 2], "s": ["a|b\nc", None]})
    assert printed("markdown", rows) == "| id | s |\n| ---: | --- |\n| 1 | a\\|b<br>c |\n| 2 | NULL |\n"


def test_the_first_rows_of_a_long_result() -> None:
    with tsdb.connect() as con:
        out = io.StringIO()
        session = Session(con, out=out)
        for line in (".rows 2", ".rows many", ".rows"):
            run_command(session, line)
        run_script(session, "SELECT a FROM UNNEST(generate_series(1, 9)) AS t (a); SELECT 1 AS a")
        run_command(session, ".rows all")
        run_script(session, "SELECT a FROM UNNEST(generate_series(1, 3)) AS t (a)")
    assert out.getvalue().splitlines() == [
        "rows shown: 2", "`many` is no number of rows: .rows 100, or .rows all", "rows shown: 2",
        "a", "-", "1", "2", "(the first 2 of 9 rows, .rows all shows all)", "a", "-", "1", "(1 row)",
        "rows shown: all", "a", "-", "1", "2", "3", "(3 rows)",
    ]  # fmt: skip
