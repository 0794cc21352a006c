"""Changing a schema: a change makes the next version, whose file is written atomically; data files stay as they are.

Column ids are what survives a rename: they are given once, depth-first over nested rows, and never again, so that a
file is read right under every later schema. Source: Paimon, `SchemaChange` and `SchemaManager.commitChanges`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from tsdb import clock
from tsdb.data_types import DataField, DataType
from tsdb.errors import CommitConflict, NotSupportedError, OptionError
from tsdb.metadata.schema import SchemaManager, TableSchema
from tsdb.options import TableOptions
from tsdb.table.field_change import Edit, FieldList, added, at_path, dropped, placed, renamed, with_type
from tsdb.table.table import FIXED_OPTIONS, IMMUTABLE_OPTIONS

RETRIES_MAX = 10
# options that list columns
_COLUMN_OPTIONS = (
    "bucket-key", "sequence.field", "rowkind.field", "partial-update.remove-record-on-sequence-group",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SetOptions:
    """New values of options."""

    options: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ResetOptions:
    """Options go back to their defaults."""

    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SetComment:
    """The comment of the table."""

    comment: str | None


@dataclass(frozen=True, slots=True)
class AddColumn:
    """A new column, NULL in the rows there are; at the end unless `first` or `after` says otherwise.

    parents: the path to the ROW that gets it; () for the table. The same in the changes below.
    """

    name: str
    type: DataType
    comment: str | None = None
    default: str | None = None
    first: bool = False
    after: str | None = None
    if_not_exists: bool = False
    parents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DropColumn:
    """A column goes."""

    name: str
    if_exists: bool = False
    parents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RenameColumn:
    """A column gets another name."""

    name: str
    new_name: str
    parents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModifyColumn:
    """Another type, comment (empty: none), default or place; what is None or False stays as it is."""

    name: str
    type: DataType | None = None
    comment: str | None = None
    first: bool = False
    after: str | None = None
    nullable: bool | None = None
    default: str | None = None
    drop_default: bool = False
    parents: tuple[str, ...] = ()


SchemaChange = SetOptions | ResetOptions | SetComment | AddColumn | DropColumn | RenameColumn | ModifyColumn


def change_schema(
    schemas: SchemaManager,
    changes: Sequence[SchemaChange],
    table_name: str,
    check: Callable[[TableSchema], object] = lambda _: None,
    has_rows: Callable[[], bool] = lambda: True,
) -> TableSchema:
    """Publish the next schema, or the same one if nothing changes; done again if another writer was faster.

    check: raises if the new schema is none that can be had. has_rows: whether anything was ever written.
    """
    for _ in range(RETRIES_MAX):
        before = schemas.latest()
        assert before is not None, table_name
        after = before
        for change in changes:
            after = apply(after, change, table_name, has_rows())
        if after == before:
            return before
        after = replace(after, id=before.id + 1, time_millis=clock.current().now_ms())
        check(after)
        if schemas.try_create(after):
            return after
    raise CommitConflict(f"the schema of table `{table_name}` was changed by others {RETRIES_MAX} times; try again")


def apply(schema: TableSchema, change: SchemaChange, table_name: str, has_rows: bool = True) -> TableSchema:
    """The schema after one change. has_rows: whether anything was ever written.

    Raises ColumnNotFound, AlreadyExists, NotSupportedError or OptionError.
    """
    match change:
        case SetOptions(options):
            for key in options:
                _check_mutable(key, schema, options[key], has_rows)
            return replace(schema, options={**schema.options, **options})
        case ResetOptions(keys):
            for key in keys:
                _check_mutable(key, schema, None, has_rows)
            return replace(schema, options={k: v for k, v in schema.options.items() if k not in keys})
        case SetComment(comment):
            return replace(schema, comment=comment)
        case AddColumn():
            return _add(schema, change, table_name)
        case DropColumn():
            return _drop(schema, change, table_name)
        case RenameColumn():
            return _rename(schema, change, table_name)
        case ModifyColumn():
            return _modify(schema, change, table_name)


def _edited(schema: TableSchema, parents: tuple[str, ...], table_name: str, edit: Edit) -> TableSchema:
    """The schema after an edit of the fields below a path."""
    before = FieldList(schema.fields, schema.highest_field_id, f"table `{table_name}`")
    after = at_path(before, parents, edit)
    return replace(schema, fields=after.fields, highest_field_id=after.highest)


def _add(schema: TableSchema, change: AddColumn, table_name: str) -> TableSchema:
    new = DataField(0, change.name, change.type, change.comment, change.default)
    inner = bool(change.parents)
    ahead = not inner and TableOptions(schema.options).flag("add-column-before-partition") and schema.partition_keys
    before = schema.partition_keys[0] if ahead else None

    def edit(fields: FieldList) -> FieldList:
        if change.if_not_exists and fields.has(change.name):
            return fields
        return added(fields, new, change.first, change.after, before)

    return _edited(schema, change.parents, table_name, edit)


def _drop(schema: TableSchema, change: DropColumn, table_name: str) -> TableSchema:
    def edit(fields: FieldList) -> FieldList:
        if change.if_exists and not fields.has(change.name):
            return fields
        return dropped(fields, change.name)

    if not change.parents and schema.has(change.name):
        _check_not_key(schema, change.name, "dropped", table_name)
    return _edited(schema, change.parents, table_name, edit)


def _rename(schema: TableSchema, change: RenameColumn, table_name: str) -> TableSchema:
    name, new_name = change.name, change.new_name
    edited = _edited(schema, change.parents, table_name, lambda fields: renamed(fields, name, new_name))
    if change.parents:
        return edited
    if name in schema.partition_keys:
        raise NotSupportedError(f"partition column `{name}` of table `{table_name}` cannot be renamed")
    options = dict(schema.options)
    for key in _COLUMN_OPTIONS:
        if key in options:
            options[key] = _replaced(options[key], name, new_name)
    options = dict(_renamed_option(key, value, name, new_name) for key, value in options.items())
    keys = tuple(new_name if key == name else key for key in schema.primary_keys)
    return replace(edited, primary_keys=keys, options=options)


def _modify(schema: TableSchema, change: ModifyColumn, table_name: str) -> TableSchema:
    options = TableOptions(schema.options)
    explicit = not options.flag("disable-explicit-type-casting")
    may_tighten = not options.flag("alter-column-null-to-not-null.disabled")

    def edit(fields: FieldList) -> FieldList:
        before = fields.find(change.name)
        kind = change.type
        if kind is not None and kind.with_nullable(True) != before.type.with_nullable(True):
            if not change.parents:
                _check_not_key(schema, change.name, "changed in type", table_name)
            fields = with_type(fields, change.name, kind, explicit)
        field = fields.find(change.name)
        nullable = False if kind is not None and not kind.nullable else change.nullable
        new = replace(field, type=_nullable(field, nullable, may_tighten, fields.owner))
        if new.type.nullable and not field.type.nullable and not change.parents:
            _check_not_key(schema, change.name, "made nullable", table_name)
        if change.comment is not None:
            new = replace(new, description=change.comment or None)
        if change.default is not None or change.drop_default:
            new = replace(new, default_value=change.default)
        fields = fields.swapped(field, new)
        if not change.first and change.after is None:
            return fields
        without = replace(fields, fields=tuple(f for f in fields.fields if f is not new))
        return placed(without, new, change.first, change.after)

    return _edited(schema, change.parents, table_name, edit)


def _nullable(field: DataField, nullable: bool | None, may_tighten: bool, owner: str) -> DataType:
    """The type, nullable or not; None: as it is."""
    if nullable is False and field.type.nullable and not may_tighten:
        raise NotSupportedError(
            f"column `{field.name}` of {owner} may hold NULL, it cannot become NOT NULL, unless "
            f"'alter-column-null-to-not-null.disabled' = 'false' is set first"
        )
    return field.type if nullable is None else field.type.with_nullable(nullable)


def _renamed_option(key: str, value: str, name: str, new_name: str) -> tuple[str, str]:
    """An option `fields.<column>.<what>`, of a sequence group or a file index, after a column has got another name."""
    if key.startswith("file-index."):
        kind, _, what = key.removeprefix("file-index.").partition(".")
        own = what.removeprefix(f"{name}.")
        return (key if own == what else f"file-index.{kind}.{new_name}.{own}"), (
            _replaced(value, name, new_name) if what == "columns" else value
        )
    prefix, columns, what = key[:7], *(key[7:].rpartition(".")[::2])
    if prefix != "fields.":
        return key, value
    if what == "sequence-group":
        return f"fields.{_replaced(columns, name, new_name)}.{what}", _replaced(value, name, new_name)
    if key.startswith(f"fields.{name}."):
        return f"fields.{new_name}.{key.removeprefix(f'fields.{name}.')}", value
    return key, value


def _replaced(words: str, name: str, new_name: str) -> str:
    stripped = [word.strip() for word in words.split(",")]
    return ",".join(new_name if word == name else word for word in stripped) if name in stripped else words


def _check_not_key(schema: TableSchema, name: str, done: str, table_name: str) -> None:
    for keys, what in ((schema.primary_keys, "the primary key"), (schema.partition_keys, "the partition keys")):
        if name in keys:
            raise NotSupportedError(f"column `{name}` of table `{table_name}` is one of {what} and cannot be {done}")
    indexes = [key for key in schema.options if key.startswith("file-index.") and key.endswith(".columns")]
    for key in (*_COLUMN_OPTIONS, *(indexes if done == "dropped" else ())):
        if name in [word.strip() for word in schema.options.get(key, "").split(",")]:
            raise NotSupportedError(f"column `{name}` of table `{table_name}` is used by '{key}' and cannot be {done}")


def _check_mutable(key: str, schema: TableSchema, value: str | None, has_rows: bool) -> None:
    if schema.options.get(key) == value or (not has_rows and key not in FIXED_OPTIONS):
        return
    if key == "bucket" and schema.options.get(key) != value:
        before = schema.options.get(key, "-1")
        if not (before.isdigit() and (value or "").isdigit() and int(value or "0") > 0):
            raise OptionError(
                f"'bucket' cannot be changed from '{before}' to '{value or '-1'}' once the table is there: only a "
                f"number of buckets can become another; create another table and copy the rows with INSERT INTO"
            )
        return
    if key in IMMUTABLE_OPTIONS and schema.options.get(key) != value:
        raise OptionError(
            f"'{key}' cannot be changed once the table is there, because its files were written with it; "
            f"create another table and copy the rows with INSERT INTO"
        )
