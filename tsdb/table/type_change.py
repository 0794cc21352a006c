"""What a column's type may become: for scalars Paimon's table of casts, for structured types field by field.

An implicit cast loses nothing worth naming; an explicit one may, and 'disable-explicit-type-casting' forbids it. What
Paimon allows but cannot read afterwards is refused here, too.
Source: Paimon, `DataTypeCasts` and `CastExecutors`; checked against both for every pair of types.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tsdb.data_types import MAX_LENGTH, DataField, DataType, TypeRoot
from tsdb.errors import NotSupportedError

_SMALL = (TypeRoot.TINYINT, TypeRoot.SMALLINT, TypeRoot.INT)
_INTEGERS = (*_SMALL, TypeRoot.BIGINT)
_NUMBERS = (*_INTEGERS, TypeRoot.FLOAT, TypeRoot.DOUBLE, TypeRoot.DECIMAL)
_TEXTS = (TypeRoot.CHAR, TypeRoot.VARCHAR)
_BYTES = (TypeRoot.BINARY, TypeRoot.VARBINARY)
_INSTANTS = (TypeRoot.TIMESTAMP, TypeRoot.TIMESTAMP_LTZ)
_TIMES = (TypeRoot.DATE, TypeRoot.TIME, *_INSTANTS)
Roots = tuple[TypeRoot, ...]

# target: its sources by an implicit cast, and those by an explicit one
_CASTS: Mapping[TypeRoot, tuple[Roots, Roots]] = {
    TypeRoot.BOOLEAN: ((), (*_INTEGERS, *_TEXTS)),
    TypeRoot.TINYINT: ((TypeRoot.TINYINT,), (TypeRoot.BOOLEAN, *_NUMBERS, *_TEXTS)),
    TypeRoot.SMALLINT: (_SMALL[:2], (TypeRoot.BOOLEAN, *_NUMBERS, *_TEXTS)),
    TypeRoot.INT: (_SMALL, (TypeRoot.BOOLEAN, *_NUMBERS, *_TEXTS, *_INSTANTS)),
    TypeRoot.BIGINT: (_INTEGERS, (TypeRoot.BOOLEAN, *_NUMBERS, *_TEXTS, *_INSTANTS)),
    TypeRoot.FLOAT: ((*_INTEGERS, TypeRoot.FLOAT, TypeRoot.DECIMAL), (TypeRoot.BOOLEAN, *_NUMBERS, *_TEXTS)),
    TypeRoot.DOUBLE: (_NUMBERS, (TypeRoot.BOOLEAN, *_TEXTS)),
    TypeRoot.DECIMAL: (_NUMBERS, (TypeRoot.BOOLEAN, *_TEXTS)),
    TypeRoot.CHAR: ((TypeRoot.CHAR,), (TypeRoot.VARCHAR, TypeRoot.BOOLEAN, *_NUMBERS, *_BYTES)),
    TypeRoot.VARCHAR: (_TEXTS, (TypeRoot.BOOLEAN, *_NUMBERS, *_BYTES, *_TIMES)),
    TypeRoot.BINARY: ((TypeRoot.BINARY,), (TypeRoot.VARBINARY, *_TEXTS)),
    TypeRoot.VARBINARY: (_BYTES, _TEXTS),
    TypeRoot.DATE: ((TypeRoot.TIMESTAMP,), (TypeRoot.TIMESTAMP_LTZ, *_TEXTS)),
    TypeRoot.TIME: ((TypeRoot.TIMESTAMP,), (TypeRoot.TIMESTAMP_LTZ, *_TEXTS)),
    **dict.fromkeys(
        _INSTANTS,
        (_INSTANTS, (TypeRoot.DATE, TypeRoot.TIME, TypeRoot.INT, TypeRoot.BIGINT, *_TEXTS)),
    ),
}
_STRUCTURED = (TypeRoot.ARRAY, TypeRoot.MAP, TypeRoot.MULTISET, TypeRoot.ROW)


def retyped(old: DataType, new: DataType, highest: int, explicit: bool) -> tuple[DataType, int]:
    """The type `new` with the field ids of `old`, new fields numbered after `highest`; and the highest id given.

    explicit: whether explicit casts are allowed. Fields of a ROW are the same if their names are.
    Raises NotSupportedError saying why values of the old type cannot be read as ones of the new type.
    """
    if old.with_nullable(True) == new.with_nullable(True):
        return old.with_nullable(new.nullable), highest
    if old.root is TypeRoot.ROW and new.root is TypeRoot.ROW:
        return _retyped_row(old, new, highest, explicit)
    if old.root is new.root is TypeRoot.ARRAY:
        element, highest = _retyped_part(old.element, new.element, highest, explicit)
        return replace(new, element=element), highest
    if old.root is new.root is TypeRoot.MAP:
        if not _is_same(old.key, new.key):
            raise NotSupportedError("the key of a MAP stays as it is")
        value, highest = _retyped_part(old.value, new.value, highest, explicit)
        return replace(new, key=old.key, value=value), highest
    if old.root in _STRUCTURED or new.root in _STRUCTURED or not _is_cast(old, new):
        raise NotSupportedError(f"values of type {old.sql()} do not convert to {new.sql()}")
    if not explicit and old.root not in _CASTS[new.root][0]:
        raise NotSupportedError(
            f"a conversion of {old.sql()} to {new.sql()} may lose something, "
            f"and 'disable-explicit-type-casting' is 'true'"
        )
    return new, highest


def _is_cast(old: DataType, new: DataType) -> bool:
    if new.root not in _CASTS or not any(old.root in sources for sources in _CASTS[new.root]):
        return False
    return old.root not in _TIMES or new.root is not TypeRoot.VARCHAR or new.length == MAX_LENGTH


def _is_same(old: DataType | None, new: DataType | None) -> bool:
    assert old is not None and new is not None
    return old.with_nullable(True) == new.with_nullable(True)


def _retyped_part(old: DataType | None, new: DataType | None, highest: int, explicit: bool) -> tuple[DataType, int]:
    assert old is not None and new is not None
    return retyped(old, new, highest, explicit)


def _retyped_row(old: DataType, new: DataType, highest: int, explicit: bool) -> tuple[DataType, int]:
    by_name = {field.name: field for field in old.fields}
    fields: list[DataField] = []
    for field in new.fields:
        before = by_name.get(field.name)
        if before is None:
            (added,), highest = numbered([field], highest)
            fields.append(added)
            continue
        kind, highest = retyped(before.type, field.type, highest, explicit)
        fields.append(replace(before, type=kind, description=field.description or before.description))
    return replace(new, fields=tuple(fields)), highest


def numbered(fields: Sequence[DataField], highest: int = -1) -> tuple[tuple[DataField, ...], int]:
    """The fields with new ids after `highest`; and the highest id given.

    A column comes before the fields in it, but a field of a row after those in it, as Paimon numbers them.
    """
    out = []
    for field in fields:
        own = highest + 1
        kind, highest = _numbered_type(field.type, own)
        out.append(replace(field, id=own, type=kind))
    return tuple(out), highest


def _numbered_members(fields: Sequence[DataField], highest: int) -> tuple[tuple[DataField, ...], int]:
    out = []
    for field in fields:
        kind, highest = _numbered_type(field.type, highest)
        highest += 1
        out.append(replace(field, id=highest, type=kind))
    return tuple(out), highest


def _numbered_type(kind: DataType, highest: int) -> tuple[DataType, int]:
    fields, highest = _numbered_members(kind.fields, highest) if kind.fields else (kind.fields, highest)
    parts: dict[str, DataType | None] = {}
    for name in ("element", "key", "value"):
        part = getattr(kind, name)
        if part is not None:
            parts[name], highest = _numbered_type(part, highest)
    return replace(kind, fields=fields, **parts), highest  # type: ignore[arg-type]  # mypy merges the ** types
