"""COLUMNS('pattern'), COLUMNS(* EXCLUDE (a)), COLUMNS(['a', 'b']): an expression once for each of some columns.

`SELECT min(COLUMNS(*))` is `SELECT min(a), min(b), …`, as in DuckDB.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NoReturn

from sqlglot import exp

from tsdb.errors import BindError, ColumnNotFound, NotSupportedError, nearest


def columns_calls(item: exp.Expr) -> list[exp.Anonymous]:
    """The calls of COLUMNS in one projection; those of queries inside it are theirs."""
    found = item.find_all(exp.Anonymous) if not isinstance(item, exp.Query) else iter(())
    return [call for call in found if str(call.this).upper() == "COLUMNS" and call.parent_select is item.parent_select]


def wanted_columns(calls: Sequence[exp.Anonymous], names: Sequence[str], fail: Callable[..., NoReturn]) -> list[str]:
    """Which of the columns of FROM the calls of one projection mean; all calls mean the same."""
    call = calls[0]
    if any(other != call for other in calls):
        fail("COLUMNS twice in one expression, and not the same", calls[1], NotSupportedError)
    if len(call.expressions) != 1:
        fail("COLUMNS takes one argument: '*', a pattern in single quotes, or a list of names", call, BindError)
    (argument,) = call.expressions
    if isinstance(argument, exp.Star):
        if argument.args.get("replace") or argument.args.get("rename"):
            fail("REPLACE and RENAME in COLUMNS: SELECT * REPLACE (…)", call, NotSupportedError)
        left_out = {column.name.lower() for column in argument.args.get("except_") or ()}
        return [name for name in names if name.lower() not in left_out]
    if isinstance(argument, exp.Literal) and argument.is_string:
        try:
            found = [name for name in names if re.search(argument.name, name)]
        except re.error as err:
            fail(f"COLUMNS('{argument.name}'): the pattern is not a regular expression: {err}", argument, BindError)
        if not found:
            fail(f"COLUMNS('{argument.name}') matches none of the columns {', '.join(names)}", argument, BindError)
        return found
    if isinstance(argument, exp.Array) and all(isinstance(name, exp.Literal) for name in argument.expressions):
        for name in argument.expressions:
            if name.name not in names:
                fail(f"column `{name.name}` does not exist.{nearest(name.name, list(names))}", name, ColumnNotFound)
        listed = {name.name for name in argument.expressions}
        return [name for name in names if name in listed]
    fail("COLUMNS takes '*', a pattern in single quotes, or a list of names: COLUMNS('a.*')", call, NotSupportedError)
