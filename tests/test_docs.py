"""The docs are true: every SQL block runs, and generated pages are what the code says."""

import importlib.util
import re
from pathlib import Path

import pytest

import tsdb

ROOT = Path(__file__).parent.parent
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"])


def blocks(page: Path) -> list[tuple[int, str]]:
    """(line, text) of each ```sql block that is not marked `sql norun`."""
    text = page.read_text()
    return [
        (text[: m.start()].count("\n") + 1, m[1])
        for m in re.finditer(r"^```sql\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_sql_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = blocks(page)
    with tsdb.connect(tmp_path / "warehouse") as con:
        for line, sql in found:
            try:
                con.execute(sql).close()
            except tsdb.Error as err:
                raise AssertionError(f"{page.name}:{line}: {err}") from err


def test_generated_pages_are_current() -> None:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None and spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    for name, page in generate.PAGES.items():
        assert (ROOT / "docs" / name).read_text() == page(), f"docs/{name} is not current: run `make docs`"
