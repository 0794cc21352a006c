"""A data file that DataFusion would read by itself, damaged: an error that names it, never fewer rows."""

from pathlib import Path
from typing import Any

import pytest

from tsdb.errors import CorruptFile


@pytest.mark.parametrize("damage", ["missing", "empty", "cut"])
@pytest.mark.parametrize("query", ["SELECT * FROM t", "SELECT count(*) FROM t", "SELECT k FROM t WHERE k > 1"])
def test_a_damaged_file_is_named(ask: Any, warehouse: Path, damage: str, query: str) -> None:
    ask.run("CREATE TABLE t (k INT); INSERT INTO t VALUES (1), (2), (3)")
    (path,) = warehouse.rglob("data-*.parquet")
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: 0 if damage == "empty" else 100])
    with pytest.raises(CorruptFile, match=path.name):
        ask.rows(query)
