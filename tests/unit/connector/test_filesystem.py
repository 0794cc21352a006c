"""Files are followed line by line, exactly once, and written exactly once."""

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tsdb.changes import ChangeBatch, inserts
from tsdb.connector import CONNECTORS, connector_of
from tsdb.connector.filesystem import FilesystemConnector
from tsdb.data_types import DataField, parse_type
from tsdb.errors import DataError, MalformedRecord, NotSupportedError, OperationalError, OptionError
from tsdb.metadata.schema import TableSchema


@dataclass
class ATable:
    schema: TableSchema
    options: dict[str, str] = field(default_factory=dict)
    identifier: str = "default.t"


def table(columns: dict[str, str], key: tuple[str, ...] = (), **options: str) -> ATable:
    fields = tuple(DataField(i, n, parse_type(t)) for i, (n, t) in enumerate(columns.items()))
    return ATable(TableSchema(0, fields, primary_keys=key), {k.replace("__", "-"): v for k, v in options.items()})


def file_table(path: Path, fmt: str = "json", key: tuple[str, ...] = (), **options: str) -> ATable:
    columns = {"id": "INT", "v": "STRING"}
    return table(columns, key, connector="filesystem", path=str(path), format=fmt, **options)


FS = FilesystemConnector()


def polled(source: Any, rows_max: int = 1000) -> list[tuple[int, int, Any]]:
    out = []
    while (delta := source.poll(rows_max)) is not None:
        assert delta.complete
        for change in delta.changes:
            out += [(int(w), *r.values()) for r, w in zip(change.rows.to_pylist(), change.weights, strict=True)]
    return out


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_follows_complete_lines_and_new_files(tmp_path: Path) -> None:
    source = FS.source(file_table(tmp_path), bounded=False)
    assert source.poll(10) is None and source.latest_reached()
    append(tmp_path / "a", '{"id":1,"v":"x"}\n{"id":2,')
    assert polled(source) == [(1, 1, "x")]
    append(tmp_path / "a", '"v":"y"}\n')
    append(tmp_path / "b", '{"id":3}\n')
    append(tmp_path / "_hidden", '{"id":4}\n')
    assert polled(source) == [(1, 2, "y"), (1, 3, None)]
    assert not source.finished


def test_one_poll_takes_lines_of_many_files(tmp_path: Path) -> None:
    for i in range(5):
        (tmp_path / f"f{i}").write_text(f'{{"id":{i}}}\n{{"id":{10 + i}}}\n')
    source = FS.source(file_table(tmp_path), bounded=True)
    first = source.poll(5)
    assert first is not None and sum(change.num_rows for change in first.changes) == 5
    assert [row[1] for row in polled(source)] == [12, 3, 13, 4, 14]
    assert source.finished


def test_what_precedes_a_bad_line_in_another_file_is_given_first(tmp_path: Path) -> None:
    (tmp_path / "a").write_text('{"id":1}\n')
    (tmp_path / "b").write_text('{"id":2}\nbad\n')
    source = FS.source(file_table(tmp_path), bounded=False)
    delta = source.poll(100)
    assert delta is not None and [change.rows["id"].to_pylist() for change in delta.changes] == [[1]]
    for _ in range(2):
        with pytest.raises(MalformedRecord, match=r"/b, line 2: not JSON"):
            source.poll(100)


def test_position_survives_a_restart_and_nothing_comes_twice(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f'{{"id":{i}}}\n' for i in range(10)))
    source = FS.source(file_table(log), bounded=False)
    delta = source.poll(4)
    assert delta is not None and delta.changes[0].num_rows == 4
    position = json.loads(json.dumps(source.position))
    append(log, '{"id":10}\n')
    again = FS.source(file_table(log), bounded=False)
    again.seek(position)
    assert [r[1] for r in polled(again, 3)] == list(range(4, 11))


def test_bounded_ends_at_what_was_there(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text('{"id":1}\n{"id":2}')
    source = FS.source(file_table(log), bounded=True)
    append(log, '\n{"id":3}\n')
    assert [r[1] for r in polled(source)] == [1, 2]
    assert source.finished


@pytest.mark.parametrize("how", ["truncated", "rotated", "rewritten", "removed"])
def test_a_log_that_is_no_longer_the_same_is_an_error(tmp_path: Path, how: str) -> None:
    log = tmp_path / "log"
    log.write_text('{"id":1}\n{"id":2}\n')
    source = FS.source(file_table(log), bounded=False)
    polled(source)
    position = source.position
    if how == "truncated":
        log.write_text('{"id":1}\n')
    elif how == "rotated":
        log.rename(tmp_path / "log.1")
        log.write_text('{"id":9}\n{"id":8}\n{"id":7}\n')
    elif how == "rewritten":
        log.write_text('{"id":5}\n{"id":6}\n{"id":7}\n')
    else:
        log.unlink()
    with pytest.raises(OperationalError, match=r"log"):
        source.poll(10)
    if how != "removed":
        with pytest.raises(OperationalError, match="rotated, truncated or rewritten"):
            FS.source(file_table(log), bounded=False).seek(position)


def test_a_bad_line_is_named_by_file_and_line(tmp_path: Path) -> None:
    log = tmp_path / "log.json"
    log.write_text("".join(f'{{"id":{i}}}\n' for i in range(100)))
    source = FS.source(file_table(log), bounded=False)
    polled(source, 30)
    append(log, '{"id":100}\n{"id":"no"}\n')
    with pytest.raises(MalformedRecord, match=r"log\.json, line 102: .*`id`.*\n.*no"):
        source.poll(1000)
    skipping = FS.source(file_table(log, **{"json.ignore__parse__errors": "true"}), bounded=True)
    assert len(polled(skipping)) == 101
    assert skipping.skipped == 1


def change(op: str, before: Any, after: Any) -> str:
    return json.dumps({"before": before, "after": after, "op": op}) + "\n"


CHANGE_LOG = (
    change("c", None, {"id": 1, "v": "a"})
    + change("c", None, {"id": 2, "v": "b"})
    + change("u", {"id": 1, "v": "a"}, {"id": 1, "v": "A"})
    + change("d", {"id": 2, "v": "b"}, None)
)


@pytest.mark.parametrize("key", [("id",), ()])
def test_a_batch_query_sees_the_state_of_a_change_log(tmp_path: Path, key: tuple[str, ...]) -> None:
    log = tmp_path / "log"
    log.write_text(CHANGE_LOG)
    batches = list(FS.read_batch(file_table(log, "debezium-json", key)))
    assert pa.Table.from_batches(batches).to_pylist() == [{"id": 1, "v": "A"}]


@pytest.mark.parametrize("key", [("id",), ()])
def test_truncate_removes_what_was_there(tmp_path: Path, key: tuple[str, ...]) -> None:
    log = tmp_path / "log"
    log.write_text(CHANGE_LOG + change("t", None, None) + change("c", None, {"id": 3, "v": "c"}))
    for rows_max in (1, 3, 100):
        source = FS.source(file_table(log, "debezium-json", key), bounded=True)
        state: dict[Any, int] = {}
        for weight, *row in polled(source, rows_max):
            slot = row[0] if key else tuple(row)
            state[slot] = (1 if weight > 0 else 0) if key else state.get(slot, 0) + weight
        assert [k for k, n in state.items() if n] == [3 if key else (3, "c")]


@pytest.mark.parametrize("capture", ["pg_noschema", "pg_schema_tx", "maria_schema"])
def test_a_log_is_the_same_however_it_is_cut(capture: str) -> None:
    log = Path(__file__).parents[2] / "fixtures" / "cdc" / f"{capture}.jsonl"
    columns = {"id": "INT", "customer": "STRING", "amount": "DECIMAL(10, 2)", "created": "TIMESTAMP_LTZ(6)"}
    t = table(columns, ("id",), connector="filesystem", path=str(log), format="debezium-json")
    t.options["debezium-json.table.include"] = r"\w+\.orders"
    whole = polled(FS.source(t, bounded=True))
    assert len(whole) > 10
    for rows_max in (1, 2, 7):
        assert polled(FS.source(t, bounded=True), rows_max) == whole


def test_a_delete_that_never_came_is_an_error_without_a_key(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(change("d", {"id": 2, "v": "b"}, None))
    with pytest.raises(DataError, match="PRIMARY KEY"):
        list(FS.read_batch(file_table(log, "debezium-json")))


ALL_TYPES = {
    "i": "INT",
    "b": "BIGINT",
    "s": "STRING",
    "d": "DECIMAL(10, 2)",
    "f": "DOUBLE",
    "y": "BYTES",
    "a": "DATE",
    "t": "TIME(3)",
    "t3": "TIMESTAMP(3)",
    "t6": "TIMESTAMP(6)",
    "z": "TIMESTAMP_LTZ(6)",
    "o": "BOOLEAN",
}
VALUES: list[dict[str, Any]] = [
    {
        "i": -1,
        "b": 1 << 62,
        "s": 'q"u,o\\te é',
        "d": Decimal("-1.50"),
        "f": 1.5,
        "y": b"\x00\xff",
        "a": dt.date(1969, 1, 2),
        "t": dt.time(1, 2, 3, 4000),
        "t3": dt.datetime(2024, 1, 2, 3, 4, 5, 678000),
        "t6": dt.datetime(1960, 1, 2, 3, 4, 5, 6),
        "z": dt.datetime(2024, 1, 2, tzinfo=dt.UTC),
        "o": True,
    },
    dict.fromkeys(ALL_TYPES),
    {**dict.fromkeys(ALL_TYPES), "s": ""},
]


@pytest.mark.parametrize("fmt", ["json", "csv", "debezium-json"])
def test_what_is_written_is_read_back(tmp_path: Path, fmt: str) -> None:
    t = table(ALL_TYPES, connector="filesystem", path=str(tmp_path / "out"), format=fmt)
    rows = pa.Table.from_pylist(VALUES, schema=t.schema.arrow_schema)
    assert FS.write_batch(t, rows.to_reader()) == 3
    assert FS.write_batch(t, rows.slice(0, 1).to_reader()) == 1
    back = pa.Table.from_batches(FS.read_batch(t))
    assert sorted(map(str, back.to_pylist())) == sorted(
        map(str, pa.concat_tables([rows, rows.slice(0, 1)]).to_pylist())
    )


def test_raw_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"a b\r\n\n\xc3\xa9")
    t = table({"line": "STRING"}, connector="filesystem", path=str(log), format="raw")
    assert [r["line"] for b in FS.read_batch(t) for r in b.to_pylist()] == ["a b", "", "é"]
    append(log, "\n")
    log.write_bytes(log.read_bytes() + b"\xff\n")
    with pytest.raises(MalformedRecord, match="line 4: not UTF-8"):
        list(FS.read_batch(t))


@pytest.mark.parametrize("name", ["dir", "one.json"])
@pytest.mark.parametrize("crash", ["before_commit", "after_commit", "torn"])
def test_a_version_is_published_once(tmp_path: Path, name: str, crash: str) -> None:
    t = file_table(tmp_path / name)
    rows = pa.table({"id": [1, 2], "v": ["a", None]}, schema=t.schema.arrow_schema)
    sink = FS.sink(t)
    sink.write(inserts(rows))
    sink.commit(1, sink.prepare(1))
    sink.write(ChangeBatch(rows, np.array([2, 1])))
    committable = json.loads(json.dumps(sink.prepare(2)))
    assert len(read(t)) == 2
    sink.close()
    if crash == "torn" and name == "one.json":
        append(tmp_path / name, Path(committable["staged"]).read_text()[:7])
    again = FS.sink(t)
    if crash == "after_commit":
        again.commit(2, committable)
    again.commit(2, committable)
    again.close()
    assert sorted(r["id"] for r in read(t)) == [1, 1, 1, 2, 2]
    assert not list(tmp_path.glob("**/.staged*"))


def read(t: ATable) -> list[dict[str, Any]]:
    return [row for batch in FS.read_batch(t) for row in batch.to_pylist()]


def test_a_failing_write_leaves_nothing(tmp_path: Path) -> None:
    t = file_table(tmp_path / "out")
    good = pa.table({"id": [1], "v": ["a"]}, schema=t.schema.arrow_schema)

    def batches() -> Iterator[pa.RecordBatch]:
        yield good.to_batches()[0]
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        FS.write_batch(t, pa.RecordBatchReader.from_batches(good.schema, batches()))
    assert list((tmp_path / "out").iterdir()) == []


def test_json_takes_no_rows_back(tmp_path: Path) -> None:
    t = file_table(tmp_path / "out")
    sink = FS.sink(t)
    assert sink.accepts == "append"
    rows = pa.table({"id": [1], "v": ["a"]}, schema=t.schema.arrow_schema)
    with pytest.raises(NotSupportedError, match="debezium-json"):
        sink.write(ChangeBatch(rows, np.array([-1])))


WRONG = [
    ({"connector": "filesistem", "path": "x", "format": "json"}, OptionError, "Did you mean `filesystem`"),
    ({"connector": "jdbc"}, NotSupportedError, "not there yet"),
    ({"connector": "filesystem", "path": "x"}, OptionError, "needs the option 'format'"),
    ({"connector": "filesystem", "format": "json"}, OptionError, "needs the option 'path'"),
    ({"connector": "filesystem", "path": "x", "format": "jsn"}, OptionError, "Did you mean `json`"),
    ({"connector": "filesystem", "path": "x", "format": "json", "pth": "y"}, OptionError, "Did you mean `path`"),
    ({"connector": "filesystem", "path": "s3://x", "format": "json"}, NotSupportedError, "local path"),
    (
        {"connector": "filesystem", "path": "x", "format": "csv", "csv.field-delimiter": ";;"},
        OptionError,
        "one ASCII character",
    ),
    (
        {"connector": "filesystem", "path": "x", "format": "debezium-json", "debezium-json.table.include": "("},
        OptionError,
        "regular expression",
    ),
    ({"connector": "datagen", "fields.id.kind": "other"}, OptionError, "'random' or 'sequence'"),
    ({"connector": "datagen", "fields.nope.min": "1"}, OptionError, "fields are id, v"),
]


@pytest.mark.parametrize(("options", "error", "match"), WRONG, ids=[str(w[2]) for w in WRONG])
def test_wrong_options_are_refused(options: dict[str, str], error: type[Exception], match: str) -> None:
    t = table({"id": "INT", "v": "STRING"}, **options)
    with pytest.raises(error, match=match):
        connector_of(t).validate(t)


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OperationalError, match="No such file"):
        list(FS.read_batch(file_table(tmp_path / "nope")))


def test_datagen_is_the_same_from_every_position() -> None:
    columns = {
        "id": "BIGINT",
        "v": "STRING",
        "x": "DOUBLE",
        "d": "DECIMAL(10, 2)",
        "ts": "TIMESTAMP(3)",
        "b": "BOOLEAN",
    }
    t = table(
        columns,
        **{
            "connector": "datagen", "number-of-rows": "5000", "fields.id.kind": "sequence", "fields.id.start": "7",
            "fields.x.min": "2", "fields.x.max": "3", "rows-per-second": "1000000000",
        },
    )  # fmt: skip
    whole = pa.Table.from_batches(CONNECTORS["datagen"].read_batch(t))
    assert whole.num_rows == 5000 and whole["id"][0].as_py() == 7
    assert all(2 <= x <= 3 for x in whole["x"].to_pylist()) and len(set(whole["v"].to_pylist())) == 5000
    source = CONNECTORS["datagen"].source(t, bounded=False)
    source.seek(4990)
    rows: list[Any] = []
    while not source.finished:
        delta = source.poll(3)
        rows += [] if delta is None else delta.changes[0].rows.to_pylist()
    assert rows == whole.slice(4990).to_pylist()


def test_print_shows_row_kinds(capsys: pytest.CaptureFixture[str]) -> None:
    t = table({"id": "INT", "v": "STRING"}, ("id",), connector="print")
    rows = pa.table({"id": [1, 1, 2], "v": ["a", "b", None]}, schema=t.schema.arrow_schema)
    sink = CONNECTORS["print"].sink(t)
    sink.write(ChangeBatch(rows, np.array([-1, 1, 1])))
    assert capsys.readouterr().out == "", "it may be half a version"
    assert sink.prepare(1) is None
    assert sorted(capsys.readouterr().out.splitlines()) == ["+I[2, NULL]", "+U[1, b]", "-U[1, a]"]
