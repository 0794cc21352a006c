"""A session on a warehouse of its own, and how to ask it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tsdb.exec.result import BatchResult, RowCount
from tsdb.session import Session, open_session


class Asker:
    """A session whose answers are plain Python."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def rows(self, sql: str, *params: Any) -> list[tuple[Any, ...]]:
        result = self.session.execute_one(sql, params)
        assert isinstance(result, BatchResult), result
        table = result.reader.read_all()
        assert table.schema == result.schema
        return list(zip(*(column.to_pylist() for column in table.columns), strict=True)) if table.num_columns else []

    def bag(self, sql: str, *params: Any) -> list[tuple[Any, ...]]:
        return sorted(self.rows(sql, *params), key=repr)

    def count(self, sql: str, *params: Any) -> int:
        result = self.session.execute_one(sql, params)
        assert isinstance(result, RowCount), result
        return result.count

    def run(self, script: str) -> None:
        for result in self.session.execute(script):
            assert isinstance(result, RowCount), result


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    return tmp_path / "warehouse"


@pytest.fixture
def ask(warehouse: Path) -> Iterator[Asker]:
    session = open_session(str(warehouse), {})
    yield Asker(session)
    session.close()


@pytest.fixture
def other(warehouse: Path, ask: Asker) -> Iterator[Asker]:
    """A second session on the same warehouse: another writer."""
    session = open_session(str(warehouse), {})
    yield Asker(session)
    session.close()
