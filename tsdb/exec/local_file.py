"""Files that a query names itself: `SELECT … FROM 'orders.parquet'`, `read_csv('*.csv', delim => ';')`.

The format comes from the name, or from the function. The columns are those of the first file; other files may have
them in another order. Parquet and JSON are scanned by DataFusion, CSV, ORC and Arrow files by pyarrow.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping, Sequence
from glob import glob
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.dataset as pads
from datafusion import SessionContext

from tsdb.errors import DataError, Error, NotSupportedError, OptionError, ProgrammingError, TableNotFound, nearest
from tsdb.exec.engine import our_schema
from tsdb.exec.relation import FileSource

FORMATS: Mapping[str, tuple[str, ...]] = {
    "parquet": (".parquet", ".pq"),
    "csv": (".csv", ".tsv", ".csv.gz", ".tsv.gz"),
    "json": (".json", ".jsonl", ".ndjson", ".json.gz", ".jsonl.gz", ".ndjson.gz"),
    "orc": (".orc",),
    "arrow": (".arrow", ".feather"),
}
"""The formats of files, and the names that tell them."""

READ_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "csv": ("delim", "delimiter", "sep", "header", "quote", "nullstr", "skip")
}
"""What may be said about reading a format."""

_SNIFFED_BYTES = 65_536
_DELIMITERS = ",;\t|"


def looks_like_file(name: str) -> bool:
    """A name in FROM that no table has may be a file's: it ends like one."""
    return format_of(name) is not None


def format_of(name: str) -> str | None:
    """The format that the name tells."""
    lower = name.lower()
    return next((kind for kind, endings in FORMATS.items() if lower.endswith(endings)), None)


def find_files(
    patterns: Sequence[str],
    kind: str | None = None,
    options: Mapping[str, str] | None = None,
    types: Sequence[pa.DataType] | None = None,
) -> FileSource:
    """The files that the patterns name, with their columns.

    patterns: paths, or with `*`, `?`, `**`. kind: the format, None: as the names tell. types: of the columns of CSV
    files, in order; None: as the values look. Raises TableNotFound, OptionError, or DataError for what is no such file.
    """
    options = dict(options or {})
    shown = ", ".join(f"'{pattern}'" for pattern in patterns)
    paths = list(dict.fromkeys(path for pattern in patterns for path in _matching(pattern)))
    kind = kind or format_of(patterns[0])
    if kind is None:
        raise NotSupportedError(f"the name of {shown} does not tell its format; write read_csv(…), read_json(…) or so")
    for key in options:
        allowed = READ_OPTIONS.get(kind, ())
        if key not in allowed:
            raise OptionError(f"`{key}` is no option of reading {kind} files.{nearest(key, allowed)}")
    if kind == "csv":
        for other in ("delimiter", "sep"):
            if other in options:
                options["delim"] = options.pop(other)
        options = {"delim": _delimiter(paths[0]), **options}
    source = FileSource(shown, tuple(paths), kind, options, pa.schema([]), tuple(types) if types else None)
    return FileSource(shown, tuple(paths), kind, options, _schema(source), source.types)


def _matching(pattern: str) -> list[str]:
    path = str(Path(pattern).expanduser())
    found = sorted(glob(path, recursive=True)) if glob_signs(path) else [path]
    files = [str(Path(name).resolve()) for name in found if Path(name).is_file()]
    if not files:
        raise TableNotFound(f"there is no file '{pattern}', nor a table of that name")
    return files


def glob_signs(path: str) -> bool:
    """The path names any number of files."""
    return any(sign in path for sign in "*?[")


def _schema(source: FileSource) -> pa.Schema:
    try:
        if source.format == "json":
            return our_schema(_json(SessionContext(), source.paths[:1]).schema())
        found = _dataset(source, source.paths[:1]).schema
    except (pa.ArrowException, OSError, ValueError) as err:
        raise DataError(f"{source.name} cannot be read as {source.format}: {err}") from err
    except Error:
        raise
    except Exception as err:  # DataFusion raises nothing more exact
        raise DataError(f"{source.name} cannot be read as {source.format}: {err}") from err
    names = found.names
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise DataError(f"{source.name} has more than one column `{twice}`")
    return our_schema(pa.schema([field.remove_metadata() for field in found]))


def register_json(context: SessionContext, name: str, source: FileSource) -> None:
    """Let `name` (quoted as DataFusion takes it) be the JSON files."""
    context.register_table(name, _json(context, source.paths, source.schema))


def _json(context: SessionContext, paths: Sequence[str], schema: pa.Schema | None = None):  # type: ignore[no-untyped-def]
    frames = [
        context.read_json(
            path,
            schema=schema,
            file_extension="".join(Path(path).suffixes[-2:]) if path.endswith(".gz") else Path(path).suffix,
            file_compression_type="gzip" if path.endswith(".gz") else None,
        )
        for path in paths
    ]
    first, *others = frames
    for frame in others:
        first = first.union(frame)
    return first


def file_batches(source: FileSource) -> Iterator[pa.RecordBatch]:
    """The rows of files that pyarrow reads, in the source's columns."""
    try:
        for batch in _dataset(source, source.paths).to_batches(columns=source.schema.names):
            columns = [batch.column(i).cast(field.type) for i, field in enumerate(source.schema)]
            yield pa.RecordBatch.from_arrays(columns, schema=source.schema)
    except (pa.ArrowException, OSError) as err:
        raise DataError(f"{source.name} cannot be read as {source.format}: {err}") from err


def read_all(source: FileSource) -> pa.Table:
    """All rows of the files."""
    if source.format == "json":
        frame = _json(SessionContext(), source.paths, source.schema)
        return pa.Table.from_batches(frame.collect(), frame.schema()).cast(source.schema)
    return pa.Table.from_batches(file_batches(source), source.schema)


def _dataset(source: FileSource, paths: Sequence[str]) -> pads.Dataset:
    if source.format == "csv":
        return pads.dataset(list(paths), format=_csv_format(source, paths[0]))
    return pads.dataset(list(paths), format=source.format)


def _csv_format(source: FileSource, path: str) -> pads.CsvFileFormat:
    options = source.options
    delimiter, quote = one_char("delim", options["delim"]), one_char("quote", options.get("quote", '"'))
    with_header = true_or_false("header", options.get("header", "true"))
    skip = options.get("skip", "0")
    if not skip.isdigit():
        raise OptionError(f"`skip` is a number of lines, not '{skip}'")
    parse = pacsv.ParseOptions(delimiter=delimiter, quote_char=quote, newlines_in_values=True)
    read = pacsv.ReadOptions(autogenerate_column_names=not with_header, skip_rows=int(skip))
    convert = pacsv.ConvertOptions(strings_can_be_null="nullstr" in options, quoted_strings_can_be_null=False)
    if "nullstr" in options:
        convert.null_values = [options["nullstr"]]
    else:
        convert.null_values, convert.strings_can_be_null = [""], True
    if source.types is not None:
        names = pads.dataset([path], format=pads.CsvFileFormat(parse, read_options=read)).schema.names
        if len(names) != len(source.types):
            raise DataError(f"{source.name} has {len(names)} columns, but {len(source.types)} are wanted")
        convert.column_types = dict(zip(names, source.types, strict=True))
    return pads.CsvFileFormat(parse, convert_options=convert, read_options=read)


def one_char(key: str, value: str) -> str:
    """The value of an option that is one character; `\\t` is a tab. Raises OptionError."""
    value = value.replace("\\t", "\t")
    if len(value) != 1:
        raise OptionError(f"`{key}` is one character, not '{value}'")
    return value


def true_or_false(key: str, value: str) -> bool:
    """The value of an option that is true or false. Raises OptionError."""
    if value.lower() not in ("true", "false"):
        raise OptionError(f"`{key}` is true or false, not '{value}'")
    return value.lower() == "true"


def _delimiter(path: str) -> str:
    """The sign that stands equally often, and at least once, in each of the first lines; else the comma."""
    opener = gzip.open if path.lower().endswith(".gz") else open
    with opener(path, "rb") as file:
        lines = file.read(_SNIFFED_BYTES).decode("utf-8", "replace").splitlines()[:20]
    for sign in "\t" * path.lower().endswith((".tsv", ".tsv.gz")) + _DELIMITERS:
        counts = {_outside_quotes(line).count(sign) for line in lines[:-1] or lines if line}
        if len(counts) == 1 and counts != {0}:
            return sign
    return ","


def _outside_quotes(line: str) -> str:
    return "".join(line.split('"')[::2])


def check_function(name: str) -> str:
    """The format of `read_csv` and its like. Raises ProgrammingError for another function."""
    kind = name.lower().removeprefix("read_").removesuffix("_auto")
    if kind in ("ndjson", "jsonl"):
        kind = "json"
    if kind not in FORMATS:
        raise ProgrammingError(f"there is no function `{name}`.{nearest(name, [f'read_{kind}' for kind in FORMATS])}")
    return kind
