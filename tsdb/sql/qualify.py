"""Names resolved: every table and column of a query gets the name it really has, or an error at its place in the text.

A name is matched exactly first, else without regard to case when only one fits; in the innermost scope that has it.
What this module cannot be sure of (functions as tables, whose columns are not known) it leaves as written for
DataFusion to judge. On the way it

- makes output names unique (`tsdb.sql.output`), and keeps the ones to show;
- turns USING and NATURAL into ON (DataFusion takes the left column even where a RIGHT or FULL join leaves it NULL);
- puts the expression in place of an alias that is used beside it in the same SELECT list;
- marks every column that belongs to an outer query (`meta["outer"]`), for the rewrites that need to know correlation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import NoReturn

import pyarrow as pa
from sqlglot import exp

from tsdb.data_types import from_arrow
from tsdb.errors import BindError, ColumnNotFound, DatabaseError, NotSupportedError, nearest
from tsdb.sql.dialect import IN_VIEW, WINDOW_TIME, is_word
from tsdb.sql.expression_type import common, type_of_all
from tsdb.sql.output import name_outputs
from tsdb.sql.scope import Failure, Output, Scope, Source, is_derived_join, resolve
from tsdb.sql.script import position_of
from tsdb.sql.shadow import rename_relation
from tsdb.sql.statements import Statement
from tsdb.sql.unnest import is_lateral, unnest_join
from tsdb.sql.using import merge_join

SchemaOf = Callable[[exp.Table], pa.Schema | None]
Columns = tuple[Output, ...] | None


def qualify(query: exp.Query, schema_of: SchemaOf, statement: Statement | None = None) -> exp.Query:
    """A copy of `query` with its names resolved.

    schema_of: the columns of a real table (it raises TableNotFound itself), None when they are not known.
    statement: where `query` comes from, for the places of errors.
    """
    resolved = query.copy()
    resolver = _Resolver(schema_of, statement)
    resolved.meta["outputs"] = resolver.query(resolved, {}, None)
    for relation, alias in resolver.shadowed:
        rename_relation(relation, alias)
    return resolved


def qualify_expression(
    expression: exp.Expr, schema: pa.Schema, alias: str | None = None, statement: Statement | None = None
) -> exp.Expr:
    """A copy of one expression over the columns of one table: a computed column, a watermark, a condition of DELETE."""
    holder = exp.Paren(this=expression.copy())
    scope = Scope([Source(alias, _schema_columns(schema))])
    _Resolver(lambda table: None, statement).visit(holder, scope, {})
    resolved: exp.Expr = holder.this
    return resolved


def output_names(query: exp.Expr) -> tuple[str, ...] | None:
    """The names that a qualified query shows its user, one for each column; None: those of DataFusion's schema."""
    outputs = query.meta.get("outputs")
    return None if outputs is None else tuple(output.shown for output in outputs)


@dataclass(slots=True)
class _Resolver:
    schema_of: SchemaOf
    statement: Statement | None
    shadowed: list[tuple[exp.Expr, str]] = field(default_factory=list)
    """Relations of outer queries, with their aliases, that DataFusion would take for a column of an inner one."""

    def query(self, node: exp.Expr, ctes: Mapping[str, Columns], parent: Scope | None) -> Columns:
        """Resolve a query of any kind, in place; its columns."""
        ctes = self._with(node, ctes, parent)
        if isinstance(node, exp.Subquery):
            columns = self.query(node.this, ctes, parent) if isinstance(node.this, exp.Query) else None
            self._modifiers(node, columns, ctes, parent)
            return columns
        if isinstance(node, exp.SetOperation):
            columns = _together(self.query(node.this, ctes, parent), self.query(node.expression, ctes, parent))
            self._modifiers(node, columns, ctes, parent)
            return None if node.args.get("by_name") else columns
        if isinstance(node, exp.Select):
            return self._select(node, ctes, parent)
        return None

    def _with(self, node: exp.Expr, ctes: Mapping[str, Columns], parent: Scope | None) -> Mapping[str, Columns]:
        clause = node.args.get("with_")
        if not isinstance(clause, exp.With):
            return ctes
        known = dict(ctes)
        for cte in clause.expressions:
            inner: Mapping[str, Columns] = known
            if clause.args.get("recursive"):
                inner = {
                    **known,
                    cte.alias: _named_columns(cte) if _alias_columns(cte) else self._first(cte, known, parent),
                }
            known[cte.alias] = _renamed(self.query(cte.this, inner, parent), cte)
        return known

    def _first(self, cte: exp.CTE, ctes: Mapping[str, Columns], parent: Scope | None) -> Columns:
        """The columns of a recursive expression: those of its first branch."""
        body = cte.this
        first = self.query(body.this.copy(), ctes, parent) if isinstance(body, exp.SetOperation) else None
        return None if first is None else tuple(replace(column, type=None) for column in first)

    def _select(self, select: exp.Select, ctes: Mapping[str, Columns], parent: Scope | None) -> Columns:
        scope = Scope([], parent)
        self._from(select, scope, ctes)
        aliases: dict[str, exp.Expr] = {}
        for projection in select.expressions:
            self.visit(projection, scope, ctes, lateral=aliases)
            if isinstance(projection, exp.Alias):
                aliases.setdefault(projection.alias, projection.this)
        single = isinstance(select.parent, exp.Subquery | exp.In | exp.Exists) and not _is_derived(select.parent)
        self._visit_all(select.args.get("where"), scope, ctes, lateral=aliases)
        for key in ("windows", "connect", "distinct", "cluster", "distribute", "sort", "hint"):
            self._visit_all(select.args.get(key), scope, ctes)
        for key in ("group", "having", "qualify"):
            self._visit_all(select.args.get(key), scope, ctes, aliases=tuple(aliases))
        columns = name_outputs(select, scope, self.fail, keep_single=single)
        self._order_by_all(select, columns)
        shown = [projection.alias_or_name for projection in select.expressions]
        self._visit_all(select.args.get("order"), scope, ctes, aliases=tuple(shown), aliases_first=True)
        _order_by_outputs(select)
        for key in ("limit", "offset"):
            self._visit_all(select.args.get(key), scope, ctes)
        select.meta["outputs"] = columns
        return columns

    def _modifiers(self, node: exp.Expr, columns: Columns, ctes: Mapping[str, Columns], parent: Scope | None) -> None:
        """ORDER BY and LIMIT of a set operation or of a query in parentheses see the output columns."""
        scope = Scope([Source(None, columns)], None)
        self._order_by_all(node, columns)
        for key in ("order", "limit", "offset"):
            self._visit_all(node.args.get(key), scope, ctes)

    def _from(self, select: exp.Select, scope: Scope, ctes: Mapping[str, Columns]) -> None:
        clause = select.args.get("from_")
        if clause is not None:
            self._relation(clause.this, scope, ctes)
        for join in list(select.args.get("joins") or ()):
            self._join(join, scope, ctes)
        for lateral in select.args.get("laterals") or ():
            self._relation(lateral, scope, ctes)

    def _join(self, join: exp.Join, scope: Scope, ctes: Mapping[str, Columns]) -> None:
        before = len(scope.sources)
        unnest = join.this.this if isinstance(join.this, exp.Lateral) else join.this
        if isinstance(unnest, exp.Unnest) and is_lateral(unnest) and before:
            self._visit_all(unnest.expressions, scope, ctes)
            if unnest is not join.this and join.this.args.get("alias"):
                unnest.set("alias", join.this.args["alias"])
            unnest_join(join, unnest, scope, self.fail)
            return
        self._relation(join.this, scope, ctes)
        if join.args.get("kind") in ("SEMI", "ANTI"):
            scope.sources[before:] = [replace(source, in_star=False) for source in scope.sources[before:]]
        merge_join(join, scope, before, self.fail)
        self._visit_all(join.args.get("on"), scope, ctes)

    def _relation(self, node: exp.Expr, scope: Scope, ctes: Mapping[str, Columns]) -> None:
        """Add what one item of FROM brings."""
        if isinstance(node, exp.Table):
            scope.sources.append(replace(self._table(node, scope, ctes), relation=node))
        elif isinstance(node, exp.Subquery) and (not isinstance(node.this, exp.Query) or is_derived_join(node.this)):
            self._relation(node.this, scope, ctes)  # a join in parentheses
        elif isinstance(node, exp.Subquery):
            columns = self.query(node, ctes, scope.parent)
            scope.sources.append(Source(node.alias or None, _renamed(columns, node), relation=node))
        elif isinstance(node, exp.Values):
            self._visit_all(node.expressions, Scope([], scope.parent), ctes)
            scope.sources.append(Source(node.alias or None, _values_columns(node)))
        elif isinstance(node, exp.Lateral) and isinstance(node.this, exp.Subquery):
            columns = self.query(node.this, ctes, scope)
            scope.sources.append(Source(node.alias or None, _renamed(columns, node)))
        elif isinstance(node, exp.Lateral):
            self.fail(
                "LATERAL with something that is no query, no UNNEST(…) and no table function made from Python "
                "(con.create_table_function)",
                node,
                NotSupportedError,
            )
        else:
            self._visit_all(list(node.iter_expressions()), scope, ctes)
            scope.sources.append(Source(node.alias or None, _named_columns(node)))
        if isinstance(node, exp.Table | exp.Subquery) and scope.sources and scope.sources[-1].relation is node:
            columns = scope.sources[-1].columns
            node.meta["columns"] = None if columns is None else tuple(column.name for column in columns)
        for join in node.args.get("joins") or ():
            self._join(join, scope, ctes)

    def _table(self, table: exp.Table, scope: Scope, ctes: Mapping[str, Columns]) -> Source:
        if isinstance(table.this, exp.Dot):
            self.fail("the name of a table has at most three parts: catalog.database.table", table)
        if not isinstance(table.this, exp.Identifier):
            self._visit_all(list(table.this.iter_expressions()), scope, ctes)
            return Source(table.alias or None, _named_columns(table))
        name = table.name
        cte = None if table.args.get("db") else _cte_name(name, ctes)
        alias, database = table.alias or None, table.db or None
        if cte is not None:
            if cte != name:
                _rename(table.this, cte)
            return Source(alias or name, _renamed(ctes[cte], table))
        schema = self.schema_of(table)
        columns = None if schema is None else _schema_columns(schema)
        return Source(table.alias or table.name, _renamed(columns, table), None if alias else database)

    def _visit_all(
        self,
        nodes: object,
        scope: Scope,
        ctes: Mapping[str, Columns],
        *,
        lateral: Mapping[str, exp.Expr] | None = None,
        aliases: tuple[str, ...] = (),
        aliases_first: bool = False,
    ) -> None:
        for node in nodes if isinstance(nodes, list) else [nodes]:
            if isinstance(node, exp.Expr):
                self.visit(node, scope, ctes, lateral=lateral, aliases=aliases, aliases_first=aliases_first)

    def _order_by_all(self, node: exp.Expr, columns: Columns) -> None:
        """ORDER BY ALL is ORDER BY 1, 2, …, unless a column is called so."""
        order = node.args.get("order")
        if not isinstance(order, exp.Order) or len(order.expressions) != 1:
            return
        (ordered,) = order.expressions
        if not is_word(ordered.this, "ALL") or any(column.shown == ordered.this.name for column in columns or ()):
            return
        if columns is None:
            self.fail("ORDER BY ALL over columns that are not known; name them", ordered, NotSupportedError)
        keys = []
        for i in range(len(columns)):
            key = ordered.copy()
            key.set("this", exp.Literal.number(i + 1))
            keys.append(key)
        order.set("expressions", keys)

    def visit(
        self,
        root: exp.Expr,
        scope: Scope,
        ctes: Mapping[str, Columns],
        *,
        lateral: Mapping[str, exp.Expr] | None = None,
        aliases: tuple[str, ...] = (),
        aliases_first: bool = False,
    ) -> None:
        """Resolve the columns in an expression, in place, and the queries inside it."""
        pending = [root]
        while pending:
            node = pending.pop()
            if isinstance(node, exp.Query):
                self.query(node, ctes, scope)
            elif isinstance(node, exp.Column):
                known = tuple(lateral or ()) + aliases
                if not (aliases_first and self._alias(node, aliases)):
                    self._column(node, scope, known, lateral or {})
            elif isinstance(node, exp.Lambda):
                pending.extend(_free_of_lambda(node))
            else:
                pending.extend(node.iter_expressions(reverse=True))

    def _alias(self, node: exp.Column, aliases: tuple[str, ...]) -> bool:
        """The column is the name of an output, which ORDER BY prefers."""
        return not node.table and not isinstance(node.this, exp.Star) and node.name in aliases

    def _column(
        self, node: exp.Column, scope: Scope, aliases: tuple[str, ...], lateral: Mapping[str, exp.Expr]
    ) -> None:
        if isinstance(node.this, exp.Star):
            if node.table:
                self._qualifier(node, scope)
            return
        if node.table:
            self._qualified(node, scope)
            return
        for depth, level in enumerate(scope.chain()):
            found = level.column(node.name)
            if isinstance(found, Output):
                self._apply(node, found, level, outer=depth > 0)
                return
            if found is Failure.AMBIGUOUS:
                self.fail(_ambiguous(node.name, level), node)
            if found is Failure.UNKNOWN:
                return
            if depth == 0 and self._output_alias(node, aliases, lateral):
                return
        hint = nearest(node.name, [*scope.names(), *aliases])
        if not hint and node.this.quoted:
            hint = f" A string takes single quotes: '{node.name}'."
        self.fail(f"column `{node.name}` does not exist.{hint}", node, ColumnNotFound)

    def _apply(self, node: exp.Column, found: Output, level: Scope, *, outer: bool) -> None:
        merged = level.merged.get(found.name)
        if merged is not None:
            name = node.name
            expression = merged.copy()
            if isinstance(node.parent, exp.Select):
                expression = exp.alias_(expression, name, quoted=True, copy=False)
            node.replace(expression)
            return
        node.meta["shown"] = node.name if node.name == found.shown else found.shown
        node.meta["type"] = found.type
        if WINDOW_TIME in node.meta and found.type is not None and not pa.types.is_temporal(found.type):
            wrong = f"{node.meta[WINDOW_TIME]} needs a column of type TIMESTAMP or TIMESTAMP_LTZ"
            self.fail(f"{wrong} in DESCRIPTOR, but `{node.name}` is {from_arrow(found.type)}", node)
        node.meta["source"] = level.holder(found)
        if node.name != found.name:
            _rename(node.this, found.name)
        if outer:
            node.meta["outer"] = True

    def _output_alias(self, node: exp.Column, aliases: tuple[str, ...], lateral: Mapping[str, exp.Expr]) -> bool:
        """Not a column of FROM: perhaps the alias of an output."""
        alias = resolve([Output(name, name) for name in dict.fromkeys(aliases)], node.name)
        if not isinstance(alias, Output):
            return False
        if alias.name in lateral:
            expression: exp.Expr = exp.Paren(this=lateral[alias.name].copy())
            if isinstance(node.parent, exp.Select):
                expression = exp.alias_(expression, node.name, quoted=True, copy=False)
            node.replace(expression)
        elif alias.name != node.name:
            _rename(node.this, alias.name)
        return True

    def _qualified(self, node: exp.Column, scope: Scope) -> None:
        source, depth = self._find_source(node.table, node.db or None, scope)
        if source is None or (node.db and source.database is None and self._find_source(node.db, None, scope)[0]):
            self._struct_field(node, scope)
            return
        if source.columns is None:
            return
        found = resolve(source.columns, node.name)
        if found is Failure.MISSING:
            hint = nearest(node.name, [column.shown for column in source.columns])
            self.fail(f"column `{node.name}` does not exist in `{source.alias}`.{hint}", node.this, ColumnNotFound)
        if isinstance(found, Failure):
            self.fail(f"column `{node.name}` is in `{source.alias}` more than once; give the columns other names", node)
        node.meta["shown"] = found.shown
        node.meta["type"] = found.type
        node.meta["source"] = source.qualifier
        if source.qualifier and source.qualifier != node.table:
            _rename(node.args["table"], source.qualifier)
        node.set("db", None)
        if node.name != found.name:
            _rename(node.this, found.name)
        if depth:
            node.meta["outer"] = True
            self._note_shadow(source, depth, scope)

    def _note_shadow(self, source: Source, depth: int, scope: Scope) -> None:
        """`s.k` of an outer table `s` is read as a field of the inner column `s`, if there is one."""
        name = source.qualifier or ""
        inner = list(scope.chain())[:depth]
        if source.relation is None or all(level.column(name) is Failure.MISSING for level in inner):
            return
        if not any(relation is source.relation for relation, _ in self.shadowed):
            self.shadowed.append((source.relation, name))

    def _qualifier(self, node: exp.Column, scope: Scope) -> None:
        """The table in `t.*`."""
        source, _ = self._find_source(node.table, node.db or None, scope)
        if source is None:
            self._no_table(node, scope)
        elif source.alias and source.alias != node.table:
            _rename(node.args["table"], source.alias)

    def _find_source(self, alias: str, database: str | None, scope: Scope) -> tuple[Source | None, int]:
        for depth, level in enumerate(scope.chain()):
            found = level.source(alias, database)
            if isinstance(found, Source):
                return found, depth
        return None, 0

    def _struct_field(self, node: exp.Column, scope: Scope) -> None:
        """`a.b` where no table is called `a`: the field `b` of the column `a`."""
        for level in scope.chain():
            found = level.column(node.table) if not node.db else Failure.MISSING
            if isinstance(found, Output):
                self._fix_field(node, found)
                return
            if found is Failure.UNKNOWN:
                return
        source = self._find_source(node.db, None, scope)[0] if node.db else None
        if source is None:
            self._no_table(node, scope)
        found = resolve(source.columns or (), node.table)  # alias.column.field
        if isinstance(found, Output):
            if source.alias and source.alias != node.db:
                _rename(node.args["db"], source.alias)
            self._fix_field(node, found)

    def _fix_field(self, node: exp.Column, column: Output) -> None:
        """The names of a struct column and of its field, in `column.field`."""
        node.meta["field"] = True
        if column.name != node.table:
            _rename(node.args["table"], column.name)
        if column.type is not None and pa.types.is_struct(column.type):
            field = resolve([Output(field.name, field.name) for field in column.type], node.name)
            if isinstance(field, Output) and field.name != node.name:
                _rename(node.this, field.name)

    def _no_table(self, node: exp.Column, scope: Scope) -> NoReturn:
        self.fail(
            f"there is no table or alias `{node.table}` in this FROM clause.{nearest(node.table, scope.aliases())}",
            node.args["table"],
        )

    def fail(self, message: str, node: exp.Expr, error: type[DatabaseError] = BindError) -> NoReturn:
        """Stop, pointing at `node`, or at the view that it stands in."""
        message = f"in view `{node.meta[IN_VIEW]}`: {message}" if IN_VIEW in node.meta else message
        raise error(message, position=position_of(node, self.statement))


def _ambiguous(name: str, scope: Scope) -> str:
    holders = [
        s.alias for s in scope.sources if s.alias and any(c.shown.lower() == name.lower() for c in s.columns or ())
    ]
    where = " and ".join(f"`{holder}`" for holder in holders)
    return f"column `{name}` is ambiguous: it is in {where or 'two places'}; write the table before it"


def _rename(identifier: exp.Expr, name: str) -> None:
    identifier.set("this", name)
    identifier.set("quoted", True)


def _cte_name(name: str, ctes: Mapping[str, Columns]) -> str | None:
    found = resolve([Output(cte, cte) for cte in ctes], name)
    return found.name if isinstance(found, Output) else None


def _schema_columns(schema: pa.Schema) -> tuple[Output, ...]:
    return tuple(Output(field.name, field.name, field.type) for field in schema)


def _alias_columns(node: exp.Expr) -> list[str]:
    alias = node.args.get("alias")
    return [column.name for column in alias.columns] if isinstance(alias, exp.TableAlias) else []


def _named_columns(node: exp.Expr) -> Columns:
    """The columns that the alias of a function names; not known when it names none."""
    names = _alias_columns(node)
    return tuple(Output(name, name) for name in names) if names else None


def _renamed(columns: Columns, node: exp.Expr) -> Columns:
    """`columns` under the names that the alias of `node` gives them."""
    names = _alias_columns(node)
    if columns is None or not names:
        return columns if columns is not None else _named_columns(node)
    renamed = [Output(name, name, column.type) for name, column in zip(names, columns, strict=False)]
    return (*renamed, *columns[len(names) :])


def _together(left: Columns, right: Columns) -> Columns:
    """The columns of a set operation: named like the left ones, of a type where both have it."""
    if left is None or right is None or len(left) != len(right):
        return left if left is None else tuple(replace(column, type=None) for column in left)
    return tuple(replace(a, type=common(a.type, b.type)) for a, b in zip(left, right, strict=True))


def _values_columns(values: exp.Values) -> Columns:
    rows = [row.expressions if isinstance(row, exp.Tuple) else [row] for row in values.expressions]
    width = len(rows[0]) if rows else 1
    types = [type_of_all([row[i] for row in rows if i < len(row)]) for i in range(width)]
    return _renamed(tuple(Output(f"column{i + 1}", f"column{i + 1}", kind) for i, kind in enumerate(types)), values)


def _is_derived(node: exp.Expr) -> bool:
    return isinstance(node, exp.Subquery) and isinstance(node.parent, exp.From | exp.Join | exp.Lateral | exp.CTE)


def _free_of_lambda(node: exp.Lambda) -> list[exp.Expr]:
    """A lambda's parameters are no columns: nothing inside it that is called like one is resolved."""
    parameters = {parameter.name for parameter in node.expressions}
    return [column for column in node.this.find_all(exp.Column) if column.name not in parameters]


def _order_by_outputs(select: exp.Select) -> None:
    """ORDER BY an expression that is also selected: order by the output (SELECT DISTINCT needs it)."""
    order = select.args.get("order")
    if order is None or select.args.get("distinct") is None:
        return
    outputs = {item.this: item.alias for item in select.expressions if isinstance(item, exp.Alias)}
    for ordered in order.expressions:
        if ordered.this in outputs:
            ordered.set("this", exp.column(outputs[ordered.this], quoted=True))
