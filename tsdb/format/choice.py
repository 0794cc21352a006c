"""Which format, compression and statistics a new file has: by its level, and by whether it is a changelog file.

Source: Paimon, `CoreOptions.fileFormatPerLevel`, `KeyValueFileWriterFactory`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tsdb.data_types import DataField, DataType, TypeRoot
from tsdb.errors import NotSupportedError, OptionError, nearest
from tsdb.format import FORMATS, Format
from tsdb.options import TableOptions

_WIDE = (TypeRoot.TIMESTAMP, TypeRoot.TIMESTAMP_LTZ)
STATS_MODE = "metadata.stats-mode"


@dataclass(frozen=True, slots=True)
class FileChoice:
    """How one file is written. options: those of the table, with the ones that hold for this file over them."""

    format: Format
    options: TableOptions

    @property
    def extension(self) -> str:
        """The end of the file's name, without its first dot."""
        if not self.options.flag("file.suffix.include.compression"):
            return self.format.name
        return f"{self.options.get('file.compression')}.{self.format.name}"


def choose(options: TableOptions, level: int, changelog: bool) -> FileChoice:
    """The choice for a new file. Raises OptionError or NotSupportedError for a value that is none."""
    name, codec = options.get("file.format") or "", options.get("file.compression") or ""
    mode = options.get(STATS_MODE) or ""
    if changelog:
        name = options.get("changelog-file.format") or name
        codec = options.get("changelog-file.compression") or codec
        mode = options.get("changelog-file.stats-mode") or mode
    else:
        name = per_level(options, "file.format.per.level").get(level, name)
        codec = per_level(options, "file.compression.per.level").get(level, codec)
        mode = per_level(options, "metadata.stats-mode.per.level").get(level, mode)
    return _choice(options, name, codec, mode)


def _choice(options: TableOptions, name: str, codec: str, mode: str) -> FileChoice:
    name, codec = name.strip().lower(), codec.strip().lower() or "none"
    if name not in FORMATS:
        known = ", ".join(f"'{known}'" for known in FORMATS)
        raise NotSupportedError(f"data files of format '{name}' cannot be written; use {known}{nearest(name, FORMATS)}")
    form = FORMATS[name]
    if codec not in form.codecs:
        known = ", ".join(f"'{known}'" for known in form.codecs)
        raise NotSupportedError(f"{name} files cannot be compressed with '{codec}'; use one of {known}")
    own = {"file.format": name, "file.compression": codec, STATS_MODE: mode}
    return FileChoice(form, TableOptions({**options.values, **own}))


def per_level(options: TableOptions, key: str) -> dict[int, str]:
    """The values of an option such as `0:avro,5:parquet`, by level. Raises OptionError."""
    values: dict[int, str] = {}
    for word in options.words(key):
        level, colon, value = (part.strip() for part in word.partition(":"))
        if not colon or not level.isdecimal() or not value:
            raise OptionError(f"'{key}' is a list such as '0:avro,5:parquet', not '{options.get(key)}'")
        values[int(level)] = value
    return values


def choices(options: TableOptions) -> Iterator[FileChoice]:
    """Every choice that a file of the table may lead to."""
    listed = ("file.format.per.level", "file.compression.per.level", "metadata.stats-mode.per.level")
    levels = {level for key in listed for level in per_level(options, key)}
    for level in sorted({0, options.max_level, *levels}):
        yield choose(options, level, False)
    yield choose(options, 0, True)


def check_formats(fields: Sequence[DataField], options: TableOptions) -> None:
    """Raise OptionError or NotSupportedError for formats that tsdb has not, or that cannot hold a column."""
    for choice in choices(options):
        for field in fields:
            if choice.format.name != "parquet" and _has(field.type, lambda kind: kind.root is TypeRoot.VARIANT):
                raise NotSupportedError(
                    f"column `{field.name}` is {field.type.sql()}, which only Parquet files hold; use 'file.format' = "
                    f"'parquet', at every level"
                )
            if choice.format.name == "avro" and _has(field.type, _is_nanos):
                raise NotSupportedError(
                    f"column `{field.name}` is {field.type.sql()}, but Avro data files hold timestamps of six digits "
                    f"at most; use TIMESTAMP(6), or 'file.format' = 'parquet'"
                )


def _is_nanos(kind: DataType) -> bool:
    return kind.root in _WIDE and kind.precision > 6


def _has(kind: DataType, test: Callable[[DataType], bool]) -> bool:
    """Whether that is true of the type, or of one inside of it."""
    parts = (kind.element, kind.key, kind.value, *(field.type for field in kind.fields))
    return test(kind) or any(_has(part, test) for part in parts if part is not None)
