"""System tables: what the metadata of a table says, as a table of its own (`t$snapshots`)."""

from collections.abc import Callable, Mapping

import pyarrow as pa

from tsdb.table.table import Table

SystemTable = Callable[[Table], pa.Table]
SYSTEM_TABLES: Mapping[str, SystemTable] = {}
