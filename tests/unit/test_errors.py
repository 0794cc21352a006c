"""How an error shows the place that it is about."""

import pytest

from tsdb.errors import Position, SqlSyntaxError


@pytest.mark.parametrize("before", [0, 10, 119, 121, 100_000])
@pytest.mark.parametrize("after", [1, 100, 100_000])
def test_the_caret_stands_under_the_place_and_long_lines_are_cut(before: int, after: int) -> None:
    line = "a" * before + "!" + "b" * (after - 1)
    _, shown, caret = str(SqlSyntaxError("no", position=Position(1, before + 1, line))).split("\n")
    assert shown[len(caret) - 1] == "!" and caret.endswith("^")
    assert len(shown) <= 250
    assert ("…" in shown) == (before > 120 or after > 120)


def test_tabs_stay_tabs() -> None:
    assert str(SqlSyntaxError("no", position=Position(2, 3, "\ta!"))) == "line 2, column 3: no\n  \ta!\n  \t ^"
