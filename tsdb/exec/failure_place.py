"""Where in the user's text a failure of DataFusion may come from.

DataFusion says what went wrong, and now and then a name or a value, but not where. So the query is searched for what
the message speaks of: a constant that it quotes, a function or column that it names, or the operations that fail in
this way. Of several that it may be, the first is shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from sqlglot import exp

from tsdb.errors import Position
from tsdb.sql.script import position_of
from tsdb.sql.statements import Statement


def place_of(message: str, query: exp.Expr | None, statement: Statement | None) -> Position | None:
    """The place of what the message is about; where the statement begins if nothing in it fits, None without a text."""
    if statement is None or query is None or not statement.script:
        return None
    for found in (_quoted(message, query, statement), _named(message, query), _operations(message, query)):
        for node in found:
            place = position_of(node, statement)
            if place is not None:
                return place
    return statement.position


def _quoted(message: str, query: exp.Expr, statement: Statement) -> Iterable[exp.Expr]:
    """The constant that the message quotes, if it stands in the text, and once."""
    quoted = re.search(
        r"(?:[Cc]an(?:not|'t) cast (?:string|value)|[Ee]rror parsing \w+ from) '?([^']*?)'?(?: to|:)"
        r"|(-?[\d.]+) is too large to store|granularity: '([^']*)'",
        message,
    )
    if quoted is None:
        return []
    value = quoted[1] or quoted[2] or quoted[3]
    found = [node for node in query.find_all(exp.Literal) if node.name == value and "start" in node.meta]
    # another text stands there, if the value belongs to a view
    written = [n for n in found if value in statement.script[n.meta["start"] : n.meta["end"] + 1]]
    return written if len(written) == 1 else []


_NAMES = re.compile(
    r"[Ff]unction ['`]?(\w+)['`]?|No field named \"?([\w.\"]+)|column [\"`']?([\w.]+)|'(\w+)' does not support"
    r"|is nested inside '(\w+)\(|^(\w+)\(\)|^([A-Z_0-9]+): |Field (\w+) not found"
)


def _named(message: str, query: exp.Expr) -> Iterable[exp.Expr]:
    """The functions and columns that the message names."""
    named = _NAMES.findall(message)
    wanted = {part.rpartition(".")[2].strip('"').lower() for match in named for part in match if part}
    if wanted:
        for node in query.find_all(exp.Func, exp.Column, exp.Unnest, exp.Dot, exp.Identifier):
            name = node.name if isinstance(node, exp.Anonymous | exp.Column | exp.Identifier) else node.key
            if name.lower() in wanted:
                yield node


_ARITHMETIC = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Neg)
_KINDS: tuple[tuple[str, tuple[type[exp.Expr], ...]], ...] = (
    (r"[Dd]ivi(?:de|sion) ?[Bb]y ?[Zz]ero", (exp.Div, exp.IntDiv, exp.Mod)),
    (r"[Cc]ast error|[Cc]an(?:not|'t) cast|CastError|too large to store|Unsupported CAST", (exp.Cast,)),
    (r"(?:[Oo]verflow\D*-?[\d.]+|arithmetic expression .*) \+ ", (exp.Add,)),
    (r"(?:[Oo]verflow\D*-?[\d.]+|arithmetic expression .*) - ", (exp.Sub,)),
    (r"(?:[Oo]verflow\D*-?[\d.]+|arithmetic expression .*) \* ", (exp.Mul,)),
    (r"arithmetic expression .* / ", (exp.Div,)),
    (r"logical boolean operation .* AND ", (exp.And,)),
    (r"logical boolean operation .* OR ", (exp.Or,)),
    (r"comparison operation", (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE)),
    (r"string concat operation", (exp.DPipe,)),
    (r"Unary operator 'NOT'", (exp.Not,)),
    (r"Unary operator '-'", (exp.Neg,)),
    (r"in LIKE expression", (exp.Like, exp.ILike)),
    (r"non-boolean predicate|allowed in the WHERE", (exp.Where,)),
    (r"HAVING", (exp.Having,)),
    (r"timestamp from", (exp.Cast, exp.EQ, exp.GT, exp.LT)),
    (r"type interval", (exp.Interval,)),
    (r"Date part", (exp.Extract,)),
    (r"LIMIT", (exp.Limit,)),
    (r"OFFSET", (exp.Offset,)),
    (r"[Oo]rder by column", (exp.Order,)),
    (r"column with position", (exp.Group,)),
    (r"window frame|The window ", (exp.Window,)),
    (r"(?:UNION|INTERSECT|EXCEPT) queries|inputs for (?:Union|Intersect|Except)", (exp.SetOperation,)),
    (r"[Ss]ubquery", (exp.In, exp.Subquery)),
    (r"access field|not found in the row", (exp.Bracket, exp.Dot, exp.Column)),
    (r"join condition is missing", (exp.Join,)),
    (r"WITH query name|[Rr]ecursive term", (exp.CTE,)),
    (r"LISTAGG|NTILE requires|Percentile value", (exp.Anonymous,)),
    (r"regular expression|regex", (exp.RegexpLike, exp.RegexpExtract, exp.RegexpReplace, exp.SimilarTo, exp.Anonymous)),
    (r"[Jj]oin .*cannot run as a stream", (exp.Join,)),
    (r"recursive query", (exp.With,)),
    (r"NOT IN of several columns", (exp.In,)),
    (r"grouping by .*cannot run as a stream", (exp.Group,)),
    (r"subquery in this place", (exp.Subquery, exp.Exists, exp.In)),
    (r"^TABLESAMPLE", (exp.TableSample,)),
    (r"unnest\(\)", (exp.Unnest, exp.Anonymous)),
)
"""Texts of DataFusion, and the nodes that they can be about, the likelier first."""


def _operations(message: str, query: exp.Expr) -> Iterable[exp.Expr]:
    """The operations that fail in the way that the message tells."""
    row = re.match(r"row (\d+) of VALUES", message)
    if row is not None:
        number = int(row[1])
        yield from (v.expressions[number - 1] for v in query.find_all(exp.Values) if len(v.expressions) >= number)
    if re.search(r"out of range|too large to store", message):
        yield from _arithmetic(query)
    for pattern, kinds in _KINDS:
        if re.search(pattern, message):
            found = [node for kind in kinds for node in query.find_all(kind) if _can_be(node, message)]
            if any(isinstance(node, exp.SetOperation) for node in found):
                yield from (node.expression for node in found)
            yield from found


def _arithmetic(query: exp.Expr) -> Iterable[exp.Expr]:
    """Sums, and arithmetic with a column in it, in the order of the text."""
    for node in query.walk(bfs=False):
        is_sum = isinstance(node, exp.Anonymous) and str(node.this).upper() in ("SUM", "AVG")
        if isinstance(node, exp.Sum | exp.Avg) or is_sum or isinstance(node, _ARITHMETIC):
            yield node


def _can_be(node: exp.Expr, message: str) -> bool:
    """Whether the node is not ruled out: a divisor that is not zero, a cast to another type, another function."""
    if isinstance(node, exp.Div | exp.IntDiv | exp.Mod):
        divisor = node.expression.unnest()
        return not (isinstance(divisor, exp.Literal) and divisor.name.strip("0.") != "")
    if isinstance(node, exp.Cast):
        target = re.search(
            r"to (?:value of )?([A-Z_]+)(?:\(.*?\))?(?: type)?\s*$|to (?:value of )?([A-Z_]+) type", message, re.M
        )
        return target is None or node.to.sql().upper().startswith((target[1] or target[2])[:4])
    if isinstance(node, exp.Column):
        return bool(node.table)
    if isinstance(node, exp.Join) and "condition is missing" in message:
        return bool(node.side) and not node.args.get("on") and not node.args.get("using")
    if isinstance(node, exp.CTE):
        named = re.search(r'query name "(\w+)"', message)
        return named is None or node.alias == named[1]
    if isinstance(node, exp.Anonymous):
        return str(node.this).lower() in message.lower() or str(node.this).upper().startswith("REGEXP")
    return True
