"""A query that depends on columns of the query around it, computed for all their values at once.

`Unnesting.query(q, names)` gives the rows of q for every row d of a domain (the distinct values of the outer columns),
beside the values of d: first the keys, then the columns of q under `names`. A clause means the same for each
d alone:

- FROM begins with the domain; what depends on it in FROM is computed the same way, and joined on the keys;
- GROUP BY, DISTINCT ON and PARTITION BY have the keys as well;
- an aggregate of everything has one row for each d, also where it aggregates nothing;
- LIMIT and OFFSET count the rows of each d, by `row_number()`;
- both sides of a set operation have the keys.

Source: Neumann and Kemper, "Unnesting Arbitrary Queries" (BTW 2015).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import pyarrow as pa
from sqlglot import exp

from tsdb.sql.rewrite.aggregate_call import aggregate_calls, is_aggregate, is_count
from tsdb.sql.rewrite.free_column import relations
from tsdb.sql.rewrite.null_safe_join import same
from tsdb.sql.scope import Output

Q = TypeVar("Q", bound=exp.Query)

KEY = "key"
"""In the meta of a column: which column of the domain it is."""

_UNKNOWN = ("windows", "connect", "cluster", "distribute", "sort", "laterals", "pivots")
_NUMBER = "$number"


class Undecidable(Exception):
    """A clause of the query has no counterpart for all outer rows at once; the query is left as it is."""


@dataclass(slots=True)
class Unnesting:
    """One domain. types: those of its columns, as far as known. names: what begins with it is not used elsewhere."""

    domain: exp.Select
    types: Sequence[pa.DataType | None]
    names: str
    _aliases: int = 0

    def query(self, node: exp.Expr, names: Sequence[str]) -> exp.Select:
        """The rows of `node`, whose outer columns are marked with `KEY`, for each key. It is used up.

        Raises Undecidable.
        """
        if isinstance(node, exp.Subquery) and not any(node.args.get(key) for key in ("order", "limit", "offset")):
            return self.query(node.this, names)
        if not _depends(node):
            return self._independent(node, names)
        if node.args.get("with_") is not None and _depends(node.args["with_"]):
            raise Undecidable
        if isinstance(node, exp.SetOperation):
            return self._set_operation(node, names)
        if not isinstance(node, exp.Select) or any(node.args.get(key) for key in _UNKNOWN):
            raise Undecidable
        expand_stars(node)
        if node.args.get("limit") is not None or node.args.get("offset") is not None:
            return self._limited(node, names)
        _name_items(node, names)
        node.set("order", None)
        if _aggregates_all(node):
            return self._aggregate(node, names)
        return self._plain(node, names)

    def key_columns(self, alias: str) -> list[exp.Expr]:
        """The keys of a relation that has them."""
        return [exp.column(key, table=alias, quoted=True) for key in key_names(self.names, len(self.types))]

    def same_keys(self, left: Sequence[exp.Expr], right: Sequence[exp.Expr]) -> exp.Expr:
        """The keys are the same; NULL is the same as NULL."""
        pairs = zip(left, right, self.types, strict=True)
        return exp.and_(*(exp.paren(same(a, b, kind)) for a, b, kind in pairs), copy=False)

    def _alias(self) -> str:
        self._aliases += 1
        return f"{self.names}d{self._aliases}"

    def _domain(self, alias: str) -> exp.Subquery:
        return derived(self.domain.copy(), alias)

    def _independent(self, node: exp.Expr, names: Sequence[str]) -> exp.Select:
        d, q = self._alias(), self._alias()
        body = node.this if isinstance(node, exp.Subquery) else node
        columns = [exp.to_identifier(name, quoted=True) for name in names]
        relation = exp.Subquery(
            this=body, alias=exp.TableAlias(this=exp.to_identifier(q, quoted=True), columns=columns)
        )
        items = [*self._key_items(d), *(_named(exp.column(name, table=q, quoted=True), name) for name in names)]
        return self._noted(
            exp.Select(expressions=items, from_=exp.From(this=self._domain(d)), joins=[_cross(relation)]), names
        )

    def _plain(self, body: exp.Select, names: Sequence[str]) -> exp.Select:
        """A SELECT whose rows are made of those of FROM, perhaps by GROUP BY."""
        d = self._alias()
        self._from(body, d)
        self._bind(body, d)
        keys = self.key_columns(d)
        group = body.args.get("group")
        if isinstance(group, exp.Group):
            listed = [_unnumbered(key, body) for key in group.expressions]
            group.set("expressions", [*(key.copy() for key in keys), *listed])
        distinct = body.args.get("distinct")
        if isinstance(distinct, exp.Distinct) and isinstance(distinct.args.get("on"), exp.Tuple):
            distinct.args["on"].set("expressions", [*(key.copy() for key in keys), *distinct.args["on"].expressions])
        for window in list(body.find_all(exp.Window)):
            if window.parent_select is body:
                partition = [*(key.copy() for key in keys), *(window.args.get("partition_by") or ())]
                window.set("partition_by", partition)
        body.set("expressions", [*self._key_items(d), *body.expressions])
        return self._noted(body, names)

    def _from(self, body: exp.Select, d: str) -> None:
        joins = list(body.args.get("joins") or ())
        if any(join.side in ("RIGHT", "FULL") for join in joins):
            raise Undecidable
        first = body.args.get("from_")
        if first is not None:
            joins.insert(0, _cross(first.this))
        body.set("from_", exp.From(this=self._domain(d)))
        body.set("joins", [self._joined(join, d) for join in joins])

    def _joined(self, join: exp.Join, d: str) -> exp.Join:
        """The join, on the keys as well if what it joins depends on the domain."""
        relation = join.this
        if not _depends(relation):
            return join
        names = columns_of(relation)
        if not isinstance(relation, exp.Subquery) or relation.args.get("joins") or names is None:
            raise Undecidable
        alias = relation.alias or self._alias()
        rows = derived(self.query(relation.this, names), alias)
        rows.meta["columns"] = names
        same = self.same_keys(self.key_columns(alias), self.key_columns(d))
        condition = join.args.get("on")
        return exp.Join(
            this=rows,
            side=join.args.get("side"),
            kind=None if join.kind == "CROSS" else join.args.get("kind"),
            on=same if condition is None else exp.and_(same, exp.paren(condition), copy=False),
        )

    def _bind(self, body: exp.Select, d: str) -> None:
        """The marked columns become those of the domain in FROM."""
        for column in list(body.find_all(exp.Column)):
            if (key := column.meta.get(KEY)) is not None:
                bound = self.key_columns(d)[key]
                bound.meta["source"] = d
                bound.meta["type"] = column.meta.get("type")
                if column.parent_select is not body:
                    bound.meta["outer"] = True
                column.replace(bound)

    def _aggregate(self, body: exp.Select, names: Sequence[str]) -> exp.Select:
        """One row for each key: what the aggregates give, or what they give of nothing."""
        having = body.args.get("having")
        parts = [*body.expressions, *([having] if having is not None else [])]
        has_queries = any(part.find(exp.Query) is not None for part in parts)
        if body.args.get("qualify") or _own(body, exp.Window) or (has_queries and body.args.get("with_")):
            raise Undecidable
        d, g = self._alias(), self._alias()
        inner = exp.Select(**{key: body.args.get(key) for key in ("with_", "from_", "joins", "where")})
        for key in ("with_", "from_", "joins", "where", "having", "distinct"):
            body.set(key, None)
        calls = []
        for number, call in enumerate([call for part in parts for call in aggregate_calls(part)]):
            column: exp.Expr = exp.column(f"$a{number}", table=g, quoted=True)
            if is_count(call):
                column = exp.Anonymous(this="coalesce", expressions=[column, exp.Literal.number(0)])
            call.replace(column)
            calls.append(f"$a{number}")
            inner.append("expressions", _named(call, f"$a{number}"))
        if _depends(inner):
            inner.set("group", exp.Group(expressions=[]))
            rows = derived(self._plain(inner, calls), g)
            same = self.same_keys(self.key_columns(g), self.key_columns(d))
            join = exp.Join(this=rows, side="LEFT", on=same)
        else:
            join = _cross(derived(inner, g))
        body.set("expressions", [*self._key_items(d), *body.expressions])
        body.set("from_", exp.From(this=self._domain(d)))
        body.set("joins", [join])
        if having is not None:
            body.set("where", exp.Where(this=having.this))
        self._bind(body, d)
        return self._noted(body, names)

    def _limited(self, body: exp.Select, names: Sequence[str]) -> exp.Select:
        """The rows that LIMIT and OFFSET leave for each key."""
        first, last = _range(body)
        order = body.args.get("order")
        for clause in ("limit", "offset", "order"):
            body.set(clause, None)
        ordered = [] if order is None or _aggregates_all(body) else order.expressions
        if body.args.get("distinct"):
            keys = [_by_output(key, body, names) for key in ordered]
            return self._ranged(self.query(body, names), keys, names, first, last)
        keys = [_by_value(key, body) for key in ordered]
        values = [f"$o{i}" for i in range(len(keys))]
        for name, key in zip(values, keys, strict=True):
            body.append("expressions", _named(key.this, name))
            key.set("this", exp.column(name, quoted=True))
        return self._ranged(self.query(body, [*names, *values]), keys, names, first, last)

    def _ranged(
        self, rows: exp.Select, keys: list[exp.Expr], names: Sequence[str], first: int, last: int | None
    ) -> exp.Select:
        """The rows with numbers from `first` + 1 to `last` for each key, in the order of `keys`: columns of `rows`."""
        r = self._alias()
        for key in keys:
            for column in key.find_all(exp.Column):
                column.set("table", exp.to_identifier(r, quoted=True))
        items = [*self._key_items(r), *(_named(exp.column(name, table=r, quoted=True), name) for name in names)]
        items.append(_named(_row_number(self.key_columns(r), keys), _NUMBER))
        return self._between(exp.Select(expressions=items, from_=exp.From(this=derived(rows, r))), names, first, last)

    def _between(self, rows: exp.Select, names: Sequence[str], first: int, last: int | None) -> exp.Select:
        r = self._alias()
        number = exp.column(_NUMBER, table=r, quoted=True)
        tests: list[exp.Expr] = [exp.GT(this=number, expression=exp.Literal.number(first))]
        if last is not None:
            tests.append(exp.LTE(this=number.copy(), expression=exp.Literal.number(last)))
        items = [*self._key_items(r), *(_named(exp.column(name, table=r, quoted=True), name) for name in names)]
        return self._noted(
            exp.Select(
                expressions=items,
                from_=exp.From(this=derived(rows, r)),
                where=exp.Where(this=exp.and_(*tests, copy=False)),
            ),
            names,
        )

    def _set_operation(self, node: exp.SetOperation, names: Sequence[str]) -> exp.Select:
        if node.args.get("by_name"):
            raise Undecidable
        limited = node.args.get("limit") is not None or node.args.get("offset") is not None
        first, last = _range(node) if limited else (0, None)
        order = node.args.get("order") if limited else None
        keys = [_by_output(key, node, names) for key in (order.expressions if order is not None else ())]
        both = type(node)(
            this=self.query(node.this, names),
            expression=self.query(node.expression, names),
            distinct=node.args.get("distinct"),
            with_=node.args.get("with_"),
        )
        self._noted(both, names)
        r = self._alias()
        items = [*self._key_items(r), *(_named(exp.column(name, table=r, quoted=True), name) for name in names)]
        rows = self._noted(exp.Select(expressions=items, from_=exp.From(this=derived(both, r))), names)
        return self._ranged(rows, keys, names, first, last) if limited else rows

    def _key_items(self, alias: str) -> list[exp.Expr]:
        return [_named(key, key.name) for key in self.key_columns(alias)]

    def _noted(self, query: Q, names: Sequence[str]) -> Q:
        shown = [*key_names(self.names, len(self.types)), *names]
        query.meta["outputs"] = tuple(Output(name, name) for name in shown)
        return query


def key_names(names: str, count: int) -> list[str]:
    """The names of the keys of one domain. DataFusion takes columns of one name at several levels for the same."""
    return [f"{names}k{i}" for i in range(count)]


def derived(query: exp.Expr, alias: str) -> exp.Subquery:
    """The query as a relation of FROM."""
    return exp.Subquery(this=query, alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))


def columns_of(relation: exp.Expr) -> tuple[str, ...] | None:
    """The names of a relation's columns; None where they are not known."""
    alias = relation.args.get("alias")
    given = tuple(column.name for column in alias.columns) if isinstance(alias, exp.TableAlias) else ()
    if given:
        return given
    if relation.meta.get("columns") is not None:
        return tuple(relation.meta["columns"])
    body = relation
    while isinstance(body, exp.Subquery | exp.Lateral | exp.SetOperation):
        body = body.this
    outputs = body.meta.get("outputs")
    return None if outputs is None else tuple(output.name for output in outputs)


def _depends(node: exp.Expr) -> bool:
    return any(column.meta.get(KEY) is not None for column in node.find_all(exp.Column))


def _own(body: exp.Select, *kinds: type[exp.Expr]) -> bool:
    return any(node.parent_select is body for node in body.find_all(*kinds))


def _aggregates_all(body: exp.Select) -> bool:
    parts = (*body.expressions, body.args.get("having"))
    return body.args.get("group") is None and any(is_aggregate(part) for part in parts if part is not None)


def _cross(relation: exp.Expr) -> exp.Join:
    return exp.Join(this=relation, kind="CROSS")


def _named(value: exp.Expr, name: str) -> exp.Expr:
    return exp.alias_(value.copy(), name, quoted=True)


def expand_stars(body: exp.Select) -> None:
    """`*` as the columns that it stands for. Raises Undecidable where they are not known."""
    items: list[exp.Expr] = []
    for item in body.expressions:
        items += _starred(item, body) if item.is_star else [item]
    body.set("expressions", items)


def _name_items(body: exp.Select, names: Sequence[str]) -> None:
    """The outputs of a SELECT under these names."""
    items = [item.unalias() for item in body.expressions]
    if len(items) != len(names):
        raise Undecidable
    body.set("expressions", [exp.alias_(item, name, quoted=True) for item, name in zip(items, names, strict=True)])


def _starred(item: exp.Expr, body: exp.Select) -> Iterator[exp.Expr]:
    wanted = item.table if isinstance(item, exp.Column) else None
    for relation in relations(body):
        columns = columns_of(relation)
        if columns is None or (isinstance(relation.parent, exp.Join) and relation.parent.kind in ("SEMI", "ANTI")):
            raise Undecidable
        if wanted in (None, relation.alias_or_name):
            yield from (exp.column(name, table=relation.alias_or_name, quoted=True) for name in columns)


def _unnumbered(key: exp.Expr, body: exp.Select) -> exp.Expr:
    """A key of GROUP BY; `1` as the output that it stands for."""
    if isinstance(key, exp.Literal) and key.is_int and 0 < int(key.name) <= len(body.expressions):
        value: exp.Expr = body.expressions[int(key.name) - 1].unalias()
        return value.copy()
    return key


def _range(node: exp.Query) -> tuple[int, int | None]:
    """(first, last): rows after the first and up to the last are wanted; None: all."""
    limit, offset = node.args.get("limit"), node.args.get("offset")
    if isinstance(limit, exp.Fetch):
        options = limit.args.get("limit_options")
        if options is not None and any(options.args.get(key) for key in ("percent", "with_ties")):
            raise Undecidable
        count = limit.args.get("count") or exp.Literal.number(1)
    else:
        count = limit.expression if limit is not None else None
    numbers = [count, offset.expression if offset is not None else exp.Literal.number(0)]
    if any(number is not None and not (isinstance(number, exp.Literal) and number.is_int) for number in numbers):
        raise Undecidable
    first = int(numbers[1].name)
    return first, None if count is None else first + int(count.name)


def _row_number(partition: Sequence[exp.Expr], keys: list[exp.Expr]) -> exp.Window:
    return exp.Window(
        this=exp.Anonymous(this="row_number"),
        partition_by=[key.copy() for key in partition],
        order=exp.Order(expressions=keys) if keys else None,
    )


def _by_value(key: exp.Expr, body: exp.Select) -> exp.Expr:
    """A key of ORDER BY with outputs, by number or by alias, as the values that they stand for."""
    values: Mapping[str, exp.Expr] = {item.alias_or_name: item.unalias() for item in body.expressions}
    key = key.copy()
    if isinstance(key.this, exp.Literal) and key.this.is_int:
        if not 0 < int(key.this.name) <= len(body.expressions):
            raise Undecidable
        key.set("this", body.expressions[int(key.this.name) - 1].unalias().copy())
        return key
    for column in list(key.find_all(exp.Column)):
        if not column.table and column.meta.get("source") is None and column.meta.get(KEY) is None:
            if column.name not in values:
                raise Undecidable
            column.replace(exp.paren(values[column.name].copy()))
    return key


def _by_output(key: exp.Expr, node: exp.Query, names: Sequence[str]) -> exp.Expr:
    """A key of ORDER BY over the outputs; its columns get their table later."""
    key = key.copy()
    value = key.this
    if isinstance(value, exp.Literal) and value.is_int and 0 < int(value.name) <= len(names):
        key.set("this", exp.column(names[int(value.name) - 1], quoted=True))
        return key
    items = node.expressions if isinstance(node, exp.Select) else []
    values = [item.unalias() for item in items]
    if value in values:
        key.set("this", exp.column(names[values.index(value)], quoted=True))
        return key
    shown = [item.alias_or_name for item in items] or [output.name for output in node.meta.get("outputs") or ()]
    for column in list(key.find_all(exp.Column)):
        if column.name not in shown or column.table:
            raise Undecidable
        column.replace(exp.column(names[shown.index(column.name)], quoted=True))
    return key
