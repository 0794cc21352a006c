"""Table schemas: `schema/schema-<N>`, N = 0, 1, 2 …, all kept; every data file names the one it was written with.

Source: Paimon, `TableSchema`, `SchemaManager`, `SchemaSerializer`.
"""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import pyarrow as pa

from tsdb.data_types import DataField, DataType, arrow_schema, field_from_json
from tsdb.errors import CorruptFile, Error
from tsdb.fs.file_io import FileIO
from tsdb.options import TableOptions

VERSION = 3
_KEPT_MAX = 1024


@dataclass(frozen=True)
class TableSchema:
    """One version of a table's schema. options: the table's, as text."""

    id: int
    fields: tuple[DataField, ...]
    partition_keys: tuple[str, ...] = ()
    primary_keys: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    comment: str | None = None
    time_millis: int = 0
    highest_field_id: int = -1
    version: int = VERSION

    def to_json(self) -> str:
        """The text of the schema file."""
        out: dict[str, Any] = {
            "version": self.version,
            "id": self.id,
            "fields": [f.to_json() for f in self.fields],
            "highestFieldId": self.highest_field_id,
            "partitionKeys": list(self.partition_keys),
            "primaryKeys": list(self.primary_keys),
            "options": dict(self.options),
        }
        if self.comment is not None:
            out["comment"] = self.comment
        out["timeMillis"] = self.time_millis
        return json.dumps(out, indent=2, ensure_ascii=False)

    @staticmethod
    @lru_cache(_KEPT_MAX)
    def from_json(text: str | bytes) -> "TableSchema":
        """The schema of a file's text; unknown keys are ignored. Raises KeyError, TypeError or ValueError.

        Those read last are kept with what they derived, by their text: a schema is looked up by every statement.
        """
        spec = json.loads(text)
        version = spec.get("version", 1)
        options = dict(spec.get("options") or {})
        if version <= 2:
            options.setdefault("file.format", "orc")
        if version <= 1:
            options.setdefault("bucket", "1")
        return TableSchema(
            id=spec["id"],
            fields=tuple(field_from_json(f) for f in spec["fields"]),
            partition_keys=tuple(spec.get("partitionKeys") or ()),
            primary_keys=tuple(spec.get("primaryKeys") or ()),
            options=options,
            comment=spec.get("comment"),
            time_millis=spec.get("timeMillis", 0),
            highest_field_id=spec["highestFieldId"],
            version=version,
        )

    @cached_property
    def arrow_schema(self) -> pa.Schema:
        """The user's columns, nullability included."""
        return arrow_schema(self.fields)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Column names in order."""
        return tuple(f.name for f in self.fields)

    @cached_property
    def _by_name(self) -> Mapping[str, DataField]:
        return {f.name: f for f in self.fields}

    def field(self, name: str) -> DataField:
        """The column of that name. Raises KeyError."""
        return self._by_name[name]

    def has(self, name: str) -> bool:
        """Whether there is a column of that name."""
        return name in self._by_name

    @cached_property
    def partition_types(self) -> tuple[DataType, ...]:
        """The types of the partition columns."""
        return tuple(self.field(key).type for key in self.partition_keys)

    @cached_property
    def trimmed_primary_keys(self) -> tuple[str, ...]:
        """The primary key without partition columns (the whole of it if nothing else is left)."""
        trimmed = tuple(k for k in self.primary_keys if k not in self.partition_keys)
        return trimmed or self.primary_keys

    @cached_property
    def bucket_keys(self) -> tuple[str, ...]:
        """The columns whose hash chooses the bucket: `bucket-key`, else the trimmed primary key, else ()."""
        return TableOptions(self.options).bucket_key or self.trimmed_primary_keys


class SchemaManager:
    """The schema files of one table (or branch). Schemas are immutable, so they are read once."""

    def __init__(self, file_io: FileIO, table_path: str) -> None:
        """table_path: the directory that holds `schema/`."""
        self._file_io = file_io
        self._directory = f"{table_path}/schema"
        self._known: dict[int, TableSchema] = {}
        self._lock = threading.Lock()

    def ids(self) -> list[int]:
        """The ids there are, ascending."""
        names = [f.name for f in self._file_io.list_files(self._directory)]
        return sorted(int(n[7:]) for n in names if n.startswith("schema-") and n[7:].isdigit())

    def latest(self) -> TableSchema | None:
        """The newest schema; None if this is no table."""
        ids = self.ids()
        return self.schema(ids[-1]) if ids else None

    def schema(self, schema_id: int) -> TableSchema:
        """The schema of that id. Raises CorruptFile naming the file if it is missing or unreadable."""
        with self._lock:
            if schema_id in self._known:
                return self._known[schema_id]
        path = f"{self._directory}/schema-{schema_id}"
        try:
            schema = TableSchema.from_json(self._file_io.read_bytes(path))
        except FileNotFoundError as err:
            raise CorruptFile(f"schema file {path} is missing") from err
        except (KeyError, TypeError, ValueError, AttributeError, Error) as err:
            raise CorruptFile(f"schema file {path} cannot be read: {err}") from err
        with self._lock:
            self._known[schema_id] = schema
        return schema

    def try_create(self, schema: TableSchema) -> bool:
        """Publish the schema under its id; False if another has it."""
        return self._file_io.try_create(f"{self._directory}/schema-{schema.id}", schema.to_json().encode())
