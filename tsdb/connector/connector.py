"""What a connector is: a way to read and to write tables that live outside the warehouse.

A `Source` is one streaming input at a position that can be stored and sought; a `Sink` takes changes and commits them
in two phases, so that a checkpoint of the job and what the sink publishes are one. `position` and committables are
JSON-able, because they lie in checkpoint files.

Source: prepare and commit are split as in Flink's two-phase sinks; modes as in its changelog modes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, runtime_checkable

import pyarrow as pa

from tsdb.changes import ChangeBatch

if TYPE_CHECKING:
    from tsdb.metadata.schema import TableSchema
    from tsdb.options import OptionSpec

Json: TypeAlias = Any
"""A value that `json.dumps` takes."""

ChangelogMode = Literal["append", "upsert", "all"]
"""append: weights are 1. upsert: by key, in arrival order, -1 may hold only the key. all: a -1 is a whole old row."""


@dataclass(frozen=True, slots=True)
class SourceDelta:
    """What one poll gave: changes in arrival order. complete=False: a later part belongs to the same version.

    partitions: of a `PartitionedSource`, where each of the changes comes from.
    """

    changes: Sequence[ChangeBatch]
    complete: bool = True
    partitions: Sequence[str] | None = None


class ConnectorTable(Protocol):
    """The part of a catalog's table that connectors need."""

    @property
    def identifier(self) -> object:
        """Prints as `db.t`, for messages."""
        ...

    @property
    def schema(self) -> "TableSchema":
        """Columns, and the primary key if one is declared."""
        ...

    @property
    def options(self) -> dict[str, str]:
        """The options of WITH, and those of the OPTIONS hint over them; `connector` included."""
        ...


class Source(Protocol):
    """One streaming input. Used by one thread at a time."""

    @property
    def schema(self) -> pa.Schema:
        """The schema of the rows of every change."""
        ...

    @property
    def mode(self) -> ChangelogMode:
        """Which changes come."""
        ...

    @property
    def upsert_key(self) -> tuple[str, ...] | None:
        """The key of mode `upsert`; None in the other modes when no key is known."""
        ...

    @property
    def position(self) -> Json:
        """Where the next poll starts; what was delivered before it is never delivered again after `seek`."""
        ...

    @property
    def finished(self) -> bool:
        """A bounded source that has delivered everything; an unbounded one never is."""
        ...

    @property
    def skipped(self) -> int:
        """Malformed records passed over since it was opened, because the options say so."""
        ...

    def poll(self, rows_max: int) -> SourceDelta | None:
        """The next changes, about rows_max rows at most; None: nothing now. Never blocks."""
        ...

    def seek(self, position: Json) -> None:
        """Go to a position that this source, or an earlier one of the same table, had."""
        ...

    def latest_reached(self) -> bool:
        """True when the last poll found the end of what there is."""
        ...

    def close(self) -> None:
        """Free files and connections; may be called twice."""
        ...


@runtime_checkable
class PartitionedSource(Protocol):
    """A source of partitions that are in order each, but not among each other: its watermark is their least."""

    @property
    def open_partitions(self) -> Sequence[str]:
        """Those that had rows at some time and may give more; none that was always empty."""
        ...


@runtime_checkable
class WaitingSource(Protocol):
    """A source whose system may go away for a while."""

    @property
    def waits(self) -> str | None:
        """Why nothing comes; None when all is well."""
        ...


class Sink(Protocol):
    """Where changes go. `write`* → `prepare` → (the checkpoint is published) → `commit`, again and again."""

    @property
    def accepts(self) -> ChangelogMode:
        """`append` if it cannot take -1 weights, else `all`; known before the job starts."""
        ...

    def write(self, changes: ChangeBatch) -> None:
        """Take changes for the next version; nobody sees them before `commit`, where the sink can do so."""
        ...

    def prepare(self, version: int) -> Json | None:
        """Make durable what was written; returns what `commit` needs, in any process; None: nothing to commit."""
        ...

    def commit(self, version: int, committable: Json) -> None:
        """Publish what `prepare` returned. Idempotent: recovery calls it again."""
        ...

    def abort(self) -> None:
        """Forget what was written since the last `prepare`."""
        ...

    def close(self) -> None:
        """Free files and connections; may be called twice."""
        ...


class Connector(Protocol):
    """One kind of outside system. Raises NotSupportedError from the directions that it does not have."""

    @property
    def name(self) -> str:
        """The value of the option `connector`."""
        ...

    @property
    def options(self) -> "tuple[OptionSpec, ...]":
        """The options it takes, for checks and for the docs."""
        ...

    def validate(self, table: ConnectorTable) -> None:
        """Raise OptionError or NotSupportedError now for what would fail at use; called by CREATE TABLE."""
        ...

    def source(self, table: ConnectorTable, *, bounded: bool) -> Source:
        """A new source at its start. bounded: it ends at what is there now."""
        ...

    def sink(self, table: ConnectorTable) -> Sink:
        """A new sink."""
        ...

    def read_batch(self, table: ConnectorTable) -> Iterator[pa.RecordBatch]:
        """The table's rows: the fold of all changes that are there now."""
        ...

    def write_batch(self, table: ConnectorTable, reader: pa.RecordBatchReader) -> int:
        """Append all rows, all or nothing where the system can do so; returns how many."""
        ...
