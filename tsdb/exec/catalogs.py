"""The catalogs of a session: its own warehouse, and others that it attached under names.

CREATE CATALOG and ATTACH are for the session, as with Flink (without a catalog store) and DuckDB: nothing is written
anywhere, and DROP CATALOG and DETACH forget the name and leave the warehouse as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tsdb.catalog.catalog import Catalog
from tsdb.catalog.filesystem import FileSystemCatalog
from tsdb.errors import AlreadyExists, CatalogNotFound, NotSupportedError, OptionError, ProgrammingError, nearest
from tsdb.exec.view_store import ViewStore
from tsdb.fs import S3_OPTIONS, Storage, open_warehouse
from tsdb.table.log import close_logs
from tsdb.table.table import Table

HOME = "default_catalog"
"""What the warehouse of the connection is called."""

DEFAULT_DATABASE = "default"
_OPTIONS = ("type", "warehouse", "metastore", "default-database", *S3_OPTIONS)
_IN_MEMORY = "generic_in_memory"


@dataclass(frozen=True, slots=True)
class Mounted:
    """A warehouse under a name. options: those of CREATE CATALOG. database: the one that USE CATALOG goes to."""

    name: str
    catalog: Catalog
    views: ViewStore
    storage: Storage
    options: Mapping[str, str] = field(default_factory=dict)
    database: str = DEFAULT_DATABASE

    def holds(self, table: Table) -> bool:
        """The table is stored in this warehouse."""
        return table.path.startswith(f"{self.storage.root}/")


class Catalogs:
    """All that a session can name, and the one whose databases need no name before them."""

    def __init__(self, storage: Storage) -> None:
        self.home = mount(HOME, storage)
        self.current = self.home
        self._mounted = {HOME: self.home}

    def names(self) -> list[str]:
        """Sorted."""
        return sorted(self._mounted)

    def has(self, name: str) -> bool:
        """There is a catalog of that name."""
        return self._found(name) is not None

    def get(self, name: str) -> Mounted:
        """By its name. Raises CatalogNotFound naming the nearest."""
        found = self._found(name)
        if found is None:
            raise CatalogNotFound(
                f"catalog `{name}` does not exist.{nearest(name, self._mounted)} CREATE CATALOG {name} WITH "
                "('type' = 'paimon', 'warehouse' = '…') makes one for this session"
            )
        return found

    def create(self, name: str, options: Mapping[str, str], *, if_not_exists: bool = False) -> None:
        """Open a warehouse and give it a name. Raises AlreadyExists, OptionError, WarehouseError."""
        if self.has(name):
            if if_not_exists:
                return
            raise AlreadyExists(f"catalog `{name}` exists; DROP CATALOG it first, or choose another name")
        location = _location(name, options)
        place = {key: value for key, value in options.items() if key in S3_OPTIONS}
        self._mounted[name] = mount(name, open_warehouse(location, place), options)

    def drop(self, name: str, *, if_exists: bool = False) -> None:
        """Forget the name; its warehouse stays as it is. Raises ProgrammingError for the current one and the home."""
        if if_exists and not self.has(name):
            return
        mounted = self.get(name)
        if mounted is self.home:
            raise ProgrammingError(f"catalog `{HOME}` is the connection's own warehouse and cannot be dropped")
        if mounted is self.current:
            raise ProgrammingError(f"catalog `{mounted.name}` is in use; USE CATALOG {HOME} first")
        del self._mounted[mounted.name]
        _close(mounted)

    def close(self) -> None:
        """Free everything."""
        for mounted in self._mounted.values():
            _close(mounted)

    def _found(self, name: str) -> Mounted | None:
        exact = self._mounted.get(name)
        same = [mounted for key, mounted in self._mounted.items() if key.lower() == name.lower()]
        return exact or (same[0] if len(same) == 1 else None)


def mount(name: str, storage: Storage, options: Mapping[str, str] | None = None) -> Mounted:
    """An open warehouse under a name."""
    file_io, root = storage.file_io, storage.root
    catalog = FileSystemCatalog(file_io, root)
    database = (options or {}).get("default-database", DEFAULT_DATABASE)
    if database != DEFAULT_DATABASE:
        catalog.create_database(database, if_not_exists=True)
    return Mounted(name, catalog, ViewStore(file_io, root, name), storage, dict(options or {}), database)


def _location(name: str, options: Mapping[str, str]) -> str:
    """Where the warehouse lies. Raises OptionError, or NotSupportedError for catalogs of other kinds."""
    unknown = next((key for key in options if key not in _OPTIONS), None)
    if unknown is not None:
        known = ", ".join(f"'{key}'" for key in _OPTIONS)
        raise OptionError(f"unknown option '{unknown}' of a catalog.{nearest(unknown, _OPTIONS)} Known are {known}")
    kind = options.get("type")
    if kind == _IN_MEMORY:
        return ":memory:"
    if kind != "paimon":
        given = f"'type' = '{kind}'" if kind else "no 'type'"
        raise NotSupportedError(
            f"catalog `{name}` has {given}; write 'type' = 'paimon' with a 'warehouse', or '{_IN_MEMORY}'"
        )
    if options.get("metastore", "filesystem") != "filesystem":
        raise NotSupportedError(
            f"catalog `{name}`: 'metastore' = '{options['metastore']}' is not supported; the warehouse itself "
            "says what it holds, so leave the option out"
        )
    if not options.get("warehouse"):
        raise OptionError(f"catalog `{name}` needs 'warehouse' = '…', the directory of the warehouse")
    return options["warehouse"]


def _close(mounted: Mounted) -> None:
    close_logs(mounted.storage.root)
    mounted.storage.close()
