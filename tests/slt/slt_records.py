"""sqllogictest files as records, without loss: joining every record's lines gives the file back.

The base is SQLite's format in sqllogictest-rs' dialect with one row a line and TAB between columns. Ours in addition:

    stream <name>              the SELECT below is opened as a streaming cursor
    changelog <types> <name> [normalized]
                               after `----`: the change rows (`+I<TAB>1<TAB>a`) since the last such record, up to what
                               the tables hold now; any order; `normalized` nets changes of equal rows first
    snapshot <types> <name>    after `----`: the bag left after applying every change so far; the runner also runs
                               the same SELECT in batch mode and wants the same rows
    checkpoint                 waits until every job has taken in all there is and has checkpointed it
    restart                    closes the warehouse (jobs checkpoint and stop) and opens it again
    connection <name>          the next record runs on that connection

A comment line `# no-mirror: reason` directly above a query keeps that query from being run as a stream.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

KINDS = (
    "statement", "query", "stream", "changelog", "snapshot", "checkpoint", "restart", "connection",
    "skipif", "onlyif", "halt", "hash-threshold", "control", "include", "subtest",
)  # fmt: skip


@dataclass(slots=True)
class Record:
    """One record. line: of its first word, from 1. sql, expected, raw: lines; raw has blank ones and comments too."""

    kind: str
    words: list[str]
    line: int
    sql: list[str] = field(default_factory=list)
    expected: list[str] | None = None
    raw: list[str] = field(default_factory=list)
    no_mirror: str | None = None

    @property
    def text(self) -> str:
        return "\n".join(self.sql)

    def completed(self, expected: list[str]) -> list[str]:
        """The raw lines with another expected part."""
        head = []
        for line in self.raw:
            head.append(line)
            if line.strip() == "----":
                break
        else:
            while head and not head[-1].strip():
                head.pop()
            head.append("----")
        return [*head, *expected, ""]


def parse(text: str) -> Iterator[Record]:
    """Records in order; comments and blank lines belong to the record that follows them."""
    lines = text.split("\n")
    at, before = 0, []
    no_mirror = None
    while at < len(lines):
        line = lines[at]
        if not line.strip() or line.startswith("#"):
            before.append(line)
            match = re.match(r"#\s*no-mirror:\s*(.+)", line)
            no_mirror = match[1] if match else (no_mirror if line.strip() else None)
            at += 1
            continue
        words = line.split()
        if words[0] not in KINDS:
            raise ValueError(f"line {at + 1}: unknown record `{words[0]}`")
        record = Record(words[0], words[1:], at + 1, raw=[*before, line], no_mirror=no_mirror)
        before, no_mirror = [], None
        at = (
            _body(lines, at + 1, record)
            if words[0] in ("statement", "query", "stream", "changelog", "snapshot")
            else at + 1
        )
        yield record
    if any(line.strip() for line in before):
        yield Record("halt-of-file", [], len(lines), raw=before)


def _body(lines: list[str], at: int, record: Record) -> int:
    """Reads SQL and expected part up to the blank line; returns the index after it."""
    into = record.sql
    while at < len(lines) and lines[at].strip():
        record.raw.append(lines[at])
        if lines[at].strip() == "----" and into is record.sql:
            into = record.expected = []
        else:
            into.append(lines[at])
        at += 1
    if at < len(lines):
        record.raw.append(lines[at])
    return at + 1
