"""The catalog of a warehouse directory: `<database>.db/<table>/`; a table is there if it has a schema file.

Connector tables are schema files, too, in `<database>.db/_connector/<table>.json`, where other engines do not look.
Source: Paimon, `FileSystemCatalog`.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from tsdb import clock
from tsdb.catalog.catalog import AnyTable, ConnectorTable
from tsdb.catalog.validation import check_changed, complete
from tsdb.errors import (
    AlreadyExists,
    CorruptFile,
    DatabaseNotFound,
    Error,
    NotSupportedError,
    ProgrammingError,
    TableNotFound,
    WarehouseError,
    nearest,
)
from tsdb.fs.file_io import FileIO
from tsdb.metadata.schema import SchemaManager, TableSchema
from tsdb.options import check_table_options
from tsdb.table.log import check_log_change
from tsdb.table.materialized import TYPE
from tsdb.table.null_check import check_no_nulls
from tsdb.table.schema_change import ModifyColumn, SchemaChange, SetOptions, apply, change_schema
from tsdb.table.table import MAIN_BRANCH, Identifier, Table, open_table
from tsdb.table.type_change import numbered

DEFAULT_DATABASE = "default"
_SUFFIX = ".db"
_CONNECTOR = "_connector"
_DATABASE_FILE = "_database.json"
_BRANCH = "$branch_"
_BAD_NAME = re.compile(r"[/\\$\x00-\x1f]|^\s*$|^\.|^_connector$")


class FileSystemCatalog:
    """A `Catalog` over a `FileIO`. Holds no state, so any number of processes may share a warehouse."""

    def __init__(self, file_io: FileIO, root: str) -> None:
        """root: the directory of the warehouse, without a trailing slash."""
        self.file_io = file_io
        self.root = root

    @property
    def options(self) -> dict[str, str]:
        """Where the warehouse is, and how it is kept."""
        return {"metastore": "filesystem", "warehouse": self.root}

    def list_databases(self) -> list[str]:
        """The names, sorted; `default` is always there."""
        entries = self.file_io.list_files(self.root)
        names = {e.name.removesuffix(_SUFFIX) for e in entries if e.is_dir and e.name.endswith(_SUFFIX)}
        return sorted(names | {DEFAULT_DATABASE})

    def create_database(self, name: str, if_not_exists: bool = False) -> None:
        """A directory of its own. Raises AlreadyExists."""
        _check_name(name, "database")
        if name in self.list_databases():
            if if_not_exists:
                return
            raise AlreadyExists(f"database `{name}` already exists")
        with self._changing():
            self.file_io.mkdirs(self._database_path(name))

    def database_options(self, name: str) -> dict[str, str]:
        """What was set for a database; `comment` is one of them. Raises DatabaseNotFound."""
        path = f"{self._database_path(self._database(name))}/{_DATABASE_FILE}"
        try:
            return {str(key): str(value) for key, value in json.loads(self.file_io.read_bytes(path)).items()}
        except FileNotFoundError:
            return {}
        except (ValueError, AttributeError) as err:
            raise CorruptFile(f"file {path} cannot be read: {err}") from err

    def set_database_options(self, name: str, options: Mapping[str, str]) -> None:
        """Keep all options of a database, in a file that other engines do not look at. Raises DatabaseNotFound."""
        folder = self._database_path(self._database(name))
        with self._changing():
            self.file_io.mkdirs(folder)
            data = json.dumps(dict(sorted(options.items())), indent=2, ensure_ascii=False)
            self.file_io.replace(f"{folder}/{_DATABASE_FILE}", data.encode())

    def drop_database(self, name: str, if_exists: bool = False, cascade: bool = False) -> None:
        """The directory, which must have no tables unless cascade. Raises DatabaseNotFound, ProgrammingError."""
        if name not in self.list_databases() and if_exists:
            return
        tables = self.list_tables(name)
        if name == DEFAULT_DATABASE:
            raise ProgrammingError(f"database `{DEFAULT_DATABASE}` is always there and cannot be dropped")
        if tables and not cascade:
            raise ProgrammingError(f"database `{name}` has {len(tables)} tables; drop them first, or add CASCADE")
        with self._changing():
            self.file_io.delete_dir(self._database_path(self._database(name)))

    def list_tables(self, database: str) -> list[str]:
        """The names of all tables of both kinds, sorted. Raises DatabaseNotFound."""
        path = self._database_path(self._database(database))
        stored = [e.name for e in self.file_io.list_files(path) if e.is_dir and e.name != _CONNECTOR]
        stored = [name for name in stored if self.file_io.list_files(f"{path}/{name}/schema")]
        outside = [e.name.removesuffix(".json") for e in self.file_io.list_files(f"{path}/{_CONNECTOR}")]
        return sorted({*stored, *(name for name in outside if not name.startswith("."))})

    def get_table(self, identifier: Identifier) -> AnyTable:
        """The table as of now. Raises DatabaseNotFound or TableNotFound, which name the nearest."""
        found = self._find(identifier)
        if found is not None:
            return found
        names = self.list_tables(identifier.database)
        same = [name for name in names if name.lower() == identifier.name.lower()]
        if len(same) == 1:
            found = self._find(Identifier(self._database(identifier.database), same[0]))
            if found is not None:
                return found
        raise TableNotFound(
            f"table `{identifier.name}` not found in database `{identifier.database}`.{nearest(identifier.name, names)}"
        )

    def create_table(self, identifier: Identifier, schema: TableSchema, if_not_exists: bool = False) -> AnyTable:
        """A new table after a draft; with if_not_exists, the one there is. Raises AlreadyExists, and as `complete`."""
        _check_name(identifier.name, "table")
        identifier = Identifier(self._database(identifier.database), identifier.name)
        found = self._find(identifier)
        if found is None:
            draft = replace(schema, id=0, time_millis=clock.current().now_ms())
            if _is_outside(schema):
                fields, highest = numbered(draft.fields)
                draft = replace(draft, fields=fields, highest_field_id=highest)
                with self._changing():
                    created = self.file_io.try_create(self._connector_path(identifier), draft.to_json().encode())
            else:
                draft = complete(draft, str(identifier))
                with self._changing():
                    created = SchemaManager(self.file_io, self._path(identifier)).try_create(draft)
            if created:
                return self.get_table(identifier)
        if not if_not_exists:
            raise AlreadyExists(f"table `{identifier}` already exists")
        return self.get_table(identifier)

    def drop_table(self, identifier: Identifier, if_exists: bool = False) -> None:
        """The table and all of its files. Raises TableNotFound."""
        try:
            table = self.get_table(identifier)
        except (TableNotFound, DatabaseNotFound):
            if if_exists:
                return
            raise
        with self._changing():
            if isinstance(table, ConnectorTable):
                self.file_io.delete(self._connector_path(table.identifier))
            else:
                if table.branch != MAIN_BRANCH:
                    raise NotSupportedError(f"`{table.identifier}` is a branch; CALL sys.delete_branch deletes it")
                # the schema goes first: what is left after a crash is no table
                self.file_io.delete_dir(f"{table.path}/schema")
                self.file_io.delete_dir(table.path)

    def rename_table(self, identifier: Identifier, new: Identifier) -> None:
        """Another name for the table, in the same or another database. Raises TableNotFound, AlreadyExists."""
        table = self.get_table(identifier)
        if isinstance(table, Table) and table.branch != MAIN_BRANCH:
            raise NotSupportedError(f"`{table.identifier}` is a branch; CALL sys.rename_branch renames it")
        _check_name(new.name, "table")
        new = Identifier(self._database(new.database), new.name)
        if self._find(new) is not None:
            raise AlreadyExists(f"table `{new}` already exists")
        with self._changing():
            if isinstance(table, ConnectorTable):
                self.file_io.try_create(self._connector_path(new), table.schema.to_json().encode())
                self.file_io.delete(self._connector_path(table.identifier))
            else:
                self.file_io.rename_dir(table.path, self._path(new))

    def alter_table(self, identifier: Identifier, changes: Sequence[SchemaChange]) -> AnyTable:
        """The table under its next schema. Raises what `apply` and `check_changed` raise."""
        table = self.get_table(identifier)
        name = str(table.identifier)
        if isinstance(table, ConnectorTable):
            schema = table.schema
            for change in changes:
                schema = apply(schema, change, name)
            with self._changing():
                self.file_io.replace(self._connector_path(table.identifier), schema.to_json().encode())
        else:
            for change in changes:
                if isinstance(change, SetOptions):
                    check_table_options(change.options)
            with self._changing():
                change_schema(
                    table.schemas,
                    changes,
                    name,
                    lambda schema: _check_changed(table, schema, changes),
                    lambda: table.latest_snapshot() is not None,
                )
        return self.get_table(table.identifier)

    def _find(self, identifier: Identifier) -> AnyTable | None:
        """The table, or branch of a table, of exactly that name."""
        base, _, branch = identifier.name.partition(_BRANCH)
        path = self._path(Identifier(identifier.database, base))
        if branch == MAIN_BRANCH:
            identifier = Identifier(identifier.database, base)
        table = open_table(self.file_io, identifier, path, branch or MAIN_BRANCH)
        if table is not None:
            if table.options.get("type", "table") not in ("table", TYPE, None):
                raise NotSupportedError(
                    f"table `{identifier}` is of type '{table.options.get('type')}'; only 'table' is supported"
                )
            return table
        path = self._connector_path(identifier)
        try:
            return ConnectorTable(identifier, TableSchema.from_json(self.file_io.read_bytes(path)))
        except FileNotFoundError:
            return None
        except OSError as err:
            raise WarehouseError(f"warehouse `{self.root}` cannot be read: {err}") from err
        except (KeyError, TypeError, ValueError, Error) as err:
            raise CorruptFile(f"schema file {path} cannot be read: {err}") from err

    def _database(self, name: str) -> str:
        """The database of exactly that name, else the only one without case. Raises DatabaseNotFound."""
        names = self.list_databases()
        if name in names:
            return name
        same = [other for other in names if other.lower() == name.lower()]
        if len(same) != 1:
            raise DatabaseNotFound(f"database `{name}` not found.{nearest(name, names)}")
        return same[0]

    def _database_path(self, name: str) -> str:
        return f"{self.root}/{name}{_SUFFIX}"

    def _path(self, identifier: Identifier) -> str:
        return f"{self._database_path(identifier.database)}/{identifier.name}"

    def _connector_path(self, identifier: Identifier) -> str:
        return f"{self._database_path(identifier.database)}/{_CONNECTOR}/{identifier.name}.json"

    @contextmanager
    def _changing(self) -> Iterator[None]:
        try:
            yield
        except OSError as err:
            raise WarehouseError(f"warehouse `{self.root}` cannot be changed: {err.strerror or err}") from err


def _check_changed(table: Table, schema: TableSchema, changes: Sequence[SchemaChange]) -> None:
    name = str(table.identifier)
    check_log_change(table, schema)
    check_changed(schema, name, any(isinstance(change, SetOptions) for change in changes))
    for change in changes:
        if isinstance(change, ModifyColumn) and not change.parents and schema.has(change.name):
            before = {field.id: field for field in table.schema.fields}.get(schema.field(change.name).id)
            if before is not None and before.type.nullable and not schema.field(change.name).type.nullable:
                check_no_nulls(table, before.name)


def _is_outside(schema: TableSchema) -> bool:
    return schema.options.get("connector", "paimon") != "paimon"


def _check_name(name: str, what: str) -> None:
    if _BAD_NAME.search(name):
        raise ProgrammingError(f"`{name}` cannot be the name of a {what}; leave out `/`, `\\`, `$` and a leading dot")
