"""Views of the warehouse: `<db>.db/_view/<name>.json`, invisible to other engines."""

from __future__ import annotations

import json

from tsdb.errors import AlreadyExists, CorruptFile
from tsdb.exec.relation import View
from tsdb.fs.file_io import FileIO
from tsdb.table.table import Identifier

_SUFFIX = ".json"


class ViewStore:
    """The view files of one warehouse. root: its path. catalog: what the session calls the warehouse."""

    def __init__(self, file_io: FileIO, root: str, catalog: str) -> None:
        self._file_io = file_io
        self._root = root
        self._catalog = catalog

    def names(self, database: str) -> list[str]:
        """The views of a database, sorted."""
        files = self._file_io.list_files(self._folder(database))
        return sorted(file.name.removesuffix(_SUFFIX) for file in files if file.name.endswith(_SUFFIX))

    def find(self, identifier: Identifier) -> View | None:
        """The view of that very name, or None. Raises CorruptFile."""
        path = self._path(identifier)
        try:
            spec = json.loads(self._file_io.read_bytes(path))
            columns = spec.get("columns")
            columns = None if columns is None else tuple(columns)
            return View(identifier, spec["query"], columns, spec.get("comment"), catalog=self._catalog)
        except FileNotFoundError:
            return None
        except (KeyError, TypeError, ValueError) as err:
            raise CorruptFile(f"view file {path} cannot be read: {err}") from err

    def create(self, view: View, *, replace: bool) -> None:
        """Keep the view. Raises AlreadyExists unless `replace`."""
        spec = {"version": 1, "query": view.query, "columns": view.columns, "comment": view.comment}
        data = json.dumps(spec, indent=2, ensure_ascii=False).encode()
        if replace:
            self._file_io.mkdirs(self._folder(view.identifier.database))
            self._file_io.replace(self._path(view.identifier), data)
        elif not self._file_io.try_create(self._path(view.identifier), data):
            raise AlreadyExists(f"view `{view.identifier}` exists; write CREATE OR REPLACE VIEW")

    def drop(self, identifier: Identifier) -> None:
        """Forget the view."""
        self._file_io.delete(self._path(identifier))

    def _folder(self, database: str) -> str:
        return f"{self._root}/{database}.db/_view"

    def _path(self, identifier: Identifier) -> str:
        return f"{self._folder(identifier.database)}/{identifier.name}{_SUFFIX}"
