"""DataFusion's errors, turned once into ours: by kind, in the user's names, at a place of the user's text where one
can be found.

DataFusion raises ValueError while it plans and a bare Exception while it runs, with a text that begins with the kind.
A panic arrives as a BaseException. An error that our own code raised inside a scan comes back as text only, so scans
keep the original in a `Failures` and that one is raised instead.
"""

from __future__ import annotations

import ast
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import pyarrow as pa
from sqlglot import exp

from tsdb.errors import (
    BindError,
    DataError,
    Error,
    InternalError,
    NotSupportedError,
    OperationalError,
    WarehouseError,
    nearest,
)
from tsdb.exec.batch.parquet_files import damaged_file
from tsdb.exec.failure_place import place_of
from tsdb.sql.functions import FUNCTIONS
from tsdb.sql.functions.borrowed import ADVICE
from tsdb.sql.shadow import OUTER
from tsdb.sql.statements import Statement


class Failures:
    """The first exception that our code raised on a thread of DataFusion; and files that DataFusion itself reads."""

    def __init__(self) -> None:
        self.scanned: list[str] = []
        self._lock = threading.Lock()
        self._first: BaseException | None = None

    def keep(self, error: BaseException) -> None:
        """Remember it if it is the first."""
        with self._lock:
            self._first = self._first or error

    @property
    def first(self) -> BaseException | None:
        """The first one, if any."""
        return self._first


@dataclass(frozen=True, slots=True)
class ErrorScope:
    """What is needed to speak of a failure in the user's words. shown: what the user calls each registered relation."""

    statement: Statement | None = None
    query: exp.Expr | None = None
    shown: Mapping[str, str] = field(default_factory=dict)
    failures: Failures = field(default_factory=Failures)


@contextmanager
def translated(scope: ErrorScope) -> Iterator[None]:
    """Errors of DataFusion that leave the block are ours; errors that are ours already, and interrupts, pass."""
    try:
        yield
    except (Error, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as err:
        raise translate(err, scope) from (scope.failures.first or err)


def storage_failure(err: OSError) -> WarehouseError:
    """The error to raise when a file of the warehouse can be neither read nor written as a statement needs it."""
    reason = os.strerror(err.errno) if err.errno else str(err)
    inside = re.search(r"'(/[^']*)'", str(err))  # Arrow has the path in its text only
    path = err.filename or (inside[1] if inside else None)
    return WarehouseError(f"the warehouse cannot be read or changed: {reason}" + (f": `{path}`" if path else ""))


def translate(err: BaseException, scope: ErrorScope) -> Error:
    """The error to raise for one of DataFusion's."""
    original = scope.failures.first
    if isinstance(original, Error):
        return original
    if original is not None:
        err = original
    if isinstance(err, pa.ArrowInvalid | pa.ArrowNotImplementedError | OverflowError):
        return DataError(_clean(str(err), scope))
    if isinstance(err, OSError):
        return OperationalError(_clean(str(err), scope))
    if isinstance(err, MemoryError):
        return OperationalError("out of memory; SET 'memory.limit' makes queries spill to disk")
    if not isinstance(err, Exception):
        return InternalError(f"DataFusion gave up on this query: {_clean(str(err), scope)}")
    if original is not None:
        return InternalError(f"{type(err).__name__}: {err}")
    return _by_text(err, scope)


def _by_text(err: Exception, scope: ErrorScope) -> Error:
    text = str(err)
    raised = re.search(r"PyErr \{ type: <class '[\w.]+'>, value: (\w+)\((.*?)\), traceback: ", text, re.DOTALL)
    if raised is not None:  # of a function that is written in Python
        said = _literal(raised[2]) if raised[1] == "DataError" else f"{raised[1]}: {_literal(raised[2])}"
        said = said.replace("DECODE_TEXT", "DECODE")
        said, ours = re.subn(r"^ONLY_(?:ROW|ONE): ", "", said)
        called = None if ours else re.match(r"(?:function `)?(\w+)", said)
        return DataError(
            said, position=place_of(f"function {called[1]}" if called else said, scope.query, scope.statement)
        )
    damage = damaged_file(scope.failures.scanned) if "Parquet error" in text else None
    if damage is not None:
        return damage
    message = _clean(text, scope)
    for pattern, kind in _KINDS:
        if re.search(pattern, text):
            if kind in (BindError, NotSupportedError):
                return kind(message, position=place_of(message, scope.query, scope.statement))
            place = place_of(f"{message}\n{text}", scope.query, scope.statement) if kind is DataError else None
            return kind(_advice(message, kind), position=place)
    if isinstance(err, ValueError):
        return BindError(message, position=place_of(message, scope.query, scope.statement))
    return OperationalError(message)


_KINDS: tuple[tuple[str, type[Error]], ...] = (
    (r"Cast error|CastError|[Dd]ivide ?[Bb]y ?[Zz]ero|Arithmetic ?[Oo]verflow|[Oo]verflow happened", DataError),
    (r"is too large to store", DataError),
    (r"Resources exhausted|Not enough memory", OperationalError),
    (r"not implemented|not yet implemented|NotImplemented|[Uu]nsupported", NotSupportedError),
    (r"Error during planning|Schema error|SQL error|Function '.*' failed to match", BindError),
    (r"does not support logical expression", NotSupportedError),
    (r"Internal error", InternalError),
    (r"Arrow error|Execution error|Compute error|Parser error|External error", DataError),
)
"""Texts of DataFusion, in order, and what they are."""

_NOISE = (
    r"DataFusion error: ",
    r"Optimizer rule '\w+' failed\s*caused by\s*",
    r"type_coercion\s*caused by\s*",
    r"Invalid \(non-executable\) plan after [\w ]+?\s*caused by\s*",
    r"(Error during planning|Arrow error|Cast error|Compute error|Execution error|Schema error|External error): ",
    r"Internal error: (?=Function)",
    r"(Invalid argument error|Arithmetic overflow): ",
    r"This feature is not implemented: ",
    r"\s*This issue was likely caused by a bug in DataFusion's code\..*",
    r"\s*No function matches the given name and argument types '[^']*'\.",
    r"\s*Candidate functions:.*",
    r"\s*While expanding wildcard, (?=column)",
)


_CONSTANTS = (
    (r"\bcount\(Int64\(1\)\)", "count(*)"),
    (r"\b(?:U?Int|Float)\d+\((-?[\d.e+]+|NULL)\)", r"\1"),
    (r'\b(?:Large)?Utf8(?:View)?\("(.*?)"\)', r"'\1'"),
)
_TYPES = (
    (r" ?\(DataType: [^)]*\)", ""),
    (r"\bDecimal(?:32|64|128|256)\((\d+), ?(-?\d+)\)", r"DECIMAL(\1, \2)"),
    (r"\bDecimal(?:32|64|128|256)\b", "DECIMAL"),
    (r"\bTimestamp\([^()]*\)", "TIMESTAMP"),
    (r"\bTime(?:32|64)\([^()]*\)", "TIME"),
    (r"\bU?Int8\b", "TINYINT"),
    (r"\bU?Int16\b", "SMALLINT"),
    (r"\bU?Int32\b", "INT"),
    (r"\bU?Int64\b", "BIGINT"),
    (r"\bFloat32\b", "FLOAT"),
    (r"\bFloat(?:16|64)\b", "DOUBLE"),
    (r"\b(?:Large)?Utf8(?:View)?\b", "STRING"),
    (r"\b(?:Large)?Binary(?:View)?\b", "BYTES"),
    (r"\bDate(?:32|64)\b", "DATE"),
    (r"\bBoolean\b", "BOOLEAN"),
)
"""What DataFusion calls types and constants, and what SQL does."""


def _literal(text: str) -> str:
    """What a Python exception says, from its repr."""
    try:
        return str(ast.literal_eval(text))
    except (ValueError, SyntaxError):
        return text


def _in_sql_words(text: str) -> str:
    """Types and constants as SQL has them; what stands between quotes is the user's."""
    for pattern, word in _CONSTANTS:
        text = re.sub(pattern, word, text)
    parts = re.split(r"('[^']*')", text)
    for pattern, word in _TYPES:
        parts[::2] = [re.sub(pattern, word, part) for part in parts[::2]]
    return "".join(parts)


_REPHRASED: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (
        re.compile(r"(?:function 'array_slice' .*types: STRING.*|array_element does not support type STRING)"),
        "[…] takes parts of arrays, rows and maps; of a text that is computed: SUBSTRING(text FROM a FOR n)",
    ),
    (
        re.compile(r".*does not support logical expression (?:ScalarSubquery|Exists|InSubquery).*", re.DOTALL),
        "a subquery that depends on the outer query must be tied to it by equalities under AND; write it as a join",
    ),
    (
        re.compile(r".*does not support logical expression WindowFunction.*", re.DOTALL),
        "a window function has its value only in SELECT, ORDER BY and QUALIFY: filter by it with QUALIFY",
    ),
    (
        re.compile(r".*does not support logical expression Wildcard.*", re.DOTALL),
        "`*` is an argument of count(*) only; name the columns",
    ),
    (
        re.compile(r"Column in SELECT must be in GROUP BY or an aggregate function: ?column \"([^\"]*)\".*", re.DOTALL),
        r"column `\1` is neither in GROUP BY nor inside an aggregate; group by it, or write any_value(\1)",
    ),
    (
        re.compile(
            r"Column in ([A-Z][A-Z ]+) must be in GROUP BY or an aggregate function: ?column \"([^\"]*)\".*", re.DOTALL
        ),
        r"column `\2` in \1 is neither in GROUP BY nor inside an aggregate; group by it, or aggregate it there",
    ),
    (
        re.compile(r"Aggregate function calls cannot be nested: '.*' is nested inside '(\w+)\(.*", re.DOTALL),
        r"function `\1` is an aggregate of an aggregate: compute the inner one in a subquery, or over a window",
    ),
    (
        re.compile(r"(?:Internal error: )?Min/Max accumulator not implemented for type (\w+).*", re.DOTALL),
        lambda found: f"function `max` and `min` have no order for values of type {found[1].upper()}",
    ),
    (
        re.compile(r"Cannot access field at argument \d+: type (.*) is not Struct, Map, or Null.*", re.DOTALL),
        r"cannot access field: \1 is neither a ROW nor a MAP",
    ),
    (re.compile(r"Field (\w+) not found in struct"), r"Field \1 not found in the row"),
    (
        re.compile(r"Inconsistent data length across values list: got (\d+) values? in row (\d+) but expected (\d+)"),
        lambda found: f"row {int(found[2]) + 1} of VALUES has {found[1]} values, but the first one has {found[3]}",
    ),
    (
        re.compile(r"join condition should not be empty"),
        "join condition is missing: LEFT, RIGHT and FULL JOIN need ON or USING; CROSS JOIN has none",
    ),
    (
        re.compile(r"For SELECT DISTINCT, ORDER BY expressions (\S+) must appear in select list"),
        r"column `\1` is not selected: with SELECT DISTINCT, ORDER BY takes only what is",
    ),
    (
        re.compile(r"string_agg delimiter must be a string literal"),
        "the separator of LISTAGG and of STRING_AGG must be a constant text",
    ),
    (
        re.compile(
            r"Failed to coerce arguments to satisfy a call to '(\w+)' function: coercion from (.*?) to the signature.*",
            re.DOTALL,
        ),
        r"function '\1' does not take arguments of these types: \2",
    ),
    (re.compile(r"\.? You might need to add explicit type casts\."), ""),
    (re.compile(r"\bList\(([\w() ,]+?), field: 'element'\)"), r"ARRAY<\1>"),
    (re.compile(r"\bStruct\("), "ROW("),
    (re.compile(r"^Parser error: "), ""),
    (
        re.compile(r"Substring without for/from is not valid.*", re.DOTALL),
        "function 'substring' needs to know where to begin: SUBSTRING(text FROM start [FOR length])",
    ),
    (re.compile(r"regex parse error: (.*) \^ error: (.*)", re.DOTALL), r"regular expression '\1': \2"),
    (re.compile(r"Regular expression did not compile: Syntax\( ~+ (regular expression .*?) ~+ \)"), r"\1"),
    (
        re.compile(r".*(?:OuterReferenceColumn|outer_ref\().*", re.DOTALL),
        "a query that depends on the query around it in this way is not supported; write it as a join, or number the "
        "rows with row_number() OVER (PARTITION BY …)",
    ),
    (
        re.compile(r"Function '(\w+)' failed to match any signature, errors:.*?received ([A-Z]\w+).*", re.DOTALL),
        r"function '\1' does not take arguments of these types: \2",
    ),
    (
        re.compile(
            r"Invalid function '(lag|lead|ntile|rank|dense_rank|percent_rank|cume_dist|row_number)'.*", re.DOTALL
        ),
        r"function '\1' needs a window: write \1(…) OVER (…)",
    ),
)
"""Texts of DataFusion that help nobody."""


_ARROW_ERROR = re.compile(r'ArrowError\((\w+)(?:\("(.*?)"\))?, Some')
_PLAIN = {"DivideByZero": "division by zero"}
"""An error of a filter that the Parquet scan evaluates comes in the notation of Rust's debugger."""


def _clean(text: str, scope: ErrorScope) -> str:
    """Without DataFusion's own words and our internal names."""
    for noise in _NOISE:
        text = re.sub(noise, "", text, flags=re.DOTALL if noise.endswith(".*") else 0)
    inside = _ARROW_ERROR.search(text)
    if inside is not None:
        text = inside[2] or _PLAIN.get(inside[1], inside[1])
    text = _in_sql_words(text.replace("datafusion.public.", ""))
    for name, shown in scope.shown.items():
        if name != shown:
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", shown, text)
    text = re.sub(r"\s*\n\s*", " ", text.replace(OUTER, "").strip())
    text = re.sub(r"[Dd]ivide by zero( error)?", "division by zero", text)
    for pattern, better in _REPHRASED:
        text = pattern.sub(better, text)
    unknown = re.fullmatch(r"Invalid function '(\w+)'.*", text, re.DOTALL)
    if unknown is not None:
        if unknown[1].lower() in ADVICE:
            return f"function `{unknown[1]}` does not exist. Write {ADVICE[unknown[1].lower()]}"
        return f"function `{unknown[1]}` does not exist.{nearest(unknown[1], [name.lower() for name in FUNCTIONS])}"
    return text


_CONSUMERS = (
    ("ExternalSorter", "a sort"),
    ("HashJoin", "a join"),
    ("SMJ|SortMergeJoin", "a join"),
    ("NestedLoopJoin|CrossJoin", "a join without equal columns"),
    ("GroupedHashAggregate", "GROUP BY or DISTINCT"),
    ("WindowAgg", "a window function"),
    ("TopK", "ORDER BY … LIMIT"),
)
"""DataFusion's names of who asks for memory, and what they do."""


def _advice(message: str, kind: type[Error]) -> str:
    """A lack of memory in words of SQL: who wants how much more, of how much."""
    if kind is not OperationalError:
        return message
    wanted = re.search(r"Failed to allocate additional ([\d.]+ \w+) for (\S+)", message)
    if wanted is None:
        return f"{message}; raise 'memory.limit' or RESET it"
    who = next((words for names, words in _CONSUMERS if re.match(names, wanted[2])), wanted[2])
    of = re.search(r"pool_size: ([\d.]+ \w+)", message)
    return (
        f"not enough memory: {who} needs {wanted[1]} more than is left of 'memory.limit'"
        + (f" ({of[1]})" if of else "")
        + ", and cannot go on with less on disk; raise 'memory.limit' or RESET it"
    )
