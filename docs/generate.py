"""Writes the pages that come from tables in the code: options, errors, procedures, system tables, connectors.

`make docs` runs it; a test fails when a page is not what it would write.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

from tsdb import errors
from tsdb.catalog.system import GLOBAL_TABLES, SYSTEM_TABLES
from tsdb.connector import CONNECTORS
from tsdb.connector.serde import SERDES
from tsdb.fs import S3_OPTIONS
from tsdb.options import OPTIONS, SCAN, SESSION, TABLE, OptionSpec
from tsdb.procedure import PROCEDURES, REFUSED
from tsdb.sql.functions import ALL

HERE = Path(__file__).parent


def table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def option_rows(options: Iterable[OptionSpec]) -> Iterable[tuple[str, ...]]:
    return ((f"`{o.key}`", o.type, f"`{o.default}`" if o.default else "", o.description) for o in options)


def options() -> str:
    heads = ("option", "type", "default", "meaning")
    parts = ["# Options\n\nTable options stand in `WITH (…)`, session options in `SET`; a hint is for one reference.\n"]
    for scope, title in (
        (TABLE, "Table options"),
        (SCAN, "Scan options: in a table, a hint or the session"),
        (SESSION, "Session options"),
    ):
        parts.append(f"\n## {title}\n\n" + table(heads, option_rows(o for o in OPTIONS if o.scope == scope)))
    stores = ((f"`{key}`", meaning) for key, (_, meaning) in S3_OPTIONS.items())
    parts.append("\n## Warehouses in object stores\n\n" + table(("option", "meaning"), stores))
    for connector in CONNECTORS.values():
        parts.append(f"\n## Connector `{connector.name}`\n\n" + table(heads, option_rows(connector.options)))
    parts.append("\n## Formats\n\n" + ", ".join(f"`{name}`" for name in SERDES) + "\n")
    return "".join(parts)


def error_page() -> str:
    classes = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.Error)]
    rows = sorted(
        (f"`{c.code}`", f"`{c.__name__}`", f"`{c.__bases__[0].__name__}`", "yes" if c.retryable else "", first_line(c))
        for c in classes
    )
    head = "# Errors\n\nEvery error has a stable code and says what to do, and, where it can, line and column.\n\n"
    return head + table(("code", "class", "is a", "retry may help", "meaning"), rows)


def first_line(thing: object) -> str:
    return (thing.__doc__ or "").strip().splitlines()[0]


def procedures() -> str:
    rows = (
        (f"`sys.{p.name}`", ", ".join(f"`{a.name}`" + ("" if a.required else "?") for a in p.arguments), p.description)
        for p in PROCEDURES.values()
    )
    head = "# Procedures\n\n`CALL sys.name(argument => value, …)`; arguments with `?` may be left out.\n\n"
    refused = ((f"`sys.{name}`", reason) for name, reason in REFUSED.items())
    tail = "\nThese procedures of Paimon are refused.\n\n" + table(
        ("procedure", "why, and what to do instead"), refused
    )
    return head + table(("procedure", "arguments", "what it does"), rows) + tail


def system_tables() -> str:
    rows = ((f"`t${t.name}`", t.description) for t in SYSTEM_TABLES.values())
    across = ((f"`sys.{t.name}`", t.description) for t in GLOBAL_TABLES.values())
    return (
        "# System tables\n\nEvery table `t` has these beside it; those of a branch are `t$branch_b$snapshots`.\n\n"
        + table(("table", "rows"), rows)
        + "\nThe warehouse has these.\n\n"
        + table(("table", "rows"), across)
    )


def functions() -> str:
    head = (
        "# Functions\n\nFlink's functions under their own names with Flink's results, and useful names of DuckDB, "
        "Spark and DataFusion beside them. `SHOW FUNCTIONS` lists them, `DESCRIBE FUNCTION f` explains one. Those "
        "marked * give another value each time and are refused in streams. NULL arguments give NULL, unless "
        "said otherwise.\n\n"
        "What differs from Flink on purpose: an integer constant is a BIGINT, and what does not fit its type is an "
        "error and does not wrap around; a cast that fails is an error, never another number (`'12.7'` is no INT); a "
        "malformed "
        "pattern is an error, not NULL; a DOUBLE divided by 0 is infinite; an element that an array or a map lacks is "
        "NULL; COLLECT gives an array; dates and numbers may stand where Flink wants a cast to STRING first.\n"
    )
    parts = [head]
    for group in dict.fromkeys(f.group for f in ALL):
        rows = (
            (
                f"`{f.signature}`" + ("" if f.streams else " *"),
                f.description + (f" Also {', '.join(f'`{alias}`' for alias in f.aliases)}." if f.aliases else ""),
                f"`{f.example}`",
                f"`{f.result}`",
            )
            for f in ALL
            if f.group == group
        )
        parts.append(f"\n## {group}\n\n" + table(("function", "meaning", "example", "result"), rows))
    return "".join(parts)


PAGES: dict[str, Callable[[], str]] = {
    "options.md": options,
    "errors.md": error_page,
    "procedures.md": procedures,
    "system-tables.md": system_tables,
    "sql/functions.md": functions,
}


if __name__ == "__main__":
    for name, page in PAGES.items():
        (HERE / name).parent.mkdir(exist_ok=True)
        (HERE / name).write_text(page())
