"""Functions of arrays, maps and rows."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
from sqlglot import exp

from tsdb.errors import NotSupportedError, ProgrammingError
from tsdb.sql.expression_type import arrow_type, integer
from tsdb.sql.functions.spec import (
    Arguments,
    Function,
    Group,
    Translation,
    call,
    cast,
    constant,
    is_null,
    number,
    renamed,
    text,
    when,
)

_f = Group("Arrays, maps, rows")


def _element(arguments: Arguments) -> exp.Expr:
    """The only element; an error if there are more."""
    size = cast(call("cardinality", arguments[0]), "BIGINT")
    return call("array_element", arguments[0], call("only_one", size))


def value_at_key(node: exp.Bracket) -> exp.Expr | None:
    """map[key], with the key in the type that the map's keys have, and also where it is no constant."""
    kind = arrow_type(node.this)
    if len(node.expressions) != 1:
        return None
    (key,) = node.expressions
    if kind is not None and pa.types.is_map(kind):
        name = _KEY_TYPES.get(kind.key_type)
        found = call("map_extract", node.this, cast(key, name) if name else key)
        return call("array_element", found, number(1))
    if isinstance(node.this, exp.Map) and not isinstance(key, exp.Literal):
        wide = cast(key, "BIGINT") if integer(key) is not None else key
        return call("array_element", call("map_extract", node.this, wide), number(1))
    return None


_KEY_TYPES = {pa.int8(): "TINYINT", pa.int16(): "SMALLINT", pa.int32(): "INT", pa.int64(): "BIGINT"}


def _cardinality(arguments: Arguments) -> exp.Expr:
    return cast(call("cardinality", arguments[0]), "INT")


def _sort(arguments: Arguments) -> exp.Expr:
    """ARRAY_SORT(array [, ascending [, nulls_first]]): NULLs first when ascending, as they are lowest."""
    if len(arguments) > 1 and isinstance(arguments[1], exp.Literal):
        return call("array_sort", *arguments)
    ascending = len(arguments) < 2 or bool(arguments[1].this)
    nulls_first = bool(arguments[2].this) if len(arguments) > 2 else ascending
    order = [text("ASC" if ascending else "DESC"), text(f"NULLS {'FIRST' if nulls_first else 'LAST'}")]
    return call("array_sort", arguments[0], *order)


def _position(arguments: Arguments) -> exp.Expr:
    """From 1; 0 when it is not there."""
    found = call("coalesce", call("array_position", *arguments), number(0))
    unknown = [is_null(a) for a in arguments if not isinstance(a, exp.Literal | exp.Array)]
    return cast(when(exp.or_(*unknown, copy=False), exp.Null(), found) if unknown else found, "INT")


def _not_of_null(name: str) -> Translation:
    """NULL where the first argument is."""
    return lambda arguments: (
        call(name, *arguments)
        if isinstance(arguments[0], exp.Array)
        else when(is_null(arguments[0]), exp.Null(), call(name, *arguments))
    )


def _concat(arguments: Arguments) -> exp.Expr:
    known = [is_null(argument) for argument in arguments if not isinstance(argument, exp.Array)]
    whole = call("array_concat", *arguments)
    return when(exp.or_(*known, copy=False), exp.Null(), whole) if known else whole


def _contains(arguments: Arguments) -> exp.Expr:
    array, item = arguments
    found = call("array_has", array, item)
    if isinstance(item, exp.Literal | exp.Boolean):
        return found
    return when(is_null(item), exp.Not(this=is_null(call("array_position", array, item))), found)


def _remove(arguments: Arguments) -> exp.Expr:
    array, item = arguments
    without = call("array_remove_all", array, item)
    return without if isinstance(item, exp.Literal) else when(is_null(item), call("array_compact", array), without)


def _slice(arguments: Arguments) -> exp.Expr:
    array, *bounds = arguments
    return call(
        "array_slice", array, bounds[0], bounds[1] if len(bounds) > 1 else cast(call("cardinality", array), "BIGINT")
    )


def _join(arguments: Arguments) -> exp.Expr:
    return call("array_to_string", *arguments)


def _first_or_last(place: int) -> Translation:
    return lambda arguments: call("array_element", arguments[0], number(place))


def _present(array: exp.Expr) -> exp.Expr:
    """The elements that are not NULL."""
    return call("array_compact", array)


def _count(array: exp.Expr) -> exp.Expr:
    return cast(call("cardinality", array), "BIGINT")


_OF_LIST: Mapping[str, Translation] = {
    "sum": renamed("list_sum"),
    "avg": renamed("list_avg"),
    "min": renamed("array_min"),
    "max": renamed("array_max"),
    "product": renamed("list_product"),
    "count": lambda a: _count(_present(a[0])),
    "first": _first_or_last(1),
    "last": _first_or_last(-1),
}


def _aggregate(arguments: Arguments) -> exp.Expr:
    """LIST_AGGREGATE(array, 'name')."""
    name = constant(arguments[1], "the aggregate's name").lower()
    if name not in _OF_LIST:
        raise NotSupportedError(f"LIST_AGGREGATE knows {', '.join(_OF_LIST)}, not '{name}'; UNNEST takes any aggregate")
    return _OF_LIST[name](arguments[:1])


def _list_sort(arguments: Arguments) -> exp.Expr:
    """DuckDB's: NULLs last unless said otherwise."""
    order = arguments[1] if len(arguments) > 1 else text("ASC")
    return call("array_sort", arguments[0], order, arguments[2] if len(arguments) > 2 else text("NULLS LAST"))


def _list_position(arguments: Arguments) -> exp.Expr:
    """DuckDB's: NULL when it is not there."""
    return cast(call("array_position", *arguments), "INT")


MAP_UNIONS = ("MAP_UNION", "MAP_CONCAT")
"""What is written with a lambda, which takes another grammar of DataFusion's."""
_KEY = "a key of both"


def _map_union(arguments: Arguments) -> exp.Expr:
    if len(arguments) < 2:
        raise ProgrammingError("MAP_UNION takes at least 2 maps: MAP_UNION(a, b, …)")
    whole = arguments[0]
    for more in arguments[1:]:
        whole = _with_entries(whole, more)
    return whole


def _with_entries(left: exp.Expr, right: exp.Expr) -> exp.Expr:
    key = exp.to_identifier(_KEY, quoted=True)

    def value_in(one: exp.Expr) -> exp.Expr:
        return call("array_element", call("map_extract", one, key), number(1))

    value = when(call("array_has", call("map_keys", right), key), value_in(right), value_in(left))
    keys = call("array_union", call("map_keys", left), call("map_keys", right))
    made = call("map", keys, call("array_transform", keys, exp.Lambda(this=value, expressions=[key.copy()])))
    return when(exp.or_(is_null(left), is_null(right)), exp.Null(), made)


COLLECTIONS: tuple[Function, ...] = (
    _f("ARRAY", "ARRAY[a, b, …]", "An array; `array[n]` is its n-th element, from 1.", "ARRAY[1, 2][2]", "2"),
    _f("MAP", "MAP[key, value, …]", "A map; `map[key]` is a value.", "MAP['a', 1]", "{a=1}"),
    _f("ROW", "ROW(a, b, …)", "A row of values.", "ROW(1, 'a')", "(1, a)", by=renamed("struct"), aliases=("STRUCT",)),
    _f("NAMED_STRUCT", "NAMED_STRUCT('name', a, …)", "A row of named values.", "NAMED_STRUCT('x', 1)", "(1)"),
    _f("CARDINALITY", "CARDINALITY(array | map)", "How many elements.", "CARDINALITY(ARRAY[1, 2])", "2", 1,
       by=_cardinality, aliases=("SIZE", "ARRAY_SIZE")),
    _f("ELEMENT", "ELEMENT(array)", "The only element; an error if there are more.", "ELEMENT(ARRAY[7])", "7", 1,
       by=_element),
    _f("ARRAY_APPEND", "ARRAY_APPEND(array, x)", "With x behind.", "ARRAY_APPEND(ARRAY[1], 2)", "[1, 2]", 2,
       by=_not_of_null("array_append")),
    _f("ARRAY_PREPEND", "ARRAY_PREPEND(array, x)", "With x before.", "ARRAY_PREPEND(ARRAY[1], 2)", "[2, 1]", 2,
       by=lambda a: call("array_prepend", a[1], a[0])),
    _f("ARRAY_CONCAT", "ARRAY_CONCAT(a, b, …)", "One after another; NULL if one is NULL.",
       "ARRAY_CONCAT(ARRAY[1], ARRAY[2])", "[1, 2]", by=_concat),
    _f("ARRAY_CONTAINS", "ARRAY_CONTAINS(array, x)", "Whether x is in it, NULL too.",
       "ARRAY_CONTAINS(ARRAY[1, 2], 2)", "true", 2, by=_contains),
    _f("ARRAY_HAS", "ARRAY_HAS(array, x)", "Whether x is in it; NULL if x is NULL.",
       "ARRAY_HAS(ARRAY[1, 2], 2)", "true", 2, aliases=("LIST_CONTAINS", "LIST_HAS"), by=renamed("array_has")),
    _f("ARRAY_DISTINCT", "ARRAY_DISTINCT(array)", "Without repetitions.", "CARDINALITY(ARRAY_DISTINCT(ARRAY[1, 1]))",
       "1"),
    _f("ARRAY_EXCEPT", "ARRAY_EXCEPT(a, b)", "What is in a and not in b.", "ARRAY_EXCEPT(ARRAY[1, 2], ARRAY[2])",
       "[1]"),
    _f("ARRAY_INTERSECT", "ARRAY_INTERSECT(a, b)", "What is in both.", "ARRAY_INTERSECT(ARRAY[1, 2], ARRAY[2])", "[2]"),
    _f("ARRAY_JOIN", "ARRAY_JOIN(array, delimiter [, for_null])", "The elements as one string.",
       "ARRAY_JOIN(ARRAY['a', 'b'], '-')", "a-b", 2, 3, by=_join),
    _f("ARRAY_MAX", "ARRAY_MAX(array)", "The greatest element.", "ARRAY_MAX(ARRAY[1, 3, 2])", "3"),
    _f("ARRAY_MIN", "ARRAY_MIN(array)", "The least element.", "ARRAY_MIN(ARRAY[1, 3, 2])", "1"),
    _f("ARRAY_POSITION", "ARRAY_POSITION(array, x)", "The place of x, from 1; 0 if it is not there.",
       "ARRAY_POSITION(ARRAY['a', 'b'], 'b')", "2", 2, by=_position),
    _f("ARRAY_REMOVE", "ARRAY_REMOVE(array, x)", "Without any x.", "ARRAY_REMOVE(ARRAY[1, 2, 1], 1)", "[2]", 2,
       by=_remove),
    _f("ARRAY_REVERSE", "ARRAY_REVERSE(array)", "Backwards.", "ARRAY_REVERSE(ARRAY[1, 2])", "[2, 1]"),
    _f("ARRAY_SLICE", "ARRAY_SLICE(array, from [, to])", "A part; places count from 1, or from the end when negative.",
       "ARRAY_SLICE(ARRAY[1, 2, 3], 2)", "[2, 3]", 2, 3, by=_slice),
    _f("ARRAY_SORT", "ARRAY_SORT(array [, ascending [, nulls_first]])", "In order.", "ARRAY_SORT(ARRAY[2, 1], FALSE)",
       "[2, 1]", 1, 2, 3, by=_sort, aliases=("SORT_ARRAY",)),
    _f("ARRAY_UNION", "ARRAY_UNION(a, b)", "What is in one of both, once.", "ARRAY_UNION(ARRAY[1], ARRAY[1, 2])",
       "[1, 2]"),
    _f("ARRAYS_OVERLAP", "ARRAYS_OVERLAP(a, b)", "Whether they share an element.",
       "ARRAYS_OVERLAP(ARRAY[1], ARRAY[1, 2])", "true"),
    _f("ARRAY_REPEAT", "ARRAY_REPEAT(x, n)", "n times x.", "ARRAY_REPEAT('a', 2)", "[a, a]"),
    _f("FLATTEN", "FLATTEN(array)", "An array of arrays as one.", "FLATTEN(ARRAY[ARRAY[1], ARRAY[2]])", "[1, 2]"),
    _f("RANGE", "RANGE(from, to [, step])", "The numbers from a start to before an end.", "RANGE(1, 4)", "[1, 2, 3]"),
    _f("GENERATE_SERIES", "GENERATE_SERIES(from, to [, step])", "The numbers from a start to an end.",
       "GENERATE_SERIES(1, 3)", "[1, 2, 3]"),
    _f("LIST_VALUE", "LIST_VALUE(a, b, …)", "An array.", "LIST_VALUE(1, 2)", "[1, 2]",
       by=lambda a: exp.Array(expressions=[item.copy() for item in a]), aliases=("LIST_PACK", "ARRAY_VALUE")),
    _f("EXPLODE", "EXPLODE(array)", "UNNEST under Spark's name: a row for each element.",
       "SELECT MAX(x) FROM (SELECT EXPLODE(ARRAY[1, 2]) AS x)", "2", 1, by=renamed("unnest")),
    _f("LIST_AGGREGATE", "LIST_AGGREGATE(array, 'sum' | 'avg' | 'min' | 'max' | 'count' | …)",
       "An aggregate of the elements.", "LIST_AGGREGATE(ARRAY[1, 2], 'max')", "2", 2, by=_aggregate,
       aliases=("LIST_AGGR", "ARRAY_AGGREGATE")),
    _f("LIST_COUNT", "LIST_COUNT(array)", "How many elements are not NULL.", "LIST_COUNT(ARRAY[1, NULL])", "1", 1,
       by=_OF_LIST["count"]),
    _f("LIST_FIRST", "LIST_FIRST(array)", "The first element.", "LIST_FIRST(ARRAY[1, 2])", "1", 1,
       by=_OF_LIST["first"]),
    _f("LIST_LAST", "LIST_LAST(array)", "The last element.", "LIST_LAST(ARRAY[1, 2])", "2", 1, by=_OF_LIST["last"]),
    _f("LIST_MIN", "LIST_MIN(array)", "The least element.", "LIST_MIN(ARRAY[1, 2])", "1", 1, by=_OF_LIST["min"]),
    _f("LIST_POSITION", "LIST_POSITION(array, x)", "The place of x, from 1; NULL if it is not there.",
       "LIST_POSITION(ARRAY['a', 'b'], 'b')", "2", 2, by=_list_position, aliases=("LIST_INDEXOF", "ARRAY_INDEXOF")),
    _f("LIST_SORT", "LIST_SORT(array [, 'ASC' | 'DESC' [, 'NULLS FIRST' | 'NULLS LAST']])", "In order, NULLs last.",
       "LIST_SORT(ARRAY[2, NULL, 1])", "[1, 2, NULL]", 1, 2, 3, by=_list_sort),
    _f("LIST_REVERSE_SORT", "LIST_REVERSE_SORT(array)", "The greatest first, NULLs last.",
       "LIST_REVERSE_SORT(ARRAY[1, 2])", "[2, 1]", 1, by=lambda a: _list_sort([a[0], text("DESC")]),
       aliases=("ARRAY_REVERSE_SORT",)),
    _f("LIST_UNIQUE", "LIST_UNIQUE(array)", "How many different elements, without NULL.", "LIST_UNIQUE(ARRAY[1, 1])",
       "1", 1, by=lambda a: _count(call("array_distinct", _present(a[0]))), aliases=("ARRAY_UNIQUE",)),
    _f("STRUCT_EXTRACT", "STRUCT_EXTRACT(row, 'name')", "A value of a row.",
       "STRUCT_EXTRACT(NAMED_STRUCT('x', 1), 'x')",
       "1", 2, by=renamed("get_field")),
    _f("MAP_CONTAINS", "MAP_CONTAINS(map, key)", "Whether the map has the key.", "MAP_CONTAINS(MAP['a', 1], 'a')",
       "true", 2, by=lambda a: call("array_has", call("map_keys", a[0]), a[1]), aliases=("MAP_CONTAINS_KEY",)),
    _f("MAP_KEYS", "MAP_KEYS(map)", "The keys.", "MAP_KEYS(MAP['a', 1])", "[a]"),
    _f("MAP_VALUES", "MAP_VALUES(map)", "The values.", "MAP_VALUES(MAP['a', 1])", "[1]"),
    _f("MAP_ENTRIES", "MAP_ENTRIES(map)", "An array of rows of key and value.", "MAP_ENTRIES(MAP['a', 1])", "[(a, 1)]"),
    _f("MAP_FROM_ARRAYS", "MAP_FROM_ARRAYS(keys, values)", "A map of two arrays.",
       "MAP_FROM_ARRAYS(ARRAY['a'], ARRAY[1])", "{a=1}", 2, by=renamed("map")),
    _f("MAP_UNION", "MAP_UNION(a, b, …)", "All entries; of one key that of the last map. NULL if a map is NULL.",
       "MAP_UNION(MAP['a', 1, 'b', 2], MAP['b', 3])", "{a=1, b=3}", by=_map_union, aliases=("MAP_CONCAT",)),
)  # fmt: skip
"""Arrays, maps and rows."""
