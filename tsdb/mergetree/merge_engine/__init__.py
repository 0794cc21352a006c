"""The merge engines, by the value of the table option 'merge-engine'."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from tsdb.errors import NotSupportedError
from tsdb.mergetree.merge_engine.aggregate_options import aggregation
from tsdb.mergetree.merge_engine.aggregation import Aggregation
from tsdb.mergetree.merge_engine.deduplicate import Deduplicate
from tsdb.mergetree.merge_engine.first_row import FirstRow
from tsdb.mergetree.merge_engine.merge_engine import FoldEngine, MergeEngine, is_fold
from tsdb.mergetree.merge_engine.partial_update import PartialUpdate
from tsdb.mergetree.merge_engine.sequence_groups import partial_update
from tsdb.metadata.schema import TableSchema
from tsdb.options import TableOptions

Engine: TypeAlias = MergeEngine | FoldEngine

MERGE_ENGINES: Mapping[str, Callable[[TableSchema, TableOptions], Engine]] = {
    "deduplicate": lambda schema, options: Deduplicate(),
    "first-row": lambda schema, options: FirstRow(),
    "partial-update": partial_update,
    "aggregation": aggregation,
}


def merge_engine(schema: TableSchema, options: TableOptions) -> Engine:
    """The merge engine of a table.

    Raises NotSupportedError that lists the engines there are, OptionError and ColumnNotFound for options that do not
    fit the table.
    """
    make = MERGE_ENGINES.get(options.merge_engine)
    if make is None:
        known = ", ".join(f"'{k}'" for k in MERGE_ENGINES)
        raise NotSupportedError(
            f"the option 'merge-engine' = '{options.merge_engine}' is not supported; use one of {known}"
        )
    return make(schema, options)


__all__ = [
    "MERGE_ENGINES", "Aggregation", "Deduplicate", "Engine", "FirstRow", "FoldEngine", "MergeEngine", "PartialUpdate",
    "is_fold", "merge_engine",
]  # fmt: skip
