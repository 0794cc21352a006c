"""Changing a schema: a change makes the next version, whose file is written atomically; data files stay as they are.

Column ids are what survives a rename: they are given once, depth-first over nested rows, and never again, so that a
file is read right under every later schema. Source: Paimon, `SchemaChange` and `SchemaManager.commitChanges`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from tsdb import clock
from tsdb.data_types import DataField, DataType
from tsdb.errors import AlreadyExists, ColumnNotFound, CommitConflict, NotSupportedError, OptionError, nearest
from tsdb.metadata.schema import SchemaManager, TableSchema
from tsdb.table.evolution import can_convert

RETRIES_MAX = 10
IMMUTABLE_OPTIONS = ("merge-engine", "bucket-key", "bucket", "sequence.field", "primary-key", "partition", "connector")


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
    """A new column, NULL in the rows there are; at the end unless `first` or `after` says otherwise."""

    name: str
    type: DataType
    comment: str | None = None
    default: str | None = None
    first: bool = False
    after: str | None = None
    if_not_exists: bool = False


@dataclass(frozen=True, slots=True)
class DropColumn:
    """A column goes."""

    name: str
    if_exists: bool = False


@dataclass(frozen=True, slots=True)
class RenameColumn:
    """A column gets another name."""

    name: str
    new_name: str


@dataclass(frozen=True, slots=True)
class ModifyColumn:
    """Another type, comment or place; what is None or False stays as it is."""

    name: str
    type: DataType | None = None
    comment: str | None = None
    first: bool = False
    after: str | None = None
    nullable: bool | None = None


SchemaChange = SetOptions | ResetOptions | SetComment | AddColumn | DropColumn | RenameColumn | ModifyColumn


def change_schema(
    schemas: SchemaManager,
    changes: Sequence[SchemaChange],
    table_name: str,
    check: Callable[[TableSchema], object] = lambda _: None,
) -> TableSchema:
    """Publish the next schema, or the same one if nothing changes; done again if another writer was faster.

    check: raises if the new schema is none that can be had.
    """
    for _ in range(RETRIES_MAX):
        before = schemas.latest()
        assert before is not None, table_name
        after = before
        for change in changes:
            after = apply(after, change, table_name)
        if after == before:
            return before
        after = replace(after, id=before.id + 1, time_millis=clock.current().now_ms())
        check(after)
        if schemas.try_create(after):
            return after
    raise CommitConflict(f"the schema of table `{table_name}` was changed by others {RETRIES_MAX} times; try again")


def apply(schema: TableSchema, change: SchemaChange, table_name: str) -> TableSchema:
    """The schema after one change. Raises ColumnNotFound, AlreadyExists, NotSupportedError or OptionError."""
    match change:
        case SetOptions(options):
            for key in options:
                _check_mutable(key, schema, options[key])
            return replace(schema, options={**schema.options, **options})
        case ResetOptions(keys):
            for key in keys:
                _check_mutable(key, schema, None)
            return replace(schema, options={k: v for k, v in schema.options.items() if k not in keys})
        case SetComment(comment):
            return replace(schema, comment=comment)
        case AddColumn():
            return _add(schema, change, table_name)
        case DropColumn(name, if_exists):
            if if_exists and not schema.has(name):
                return schema
            _find(schema, name, table_name)
            _check_not_key(schema, name, "dropped", table_name)
            if len(schema.fields) == 1:
                raise NotSupportedError(f"`{name}` is the only column of table `{table_name}`; drop the table instead")
            return replace(schema, fields=tuple(f for f in schema.fields if f.name != name))
        case RenameColumn(name, new_name):
            return _rename(schema, name, new_name, table_name)
        case ModifyColumn():
            return _modify(schema, change, table_name)


def numbered(fields: Sequence[DataField], highest: int = -1) -> tuple[tuple[DataField, ...], int]:
    """The fields with new ids after `highest`, depth-first, nested rows included; and the highest id given."""
    out = []
    for field in fields:
        own = highest + 1
        kind, highest = _numbered_type(field.type, own)
        out.append(replace(field, id=own, type=kind))
    return tuple(out), highest


def _numbered_type(kind: DataType, highest: int) -> tuple[DataType, int]:
    fields, highest = numbered(kind.fields, highest) if kind.fields else (kind.fields, highest)
    parts: dict[str, DataType | None] = {}
    for name in ("element", "key", "value"):
        part = getattr(kind, name)
        if part is not None:
            parts[name], highest = _numbered_type(part, highest)
    return replace(kind, fields=fields, **parts), highest  # type: ignore[arg-type]  # mypy merges the ** types


def _add(schema: TableSchema, change: AddColumn, table_name: str) -> TableSchema:
    if schema.has(change.name):
        if change.if_not_exists:
            return schema
        raise AlreadyExists(f"table `{table_name}` already has a column `{change.name}`")
    if not change.type.nullable:
        raise NotSupportedError(
            f"column `{change.name}` cannot be added to table `{table_name}` as NOT NULL: it is NULL in the rows that "
            f"are there; leave out NOT NULL"
        )
    new = DataField(0, change.name, change.type, change.comment, change.default)
    (field,), highest = numbered([new], schema.highest_field_id)
    fields = _placed(schema, field, change.first, change.after, table_name)
    return replace(schema, fields=fields, highest_field_id=highest)


def _rename(schema: TableSchema, name: str, new_name: str, table_name: str) -> TableSchema:
    field = _find(schema, name, table_name)
    if name in schema.partition_keys:
        raise NotSupportedError(f"partition column `{name}` of table `{table_name}` cannot be renamed")
    if schema.has(new_name):
        raise AlreadyExists(f"table `{table_name}` already has a column `{new_name}`")
    options = dict(schema.options)
    for key in ("bucket-key", "sequence.field", "rowkind.field"):
        if key in options:
            words = [word.strip() for word in options[key].split(",")]
            options[key] = ",".join(new_name if word == name else word for word in words)
    options = {
        f"fields.{new_name}." + k.removeprefix(f"fields.{name}.") if k.startswith(f"fields.{name}.") else k: v
        for k, v in options.items()
    }
    return replace(
        schema,
        fields=tuple(replace(field, name=new_name) if f is field else f for f in schema.fields),
        primary_keys=tuple(new_name if key == name else key for key in schema.primary_keys),
        options=options,
    )


def _modify(schema: TableSchema, change: ModifyColumn, table_name: str) -> TableSchema:
    field = _find(schema, change.name, table_name)
    new = field
    if change.type is not None and change.type.with_nullable(True) != field.type.with_nullable(True):
        _check_not_key(schema, change.name, "changed in type", table_name)
        if change.type.fields or not can_convert(field.type, change.type):
            raise NotSupportedError(
                f"column `{change.name}` of table `{table_name}` cannot become {change.type.sql()}, because values of "
                f"type {field.type.sql()} do not convert to it; add another column instead"
            )
        new = replace(new, type=change.type.with_nullable(field.type.nullable))
    nullable = change.nullable if change.nullable is not None else (change.type or field.type).nullable
    if field.type.nullable and not nullable and (change.nullable is not None or change.type is not None):
        raise NotSupportedError(
            f"column `{change.name}` of table `{table_name}` may hold NULL, it cannot become NOT NULL"
        )
    if nullable and not field.type.nullable and change.nullable:
        _check_not_key(schema, change.name, "made nullable", table_name)
        new = replace(new, type=new.type.with_nullable(True))
    if change.comment is not None:
        new = replace(new, description=change.comment)
    changed = replace(schema, fields=tuple(new if f is field else f for f in schema.fields))
    if not change.first and change.after is None:
        return changed
    without = replace(changed, fields=tuple(f for f in changed.fields if f is not new))
    return replace(changed, fields=_placed(without, new, change.first, change.after, table_name))


def _placed(
    schema: TableSchema, field: DataField, first: bool, after: str | None, table_name: str
) -> tuple[DataField, ...]:
    if first:
        return (field, *schema.fields)
    if after is None:
        return (*schema.fields, field)
    at = schema.names.index(_find(schema, after, table_name).name) + 1
    return (*schema.fields[:at], field, *schema.fields[at:])


def _find(schema: TableSchema, name: str, table_name: str) -> DataField:
    if not schema.has(name):
        raise ColumnNotFound(f"table `{table_name}` has no column `{name}`.{nearest(name, schema.names)}")
    return schema.field(name)


def _check_not_key(schema: TableSchema, name: str, done: str, table_name: str) -> None:
    for keys, what in ((schema.primary_keys, "the primary key"), (schema.partition_keys, "the partition keys")):
        if name in keys:
            raise NotSupportedError(f"column `{name}` of table `{table_name}` is one of {what} and cannot be {done}")
    for key in ("bucket-key", "sequence.field", "rowkind.field"):
        if name in [word.strip() for word in schema.options.get(key, "").split(",")]:
            raise NotSupportedError(f"column `{name}` of table `{table_name}` is used by '{key}' and cannot be {done}")


def _check_mutable(key: str, schema: TableSchema, value: str | None) -> None:
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
