"""The options of the format `csv`: what is written with them is read with them, and stands so in the file."""

from pathlib import Path

import pytest

import tsdb


@pytest.mark.parametrize(
    ("options", "values", "line"),
    [
        ({}, ["a,b", 'say "x"', None, ""], '"a,b","say ""x""",,""'),
        ({"csv.field-delimiter": "|"}, ["a|b", "a,b", None, ""], '"a|b"|a,b||""'),
        ({"csv.quote-character": "%"}, ["a,b", "5%", '"', None], '%a,b%,%5%%%,",'),
        ({"csv.null-literal": "n/a"}, ["n/a", None, "", "x"], '"n/a",n/a,,x'),
        ({"csv.escape-character": "\\"}, ["a\\b", 'q"', None, "x"], '"a\\\\b","q""",,x'),
        ({"csv.disable-quote-character": "true", "csv.null-literal": "-"}, ['"a"', None, "", "'"], '"a",-,,\''),
    ],
)
def test_what_is_written_is_read(tmp_path: Path, options: dict[str, str], values: list[str | None], line: str) -> None:
    listed = "".join(f", '{key}' = '{value}'" for key, value in options.items())
    with tsdb.connect() as con:
        con.execute(
            "CREATE TABLE t (a STRING, b STRING, c STRING, d STRING) WITH ('connector' = 'filesystem', "
            f"'path' = '{tmp_path / 'one.csv'}', 'format' = 'csv'{listed})"
        )
        con.execute("INSERT INTO t VALUES (?, ?, ?, ?)", values)
        assert con.execute("SELECT * FROM t").fetchall() == [tuple(values)]
    assert (tmp_path / "one.csv").read_text() == line + "\n"


def test_escaped_characters_are_read(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("a\\,b,c\n")
    with tsdb.connect() as con:
        con.execute(
            f"CREATE TABLE t (a STRING, b STRING) WITH ('connector' = 'filesystem', 'path' = '{tmp_path / 'one.csv'}', "
            "'format' = 'csv', 'csv.escape-character' = '\\')"
        )
        assert con.execute("SELECT * FROM t").fetchall() == [("a,b", "c")]


@pytest.mark.parametrize(
    ("options", "value", "reason"),
    [
        ("'csv.disable-quote-character' = 'true'", "a,b", "csv without quotes cannot hold the text 'a,b'"),
        ("'csv.disable-quote-character' = 'true'", "", "is what NULL is written as"),
        ("'csv.quote-character' = '%', 'csv.disable-quote-character' = 'true'", "a", "not both"),
        ("'csv.escape-character' = 'ab'", "a", "is one ASCII character, not 'ab'"),
        ("'csv.field-delimiter' = ','", "a\nb", "cannot hold a text with a line break"),
    ],
)
def test_what_csv_cannot_hold_is_refused(tmp_path: Path, options: str, value: str, reason: str) -> None:
    with tsdb.connect() as con, pytest.raises(tsdb.Error, match=reason):
        con.execute(
            "CREATE TABLE t (a STRING, b STRING) WITH ('connector' = 'filesystem', "
            f"'path' = '{tmp_path / 'one.csv'}', 'format' = 'csv', {options})"
        )
        con.execute("INSERT INTO t VALUES (?, 'x')", [value])
