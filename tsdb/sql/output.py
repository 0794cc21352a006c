"""The columns that a SELECT gives: their names, made unique.

DataFusion refuses two output columns of one name; every other engine gives both. So repeated names get a suffix
inside, and `Output.shown` keeps what the user expects to see. An unnamed expression is shown as its own text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from sqlglot import exp

from tsdb.errors import BindError, ColumnNotFound, NotSupportedError, nearest
from tsdb.sql.columns_call import columns_calls, wanted_columns
from tsdb.sql.expression_type import arrow_type
from tsdb.sql.scope import Output, Scope, Source, resolve
from tsdb.sql.unparse import expression_text

_MODIFIERS = ("except_", "replace", "rename", "ilike")


def name_outputs(
    select: exp.Select, scope: Scope, fail: Callable[..., NoReturn], *, keep_single: bool = False
) -> tuple[Output, ...] | None:
    """Give every projection of `select` a unique name; None when a star cannot be resolved.

    keep_single: the name of a lone expression does not matter (a scalar subquery). fail: raises an error at a node.
    """
    _expand_columns_calls(select, scope, fail)
    _expand_modified_stars(select, scope, fail)
    projections: list[tuple[exp.Expr, list[Output] | None]] = [
        (node, _outputs(node, scope)) for node in select.expressions
    ]
    taken: set[str] = set()
    items: list[exp.Expr] = []
    outputs: list[Output] = []
    complete = True
    for node, found in projections:
        if found is None:
            complete = False
            items.append(node)
            continue
        names = [_unused(column.shown, taken) for column in found]
        if _is_star(node):
            items += _star_items(node, found, names, scope)
        elif keep_single and len(projections) == 1:
            items.append(node)
        else:
            items.append(_named(node, names[0]))
        outputs += [Output(name, column.shown, column.type) for name, column in zip(names, found, strict=True)]
    select.set("expressions", items)
    return tuple(outputs) if complete else None


def _outputs(node: exp.Expr, scope: Scope) -> list[Output] | None:
    """The columns of one projection."""
    if not _is_star(node):
        return [_single(node, scope)]
    return _star_columns(node, scope)


def _star_columns(node: exp.Expr, scope: Scope) -> list[Output] | None:
    if isinstance(node, exp.Column):
        source = scope.source(node.table)
        return list(source.columns) if isinstance(source, Source) and source.columns is not None else None
    columns: list[Output] = []
    for source in scope.sources:
        if source.columns is None:
            return None
        if source.in_star:
            columns += [column for column in source.columns if column.name not in source.hidden]
    return columns


def _expand_columns_calls(select: exp.Select, scope: Scope, fail: Callable[..., NoReturn]) -> None:
    """A projection with COLUMNS once for each column that it means."""
    items: list[exp.Expr] = []
    for item in select.expressions:
        calls = columns_calls(item)
        if not calls:
            items.append(item)
            continue
        if _star_columns(exp.Star(), scope) is None:
            fail("COLUMNS over columns that are not known; name them one by one", item, NotSupportedError)
        pairs = _star_pairs(exp.Star(), scope)
        wanted = wanted_columns(calls, [column.shown for _, column in pairs], fail)
        for name in wanted:
            source, column = next(pair for pair in pairs if pair[1].shown == name)
            holder = exp.Tuple(expressions=[item.copy()])
            for call in columns_calls(holder.expressions[0]):
                call.replace(_column_of(source, column, exp.Star(), scope))
            (made,) = holder.expressions
            plain = isinstance(made, exp.Column) and made.name == name
            items.append(exp.alias_(made, name, quoted=True) if isinstance(made, exp.Column) and not plain else made)
    select.set("expressions", items)


def _expand_modified_stars(select: exp.Select, scope: Scope, fail: Callable[..., NoReturn]) -> None:
    """`* EXCEPT (a) REPLACE (f(b) AS b) RENAME (c AS d)` as the columns that it means, where they are known."""
    items: list[exp.Expr] = []
    for node in select.expressions:
        star = node.this if isinstance(node, exp.Column) else node
        modified = isinstance(star, exp.Star) and any(star.args.get(key) for key in _MODIFIERS)
        if not modified:
            items.append(node)
        elif star.args.get("ilike"):
            fail("SELECT * ILIKE: name the columns, or leave out the others with EXCEPT (…)", node, NotSupportedError)
        elif _star_columns(node, scope) is not None:
            items += _modified_star(star, node, scope, fail)
        elif star.args.get("rename"):
            fail("RENAME of columns that are not known; name them one by one", node, NotSupportedError)
        else:
            items.append(node)
    if select.expressions and not items:
        fail("EXCEPT leaves no column; keep at least one", select, BindError)
    select.set("expressions", items)


def _modified_star(star: exp.Star, node: exp.Expr, scope: Scope, fail: Callable[..., NoReturn]) -> list[exp.Expr]:
    pairs = _star_pairs(node, scope)
    shown = [column.shown for _, column in pairs]

    def real(item: exp.Expr) -> str:
        name = item.this.name if isinstance(item, exp.Alias) and item in renames else item.alias_or_name
        found = resolve([Output(other, other) for other in dict.fromkeys(shown)], name)
        if not isinstance(found, Output):
            fail(f"column `{name}` does not exist.{nearest(name, shown)}", item, ColumnNotFound)
        return found.name

    renames = star.args.get("rename") or []
    left_out = {real(item) for item in star.args.get("except_") or ()}
    replaced = {real(item): item.this for item in star.args.get("replace") or ()}
    renamed = {real(item): item.alias for item in renames}
    items: list[exp.Expr] = []
    for source, column in pairs:
        if column.shown in left_out:
            continue
        name = renamed.get(column.shown, column.shown)
        value = replaced[column.shown].copy() if column.shown in replaced else _column_of(source, column, node, scope)
        is_plain = isinstance(value, exp.Column) and value.name == name
        items.append(value if is_plain else exp.alias_(value, name, quoted=True, copy=False))
    return items


def _star_pairs(node: exp.Expr, scope: Scope) -> list[tuple[Source, Output]]:
    """The columns of a star with their sources."""
    qualified = isinstance(node, exp.Column)
    sources = [scope.source(node.table)] if isinstance(node, exp.Column) else scope.sources
    return [
        (source, column)
        for source in sources
        if isinstance(source, Source) and (source.in_star or qualified)
        for column in source.columns or ()
        if qualified or column.name not in source.hidden
    ]


def _column_of(source: Source, column: Output, node: exp.Expr, scope: Scope) -> exp.Expr:
    """A column of a star by itself; what USING merged is the merged one."""
    merged = None if isinstance(node, exp.Column) else scope.merged.get(column.name)
    if merged is not None:
        return merged.copy()
    found = exp.column(column.name, table=source.qualifier, quoted=True)
    found.meta.update(shown=column.shown, type=column.type, source=source.qualifier)
    return found


def _single(node: exp.Expr, scope: Scope) -> Output:
    if isinstance(node, exp.Alias):
        return Output(node.alias, node.alias, _type(node.this, scope))
    if isinstance(node, exp.Column):
        shown = str(node.meta.get("shown", node.name))
        return Output(node.name, shown, _type(node, scope))
    shown = node.name if isinstance(node, exp.Dot) else expression_text(node)
    return Output(shown, shown, arrow_type(node))


def _type(node: exp.Expr, scope: Scope) -> object:
    """The Arrow type of a plain column, for the fields of structs; of an expression that is surely an integer, its."""
    if not isinstance(node, exp.Column):
        return arrow_type(node)
    for source in scope.sources:
        if node.table in ("", source.alias):
            for column in source.columns or ():
                if column.name == node.name:
                    return column.type
    return None


def _star_items(node: exp.Expr, found: list[Output], names: list[str], scope: Scope) -> list[exp.Expr]:
    """The star itself when nothing has to be renamed or merged, else its columns one by one."""
    if not scope.merged and all(column.name == name for column, name in zip(found, names, strict=True)):
        return [node]
    pairs = [(source, column) for source, column in _star_pairs(node, scope) if column in found]
    return [
        _named(_column_of(source, column, node, scope), name)
        for (source, column), name in zip(pairs, names, strict=True)
    ]


def _named(node: exp.Expr, name: str) -> exp.Expr:
    if isinstance(node, exp.Alias):
        if node.alias != name:
            node.set("alias", exp.to_identifier(name, quoted=True))
        return node
    if isinstance(node, exp.Column) and node.name == name:
        return node
    named: exp.Expr = exp.alias_(node, name, quoted=True, copy=False)
    return named


def _unused(name: str, taken: set[str]) -> str:
    candidate, number = name, 0
    while candidate in taken:
        number += 1
        candidate = f"{name}:{number}"
    taken.add(candidate)
    return candidate


def _is_star(node: exp.Expr) -> bool:
    return isinstance(node, exp.Star) or (isinstance(node, exp.Column) and isinstance(node.this, exp.Star))
