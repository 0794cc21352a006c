"""Another alias for a relation of an outer query whose name is also that of a column of an inner one.

DataFusion reads `s.k` in a subquery as the field `k` of the inner column `s` before it thinks of the outer table `s`.
SQL means the table: a struct's field is only meant where no table has the name.
"""

from __future__ import annotations

from sqlglot import exp

OUTER = "$outer"
"""Follows the alias."""


def rename_relation(relation: exp.Expr, alias: str) -> None:
    """Give a relation of FROM, called `alias` so far, another name, there and wherever its columns are used."""
    select = relation.find_ancestor(exp.Select)
    if select is None:
        return
    for column in list(select.find_all(exp.Column)):
        if column.table == alias and not column.meta.get("field") and _means(column, select, alias):
            column.args["table"].set("this", alias + OUTER)
            column.args["table"].set("quoted", True)
            if column.meta.get("source") == alias:
                column.meta["source"] = alias + OUTER
    named = relation.args.get("alias")
    name = exp.to_identifier(alias + OUTER, quoted=True)
    if isinstance(named, exp.TableAlias):
        named.set("this", name)
    else:
        relation.set("alias", exp.TableAlias(this=name))


def _means(column: exp.Expr, select: exp.Select, alias: str) -> bool:
    """No query between the column and `select` has a relation of that name itself."""
    node = column.parent
    while node is not None and node is not select:
        if isinstance(node, exp.Select) and alias in _aliases(node):
            return False
        node = node.parent
    return node is select


def _aliases(select: exp.Select) -> set[str]:
    clause = select.args.get("from_")
    relations = [
        *([clause.this] if clause is not None else []),
        *(join.this for join in select.args.get("joins") or ()),
    ]
    return {relation.alias_or_name for relation in relations}
