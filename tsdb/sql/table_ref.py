"""Table references inside a query: which there are, which table each names, and which version and options it asks for.

`/*+ OPTIONS('k'='v') */` behind a name, `FOR SYSTEM_TIME AS OF TIMESTAMP '…'`, `TIMESTAMP AS OF '…'` and `VERSION AS
OF 3 | 'tag'` all become dynamic options of that one reference. A time without a zone is UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

import pyarrow as pa
from sqlglot import exp

from tsdb.errors import Error, NotSupportedError, ProgrammingError, TableNotFound, nearest
from tsdb.sql.dialect import IN_VIEW
from tsdb.sql.script import position_of
from tsdb.sql.statements import Statement, TableName
from tsdb.time_zone import moments_of


def references(query: exp.Expr) -> list[exp.Table]:
    """The references to real tables, in order: names of common table expressions and functions are left out."""
    return list(_references(query, frozenset()))


def inline_view(table: exp.Table, query: exp.Query, columns: Sequence[str] | None) -> exp.Subquery:
    """Put the query of a view in the place of a reference to it; the derived table is returned.

    Its tables have their databases, so it does not matter what the query around it calls its own expressions. What
    stands in it is from now on where the view is named, because its own places are places in another text.
    """
    body = query.copy()
    starts = [part.meta["start"] for part in table.parts if "start" in part.meta]
    ends = [part.meta["end"] for part in table.parts if "end" in part.meta]
    for node in body.walk():
        if node.meta.pop("start", None) is not None and starts and ends:
            node.meta["start"], node.meta["end"] = min(starts), max(ends)
        node.meta[IN_VIEW] = table.name
    alias = table.args.get("alias") or exp.TableAlias(this=exp.to_identifier(table.name, quoted=True))
    if columns and not alias.columns:
        alias.set("columns", [exp.to_identifier(column, quoted=True) for column in columns])
    derived = exp.Subquery(this=body, alias=alias, joins=table.args.get("joins"))
    if table.parent is not None:
        table.replace(derived)
    return derived


def _references(root: exp.Expr, names: frozenset[str]) -> Iterator[exp.Table]:
    pending: list[tuple[exp.Expr, frozenset[str]]] = [(root, names)]
    while pending:
        node, visible = pending.pop()
        if isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier) and not _is_cte(node, visible):
            yield node
        children: list[tuple[exp.Expr, frozenset[str]]] = []
        clause = node.args.get("with_")
        if isinstance(clause, exp.With):
            for expression in clause.expressions:
                name = frozenset((expression.alias.lower(),))
                children.append((expression.this, visible | name if clause.args.get("recursive") else visible))
                visible |= name
        children += [(child, visible) for child in node.iter_expressions() if child is not clause]
        pending.extend(reversed(children))


def _is_cte(table: exp.Table, names: frozenset[str]) -> bool:
    return not table.args.get("db") and table.name.lower() in names


def time_of_row(table: exp.Table) -> exp.Expr | None:
    """What stands behind FOR SYSTEM_TIME AS OF, if that is no constant: the table as of the time of a row."""
    version = table.args.get("version")
    if not isinstance(version, exp.Version):
        return None
    value = version.expression
    if value is None or version.name != "TIMESTAMP" or version.args.get("kind") != "AS OF":
        return None
    found: exp.Expr | None = value if value.find(exp.Column, exp.Anonymous) is not None else None
    return found


def table_name(table: exp.Table) -> TableName:
    """The name as written."""
    start = min((part.meta["start"] for part in table.parts if "start" in part.meta), default=None)
    return TableName(tuple(part.name for part in table.parts), start)


def table_options(table: exp.Table, statement: Statement | None = None) -> dict[str, str]:
    """The dynamic options of this reference, from its hint and its version clause."""
    options = dict(table.meta.get("options", {}))
    version = table.args.get("version")
    if isinstance(version, exp.Version):
        try:
            options |= _version_options(version)
        except Error as error:
            error.position = position_of(table, statement)
            raise
    when = table.args.get("when")
    if isinstance(when, exp.HistoricalData):
        if str(when.this).upper() != "AT" or when.args["kind"].upper() not in ("VERSION", "TIMESTAMP"):
            raise NotSupportedError(
                "another version of a table is read with VERSION AS OF n or TIMESTAMP AS OF '…'",
                position=position_of(table, statement),
            )
        version = exp.Version(this=when.args["kind"].upper(), kind="AS OF", expression=when.expression)
        options |= _version_options(version)
    return options


def versions_in_zone(query: exp.Expr, zone: str) -> None:
    """AS OF a constant time without an offset: as the clocks of the session's zone show it."""
    for version in query.find_all(exp.Version) if zone != "UTC" else ():
        value = version.expression
        constant = value.this if isinstance(value, exp.Cast) else value
        if version.name != "TIMESTAMP" or not isinstance(constant, exp.Literal) or not constant.is_string:
            continue
        try:
            moment = datetime.fromisoformat(constant.name.strip())
        except ValueError:
            continue  # refused where the version is looked up
        if moment.tzinfo is None:
            millis = int(moments_of(pa.array([moment], pa.timestamp("ms")), zone).cast(pa.int64())[0].as_py())
            shown = datetime.fromtimestamp(millis // 1000, UTC).replace(microsecond=millis % 1000 * 1000)
            constant.set("this", shown.isoformat(sep=" "))


def bind_reference(table: exp.Table, registered: str) -> None:
    """Let this reference mean the relation `registered`; the query goes on calling it by the user's name or alias."""
    if table.args.get("alias") is None:
        table.set("alias", exp.TableAlias(this=exp.to_identifier(table.name, quoted=True)))
    name = exp.to_identifier(registered, quoted=True)
    name.meta.update(table.this.meta)
    for key in ("db", "catalog", "version", "when", "hints"):
        table.set(key, None)
    table.set("this", name)
    table.meta.pop("options", None)


def table_not_found(table: exp.Table, statement: Statement | None, candidates: Iterable[str]) -> TableNotFound:
    """The error for a reference to a table that does not exist, with the nearest of `candidates`."""
    name = table_name(table)
    return TableNotFound(
        f"table `{name}` does not exist.{nearest(name.name, candidates)}", position=position_of(table.this, statement)
    )


def _version_options(version: exp.Version) -> dict[str, str]:
    value = version.expression
    if version.args.get("kind") != "AS OF" or value is None:
        raise NotSupportedError("only AS OF is supported for reading another version of a table")
    if isinstance(value, exp.Cast):
        value = value.this
    if not isinstance(value, exp.Literal):
        raise NotSupportedError(
            "FOR SYSTEM_TIME AS OF takes a constant TIMESTAMP '…' here; temporal joins on a column are not supported"
        )
    if version.name == "VERSION":
        return {"scan.tag-name" if value.is_string else "scan.snapshot-id": value.name}
    return {"scan.timestamp-millis": str(_millis(value))}


def _millis(value: exp.Literal) -> int:
    if not value.is_string:
        raise ProgrammingError(f"AS OF {value.name} is no time; write TIMESTAMP '2024-01-31 12:00:00'")
    try:
        moment = datetime.fromisoformat(value.name.strip())
    except ValueError:
        raise ProgrammingError(
            f"AS OF '{value.name}' is no time; write it as '2024-01-31 12:00:00' (UTC) or with an offset, '…+02:00'"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)
