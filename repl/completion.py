"""What Tab offers: keywords, tables after FROM and its like, and columns of the tables in the statement."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

_KEYWORDS = """
    ADD ALL ALTER AND ANTI AS ASC BETWEEN BUCKETS BY CALL CASE CAST COLUMN CREATE CROSS CURRENT_DATE
    CURRENT_TIMESTAMP DATABASE DATABASES DELETE DESC DESCRIBE DISTINCT DROP ELSE END EXCEPT EXECUTE EXISTS EXPLAIN
    FALSE FOR FROM FULL GROUP HAVING IF IN INNER INSERT INTERSECT INTERVAL INTO IS JOB JOBS JOIN KEY LEFT LIKE LIMIT
    MATCHED MERGE NOT NULL NULLS OFFSET ON OPTIONS OR ORDER OUTER OVER OVERWRITE PARTITION PARTITIONED PRIMARY
    RENAME RESET RIGHT ROW_NUMBER SELECT SEMI SET SHOW STATEMENT STOP SYSTEM_TIME TABLE TABLES THEN TIMESTAMP TO
    TRUE TRUNCATE UNION UNNEST UPDATE USE USING VALUES VERSION VIEW WATERMARK WHEN WHERE WITH count sum avg min max
    coalesce
"""
KEYWORDS: tuple[str, ...] = tuple(_KEYWORDS.split())
_BEFORE_TABLE = re.compile(r"\b(FROM|JOIN|INTO|UPDATE|TABLE|DESCRIBE|DESC|OVERWRITE)\s+([\w.`$]*)$", re.IGNORECASE)
_TABLE = re.compile(r"\b(?:FROM|JOIN|INTO|UPDATE)\s+([\w.`$]+)(?:\s+(?:AS\s+)?(\w+))?", re.IGNORECASE)
_WORD = re.compile(r"[\w$`]*$")
_AFTER_DOT = re.compile(r"([\w`$]+)\.([\w`]*)$")
_AFTER_TABLE = (
    "AS CROSS FOR FULL GROUP HAVING INNER JOIN LEFT LIMIT ON ORDER RIGHT SELECT SET UNION USING VALUES VERSION WHERE"
)
_NO_ALIAS = frozenset(_AFTER_TABLE.split())


class SqlCompleter(Completer):
    """tables: names; columns: those of a table; commands: of the shell. All are asked anew, and may be cached there."""

    def __init__(
        self,
        tables: Callable[[], Sequence[str]],
        columns: Callable[[str], Sequence[str]],
        commands: Sequence[str],
        functions: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._tables = tables
        self._columns = columns
        self._commands = commands
        self._functions = functions

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """The candidates that begin as the word at the cursor does."""
        before = document.text_before_cursor
        if before.startswith((".", "\\")):
            names = [before[0] + c for c in self._commands]
            yield from _matching(before, names, "command")
            return
        if inside_text(before):
            return
        statement = before.rpartition(";")[2]
        used = self._used(statement + document.text_after_cursor.partition(";")[0])
        table = _BEFORE_TABLE.search(statement)
        dotted = _AFTER_DOT.search(statement)
        if table is not None:
            yield from _matching(table[2], self._tables(), "table")
        elif dotted is not None:
            yield from _matching(dotted[2], self._columns_of(dotted[1], used), "column")
        else:
            word = _WORD.search(statement)
            prefix = word[0] if word else ""
            yield from _matching(prefix, [c for t in dict.fromkeys(used.values()) for c in self._columns(t)], "column")
            if prefix:
                yield from _matching(prefix, _cased(KEYWORDS, prefix), "")
                yield from _matching(prefix, list(used), "table")
                yield from _matching(prefix, self._functions(), "function")

    def _used(self, statement: str) -> Mapping[str, str]:
        """Alias or name → table, for the tables of the statement."""
        used: dict[str, str] = {}
        for table, alias in _TABLE.findall(statement):
            used[table.strip("`").split(".")[-1]] = table
            if alias and alias.upper() not in _NO_ALIAS:
                used[alias] = table
        return used

    def _columns_of(self, owner: str, used: Mapping[str, str]) -> Sequence[str]:
        owner = owner.strip("`")
        by_lower = {name.lower(): table for name, table in used.items()}
        return self._columns(by_lower.get(owner.lower(), owner))


def inside_text(sql: str) -> bool:
    """Whether the end of the SQL lies inside a string or a comment."""
    return open_part(sql) in ("'", "--", "/*")


_PART = re.compile(
    r"""(?P<text>'[^']*(?:'|\Z)|"[^"]*(?:"|\Z)|`[^`]*(?:`|\Z))|(?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z))""", re.DOTALL
)


def open_part(sql: str) -> str:
    """What is open at the end: `'`, `"`, a backquote, `--`, `/*`, or nothing."""
    last = ""
    for part in _PART.finditer(sql):
        found = part[0]
        if part.end() < len(sql):
            continue
        if part["text"]:
            last = found[0] if len(found) == 1 or found[-1] != found[0] else ""
        else:
            last = "--" if found.startswith("--") else "" if len(found) >= 4 and found.endswith("*/") else "/*"
    return last


def without_comments(sql: str) -> str:
    """The SQL with a blank in the place of each comment."""
    return _PART.sub(lambda part: " " if part["comment"] else part[0], sql)


def _matching(prefix: str, names: Iterable[str], kind: str) -> Iterable[Completion]:
    start = prefix.lower().lstrip("`")
    for name in dict.fromkeys(names):
        if name.lower().startswith(start) and name != prefix:
            yield Completion(name, -len(prefix), display_meta=kind)


def _cased(names: Iterable[str], prefix: str) -> list[str]:
    """As the person writes: keywords in lower case after a lower-case beginning."""
    return [n.lower() if prefix[-1:].islower() else n for n in names]
