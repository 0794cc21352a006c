"""The functions of columns, by the name in 'fields.<column>.aggregate-function', and the options that go with them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tsdb.data_types import DataField, TypeRoot
from tsdb.errors import NotSupportedError, OptionError, nearest
from tsdb.mergetree.merge_engine.aggregate import Aggregate
from tsdb.mergetree.merge_engine.choice import Extreme, FirstNonNullValue, FirstValue, LastNonNullValue, LastValue
from tsdb.mergetree.merge_engine.column_rule import ColumnRule
from tsdb.mergetree.merge_engine.numbers import Bool, Product, Sum
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
    """types: of columns that the function takes. options: what may follow `fields.<column>.` for it."""

    types: tuple[TypeRoot, ...]
    make: Callable[[DataField, Mapping[str, str]], Aggregate]
    options: tuple[str, ...] = ()


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
}
# functions of Paimon over serialized sketches and bitmaps of libraries that are not here
REFUSED_FUNCTIONS = ("hll_sketch", "theta_sketch", "rbm32", "rbm64")
_ALWAYS = ("aggregate-function", "ignore-retract", "sequence-group")
KEYWORDS = (*_ALWAYS, *dict.fromkeys(word for maker in FUNCTIONS.values() for word in maker.options))


def column_rule(field: DataField, options: TableOptions, function: str) -> ColumnRule:
    """The rule of a column with the function of that name.

    Raises OptionError for a function that does not exist or does not take the column's type, NotSupportedError for one
    that only Paimon has.
    """
    where = f"'fields.{field.name}.aggregate-function' = '{function}'"
    if function in REFUSED_FUNCTIONS:
        raise NotSupportedError(f"{where}: sketches and bitmaps cannot be merged here; use Paimon for such a table")
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
