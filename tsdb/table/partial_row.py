"""UPDATE and DELETE of single rows of a `partial-update` table, as rows to be merged.

NULL in such a row means "as it was", and a sequence group takes only what is not older than what it has. So an UPDATE
writes NULL for the groups that it does not touch, and what would not have the effect asked for is refused.
"""

from collections.abc import Collection

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tsdb.errors import DataError, NotSupportedError
from tsdb.mergetree.merge_engine import PartialUpdate, merge_engine
from tsdb.mergetree.merge_engine.partial_update import SequenceGroup
from tsdb.table.table import Table


def check_assigned(table: Table, assigned: Collection[str]) -> None:
    """Raise NotSupportedError if columns cannot be set by UPDATE."""
    for group in _groups(table):
        functions = [name for name, rule in group.members if rule is not None]
        touched = [name for name in _names(group) if name in assigned]
        if touched and functions:
            raise NotSupportedError(
                f"UPDATE of column `{touched[0]}` of table `{table.identifier}`: column `{functions[0]}` of its "
                f"sequence group has a function, which would take the old values once more; INSERT what is to be added"
            )


def updated_rows(table: Table, assigned: Collection[str], rows: pa.Table) -> pa.Table:
    """The rows to write, given the new rows as a whole. Raises DataError for NULL where it would not become NULL."""
    groups = _groups(table)
    grouped = {name for group in groups for name in _names(group)}
    for name in assigned:
        if name not in grouped and rows[name].null_count:
            raise DataError(
                f"UPDATE sets column `{name}` of table `{table.identifier}` to NULL: with 'merge-engine' = "
                f"'partial-update' that keeps the old value; put the column into a sequence group to allow it"
            )
    for group in groups:
        if any(name in assigned for name in _names(group)):
            _check_sequence(table, [group], rows, "UPDATE")
            continue
        for name in _names(group):
            if table.schema.field(name).type.nullable:
                at = rows.schema.get_field_index(name)
                rows = rows.set_column(at, name, pa.nulls(rows.num_rows, rows.schema.field(at).type))
    return rows


def deleted_rows(table: Table, rows: pa.Table) -> pa.Table:
    """The -D rows to write for rows of a table that folds; others stay as they are.

    What comes after a -D goes on from its values, so there are none but those that place it. A changelog that keeps the
    input keeps the values, too. Raises DataError for a row that -D would not remove.
    """
    if not table.is_primary_key or table.options.merge_engine not in ("partial-update", "aggregation"):
        return rows
    removing = [group for group in _groups(table) if group.removes]
    if removing:
        _check_sequence(table, removing, rows, "DELETE")
    if table.options.changelog_producer == "input":
        return rows
    kept = {*table.schema.primary_keys, *table.schema.partition_keys, *table.options.sequence_field}
    kept.update(name for group in removing for name in group.sequence)
    for i, field in enumerate(table.schema.fields):
        if field.name not in kept and field.type.nullable:
            rows = rows.set_column(i, field.name, pa.nulls(rows.num_rows, rows.schema.field(i).type))
    return rows


def _groups(table: Table) -> tuple[SequenceGroup, ...]:
    if not table.is_primary_key or table.options.merge_engine != "partial-update":
        return ()
    engine = merge_engine(table.schema, table.options)
    assert isinstance(engine, PartialUpdate)
    return engine.groups


def _names(group: SequenceGroup) -> list[str]:
    return [*group.sequence, *(name for name, _ in group.members)]


def _check_sequence(table: Table, groups: list[SequenceGroup], rows: pa.Table, what: str) -> None:
    """Every row has a sequence in one of the groups."""
    known: npt.NDArray[np.bool_] = np.zeros(rows.num_rows, np.bool_)
    for group in groups:
        for name in group.sequence:
            known |= rows[name].is_valid().to_numpy()
    if not known.all():
        key = {name: rows[name][int(np.argmin(known))].as_py() for name in table.schema.primary_keys}
        sequence = ", ".join(f"`{name}`" for name in groups[0].sequence)
        raise DataError(
            f"{what} of the row {key} of table `{table.identifier}`: {sequence} is NULL in it, so its sequence group "
            f"does not take the change; give it a value first"
        )
