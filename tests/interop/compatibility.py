"""Which judge was asked about which feature: the marker `judged`, and the page docs/compatibility.md made of outcomes.

    @pytest.mark.judged("deletion vectors", "Paimon Java", "reads", "writes")
    def test_...

feature: a row of the page; None: the attribute `feature` of the test's parameter (a case of a table of cases).
judge: one of JUDGES. Then what the test shows, of WAYS: `reads` (the judge reads what tsdb wrote), `writes` (it writes,
deletes or compacts in a table of tsdb's and tsdb reads that), `is read` (tsdb reads a table the judge made). A test
may have several marks. `make compatibility` runs the marked tests and writes the page; tests/interop/
test_compatibility.py fails when the page and the marks differ.
"""

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

JUDGES = ("Paimon Java", "pypaimon", "pypaimon-rust", "Flink", "Java Kafka")
WAYS = ("reads", "writes", "is read")
ROOT = Path(__file__).parent.parent.parent
Cell = tuple[str, str, str]  # feature, judge, way


def cells_of(item: pytest.Item) -> list[Cell]:
    """The cells that the marks of a test claim. Raises UsageError for a mark that is none."""
    cells = []
    for mark in item.iter_markers("judged"):
        feature, judge, *ways = mark.args
        if feature is None:
            parameters = getattr(item, "callspec").params.values()  # noqa: B009 # an Item of another kind has none
            feature = next((p.feature for p in parameters if hasattr(p, "feature")), None)
        if not feature or judge not in JUDGES or not ways or not set(ways) <= set(WAYS):
            raise pytest.UsageError(
                f"{item.nodeid}: judged{mark.args} is not (feature, one of {JUDGES}, some of {WAYS})"
            )
        cells += [(feature, judge, way) for way in ways]
    return cells


def page(seen: dict[Cell, set[str]]) -> str:
    """The page. A way whose tests did not all pass says so: that page is not to be committed."""
    words: dict[tuple[str, str], list[str]] = defaultdict(list)
    for feature, judge, way in sorted(seen, key=lambda cell: WAYS.index(cell[2])):
        outcomes = seen[feature, judge, way]
        trouble = "FAILED " if "failed" in outcomes else "not run: " if "skipped" in outcomes else ""
        words[feature, judge].append(trouble + way)
    features = sorted({feature for feature, _, _ in seen}, key=str.lower)
    lines = [f"| {f} | " + " | ".join(", ".join(words[f, judge]) for judge in JUDGES) + " |\n" for f in features]
    heads = f"| feature | {' | '.join(JUDGES)} |\n|{' --- |' * (len(JUDGES) + 1)}\n"
    return INTRODUCTION.format(java=java_version()) + heads + "".join(lines)


def java_version() -> str:
    """The version of Paimon Java that judges."""
    pom = (ROOT / "tests" / "interop" / "pom.xml").read_text()
    found = re.search(r"<artifactId>paimon-bundle</artifactId><version>([\d.]+)<", pom)
    assert found
    return found[1]


def cells_of_page(text: str) -> set[Any]:
    """The cells of a page again, a trouble as part of its way."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")]
    return {
        (feature, judge, way)
        for feature, *cells in rows[2:]
        for judge, cell in zip(JUDGES, cells, strict=True)
        for way in cell.split(", ")
        if way
    }


INTRODUCTION = """# Compatibility

Made by `make compatibility`, which runs the tests that ask another implementation about a feature.

- **reads**: the judge reads the same rows from a table that tsdb wrote.
- **writes**: the judge writes, deletes or compacts in a table of tsdb's, and tsdb reads the same rows from it.
- **is read**: tsdb reads the same rows from a table that the judge made.

An empty cell: not asked. The judges are Paimon Java {java}, pypaimon and pypaimon-rust of tests/interop/peers.txt,
tables that Flink made, with the rows that Flink read from them, and, of topics, Kafka's own Java client.

"""
