"""Changes of a schema: what Paimon allows, what it then reads from old files, and tables that were changed."""

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from judge import PaimonJava
from typed_rows import arrow_schema_of, numeric, ours, typed

import tsdb
from tsdb.data_types import DataType, parse_type, to_arrow
from tsdb.errors import DataError, NotSupportedError
from tsdb.table.evolution import convert
from tsdb.table.type_change import retyped

MIDNIGHT = dt.datetime(2024, 5, 14)
TIMES = [
    dt.datetime(1969, 12, 31, 23, 59, 59, 500000),
    MIDNIGHT,
    dt.datetime(2024, 5, 14, 13, 34, 56, 789000),
    dt.datetime(2024, 5, 14, 13, 34, 56),
    dt.datetime(2024, 5, 14, 13, 34, 56, 120000),
]
SAMPLES: dict[str, list[Any]] = {
    "BOOLEAN": [True, False],
    "TINYINT": [-128, 0, 1, 127],
    "SMALLINT": [-32768, 0, 300],
    "INT": [-2147483648, 0, 70000, 1700000000],
    "BIGINT": [-9223372036854775808, 0, 5000000000, 1700000000],
    "FLOAT": [-1.5, 0.1, 1.0e10, 3.4e38, 100.0, 0.001, 1e-5, 0.0, 16777216.0],
    "DOUBLE": [-1.5, 0.1, 2.5, 1e300, 12345678.9, 1e7, -0.0001, 1e-3, 123456.789, 0.0],
    "DECIMAL(10, 2)": [Decimal(d) for d in ("-99999999.99", "0.05", "1.50", "2.5", "100", "12345.67", "0")],
    "DECIMAL(30, 12)": [Decimal(d) for d in ("-123456789012345678.5", "0.000000000001", "9.999999999999")],
    "CHAR(5)": ["12", "-7.5", "true", "abcde"],
    "STRING": ["12", " 7 ", "-7.5", "1e3", "true", "F", "yes", "0", "2024-05-14", "13:34:56", "13:34:56.7",
               "2024-05-14 13:34:56.789", "2024-05-14 13:34:56", "2024-05-14T13:34:56", "abcdefghijkl", "", "12a"],
    "BINARY(3)": [b"abc"],
    "BYTES": [b"abc", b"abcdefgh", b"", "é".encode()],
    "DATE": [dt.date(1969, 12, 31), dt.date(2024, 5, 14)],
    "TIME(3)": [dt.time(13, 34, 56, 789000), dt.time(0), dt.time(12, 0, 0, 500000), dt.time(1, 2, 3)],
    "TIME(0)": [dt.time(13, 34, 56)],
    "TIMESTAMP(3)": TIMES,
    "TIMESTAMP(6)": [*TIMES, dt.datetime(2024, 5, 14, 13, 34, 56, 789123)],
    "TIMESTAMP_LTZ(3)": TIMES,
}  # fmt: skip
TARGETS = [
    *SAMPLES, "DECIMAL(5, 1)", "DECIMAL(38, 10)", "CHAR(3)", "VARCHAR(4)", "BINARY(2)", "VARBINARY(4)", "TIMESTAMP(0)",
]  # fmt: skip


def pairs() -> Iterator[Any]:
    for old in SAMPLES:
        for new in TARGETS:
            if new != old:
                yield pytest.param(old, new, id=f"{old} to {new}".replace(" ", ""))


@pytest.mark.judged("schema evolution: every change of type", "Paimon Java", "reads")
@pytest.mark.parametrize(("old", "new"), list(pairs()))
def test_every_change_of_type(old: str, new: str, java: PaimonJava) -> None:
    before, after = parse_type(old), parse_type(new)
    given = [pa.array([value], to_arrow(before)) for value in SAMPLES[old]]
    theirs = java.cast(before.to_json(), after.to_json(), [typed(value[0]) for value in given])
    try:
        retyped(before, after, 0, True)
    except NotSupportedError:
        assert theirs is None, "refused"
        return
    assert theirs is not None, "allowed"
    schema = pa.schema([("v", to_arrow(after))])
    wrong = []
    for value, wanted in zip(given, theirs, strict=True):
        failed = isinstance(wanted, dict)
        mine = as_we_read(value, before, after)
        if new.startswith("TIME(") and isinstance(wanted, int) and wanted < 0:
            continue  # Java makes a negative time of day of what lies before 1970
        if failed != isinstance(mine, dict) or (not failed and numeric([[wanted]], schema) != [[mine]]):
            wrong.append((value[0].as_py(), wanted, mine))
    assert wrong == []


def as_we_read(value: pa.Array, old: DataType, new: DataType) -> Any:
    try:
        return typed(convert(value, old, new)[0])
    except DataError as err:
        return {"error": str(err)}


CHANGES = (
    "ADD COLUMN d DATE FIRST",
    "RENAME COLUMN v TO w",
    "MODIFY n BIGINT",
    "ADD COLUMN r.z DOUBLE AFTER x",
    "DROP COLUMN r.y",
    "ALTER COLUMN r.x TYPE STRING",
    "ADD COLUMN a.element.q INT",
    "RENAME COLUMN a.element.p TO pp",
    "ALTER COLUMN m.value TYPE BIGINT",
    "DROP COLUMN gone",
    "ADD COLUMN gone INT DEFAULT 7",
    "ALTER COLUMN w COMMENT 'a comment'",
    "COMMENT 'a table'",
)


@pytest.mark.judged("schema evolution: columns inside of rows, arrays and maps", "Paimon Java", "reads", "writes")
@pytest.mark.judged("defaults of columns", "Paimon Java", "reads", "writes")
@pytest.mark.parametrize("keyed", [True, False], ids=["keyed", "append"])
def test_a_table_after_many_changes(keyed: bool, tmp_path: Path, java: PaimonJava) -> None:
    key = ", PRIMARY KEY (k) NOT ENFORCED" if keyed else ""
    with tsdb.connect(tmp_path) as con:
        con.execute(f"""CREATE TABLE t (k INT NOT NULL, v STRING, n INT, r ROW<x INT, y STRING>, a ARRAY<ROW<p INT>>,
                    m MAP<STRING, INT>, gone STRING{key})""")
        for i, change in enumerate(CHANGES):
            if i == 0:
                con.execute("INSERT INTO t SELECT 1, 'v', 1, ROW(1, 'y'), ARRAY[ROW(5)], MAP['k', 1], 'g'")
            con.execute(f"ALTER TABLE t {change}")
            con.execute(f"INSERT INTO t (k, n) VALUES ({i}, {i * 10}), ({i + 100}, NULL)")
            assert numeric(java.read(tmp_path, "default.t"), arrow_schema_of(tmp_path)) == ours(tmp_path), change
    rows = ours(tmp_path)
    names = arrow_schema_of(tmp_path).names
    assert {row[names.index("gone")] for row in rows} == {None, 7}
    new = [["+I", *row[:1], 900 + i, *row[2:]] for i, row in enumerate(rows[:5])]
    new[0][1 + names.index("gone")] = None  # the default comes from Java, too
    java.write(tmp_path, "default.t", new, identifier=1)
    if keyed:
        java.compact(tmp_path, "default.t")
    after = ours(tmp_path)
    assert len(after) == len(rows) + 5
    assert numeric(java.read(tmp_path, "default.t"), arrow_schema_of(tmp_path)) == after
