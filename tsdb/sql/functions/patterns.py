"""LIKE with an escape character of its own, and SIMILAR TO, in DataFusion's patterns."""

from __future__ import annotations

import re

from sqlglot import exp

from tsdb.errors import ProgrammingError
from tsdb.sql.functions.spec import call, constant, string, text, wrapped


def like_plain(node: exp.Like | exp.ILike) -> exp.Expr | None:
    """x LIKE pattern: no character escapes another unless ESCAPE says so, but for DataFusion a backslash does."""
    pattern = node.expression
    if isinstance(node.parent, exp.Escape) or isinstance(pattern, exp.Any | exp.All | exp.Tuple):
        return None
    if isinstance(pattern, exp.Literal) and "\\" not in pattern.name:
        return None
    changed = node.copy()
    constant_pattern = isinstance(pattern, exp.Literal)
    doubled = text(pattern.name.replace("\\", "\\\\")) if constant_pattern else None
    changed.set("expression", doubled or call("replace", string(pattern), text("\\"), text("\\\\")))
    assert isinstance(changed, exp.Expr)
    return changed


def like_escape(node: exp.Escape) -> exp.Expr:
    """x LIKE pattern ESCAPE c: the pattern with backslashes."""
    like = node.this
    escape = constant(node.expression, "the ESCAPE character")
    if len(escape) != 1:
        raise ProgrammingError(f"ESCAPE takes one character, not '{escape}'")
    if escape == "\\":
        return wrapped(like)
    pattern = constant(like.expression, "the pattern of LIKE with ESCAPE")
    pieces = [found[0] for found in re.finditer(rf"{re.escape(escape)}.|.", pattern, re.DOTALL)]
    if pieces and pieces[-1] == escape:
        raise ProgrammingError(f"the pattern '{pattern}' ends with its ESCAPE character")
    written = (_quoted(p[1]) if len(p) == 2 else p if p in ("%", "_") else _quoted(p) for p in pieces)
    changed = like.copy()
    changed.set("expression", text("".join(written)))
    assert isinstance(changed, exp.Expr)
    return changed


def _quoted(character: str) -> str:
    return "\\" + character if character in "%_\\" else character


def similar_to(node: exp.SimilarTo) -> exp.Expr:
    """x SIMILAR TO pattern: `%` and `_` as in LIKE, the rest a regular expression of the whole text."""
    pattern = constant(node.expression, "the pattern of SIMILAR TO")
    written, inside = "", False
    for piece in re.findall(r"\\.|.", pattern, re.DOTALL):
        inside = piece == "[" or (inside and piece != "]")
        if len(piece) == 2:
            written += re.escape(piece[1])
        elif inside or piece in "[]()|*+?{}":
            written += piece
        else:
            written += {"%": ".*", "_": "."}.get(piece) or re.escape(piece)
    return call("regexp_like", string(node.this), text(f"^(?:{written})$"), text("s"))
