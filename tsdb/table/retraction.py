"""What a table does with rows that are taken back: its merge engine folds them out, or keeps one row of a key."""

from tsdb.errors import NotSupportedError
from tsdb.mergetree.merge_engine import Aggregation, PartialUpdate, merge_engine
from tsdb.table.table import Table


def takes_all(table: Table) -> bool:
    """Whether any number of rows of a key may come and go, because its merge engine folds them into one.

    Not where a -D removes the row of the key, whatever else there was.
    """
    if not table.is_primary_key:
        return False
    engine = merge_engine(table.schema, table.options)
    return isinstance(engine, Aggregation) and not engine.remove_on_delete


def check_takes_back(table: Table) -> None:
    """Refuse functions that cannot take a value back, where values will be.

    Those of 'partial-update' cannot either: a -U and its +U that meet in one file become a row without the -U.
    Raises NotSupportedError.
    """
    engine = merge_engine(table.schema, table.options)
    if table.options.ignore_delete:
        return
    other = ""
    if isinstance(engine, Aggregation):
        refused = [rule for rule in engine.rules if not rule.ignore_retract and not rule.function.retracts]
    else:
        groups = engine.groups if isinstance(engine, PartialUpdate) else ()
        rules = [rule for group in groups for _, rule in group.members if rule is not None]
        refused = [rule for rule in rules if not rule.ignore_retract]
        other = ", or use 'merge-engine' = 'aggregation'"
    for rule in refused:
        raise NotSupportedError(
            f"column `{rule.column}` of table `{table.identifier}`: the function '{rule.function.name}' of "
            f"'merge-engine' = '{engine.name}' cannot take back a value, but the query updates or deletes rows of its "
            f"result; set 'fields.{rule.column}.ignore-retract' = 'true' to leave such rows out of it{other}"
        )
