"""Runs one sqllogictest file against a fresh warehouse; every batch query is also run as a stream (the mirror).

As a program: `python tests/slt/slt_run.py [--complete] [--only LINE] FILE…`; `--complete` rewrites the expected parts.
Files of others run as they are: `--engine LABEL` says whose `skipif` and `onlyif` hold, `--keep-going` counts what
fails instead of stopping there, `--no-mirror` runs each query once.
"""

import argparse
import re
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import slt_classic
import slt_format
from slt_records import Record, parse

import tsdb

ENGINE = "tsdb"
SORTS = ("nosort", "rowsort", "valuesort")
TIMEOUT_S = 20.0
STREAMING = {"execution.mode": "streaming"}
BOUNDED = {**STREAMING, "scan.bounded.mode": "latest"}
NO_QUERY = r"\s*(SHOW|DESC|DESCRIBE|SUMMARIZE|EXPLAIN|CALL|EXECUTE|SET)\b"
"""Statements with rows that have no changes."""
REPLAY = {**BOUNDED, "scan.mode": "from-snapshot", "scan.snapshot-id": "1"}


class Mismatch(AssertionError):
    """A record did not hold; the message has the line, the SQL and both sides."""


@dataclass(slots=True)
class Stream:
    """An open streaming cursor: its SELECT, and the bag of rows so far (as text)."""

    sql: str
    cursor: Any
    bag: Counter[tuple[str, ...]] = field(default_factory=Counter)


class Runner:
    """State of one file: the warehouse, its connections and streams, and the modes set by `control`."""

    def __init__(
        self, path: Path, folder: Path, *, complete: bool = False, engine: str = ENGINE, mirror: bool = True
    ) -> None:
        self.path, self.folder, self.complete = path, folder, complete
        self.engine, self.mirror = engine.lower(), mirror
        self.warehouse = folder / "warehouse"
        self.connections: dict[str, Any] = {}
        self.next_connection = "default"
        self.streams: dict[str, Stream] = {}
        self.threshold = 0
        self.valuewise = False
        self.sort = "nosort"
        self.records = self.queries = self.queries_mirrored = 0
        self.failures: list[Mismatch] | None = None
        self.labels: dict[str, list[str]] = {}
        self.sources: list[str] = []

    def run(self, only: int | None = None) -> str:
        """Runs the file; returns its text, with new expected parts when completing."""
        out: list[str] = []
        skip = False
        try:
            for record in parse(self.path.read_text()):
                lines = record.raw
                if record.kind in ("skipif", "onlyif"):
                    skip |= (record.words[0].lower() == self.engine) == (record.kind == "skipif")
                elif skip:
                    skip = False
                elif record.kind == "halt":
                    out.extend(lines)
                    break
                elif only is None or record.line <= only:
                    lines = self._tried(record)
                out.extend(lines)
        finally:
            self.close()
        return "\n".join(out)

    def close(self) -> None:
        for stream in self.streams.values():
            stream.cursor.close()
        for connection in self.connections.values():
            connection.close()
        self.streams, self.connections = {}, {}

    def _tried(self, record: Record) -> list[str]:
        """The record's lines; a mismatch is kept when the runner keeps going, raised otherwise."""
        try:
            return self._one(record)
        except Mismatch as err:
            if self.failures is None:
                raise
            self.failures.append(err)
            return record.raw

    def _one(self, record: Record) -> list[str]:
        self.records += record.kind in (
            "statement",
            "query",
            "stream",
            "changelog",
            "snapshot",
            "checkpoint",
            "restart",
        )
        action = getattr(self, "_" + record.kind.replace("-", "_"))
        lines = action(record)
        if record.kind != "connection":
            self.next_connection = "default"
        return lines if lines is not None else record.raw

    # --- records

    def _halt_of_file(self, record: Record) -> None:
        """Trailing comments."""

    def _subtest(self, record: Record) -> None:
        """A name for a part of the file; nothing to do."""

    def _connection(self, record: Record) -> None:
        self.next_connection = record.words[0]

    def _hash_threshold(self, record: Record) -> None:
        self.threshold = int(record.words[0])

    def _control(self, record: Record) -> None:
        what, value = record.words
        if what == "resultmode":
            self.valuewise = value == "valuewise"
        elif what == "sortmode":
            self.sort = value
        else:
            raise ValueError(f"line {record.line}: unknown control `{what}`")

    def _include(self, record: Record) -> None:
        for path in sorted(self.path.parent.glob(record.words[0])):
            for inner in parse(path.read_text()):
                self._one(inner)

    def _statement(self, record: Record) -> None:
        want = record.words[0] if record.words else "ok"
        try:
            cursor = self._connect().execute(self._substitute(record.text))
            count = cursor.rowcount
            cursor.close()
        except tsdb.Error as err:
            if want != "error":
                raise Mismatch(f"{self._where(record)}\n{type(err).__name__}: {err}") from err
            self._check_error(record, err)
            return
        if want == "error":
            raise Mismatch(f"{self._where(record)}\nexpected an error, got none")
        if want == "count" and count != int(record.words[1]):
            raise Mismatch(f"{self._where(record)}\nexpected {record.words[1]} rows affected, got {count}")

    def _query(self, record: Record) -> list[str] | None:
        if record.words and record.words[0] == "error":
            try:
                cursor = self._connect().execute(self._substitute(record.text))
                cursor.fetch_arrow_table()
            except tsdb.Error as err:
                self._check_error(record, err)
                return None
            raise Mismatch(f"{self._where(record)}\nexpected an error, got none")
        words = " ".join(record.words).partition("#")[0].split()
        types = words[0] if words else "?"
        sort = next((word for word in words[1:2] if word in SORTS), None)
        label = next(iter(words[2 if sort else 1 :]), None)
        sql = self._substitute(record.text)
        self.queries += 1
        table = self._table(record, sql, {})
        got = slt_format.rows(table, types)
        lines = self._compare(record, got, types, sort or self.sort, label, table)
        if self.mirror and record.no_mirror is None and not re.match(NO_QUERY, sql, re.IGNORECASE):
            self._mirror(record, sql, got, types)
        return lines

    def _stream(self, record: Record) -> None:
        sql = self._substitute(record.text)
        connection = self._connect()
        with _options(connection, STREAMING):
            self.streams[record.words[0]] = Stream(sql, connection.execute(sql))
        self.sources.append(record.words[0])

    def _changelog(self, record: Record) -> list[str] | None:
        types, name = record.words[0], record.words[1]
        changes = self._take_in(record, self.streams[name], types)
        if "normalized" in record.words:
            changes = _net(changes)
        return self._compare(record, [list(c) for c in changes], "T" + types, "rowsort")

    def _snapshot(self, record: Record) -> list[str] | None:
        types, stream = record.words[0], self.streams[record.words[1]]
        self._take_in(record, stream, types)
        bag = [list(row) for row in stream.bag.elements()]
        batch = slt_format.rows(self._table(record, stream.sql, {}), types)
        if sorted(batch) != sorted(bag):
            raise Mismatch(
                f"{self._where(record)}\nthe stream does not add up to the batch result\n{_diff(bag, batch)}"
            )
        return self._compare(record, bag, types, "rowsort")

    def _checkpoint(self, record: Record) -> None:
        for job in self._connect().jobs():
            job.checkpoint(timeout=TIMEOUT_S)

    def _restart(self, record: Record) -> None:
        self.close()

    # --- parts

    def _connect(self) -> Any:
        if self.next_connection not in self.connections:
            self.connections[self.next_connection] = tsdb.connect(str(self.warehouse))
        return self.connections[self.next_connection]

    def _substitute(self, sql: str) -> str:
        return sql.replace("$__TEST_DIR__", str(self.folder)).replace("$__FILE_DIR__", str(self.path.parent))

    def _where(self, record: Record) -> str:
        return f"{self.path.name}:{record.line}: {record.kind} {' '.join(record.words)}\n{record.text}"

    def _table(self, record: Record, sql: str, options: dict[str, str]) -> Any:
        connection = self._connect()
        try:
            with _options(connection, options):
                return connection.execute(sql).fetch_arrow_table()
        except tsdb.Error as err:
            raise Mismatch(f"{self._where(record)}\n{options or 'batch'}\n{type(err).__name__}: {err}") from err

    def _mirror(self, record: Record, sql: str, batch: list[list[str]], types: str) -> None:
        """As a bounded stream, over the latest state and over the whole history, the query must add up to `batch`."""
        for options in (BOUNDED, REPLAY):
            table = self._table(record, sql, options)
            bag: Counter[tuple[str, ...]] = Counter()
            for op, *row in slt_format.rows(table, "T" + types):
                _apply(bag, op, tuple(row))
            streamed = sorted(bag.elements())
            if len(streamed) != len(batch) or not all(
                slt_format.same(g, w, types[i] if i < len(types) else "?")
                for got, want in zip(streamed, sorted(map(tuple, batch)), strict=True)
                for i, (g, w) in enumerate(zip(got, want, strict=True))
            ):
                how = "its history" if options is REPLAY else "the latest state"
                rows = [list(r) for r in streamed]
                raise Mismatch(f"{self._where(record)}\nas a stream over {how} it differs\n{_diff(rows, batch)}")
        self.queries_mirrored += 1

    def _take_in(self, record: Record, stream: Stream, types: str) -> list[tuple[str, ...]]:
        """Every change up to what the tables hold now, applied to the stream's bag."""
        changes: list[tuple[str, ...]] = []
        for table in stream.cursor.poll_until_caught_up(timeout=TIMEOUT_S):
            for op, *row in slt_format.rows(table, "T" + types):
                _apply(stream.bag, op, tuple(row))
                changes.append((op, *row))
        if any(n < 0 for n in stream.bag.values()):
            raise Mismatch(f"{self._where(record)}\na row was retracted that was never there")
        return changes

    def _check_error(self, record: Record, err: Exception) -> None:
        pattern = " ".join(record.words[1:])
        if pattern and not re.search(pattern, str(err)):
            raise Mismatch(
                f"{self._where(record)}\nexpected an error like /{pattern}/, got {type(err).__name__}: {err}"
            )

    def _compare(
        self,
        record: Record,
        got: list[list[str]],
        types: str,
        sort: str,
        label: str | None = None,
        table: Any = None,
    ) -> list[str] | None:
        lines = self._lines(got, sort)
        if label is not None and self.labels.setdefault(label, lines) != lines:
            raise Mismatch(f"{self._where(record)}\ndiffers from the other query labelled {label}")
        if self.complete:
            return record.completed(lines)
        wanted = record.expected
        if wanted is None and label is not None:
            return None
        wanted = wanted or []
        if self._agrees(got, lines, wanted, types, sort):
            return None
        if table is not None and slt_classic.agrees(table, types, sort, wanted):
            return None
        raise Mismatch(f"{self._where(record)}\n{_diff([[x] for x in lines], [[x] for x in wanted])}")

    def _agrees(self, got: list[list[str]], lines: list[str], wanted: list[str], types: str, sort: str) -> bool:
        if lines == wanted:
            return True
        if len(lines) != len(wanted) or self.valuewise or any("hashing to" in x for x in wanted):
            return False
        split = sorted(w.split("\t") for w in wanted) if sort == "rowsort" else [w.split("\t") for w in wanted]
        mine = sorted(got) if sort == "rowsort" else got
        return all(
            len(g) == len(w)
            and all(slt_format.same(a, b, types[i : i + 1]) for i, (a, b) in enumerate(zip(g, w, strict=True)))
            for g, w in zip(mine, split, strict=True)
        )

    def _lines(self, got: list[list[str]], sort: str) -> list[str]:
        values = [v for row in (sorted(got) if sort == "rowsort" else got) for v in row]
        if sort == "valuesort":
            values.sort()
        if self.threshold and len(values) > self.threshold:
            return [slt_classic.digest(values)]
        if self.valuewise or sort == "valuesort":
            return values
        return ["\t".join(row) for row in (sorted(got) if sort == "rowsort" else got)]


class _options:
    """Session options for the time of a block."""

    def __init__(self, connection: Any, options: dict[str, str]) -> None:
        self.connection, self.options = connection, options

    def __enter__(self) -> None:
        for key, value in self.options.items():
            self.connection.execute(f"SET '{key}' = '{value}'").close()

    def __exit__(self, *_: object) -> None:
        for key in self.options:
            self.connection.execute(f"RESET '{key}'").close()


def _apply(bag: Counter[tuple[str, ...]], op: str, row: tuple[str, ...]) -> None:
    bag[row] += 1 if op in ("+I", "+U") else -1
    if not bag[row]:
        del bag[row]


def _net(changes: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    bag: Counter[tuple[str, ...]] = Counter()
    for op, *row in changes:
        _apply(bag, op, tuple(row))
    return [("+I" if n > 0 else "-D", *row) for row, n in bag.items() for _ in range(abs(n))]


def _diff(got: list[list[str]], wanted: list[list[str]]) -> str:
    mine, theirs = Counter(map(tuple, got)), Counter(map(tuple, wanted))
    lines = ["  got      " + "\t".join(r) for r in (mine - theirs).elements()]
    lines += ["  expected " + "\t".join(r) for r in (theirs - mine).elements()]
    return "\n".join(lines[:40]) if lines else "  the same rows in another order"


def run_file(
    path: Path, *, complete: bool = False, only: int | None = None, engine: str = ENGINE, mirror: bool = True
) -> Runner:
    """Runs a file in a temporary folder; rewrites it when completing. Raises Mismatch at the first bad record."""
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(path, Path(folder), complete=complete, engine=engine, mirror=mirror)
        text = runner.run(only)
        if complete:
            path.write_text(text)
        return runner


def count_file(path: Path, *, engine: str = ENGINE, mirror: bool = True) -> Runner:
    """Runs a file to its end; what did not hold is in the runner's `failures`."""
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(path, Path(folder), engine=engine, mirror=mirror)
        runner.failures = []
        runner.run()
        return runner


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--complete", action="store_true")
    arguments.add_argument("--only", type=int, metavar="LINE")
    arguments.add_argument("--engine", default=ENGINE, metavar="LABEL", help="whose skipif and onlyif hold")
    arguments.add_argument("--keep-going", action="store_true", help="count what fails, to the end of each file")
    arguments.add_argument("--no-mirror", dest="mirror", action="store_false", help="no query runs as a stream")
    arguments.add_argument("files", nargs="+", type=Path)
    chosen = arguments.parse_args()
    failed = queries = failed_queries = 0
    for path in chosen.files:
        try:
            if chosen.keep_going:
                runner = count_file(path, engine=chosen.engine, mirror=chosen.mirror)
            else:
                runner = run_file(
                    path, complete=chosen.complete, only=chosen.only, engine=chosen.engine, mirror=chosen.mirror
                )
        except Mismatch as stopped:
            failed += 1
            print(f"FAIL {stopped}\n", flush=True)
            continue
        failures = [str(failure) for failure in runner.failures or []]
        for text in failures:
            print(f"FAIL {text}\n")
        queries, failed = queries + runner.queries, failed + len(failures)
        failed_queries += sum(": query " in text.split("\n", 1)[0] for text in failures)
        state = f"{len(failures)} failed, " if failures else ""
        print(
            f"{'FAIL' if failures else 'ok  '} {path}: {state}"
            f"{runner.records} records, {runner.queries} queries, {runner.queries_mirrored} mirrored",
            flush=True,
        )
    print(f"{queries} queries, {failed_queries} failed; {failed} records failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
