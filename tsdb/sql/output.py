"""The columns that a SELECT gives: their names, made unique.

DataFusion refuses two output columns of one name; every other engine gives both. So repeated names get a suffix
inside, and `Output.shown` keeps what the user expects to see. An unnamed expression is shown as its own text.
"""

from __future__ import annotations

from sqlglot import exp

from tsdb.sql.scope import Output, Scope, Source
from tsdb.sql.unparse import expression_text


def name_outputs(select: exp.Select, scope: Scope, *, keep_single: bool = False) -> tuple[Output, ...] | None:
    """Give every projection of `select` a unique name; None when a star cannot be resolved.

    keep_single: the name of a lone expression does not matter (a scalar subquery).
    """
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
    star = node.this if isinstance(node, exp.Column) else node
    if any(star.args.get(key) for key in ("except_", "replace", "rename", "ilike")):
        return _reduced(star, node, scope)
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


def _reduced(star: exp.Expr, node: exp.Expr, scope: Scope) -> list[Output] | None:
    """SELECT * EXCEPT (a): only the plain form has known columns."""
    if any(star.args.get(key) for key in ("replace", "rename", "ilike")):
        return None
    columns = _star_columns(node, scope)
    left_out = {item.name.lower() for item in star.args["except_"]}
    return None if columns is None else [column for column in columns if column.shown.lower() not in left_out]


def _single(node: exp.Expr, scope: Scope) -> Output:
    if isinstance(node, exp.Alias):
        return Output(node.alias, node.alias, _type(node.this, scope))
    if isinstance(node, exp.Column):
        shown = str(node.meta.get("shown", node.name))
        return Output(node.name, shown, _type(node, scope))
    shown = node.name if isinstance(node, exp.Dot) else expression_text(node)
    return Output(shown, shown)


def _type(node: exp.Expr, scope: Scope) -> object:
    """The Arrow type of a plain column, for the fields of structs."""
    if not isinstance(node, exp.Column):
        return None
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
    qualified = isinstance(node, exp.Column)
    sources = [scope.source(node.table)] if isinstance(node, exp.Column) else scope.sources
    pairs = [
        (source, column)
        for source in sources
        if isinstance(source, Source) and (source.in_star or qualified)
        for column in source.columns or ()
        if column in found and (qualified or column.name not in source.hidden)
    ]
    items: list[exp.Expr] = []
    for (source, column), name in zip(pairs, names, strict=True):
        merged = None if qualified else scope.merged.get(column.name)
        reference = (
            merged.copy() if merged is not None else exp.column(column.name, table=source.qualifier, quoted=True)
        )
        items.append(_named(reference, name))
    return items


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
