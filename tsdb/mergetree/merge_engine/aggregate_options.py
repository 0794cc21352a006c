"""`aggregation` as the options of a table define it."""

from tsdb.errors import OptionError
from tsdb.mergetree.merge_engine.aggregation import Aggregation
from tsdb.mergetree.merge_engine.choice import KeyValue, LastValue
from tsdb.mergetree.merge_engine.column_rule import ColumnRule
from tsdb.mergetree.merge_engine.functions import column_rule, function_of
from tsdb.metadata.schema import TableSchema
from tsdb.options import TableOptions

REMOVE_ON_DELETE = "aggregation.remove-record-on-delete"
DEFAULT = "last_non_null_value"


def aggregation(schema: TableSchema, options: TableOptions) -> Aggregation:
    """The engine of this table. Raises OptionError for functions that do not fit their columns."""
    remove_on_delete = options.flag(REMOVE_ON_DELETE)
    rules = []
    for field in schema.fields:
        if field.name in options.sequence_field:
            if f"fields.{field.name}.aggregate-function" in options.values:
                raise OptionError(
                    f"'fields.{field.name}.aggregate-function': `{field.name}` is a 'sequence.field', which always has "
                    f"its last value; leave the function out"
                )
            rules.append(ColumnRule(field.name, LastValue()))
        elif field.name in schema.primary_keys:
            rules.append(ColumnRule(field.name, KeyValue()))
        else:
            rule = column_rule(field, options, function_of(field, options) or DEFAULT)
            if rule.ignore_retract and remove_on_delete:
                raise OptionError(
                    f"'fields.{field.name}.ignore-retract' and '{REMOVE_ON_DELETE}' contradict each other; leave out "
                    f"one of them"
                )
            rules.append(rule)
    return Aggregation(tuple(rules), remove_on_delete)
