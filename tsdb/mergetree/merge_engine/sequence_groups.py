"""Sequence groups as the options define them: `fields.<g1>[,<g2>…].sequence-group` = 'a,b'."""

from tsdb.errors import ColumnNotFound, OptionError, nearest
from tsdb.mergetree.merge_engine.functions import column_rule, function_of
from tsdb.mergetree.merge_engine.partial_update import PartialUpdate, SequenceGroup
from tsdb.metadata.schema import TableSchema
from tsdb.options import TableOptions

_PREFIX, _SUFFIX = "fields.", ".sequence-group"
REMOVE_ON_DELETE = "partial-update.remove-record-on-delete"
REMOVE_ON_GROUP = "partial-update.remove-record-on-sequence-group"


def partial_update(schema: TableSchema, options: TableOptions) -> PartialUpdate:
    """The engine of this table. Raises OptionError and ColumnNotFound for options that contradict the columns or one
    another.
    """
    removing = options.words(REMOVE_ON_GROUP)
    groups = _groups(schema, options, removing)
    in_sequence = {name for group in groups for name in group.sequence}
    for name in removing:
        if name not in in_sequence:
            raise OptionError(
                f"'{REMOVE_ON_GROUP}': `{name}` is no sequence column of a group.{nearest(name, in_sequence)}"
            )
    remove_on_delete = options.flag(REMOVE_ON_DELETE)
    _check_conflicts(options, remove_on_delete, bool(groups), bool(removing))
    protected = {name for group in groups for name, _ in group.members} | in_sequence
    for field in schema.fields:
        function = function_of(field, options)
        if function is None or field.name in schema.primary_keys or field.name in protected:
            continue
        column_rule(field, options, function)
        if function != "last_non_null_value":
            raise OptionError(
                f"'fields.{field.name}.aggregate-function' = '{function}': column `{field.name}` is in no sequence "
                f"group, which 'merge-engine' = 'partial-update' needs for a function; add it to one, "
                f"'fields.<column>.sequence-group' = '{field.name}'"
            )
    return PartialUpdate(schema.primary_keys, schema.names, groups, remove_on_delete)


def _groups(schema: TableSchema, options: TableOptions, removing: tuple[str, ...]) -> tuple[SequenceGroup, ...]:
    sequences: dict[tuple[str, ...], tuple[str, ...]] = {}
    for key in sorted(options.values):
        if key.startswith(_PREFIX) and key.endswith(_SUFFIX):
            sequence = tuple(name.strip() for name in key[len(_PREFIX) : -len(_SUFFIX)].split(","))
            sequences[sequence] = options.words(key)
    in_sequence = {name for sequence in sequences for name in sequence}
    seen: dict[str, str] = {}
    groups = []
    for sequence, members in sequences.items():
        option = f"'{_PREFIX}{','.join(sequence)}{_SUFFIX}'"
        for name in (*sequence, *members):
            _check_member(schema, name, option)
            if name in seen:
                raise OptionError(f"{option}: column `{name}` is in {seen[name]} already; it can be in one group only")
            seen[name] = option
        rules = []
        for name in members:
            field = schema.field(name)
            function = None if name in in_sequence else function_of(field, options)
            rules.append((name, None if function is None else column_rule(field, options, function)))
        groups.append(SequenceGroup(sequence, tuple(rules), any(name in removing for name in sequence)))
    return tuple(groups)


def _check_member(schema: TableSchema, name: str, option: str) -> None:
    if not schema.has(name):
        raise ColumnNotFound(f"{option}: the table has no column `{name}`.{nearest(name, schema.names)}")
    if name in schema.primary_keys:
        raise OptionError(f"{option}: column `{name}` is part of the primary key, which is in no group")


def _check_conflicts(options: TableOptions, remove_on_delete: bool, has_groups: bool, removes_in_group: bool) -> None:
    if options.ignore_delete and remove_on_delete:
        raise OptionError(f"'ignore-delete' and '{REMOVE_ON_DELETE}' contradict each other; leave out one of them")
    if options.ignore_delete and removes_in_group:
        raise OptionError(f"'ignore-delete' and '{REMOVE_ON_GROUP}' contradict each other; leave out one of them")
    if remove_on_delete and has_groups:
        raise OptionError(
            f"'{REMOVE_ON_DELETE}' has no place in a table with sequence groups; use '{REMOVE_ON_GROUP}' = '<column>'"
        )
