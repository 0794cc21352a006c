"""The functions of columns, by the name in 'fields.<column>.aggregate-function', and the options that go with them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tsdb.data_types import DataField, TypeRoot
from tsdb.errors import OptionError, nearest
from tsdb.mergetree.merge_engine.aggregate import Aggregate
from tsdb.mergetree.merge_engine.choice import Extreme, FirstNonNullValue, FirstValue, LastNonNullValue, LastValue
from tsdb.mergetree.merge_engine.column_rule import ColumnRule
from tsdb.mergetree.merge_engine.lists import Collect, ListAgg
from tsdb.mergetree.merge_engine.maps import MergeMap, MergeMapWithKeyTime
from tsdb.mergetree.merge_engine.nested import NestedPartialUpdate, NestedUpdate
from tsdb.mergetree.merge_engine.numbers import Bool, Product, Sum
from tsdb.mergetree.merge_engine.sketches import union_of
from tsdb.options import TableOptions, parse_bool

DEFAULT_FUNCTION = "fields.default-aggregate-function"

_NUMBERS = (
    TypeRoot.TINYINT, TypeRoot.SMALLINT, TypeRoot.INT, TypeRoot.BIGINT, TypeRoot.FLOAT, TypeRoot.DOUBLE,
    TypeRoot.DECIMAL,
)  # fmt: skip
_NESTED = (TypeRoot.ARRAY, TypeRoot.MAP, TypeRoot.MULTISET, TypeRoot.ROW, TypeRoot.VARIANT, TypeRoot.BLOB)
_ANY = tuple(TypeRoot)
_COMPARABLE = tuple(root for root in TypeRoot if root not in _NESTED)


@dataclass(frozen=True, slots=True)
class _Maker:
    """types: of columns that the function takes. make: given what follows `fields.<column>.` in the options."""

    types: tuple[TypeRoot, ...]
    make: Callable[[DataField, Mapping[str, str]], Aggregate]


def _list_agg(field: DataField, given: Mapping[str, str]) -> Aggregate:
    return ListAgg(given.get("list-agg-delimiter", ","), _flag(field, given, "distinct"))


def _collect(field: DataField, given: Mapping[str, str]) -> Aggregate:
    return Collect(_flag(field, given, "distinct"))


def _keytime(field: DataField, given: Mapping[str, str]) -> Aggregate:
    value = field.type.value
    if value is None or value.root is not TypeRoot.ROW or len(value.fields) < 2:
        raise OptionError(
            f"'fields.{field.name}.aggregate-function' = 'merge_map_with_keytime': the values of column `{field.name}` "
            f"have to be rows of two or more fields, not {field.type.sql()}"
        )
    name = given.get("ts-field", value.fields[-1].name)
    (time,) = _nested_fields(field, value.fields, (name,), "ts-field")
    if time.type.root not in (TypeRoot.CHAR, TypeRoot.VARCHAR):
        raise OptionError(f"'fields.{field.name}.ts-field': `{name}` is {time.type.sql()}; it has to be STRING")
    return MergeMapWithKeyTime(name)


def _nested_update(field: DataField, given: Mapping[str, str]) -> Aggregate:
    key, null_keys = _nested_key(field, given)
    sequence = _words(given, "nested-sequence-field")
    _nested_fields(field, _nested_rows(field), sequence, "nested-sequence-field")
    for option in ("nested-sequence-field", "nested-key-null-strategy"):
        if option in given and not key:
            raise OptionError(f"'fields.{field.name}.{option}' needs 'fields.{field.name}.nested-key'")
    limit = given.get("count-limit")
    if limit is not None and not limit.strip().isdecimal():
        raise OptionError(f"'fields.{field.name}.count-limit' is a whole number, not '{limit}'")
    return NestedUpdate(field.name, key, sequence, None if limit is None else int(limit), null_keys)


def _nested_partial_update(field: DataField, given: Mapping[str, str]) -> Aggregate:
    key, null_keys = _nested_key(field, given)
    if not key:
        raise OptionError(f"'nested_partial_update' of column `{field.name}` needs 'fields.{field.name}.nested-key'")
    return NestedPartialUpdate(field.name, key, null_keys)


def _nested_key(field: DataField, given: Mapping[str, str]) -> tuple[tuple[str, ...], str]:
    key = _words(given, "nested-key")
    _nested_fields(field, _nested_rows(field), key, "nested-key")
    null_keys = given.get("nested-key-null-strategy", "merge").strip().lower()
    if null_keys not in ("merge", "ignore", "error"):
        raise OptionError(
            f"'fields.{field.name}.nested-key-null-strategy' is 'merge', 'ignore' or 'error', not '{null_keys}'"
        )
    return key, null_keys


def _nested_rows(field: DataField) -> tuple[DataField, ...]:
    element = field.type.element
    if element is None or element.root is not TypeRoot.ROW:
        raise OptionError(f"column `{field.name}` has to be an ARRAY of ROW for its function, not {field.type.sql()}")
    return element.fields


def _nested_fields(
    field: DataField, fields: tuple[DataField, ...], names: tuple[str, ...], option: str
) -> list[DataField]:
    by_name = {part.name: part for part in fields}
    for name in names:
        if name not in by_name:
            raise OptionError(
                f"'fields.{field.name}.{option}': the rows of column `{field.name}` have no field `{name}`."
                f"{nearest(name, by_name)}"
            )
    return [by_name[name] for name in names]


def _words(given: Mapping[str, str], option: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in given.get(option, "").split(",") if word.strip())


def _flag(field: DataField, given: Mapping[str, str], option: str) -> bool:
    return parse_bool(f"fields.{field.name}.{option}", given.get(option, "false"))


def _union(name: str) -> Callable[[DataField, Mapping[str, str]], Aggregate]:
    return lambda field, _: union_of(name, field.name)


FUNCTIONS: Mapping[str, _Maker] = {
    "sum": _Maker(_NUMBERS, lambda field, _: Sum(field.name)),
    "product": _Maker(_NUMBERS, lambda field, _: Product(field.name)),
    "max": _Maker(_COMPARABLE, lambda *_: Extreme(True)),
    "min": _Maker(_COMPARABLE, lambda *_: Extreme(False)),
    "last_value": _Maker(_ANY, lambda *_: LastValue()),
    "last_non_null_value": _Maker(_ANY, lambda *_: LastNonNullValue()),
    "first_value": _Maker(_ANY, lambda *_: FirstValue()),
    "first_non_null_value": _Maker(_ANY, lambda *_: FirstNonNullValue()),
    "first_not_null_value": _Maker(_ANY, lambda *_: FirstNonNullValue()),
    "bool_and": _Maker((TypeRoot.BOOLEAN,), lambda *_: Bool(True)),
    "bool_or": _Maker((TypeRoot.BOOLEAN,), lambda *_: Bool(False)),
    "listagg": _Maker((TypeRoot.CHAR, TypeRoot.VARCHAR), _list_agg),
    "collect": _Maker((TypeRoot.ARRAY,), _collect),
    "merge_map": _Maker((TypeRoot.MAP,), lambda *_: MergeMap()),
    "merge_map_with_keytime": _Maker((TypeRoot.MAP,), _keytime),
    "nested_update": _Maker((TypeRoot.ARRAY,), _nested_update),
    "nested_partial_update": _Maker((TypeRoot.ARRAY,), _nested_partial_update),
    **{name: _Maker((TypeRoot.VARBINARY,), _union(name)) for name in ("hll_sketch", "theta_sketch", "rbm32", "rbm64")},
}


def column_rule(field: DataField, options: TableOptions, function: str) -> ColumnRule:
    """The rule of a column with the function of that name.

    Raises OptionError for a function that does not exist or does not take the column's type, NotSupportedError for one
    whose library is not installed.
    """
    where = f"'fields.{field.name}.aggregate-function' = '{function}'"
    maker = FUNCTIONS.get(function)
    if maker is None:
        near = nearest(function, FUNCTIONS)
        raise OptionError(f"{where}: there is no such function.{near} There are {', '.join(sorted(FUNCTIONS))}")
    if field.type.root not in maker.types:
        raise OptionError(f"{where}: column `{field.name}` is {field.type.sql()}, which '{function}' does not take")
    prefix = f"fields.{field.name}."
    given = {key.removeprefix(prefix): value for key, value in options.values.items() if key.startswith(prefix)}
    ignores = parse_bool(f"{prefix}ignore-retract", given.get("ignore-retract", "false"))
    return ColumnRule(field.name, maker.make(field, given), ignores)


def function_of(field: DataField, options: TableOptions) -> str | None:
    """The function that the options name for a column, by itself or by default; None: none."""
    return options.values.get(f"fields.{field.name}.aggregate-function") or options.values.get(DEFAULT_FUNCTION)
