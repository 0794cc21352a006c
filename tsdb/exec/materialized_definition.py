"""What a materialized table keeps of itself in its options, under the keys that Paimon's own catalogs give it."""

from __future__ import annotations

from dataclasses import dataclass

from tsdb.sql.materialized import Freshness
from tsdb.table.materialized import PREFIX, QUERY, TYPE
from tsdb.table.table import Table


@dataclass(frozen=True, slots=True)
class Definition:
    """What keeps a table. freshness: None: as often as jobs commit. suspended: its job is not to run."""

    query: str
    mode: str
    freshness: Freshness | None
    suspended: bool = False

    @property
    def options(self) -> dict[str, str]:
        """As options of the table."""
        kept = {
            "type": TYPE,
            QUERY: self.query,
            f"{PREFIX}logical-refresh-mode": self.mode,
            f"{PREFIX}refresh-mode": self.mode,
            f"{PREFIX}refresh-status": "suspended" if self.suspended else "activated",
        }
        if self.freshness is not None:
            kept[f"{PREFIX}interval-freshness"] = str(self.freshness.number)
            kept[f"{PREFIX}interval-freshness.time-unit"] = self.freshness.unit.lower()
        return kept


def definition_of(table: Table) -> Definition:
    """The definition of a materialized table."""
    options = table.schema.options
    number = options.get(f"{PREFIX}interval-freshness")
    unit = options.get(f"{PREFIX}interval-freshness.time-unit", "second").upper()
    return Definition(
        options[QUERY],
        options.get(f"{PREFIX}refresh-mode", "continuous").lower(),
        None if number is None else Freshness(int(number), unit),
        options.get(f"{PREFIX}refresh-status", "").lower() == "suspended",
    )
