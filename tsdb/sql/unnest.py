"""FROM t CROSS JOIN UNNEST(t.xs) AS u (x): the array's elements beside the row that holds it.

DataFusion cannot run a lateral UNNEST, but it can unnest in a SELECT list. So the relation that holds the array
becomes `(SELECT *, unnest(xs) AS "u.x" FROM t) AS t`, and the columns of `u` become columns of that. LEFT JOIN … ON
TRUE keeps the rows whose array is empty or NULL, with a NULL element. An array of rows gives the fields of its rows,
a map its keys and values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn

import pyarrow as pa
from sqlglot import exp

from tsdb.errors import NotSupportedError
from tsdb.sql.scope import Output, Scope, Source

ROWS = "rows"
"""What an UNNEST knows of its array beforehand: the type, an array of rows whose fields are all wanted."""

_ELEMENT = "$element"


def unnest_join(
    join: exp.Join, unnest: exp.Unnest, scope: Scope, fail: Callable[[str, exp.Expr, type[NotSupportedError]], NoReturn]
) -> None:
    """Take `join` out of its query and unnest inside the relation that holds the array; its columns join `scope`."""

    def refuse(reason: str) -> NoReturn:
        fail(f"UNNEST in FROM: {reason}", unnest, NotSupportedError)

    outer = join.args.get("side") == "LEFT"
    condition = join.args.get("on")
    if join.args.get("side") not in (None, "", "LEFT") or join.args.get("using"):
        refuse("only CROSS JOIN, a comma, and LEFT JOIN … ON TRUE are supported")
    if condition is not None and not (isinstance(condition, exp.Boolean) and condition.this):
        refuse("the join condition must be ON TRUE; put conditions in WHERE")
    if len(unnest.expressions) != 1:
        refuse("one array at a time")
    array = unnest.expressions[0]
    position = _owner(array, scope)
    kind = unnest.meta.get(ROWS) or (None if position is None else _type(array, scope.sources[position]))
    if position is not None and scope.sources[position].inside is not None:
        array, position = _in_holder(array, scope, scope.sources[position])
    if position is None or scope.sources[position].relation is None or scope.sources[position].alias is None:
        refuse("the array must be a column of one table of the FROM clause that has a name")
    if position > 0 and any(sibling.args.get("side") for sibling in _joins_before(join)):
        refuse("with outer joins before it, the array must be in the first table")
    owner = scope.sources[position]
    alias = unnest.alias or "unnest"
    columns, derived = _derived(owner, array, kind, unnest, alias, outer=outer)
    assert owner.relation is not None
    owner.relation.replace(derived)
    join.pop()
    scope.sources[position] = replace(owner, relation=derived)
    scope.sources.append(Source(alias, columns, inside=owner.alias))


def is_lateral(unnest: exp.Unnest) -> bool:
    """The array comes from a column, so the plain form cannot run."""
    return unnest.find(exp.Column) is not None


def _owner(array: exp.Expr, scope: Scope) -> int | None:
    """The index of the one source that all columns of `array` belong to."""
    owners: set[int] = set()
    for column in array.find_all(exp.Column):
        holders = [
            i
            for i, source in enumerate(scope.sources)
            if column.table in ("", source.alias, source.qualifier)
            and column.name in {c.name for c in source.columns or ()}
        ]
        owners |= set(holders[:1]) or {-1}
    return owners.pop() if len(owners) == 1 and -1 not in owners else None


def _in_holder(array: exp.Expr, scope: Scope, unnested: Source) -> tuple[exp.Expr, int | None]:
    """An array of an unnested side, as the relation that holds that side has it; and which one that is."""
    array = array.copy()
    for column in [array] if isinstance(array, exp.Column) else list(array.find_all(exp.Column)):
        held = exp.column(column.name, unnested.inside, quoted=True)
        array = held if column is array else (column.replace(held), array)[1]
    holders = [i for i, source in enumerate(scope.sources) if source.alias == unnested.inside]
    return array, holders[0] if holders else None


def _joins_before(join: exp.Join) -> list[exp.Join]:
    joins = join.parent.args.get("joins") or [] if join.parent is not None else []
    return [sibling for sibling in joins if (sibling.index or 0) < (join.index or 0)]


def _derived(
    owner: Source, array: exp.Expr, kind: pa.DataType | None, unnest: exp.Unnest, alias: str, *, outer: bool
) -> tuple[tuple[Output, ...], exp.Subquery]:
    """The columns of the unnested side, and the relation that holds both."""
    assert owner.relation is not None and owner.alias is not None
    source = exp.Anonymous(this="map_entries", expressions=[array]) if kind and pa.types.is_map(kind) else array
    fields = _fields(kind)
    wanted = [column.name for column in unnest.args["alias"].columns] if unnest.args.get("alias") else []
    ordinality = unnest.args.get("offset")
    if isinstance(ordinality, exp.Identifier):
        wanted = [name for name in wanted if name != ordinality.name]
    fields = fields if ROWS in unnest.meta or len(wanted) != 1 else []
    names = wanted or [field.name for field in fields] or [alias]
    outputs = [
        Output(f"{alias}.{name}", name, fields[i].type if i < len(fields) else None) for i, name in enumerate(names)
    ]
    first = _ELEMENT if fields else outputs[0].name
    items = [_named(_unnest(source, outer=outer), first)]
    if ordinality:
        number = ordinality.name if isinstance(ordinality, exp.Identifier) else "ordinality"
        outputs.append(Output(f"{alias}.{number}", number))
        items.append(_named(_ordinals(source), outputs[-1].name))
    select = exp.Select(expressions=[exp.Star(), *items], from_=exp.From(this=owner.relation.copy()))
    if fields:
        select = _with_fields(select, fields, outputs)
    name = exp.TableAlias(this=exp.to_identifier(owner.alias, quoted=True))
    return tuple(outputs), exp.Subquery(this=select, alias=name)


def _with_fields(select: exp.Select, fields: list[pa.Field], outputs: list[Output]) -> exp.Select:
    """The fields of the unnested rows instead of the rows."""
    star = exp.Star(except_=[exp.to_identifier(_ELEMENT, quoted=True)])
    items = [
        _named(
            exp.Anonymous(
                this="get_field", expressions=[exp.column(_ELEMENT, quoted=True), exp.Literal.string(field.name)]
            ),
            output.name,
        )
        for field, output in zip(fields, outputs, strict=False)
    ]
    inner = exp.Subquery(this=select, alias=exp.TableAlias(this=exp.to_identifier("$unnested", quoted=True)))
    return exp.Select(expressions=[star, *items], from_=exp.From(this=inner))


def _unnest(array: exp.Expr, *, outer: bool) -> exp.Expr:
    return exp.Anonymous(this="unnest", expressions=[_padded(array) if outer else array.copy()])


def _padded(array: exp.Expr) -> exp.Expr:
    """The array, or one NULL when it has no element."""
    filled = exp.GT(
        this=exp.Anonymous(this="cardinality", expressions=[array.copy()]), expression=exp.Literal.number(0)
    )
    return exp.Case(ifs=[exp.If(this=filled, true=array.copy())], default=exp.Array(expressions=[exp.Null()]))


def _ordinals(array: exp.Expr) -> exp.Expr:
    size = exp.Anonymous(this="cardinality", expressions=[array.copy()])
    numbers = exp.Anonymous(this="generate_series", expressions=[exp.Literal.number(1), _bigint(size)])
    return exp.Anonymous(this="unnest", expressions=[numbers])


def _bigint(node: exp.Expr) -> exp.Expr:
    return exp.Cast(this=node, to=exp.DataType.build("BIGINT"))


def _named(node: exp.Expr, name: str) -> exp.Expr:
    named: exp.Expr = exp.alias_(node, name, quoted=True)
    return named


def _type(array: exp.Expr, owner: Source) -> pa.DataType | None:
    if not isinstance(array, exp.Column):
        return None
    return next((column.type for column in owner.columns or () if column.name == array.name), None)


def _fields(kind: pa.DataType | None) -> list[pa.Field]:
    """The columns that one element gives: the fields of a row, key and value of a map; empty for a plain value."""
    if kind is None:
        return []
    if pa.types.is_map(kind):
        return [pa.field("key", kind.key_type), pa.field("value", kind.item_type)]
    if (pa.types.is_list(kind) or pa.types.is_large_list(kind)) and pa.types.is_struct(kind.value_type):
        return list(kind.value_type)
    return []
