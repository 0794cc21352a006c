"""Changes of one version, held back until it ends, so that what comes and goes again is never written."""

from collections.abc import Sequence

import pyarrow as pa

from tsdb.changes import ChangeBatch, consolidate, plus

_ROWS_KEPT = 1 << 18


class NetChanges:
    """Collects changes and gives their sum, consolidated whenever it has doubled: memory follows the net change.

    schema: of the changes that come. columns: the names under which they are given back.
    """

    def __init__(self, schema: pa.Schema, columns: Sequence[str]) -> None:
        self._columns = list(columns)
        self._schema = pa.schema([field.with_name(name) for field, name in zip(schema, columns, strict=True)])
        self._parts: list[ChangeBatch] = []
        self._rows = 0
        self._netted_rows = 0
        self._takes_back = False

    @property
    def rows(self) -> int:
        """How many rows are held."""
        return self._rows

    def renamed(self, changes: ChangeBatch) -> ChangeBatch:
        """The changes under the names of the columns."""
        return ChangeBatch(changes.rows.rename_columns(self._columns), changes.weights)

    def add(self, changes: ChangeBatch) -> None:
        """Add to the sum."""
        self._parts.append(self.renamed(changes))
        self._rows += changes.num_rows
        self._takes_back = self._takes_back or bool((changes.weights < 0).any())
        if self._takes_back and self._rows > max(_ROWS_KEPT, 2 * self._netted_rows):
            net = self._sum()
            self._parts, self._rows, self._netted_rows = [net], net.num_rows, net.num_rows

    def take(self) -> ChangeBatch:
        """The sum, consolidated if any row was taken back; begin again with nothing."""
        net = self._sum() if self._takes_back else plus(self._parts, self._schema)
        self.clear()
        return net

    def clear(self) -> None:
        """Begin again with nothing."""
        self._parts, self._rows, self._netted_rows = [], 0, 0
        self._takes_back = False

    def _sum(self) -> ChangeBatch:
        return consolidate(plus(self._parts, self._schema))
