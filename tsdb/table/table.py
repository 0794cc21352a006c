"""A table: its place, its schema and options as of now, and the managers of its snapshots and schemas.

A `Table` is a value: another schema or other options make another `Table`; nothing in it is open.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from tsdb.errors import NotSupportedError, OptionError
from tsdb.format.avro_writer import CODECS
from tsdb.fs.file_io import FileIO
from tsdb.mergetree.changelog_producer import changelog_producer
from tsdb.mergetree.merge_engine import merge_engine
from tsdb.metadata.avro_file import DEFAULT_CODEC
from tsdb.metadata.paths import DEFAULT_PARTITION, TablePaths
from tsdb.metadata.schema import SchemaManager, TableSchema
from tsdb.metadata.snapshot import Snapshot, SnapshotManager
from tsdb.options import TableOptions
from tsdb.table.bucket import BucketMode, bucket_mode
from tsdb.table.file_choice import check_files

MAIN_BRANCH = "main"
FIXED_OPTIONS = ("primary-key", "partition", "connector", "type", "bucket")
# what the files of a table were written with; others of Paimon's that tsdb does not know are refused anyway
IMMUTABLE_OPTIONS = (
    *FIXED_OPTIONS, "merge-engine", "bucket-key", "bucket-function.type", "sequence.field",
    "sequence.field.sort-order",
    "rowkind.field", "aggregation.remove-record-on-delete", "partial-update.remove-record-on-delete",
    "partial-update.remove-record-on-sequence-group", "row-tracking.enabled", "data-evolution.enabled",
    "deletion-vectors.enabled",
    "data-file.path-directory", "index-file-in-data-file-dir", "force-lookup",
)  # fmt: skip
_EXTERNAL, _STRATEGY = "data-file.external-paths", "data-file.external-paths.strategy"


@dataclass(frozen=True, slots=True)
class Identifier:
    """The full name of a table; that of a branch is `t$branch_b`."""

    database: str
    name: str

    def __str__(self) -> str:
        """`db.t`."""
        return f"{self.database}.{self.name}"


@dataclass(frozen=True)
class Table:
    """A table of the warehouse, or a branch of one. options: those of the schema, with dynamic ones over them.

    path: the table's directory, which holds manifests, indexes and data of all branches.
    """

    identifier: Identifier
    path: str
    file_io: FileIO
    schema: TableSchema
    options: TableOptions
    snapshots: SnapshotManager
    schemas: SchemaManager
    paths: TablePaths
    branch: str = MAIN_BRANCH

    @property
    def metadata_path(self) -> str:
        """The directory of the branch's schemas, snapshots, tags and consumers."""
        return branch_path(self.path, self.branch)

    def latest_snapshot(self) -> Snapshot | None:
        """The newest snapshot; None for a table that was never written."""
        return self.snapshots.latest()

    def with_options(self, dynamic: Mapping[str, str]) -> "Table":
        """The same table, read or written with other options; the schema file does not change."""
        return replace(self, options=TableOptions({**self.options.values, **dynamic})) if dynamic else self

    def for_statement(self, dynamic: Mapping[str, str]) -> "Table":
        """The table with the options that one statement gives.

        Raises OptionError for those that its files were written with, and everyone must read and write them with.
        """
        for key, value in dynamic.items():
            there = self.options.get(key)
            if key in IMMUTABLE_OPTIONS and value != there:
                raise OptionError(
                    f"'{key}' = '{value}' cannot be given for one statement: the files of table `{self.identifier}` "
                    + (f"were written with '{there}'" if there else "were written without")
                )
        return self.with_options(dynamic)

    def with_schema(self, schema: TableSchema) -> "Table":
        """The same table under another version of its schema (time travel)."""
        return replace(self, schema=schema)

    @property
    def is_primary_key(self) -> bool:
        """Whether rows have a primary key, so that files must be merged."""
        return bool(self.schema.primary_keys)

    @property
    def manifest_codec(self) -> str:
        """Avro's name for the compression of manifests."""
        return CODECS.get((self.options.get("manifest.compression") or "").lower(), DEFAULT_CODEC)

    @property
    def bucket_mode(self) -> BucketMode:
        """How rows are distributed."""
        return bucket_mode(self.schema, self.options)

    @property
    def hides_level_zero(self) -> bool:
        """Whether level-0 files are invisible to batch reads: with deletion vectors and for `first-row`."""
        with_vectors = self.empties_level_zero and self.options.deletion_vectors_enabled
        return self.empties_level_zero and not (with_vectors and self.options.flag("deletion-vectors.merge-on-read"))

    @property
    def empties_level_zero(self) -> bool:
        """Whether every compaction takes all of level 0, and rows above it need no merging."""
        empties = self.options.deletion_vectors_enabled or self.options.merge_engine == "first-row"
        return self.is_primary_key and empties


def check_writable(schema: TableSchema, options: TableOptions) -> None:
    """Raise NotSupportedError for files, merge engines and changelog producers that tsdb cannot write."""
    check_files(schema, options)
    external_paths(options)
    if schema.primary_keys:
        merge_engine(schema, options)
        changelog_producer(options.changelog_producer)


def external_paths(options: TableOptions) -> tuple[str, ...]:
    """Where new data files go in turn, in place of the table's directory; none if they go there.

    Raises OptionError, and NotSupportedError for what is no local disk.
    """
    strategy, roots = options.get(_STRATEGY) or "none", options.words(_EXTERNAL)
    if strategy == "none" or not roots:
        return ()
    if strategy != "round-robin":
        raise NotSupportedError(f"'{_STRATEGY}' = '{strategy}' is not supported; use 'round-robin' or 'none'")
    for root in roots:
        if not root.startswith("file:/"):
            raise NotSupportedError(f"'{_EXTERNAL}': `{root}` is no local path; write it as file:/a/b")
    return roots


def check_merging(schema: TableSchema, options: TableOptions) -> None:
    """Raise OptionError or ColumnNotFound for merge options that do not fit the columns; those of other engines may."""
    if schema.primary_keys:
        with suppress(NotSupportedError):
            merge_engine(schema, options)


def branch_path(path: str, branch: str) -> str:
    """Where the metadata of a branch lies, in the table at `path`."""
    return path if branch == MAIN_BRANCH else f"{path}/branch/branch-{branch}"


def open_table(file_io: FileIO, identifier: Identifier, path: str, branch: str = MAIN_BRANCH) -> Table | None:
    """The table at a path, or a branch of it; None if there is none."""
    metadata_path = branch_path(path, branch)
    schemas = SchemaManager(file_io, metadata_path)
    schema = schemas.latest()
    if schema is None:
        return None
    options = TableOptions(schema.options)
    default_partition = options.get("partition.default-name") or DEFAULT_PARTITION
    types = {key: schema.field(key).type for key in schema.partition_keys}
    paths = TablePaths(
        path,
        default_partition,
        options.flag("partition.legacy-name"),
        options.get("data-file.path-directory"),
        external_paths(options),
        types,
        options.flag("index-file-in-data-file-dir"),
    )
    snapshots = SnapshotManager(file_io, metadata_path)
    return Table(identifier, path, file_io, schema, options, snapshots, schemas, paths, branch)
