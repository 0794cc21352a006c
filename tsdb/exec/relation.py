"""What a name in FROM can stand for, and one reference to it in one statement."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import pyarrow as pa

from tsdb.catalog.catalog import ConnectorTable
from tsdb.metadata.snapshot import Snapshot
from tsdb.table.incremental import Between
from tsdb.table.table import Identifier, Table


@dataclass(frozen=True, slots=True)
class Registered:
    """Rows that the user put under a name for the session."""

    name: str
    rows: pa.Table


@dataclass(frozen=True, slots=True)
class SystemTable:
    """What the engine knows of a table (`t$snapshots`), or of the warehouse, at the moment of reading.

    table, kind: what it is of, and its name in `SYSTEM_TABLES`, where it takes options and may be followed.
    """

    name: str
    schema: pa.Schema
    read: Callable[[], pa.Table]
    table: Table | None = None
    kind: str = ""

    @property
    def rows(self) -> pa.Table:
        """All rows, read anew."""
        return self.read()


@dataclass(frozen=True, slots=True)
class View:
    """A stored query. Its own bare names are looked up in its database, and that in its catalog. columns: its output's
    names, if given.
    """

    identifier: Identifier
    query: str
    columns: tuple[str, ...] | None = None
    comment: str | None = None
    temporary: bool = False
    catalog: str = ""


@dataclass(frozen=True, slots=True)
class FileSource:
    """Local files that the query names. paths: absolute. format: parquet, csv, json, orc or arrow. types: of the
    columns in order, where the reader does not have to guess them.
    """

    name: str
    paths: tuple[str, ...]
    format: str
    options: Mapping[str, str]
    schema: pa.Schema
    types: tuple[pa.DataType, ...] | None = None


Source: TypeAlias = Table | ConnectorTable | Registered | SystemTable | FileSource


@dataclass(frozen=True, slots=True)
class Relation:
    """One reference to a source.

    name: under which DataFusion knows it, unique in the statement. shown: what the user calls it. options: of the
    hint, the version clause and the session, for this reference. snapshot: what a batch query reads of a `Table`;
    None for an empty one. upsert_key: the columns by which the source's rows replace one another. append_only: its
    rows are never taken back. between: what a batch query reads of a `Table` instead of a snapshot. zone: of the
    session.
    """

    name: str
    shown: str
    schema: pa.Schema
    source: Source
    options: Mapping[str, str] = field(default_factory=dict)
    upsert_key: tuple[str, ...] | None = None
    append_only: bool = True
    snapshot: Snapshot | None = None
    between: Between | None = None
    zone: str = "UTC"
