"""COPY … TO: the rows of a query as one local file, which appears when it is complete."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.orc as paorc
import pyarrow.parquet as papq

from tsdb import clock
from tsdb.connector.serde.json_writer import json_objects, lines_of
from tsdb.errors import DataError, NotSupportedError, OptionError, nearest
from tsdb.exec.batch.query import open_rows
from tsdb.exec.local_file import FORMATS, format_of, one_char, true_or_false
from tsdb.exec.plan import QueryPlan
from tsdb.format.steady_sink import SteadySink

_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "csv": ("header", "delimiter", "delim"),
    "json": (),
    "parquet": ("compression",),
    "orc": ("compression",),
    "arrow": ("compression",),
}


class _Writer(Protocol):
    def write(self, table: pa.Table) -> None: ...

    def close(self) -> None: ...


def copy_to(plan: QueryPlan, path: str, options: Mapping[str, str]) -> int:
    """Write the rows of the query to the file at `path`, in the place of what is there; how many rows.

    options: `format`, else the name tells it, and those of the format. A COPY that fails leaves the old file.
    """
    kind, options = _checked(path, options)
    target = Path(path).expanduser()
    count = 0
    with _appearing(target) as unfinished:
        writer = _WRITERS[kind](unfinished, plan.schema, options)
        try:
            for batch in open_rows(plan):
                writer.write(pa.Table.from_batches([batch]))
                count += batch.num_rows
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as err:
            raise DataError(f"'{path}' cannot be written as {kind}: {err}") from err
        finally:
            writer.close()
    return count


def _checked(path: str, options: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    rest = dict(options)
    kind = rest.pop("format", format_of(path) or "").lower()
    if kind not in FORMATS:
        shown = ", ".join(sorted(FORMATS))
        raise NotSupportedError(f"'{path}' does not tell its format; write (FORMAT …) with one of {shown}")
    if path.lower().endswith(".gz"):
        raise NotSupportedError(f"'{path}': COPY writes no .gz files; (COMPRESSION zstd) compresses Parquet")
    for key in rest:
        if key not in _OPTIONS[kind]:
            raise OptionError(f"`{key}` is no option of writing {kind} files.{nearest(key, _OPTIONS[kind])}")
    return kind, rest


@contextmanager
def _appearing(target: Path) -> Iterator[Path]:
    """A file beside `target` that takes its place at the end, or goes when something fails."""
    if not target.parent.is_dir():
        raise DataError(f"there is no directory '{target.parent}' for '{target.name}'")
    unfinished = target.with_name(f".{target.name}.{clock.current().new_id()}")
    try:
        yield unfinished
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


class _JsonLines:
    """One object a line."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, table: pa.Table) -> None:
        """Append the rows."""
        self._file.write(lines_of(json_objects(table)))

    def close(self) -> None:
        """No more rows."""
        self._file.close()


def _csv(path: Path, schema: pa.Schema, options: Mapping[str, str]) -> _Writer:
    nested = next((field for field in schema if pa.types.is_nested(field.type)), None)
    if nested is not None:
        raise NotSupportedError(f"column `{nested.name}` is nested, which CSV cannot hold; use JSON or Parquet")
    delimiter = one_char("delimiter", options.get("delimiter", options.get("delim", ",")))
    header = true_or_false("header", options.get("header", "true"))
    writer: _Writer = pacsv.CSVWriter(
        str(path), schema, write_options=pacsv.WriteOptions(include_header=header, delimiter=delimiter)
    )
    return writer


def _compression(options: Mapping[str, str], default: str, allowed: tuple[str, ...]) -> str:
    chosen = options.get("compression", default).lower()
    if chosen not in allowed:
        raise OptionError(f"`compression` is one of {', '.join(allowed)}, not '{chosen}'")
    return chosen


def _parquet(path: Path, schema: pa.Schema, options: Mapping[str, str]) -> _Writer:
    codec = _compression(options, "zstd", ("zstd", "snappy", "gzip", "lz4", "none"))
    writer: _Writer = papq.ParquetWriter(str(path), schema, compression=codec)
    return writer


class _Orc:
    """An ORC file; see `SteadySink`."""

    def __init__(self, path: Path, codec: str) -> None:
        self._file = pa.OSFile(str(path), "wb")
        self._sink = SteadySink(self._file)
        self._writer = paorc.ORCWriter(pa.PythonFile(self._sink, mode="w"), compression=codec)

    def write(self, table: pa.Table) -> None:
        self._sink.check()
        self._writer.write(table)

    def close(self) -> None:
        self._writer.close()
        self._file.close()
        self._sink.check()


def _orc(path: Path, schema: pa.Schema, options: Mapping[str, str]) -> _Writer:
    return _Orc(path, _compression(options, "zstd", ("zstd", "snappy", "zlib", "lz4")))


def _arrow(path: Path, schema: pa.Schema, options: Mapping[str, str]) -> _Writer:
    codec = _compression(options, "none", ("zstd", "lz4", "none"))
    chosen = pa.ipc.IpcWriteOptions(compression=None if codec == "none" else codec)
    writer: _Writer = pa.ipc.new_file(str(path), schema, options=chosen)
    return writer


_WRITERS: Mapping[str, Callable[[Path, pa.Schema, Mapping[str, str]], _Writer]] = {
    "csv": _csv,
    "json": lambda path, schema, options: _JsonLines(path.open("wb")),
    "parquet": _parquet,
    "orc": _orc,
    "arrow": _arrow,
}
