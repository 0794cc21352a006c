"""The marker `judged`, whose outcomes make docs/compatibility.md; tests/interop/compatibility.py says how to use it."""

from collections import defaultdict
from pathlib import Path

import pytest
from compatibility import Cell, cells_of, page


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--compatibility", metavar="PAGE", help="write the page of features and judges from this run")
    parser.addoption("--judged", metavar="FILE", help="write the cells that the marks claim, one a line")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "judged(feature, judge, *ways): a row and cell of docs/compatibility.md")
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Outcomes(), "judged-outcomes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    claimed: set[Cell] = set()
    for item in items:
        for cell in cells_of(item):
            claimed.add(cell)
            item.user_properties.append(("judged", "\t".join(cell)))
    if (path := config.getoption("--judged")) is not None:
        Path(path).write_text("".join("\t".join(cell) + "\n" for cell in sorted(claimed)))


class _Outcomes:
    """What became of each cell; in a run with workers it lives in the process that has the reports of all."""

    def __init__(self) -> None:
        self._seen: dict[Cell, set[str]] = defaultdict(set)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            for name, value in report.user_properties:
                if name == "judged":
                    feature, judge, way = str(value).split("\t")
                    self._seen[feature, judge, way].add(report.outcome)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        path = session.config.getoption("--compatibility")
        if path is not None:
            Path(path).write_text(page(self._seen))
