"""WINDOW w AS (…): each OVER w, or OVER (w …), as the window that it names.

Then what moves an expression to another query, as the rules of subqueries do, has nothing to leave behind.
"""

from __future__ import annotations

from sqlglot import exp

from tsdb.errors import BindError, nearest


def write_windows_out(query: exp.Expr) -> exp.Expr:
    """`query` without WINDOW clauses, in place."""
    for select in list(query.find_all(exp.Select)):
        if not select.args.get("windows"):
            continue
        named: dict[str, exp.Window] = {}
        for window in select.args["windows"]:
            _write_out(window, named)
            named[window.this.name.lower()] = window
        select.set("windows", None)
        for window in list(select.find_all(exp.Window)):
            if window.args.get("alias") is not None and window.parent_select is select:
                _write_out(window, named)
    return query


def _write_out(window: exp.Window, named: dict[str, exp.Window]) -> None:
    """`window`, which may begin with the name of another one, with the parts of that one."""
    name = window.args.get("alias")
    if name is None:
        return
    base = named.get(name.name.lower())
    if base is None:
        hint = nearest(name.name, [other.this.name for other in named.values()])
        raise BindError(f"window `{name.name}` is not defined in the WINDOW clause.{hint}")
    for part in ("partition_by", "order", "spec"):
        given, found = window.args.get(part), base.args.get(part)
        if given and found and part != "spec":
            clause = "a PARTITION BY" if part == "partition_by" else "an ORDER BY"
            raise BindError(f"window `{name.name}` has {clause} already; leave one of the two out")
        if found and not given:
            copied = [item.copy() for item in found] if isinstance(found, list) else found.copy()
            window.set(part, copied)
    window.set("alias", None)
