"""A list of files becomes one scan of DataFusion's own."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tsdb.exec.batch.parquet_files import parquet_scan
from tsdb.exec.engine import Engine

SCHEMA = pa.schema([pa.field("k", pa.int64(), nullable=False), ("v", pa.string())])


@pytest.mark.parametrize("folder", ["plain", "dt=2024-01-01", "with space", "a%20b", "ü,;#?*[x]&+'\"", "{a}"])
@pytest.mark.parametrize("count", [1, 2, 40])
def test_any_path_and_any_number_of_files(tmp_path: Path, folder: str, count: int) -> None:
    place = tmp_path / folder
    place.mkdir()
    paths = []
    for i in range(count):
        rows = pa.table({"_KEY_k": [i], "k": [i], "v": [f"v{i}"]}).cast(pa.schema([("_KEY_k", pa.int64()), *SCHEMA]))
        pq.write_table(rows, place / f"data-{i}.parquet")
        paths.append(str(place / f"data-{i}.parquet"))
    pq.write_table(rows, place / "not-in-the-list.parquet")
    context = Engine().context()
    context.register_table("t", parquet_scan(context, "files", paths, SCHEMA, late=False))
    table = context.sql("SELECT * FROM t ORDER BY k").to_arrow_table()
    assert table["k"].to_pylist() == list(range(count))
    assert table.schema.names == ["k", "v"]
    assert context.sql("SELECT count(*) AS n FROM t WHERE v = 'v0'").to_pylist() == [{"n": 1}]


NAN = float("nan")


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64()])
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT k, x FROM t WHERE k < 2", [(0, "nan"), (1, "1.0")]),
        ("SELECT k, x FROM t ORDER BY x DESC LIMIT 1", [(0, "nan")]),
        ("SELECT max(x) FROM t", [("nan",)]),
        ("SELECT count(*) FROM t WHERE x > 5", [(1,)]),
        ("SELECT count(*) FROM t WHERE x <> 1", [(1,)]),
        ("SELECT count(DISTINCT x) FROM t", [(2,)]),
        ("SELECT t.k FROM t JOIN (SELECT max(x) AS m FROM t) ON x = m", [(0,)]),
    ],
)
def test_statistics_of_parquet_do_not_hide_nan(ask: Any, kind: pa.DataType, query: str, expected: list[Any]) -> None:
    """Its statistics say that every value of the column is 1."""
    ask.session.register("src", pa.table({"k": [0, 1, 2], "x": pa.array([NAN, 1.0, 1.0], kind)}))
    ask.run("CREATE TABLE t AS SELECT * FROM src")
    assert [tuple(str(v) if isinstance(v, float) else v for v in row) for row in ask.bag(query)] == expected
