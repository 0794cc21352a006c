"""Which of the tables in a change log are read: one file or topic may hold the changes of several."""

import re
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsdb.errors import OptionError


class TableFilter:
    """The options `<format>.table.include` and `<format>.database.include`; without them all messages have one table.

    Tables that are not filtered are compared with the first one seen: rows of two tables are never mixed by accident.
    """

    def __init__(self, serde: str, options: Mapping[str, str]) -> None:
        self._table_key = f"{serde}.table.include"
        self._tables = _pattern(self._table_key, options)
        self._databases = _pattern(f"{serde}.database.include", options)
        self._seen: str | None = None

    @property
    def is_set(self) -> bool:
        """Whether anything is left out."""
        return self._tables is not None or self._databases is not None

    def mask(self, header: pa.Table) -> np.ndarray:
        """The messages to read; header: has `source` {db, schema, table}. Messages without a table are let through."""
        names = _Names(header)
        table = names.table
        keep = np.ones(header.num_rows, bool)
        if self._tables is not None:
            texts = [table, names.join(names.schema, table), names.join(names.database, table)]
            keep &= np.logical_or.reduce([_matches(t, self._tables) for t in texts])
        if self._databases is not None:
            keep &= _matches(names.database, self._databases)
        return np.asarray(keep | np.asarray(pc.is_null(table)))

    def check(self, header: pa.Table) -> None:
        """Raises OptionError when an unfiltered log holds a second table."""
        if self._tables is not None:
            return
        names = _Names(header)
        for name in pc.unique(names.qualified).to_pylist():
            if name is None:
                continue
            self._seen = self._seen or name
            if name != self._seen:
                raise OptionError(
                    f"the change log holds several tables, among them `{self._seen}` and `{name}`. "
                    f"Say which one to read: '{self._table_key}' = '{re.escape(self._seen)}'"
                )


class _Names:
    """The parts of the tables' names; each a string array with NULLs."""

    def __init__(self, header: pa.Table) -> None:
        source = header["source"].combine_chunks()
        self.database, self.schema, self.table = source.flatten()
        owner = pc.coalesce(self.schema, self.database)
        self.qualified = pc.coalesce(self.join(owner, self.table), self.table)

    @staticmethod
    def join(owner: pa.Array, table: pa.Array) -> pa.Array:
        """`owner.table`; NULL if one is."""
        return pc.binary_join_element_wise(owner, table, ".")


def _pattern(key: str, options: Mapping[str, str]) -> str | None:
    text = options.get(key)
    if text is None:
        return None
    pattern = f"^(?:{text})$"
    try:
        pc.match_substring_regex(pa.array([""]), pattern)
    except pa.ArrowInvalid as err:
        raise OptionError(f"'{key}' is not a regular expression: '{text}' ({err})") from err
    return pattern


def _matches(texts: pa.Array, pattern: str) -> np.ndarray:
    return np.asarray(pc.fill_null(pc.match_substring_regex(texts, pattern), False))
