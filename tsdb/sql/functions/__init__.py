"""Every function of the language, in one table, and how calls become those of DataFusion.

Flink's functions under their own names with Flink's results; DataFusion's, DuckDB's and Spark's useful names beside
them. A name that is not here (an alias of DataFusion's own) goes to DataFusion as written, one of the user's too.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from tsdb.errors import Error
from tsdb.sql.dialect import LocalTimestamp
from tsdb.sql.functions.aggregates import AGGREGATES, WINDOWS, within_group
from tsdb.sql.functions.as_text import cast_to_text
from tsdb.sql.functions.borrowed import BORROWED
from tsdb.sql.functions.collections import COLLECTIONS, value_at_key
from tsdb.sql.functions.conditions import CONDITIONS, HASHES
from tsdb.sql.functions.json import JSON, is_json, translate_json
from tsdb.sql.functions.numbers import NUMBERS, whole_decimal
from tsdb.sql.functions.patterns import like_escape, like_plain, similar_to
from tsdb.sql.functions.regexps import REGEXPS
from tsdb.sql.functions.spec import Function
from tsdb.sql.functions.strings import STRINGS, overlay, part_of_text, substring
from tsdb.sql.functions.times import (
    DATE_PARTS,
    TIMES,
    cut_to_digits,
    date_part,
    joined_texts,
    local_now,
    multiplied_interval,
    now,
    overlaps,
    to_unit,
)  # fmt: skip
from tsdb.sql.json_call import JsonCall

ALL: tuple[Function, ...] = (
    *NUMBERS, *STRINGS, *REGEXPS, *TIMES, *CONDITIONS, *COLLECTIONS, *JSON, *HASHES, *AGGREGATES, *WINDOWS, *BORROWED,
)  # fmt: skip
"""All functions, in the order of the documentation."""

FUNCTIONS: Mapping[str, Function] = {name: f for f in ALL for name in (f.name, *f.aliases)}
"""By upper-case name, aliases too."""


def translate_functions(query: exp.Expr) -> exp.Expr:
    """`query` with every call that `FUNCTIONS` translates translated, innermost first, in place."""
    for node in reversed(list(query.walk())):
        try:
            replacement = _translated(node)
        except Error as err:
            starts = [part.meta["start"] for part in node.walk() if "start" in part.meta]
            err.start = min(starts, default=None) if err.start is None else err.start
            raise
        if replacement is not None:
            if node is query:
                query = replacement
            else:
                node.replace(replacement)
    return query


def _translated(node: exp.Expr) -> exp.Expr | None:
    if isinstance(node, JsonCall):
        return translate_json(node)
    if isinstance(node, exp.Is):
        return is_json(node)
    if isinstance(node, exp.Anonymous) and isinstance(node.this, str):
        function = FUNCTIONS.get(node.this.upper())
        return function.translate(list(node.expressions)) if function is not None else None
    if isinstance(node, exp.WithinGroup):
        return within_group(node)
    if isinstance(node, exp.Mul) and (isinstance(node.this, exp.Interval) or isinstance(node.expression, exp.Interval)):
        return multiplied_interval(node)
    if isinstance(node, exp.Floor | exp.Ceil) and node.args.get("to") is not None:
        return to_unit(node)
    if isinstance(node, exp.Floor | exp.Ceil):
        return whole_decimal(node)
    if isinstance(node, exp.Substring):
        parts = (node.this, node.args.get("start"), node.args.get("length"))
        return substring([part for part in parts if part is not None]) if node.args.get("start") else None
    return _translated_operator(node)


def _translated_operator(node: exp.Expr) -> exp.Expr | None:
    if isinstance(node, exp.Extract) and node.name.upper() in DATE_PARTS:
        return date_part(node.name.upper(), node.expression)
    if isinstance(node, exp.Cast):
        return cast_to_text(node) or cut_to_digits(node)
    if isinstance(node, exp.Bracket):
        return part_of_text(node) or value_at_key(node)
    if isinstance(node, exp.Overlay):
        return overlay(node)
    if isinstance(node, exp.DPipe):
        return joined_texts(node)
    if isinstance(node, exp.Escape) and isinstance(node.this, exp.Like | exp.ILike):
        return like_escape(node)
    if isinstance(node, exp.Like | exp.ILike):
        return like_plain(node)
    if isinstance(node, exp.SimilarTo):
        return similar_to(node)
    if isinstance(node, exp.Overlaps):
        return overlaps(node.this, node.expression)
    if isinstance(node, exp.CurrentTimestamp):
        return now([])
    if isinstance(node, LocalTimestamp):
        return local_now()
    return None
