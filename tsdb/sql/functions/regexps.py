"""Functions of regular expressions."""

from __future__ import annotations

from sqlglot import exp

from tsdb.sql.functions.spec import (
    Arguments,
    Function,
    Group,
    binary,
    call,
    cast,
    integer_of,
    number,
    paren,
    string,
    text,
)  # fmt: skip
from tsdb.sql.functions.strings import literally, plainly

_f = Group("Regular expressions")


def _replace(arguments: Arguments) -> exp.Expr:
    """Three arguments are Flink's: all matches, literally. With flags, PostgreSQL's: `\\1` is a group."""
    if len(arguments) != 3:
        return call("regexp_replace", *arguments)
    source, pattern, replacement = map(string, arguments)
    return plainly(call("regexp_replace", source, pattern, literally(replacement), text("g")), replacement)


def _regexp(arguments: Arguments) -> exp.Expr:
    """An empty pattern is found nowhere."""
    found = call("regexp_like", *map(string, arguments))
    pattern = arguments[1]
    return exp.false() if isinstance(pattern, exp.Literal) and not pattern.name else found


def _extract(arguments: Arguments) -> exp.Expr:
    source, pattern = string(arguments[0]), arguments[1]
    group = arguments[2] if len(arguments) > 2 else number(0)
    if (integer_of(group) or 0) < 0:
        return cast(exp.Null(), "STRING")
    if isinstance(group, exp.Literal) and group.name == "0":
        whole = binary(exp.DPipe, binary(exp.DPipe, text("("), pattern), text(")"))
        return exp.Bracket(this=paren(call("regexp_match", source, whole)), expressions=[number(1)])
    return exp.Bracket(this=paren(call("regexp_match", source, pattern)), expressions=[group.copy()])


def _extract_all(arguments: Arguments) -> exp.Expr:
    group = arguments[2] if len(arguments) > 2 else number(1)
    return call("regexp_extract_all", string(arguments[0]), string(arguments[1]), cast(group, "INT"))


REGEXPS: tuple[Function, ...] = (
    _f("REGEXP", "REGEXP(text, pattern)", "Whether the pattern is found.", "REGEXP('abc', 'b.')", "true", 2,
       by=_regexp, aliases=("REGEXP_LIKE", "RLIKE")),
    _f("REGEXP_COUNT", "REGEXP_COUNT(text, pattern)", "How often the pattern is found.", "REGEXP_COUNT('banana', 'an')",
       "2"),
    _f("REGEXP_EXTRACT", "REGEXP_EXTRACT(text, pattern [, group])", "The first match, or a group of it.",
       "REGEXP_EXTRACT('foobar', 'o(.)a', 1)", "b", 2, 3, by=_extract),
    _f("REGEXP_EXTRACT_ALL", "REGEXP_EXTRACT_ALL(text, pattern [, group])",
       "A group, by default the first, of all matches.", "REGEXP_EXTRACT_ALL('a1b2', '([a-z])([0-9])', 2)", "[1, 2]",
       2, 3, by=_extract_all),
    _f("REGEXP_INSTR", "REGEXP_INSTR(text, pattern)", "Where the first match begins, from 1; 0 if there is none.",
       "REGEXP_INSTR('abc1', '[0-9]')", "4"),
    _f("REGEXP_MATCH", "REGEXP_MATCH(text, pattern)", "The groups of the first match.",
       "REGEXP_MATCH('ab', '(a)(b)')", "[a, b]"),
    _f("REGEXP_REPLACE", "REGEXP_REPLACE(text, pattern, replacement [, flags])",
       "With every match replaced by just this text; with flags (`g`: every match) `\\1` in it is a group.",
       "REGEXP_REPLACE('aXbX', 'X', '-')", "a-b-", 3, 4, by=_replace),
    _f("REGEXP_SUBSTR", "REGEXP_SUBSTR(text, pattern)", "The first match; NULL if there is none.",
       "REGEXP_SUBSTR('foobar', 'o+')", "oo", 2, by=_extract),
)  # fmt: skip
"""Patterns, in the syntax that RE2 and Rust share."""
