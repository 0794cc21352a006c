"""Every file of sql_tests/, one test a file; the set as a whole keeps its size."""

from pathlib import Path

import pytest
from slt_records import parse
from slt_run import run_file

FILES = sorted((Path(__file__).parent.parent.parent / "sql_tests").rglob("*.slt"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_file(path: Path) -> None:
    run_file(path)


def test_there_are_many_records() -> None:
    counted = ("statement", "query", "stream", "changelog", "snapshot", "checkpoint", "restart")
    records = sum(r.kind in counted for path in FILES for r in parse(path.read_text()))
    assert records >= 2500


def test_parse_loses_nothing() -> None:
    for path in FILES:
        text = path.read_text()
        assert "\n".join(line for record in parse(text) for line in record.raw) == text.rstrip("\n") + "\n", path
