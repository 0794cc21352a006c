"""Changes of a list of fields: the columns of a table, or those of a ROW that lies somewhere below a column.

A path leads from a column through fields of rows; `element` and `value` are the steps into an ARRAY and a MAP.
Source: Paimon, `SchemaManager.updateNestedColumn`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tsdb.data_types import DataField, DataType, TypeRoot
from tsdb.errors import AlreadyExists, ColumnNotFound, NotSupportedError, nearest
from tsdb.table.type_change import numbered, retyped

Fields = tuple[DataField, ...]


@dataclass(frozen=True, slots=True)
class FieldList:
    """Fields, the highest id given in their table, and what they belong to, for messages."""

    fields: Fields
    highest: int
    owner: str

    def find(self, name: str) -> DataField:
        """The field of that name. Raises ColumnNotFound."""
        for field in self.fields:
            if field.name == name:
                return field
        names = [field.name for field in self.fields]
        raise ColumnNotFound(f"{self.owner} has no column `{name}`.{nearest(name, names)}")

    def has(self, name: str) -> bool:
        """Whether there is a field of that name."""
        return any(field.name == name for field in self.fields)

    def swapped(self, old: DataField, new: DataField) -> "FieldList":
        """With `new` where `old` was."""
        return replace(self, fields=tuple(new if field is old else field for field in self.fields))


Edit = Callable[[FieldList], FieldList]


def at_path(below: FieldList, path: Sequence[str], edit: Edit) -> FieldList:
    """The fields after an edit of those that the path leads to."""
    if not path:
        return edit(below)
    field = below.find(path[0])
    kind, highest = _inside(field.type, path[1:], below.highest, f"`{field.name}` of {below.owner}", edit)
    return replace(below.swapped(field, replace(field, type=kind)), highest=highest)


def _inside(kind: DataType, path: Sequence[str], highest: int, owner: str, edit: Edit) -> tuple[DataType, int]:
    if kind.root is TypeRoot.ROW:
        changed = at_path(FieldList(kind.fields, highest, owner), path, edit)
        return replace(kind, fields=changed.fields), changed.highest
    step = {TypeRoot.ARRAY: "element", TypeRoot.MAP: "value"}.get(kind.root)
    part = getattr(kind, step) if step is not None else None
    if step is None or part is None:
        raise ColumnNotFound(f"{owner} is {kind.sql()}, which has no columns")
    if path and path[0] != step:
        raise ColumnNotFound(f"{owner} is {kind.sql()}: write `{step}` for what is in it, not `{path[0]}`")
    if not path:  # what lies in an array or a map is like a field of that name
        try:
            changed = edit(FieldList((DataField(-1, step, part),), highest, owner))
        except (ColumnNotFound, AlreadyExists) as err:
            raise ColumnNotFound(f"{owner} is {kind.sql()}: write `{step}` for what is in it ({err})") from err
        if [field.name for field in changed.fields] != [step]:
            raise NotSupportedError(f"{owner} is {kind.sql()}: only the type of its `{step}` can be changed")
        return _with_part(kind, changed.fields[0].type), changed.highest
    inner, highest = _inside(part, path[1:], highest, f"`{step}` of {owner}", edit)
    return _with_part(kind, inner), highest


def _with_part(kind: DataType, part: DataType) -> DataType:
    return replace(kind, element=part) if kind.root is TypeRoot.ARRAY else replace(kind, value=part)


def added(fields: FieldList, new: DataField, first: bool, after: str | None, before: str | None = None) -> FieldList:
    """With a new field, numbered; at the end unless `first`, `after` or `before` says otherwise."""
    if fields.has(new.name):
        raise AlreadyExists(f"{fields.owner} already has a column `{new.name}`")
    if not new.type.nullable:
        raise NotSupportedError(
            f"column `{new.name}` cannot be added to {fields.owner} as NOT NULL: it is NULL in the rows that "
            f"are there; leave out NOT NULL"
        )
    (field,), highest = numbered([new], fields.highest)
    return replace(placed(fields, field, first, after, before), highest=highest)


def dropped(fields: FieldList, name: str) -> FieldList:
    """Without a field, which must not be the only one."""
    field = fields.find(name)
    if len(fields.fields) == 1:
        raise NotSupportedError(f"`{name}` is the only column of {fields.owner}; drop that instead")
    return replace(fields, fields=tuple(f for f in fields.fields if f is not field))


def renamed(fields: FieldList, name: str, new_name: str) -> FieldList:
    """With another name for a field."""
    field = fields.find(name)
    if fields.has(new_name):
        raise AlreadyExists(f"{fields.owner} already has a column `{new_name}`")
    return fields.swapped(field, replace(field, name=new_name))


def with_type(fields: FieldList, name: str, kind: DataType, explicit: bool) -> FieldList:
    """With another type of a field, whose nullability stays. explicit: whether explicit casts are allowed."""
    field = fields.find(name)
    try:
        new, highest = retyped(field.type, kind.with_nullable(field.type.nullable), fields.highest, explicit)
    except NotSupportedError as err:
        raise NotSupportedError(
            f"column `{name}` of {fields.owner} cannot become {kind.sql()}: {err}; add another column instead"
        ) from err
    return replace(fields.swapped(field, replace(field, type=new)), highest=highest)


def placed(fields: FieldList, field: DataField, first: bool, after: str | None, before: str | None = None) -> FieldList:
    """With the field, which is not among them, at a place."""
    names = [f.name for f in fields.fields]
    at = len(names)
    if first:
        at = 0
    elif after is not None:
        at = names.index(fields.find(after).name) + 1
    elif before is not None:
        at = names.index(before)
    return replace(fields, fields=(*fields.fields[:at], field, *fields.fields[at:]))
