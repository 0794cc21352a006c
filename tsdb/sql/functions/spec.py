"""What a function is, and the small pieces that translations are built of.

A function is one `Function` in one of the tables beside this module; documentation, SHOW FUNCTIONS, completion and the
translation for DataFusion all come from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
from sqlglot import exp

from tsdb.errors import NotSupportedError, ProgrammingError
from tsdb.sql.expression_type import digits_of, temporal

Arguments = list[exp.Expr]
Translation = Callable[[Arguments], exp.Expr]

SCALAR, AGGREGATE, WINDOW, TABLE = "scalar", "aggregate", "window", "table"


@dataclass(frozen=True, slots=True)
class Function:
    """One function of the language.

    example: an expression, or a query that begins with SELECT; result: its value as text, None where it is never the
    same. counts: how many arguments it takes, None: DataFusion checks. translation: DataFusion's expression of it,
    None: DataFusion has it under this name. changes: gives another value each time it is called, or with the clock;
    streams: may stand in a stream.
    """

    name: str
    group: str
    signature: str
    description: str
    example: str
    result: str | None
    translation: Translation | None = None
    counts: tuple[int, ...] | None = None
    kind: str = SCALAR
    changes: bool = False
    streams: bool = True
    aliases: tuple[str, ...] = ()

    def translate(self, arguments: Arguments) -> exp.Expr | None:
        """What DataFusion runs instead of a call, None: the call itself. Raises ProgrammingError for a wrong count."""
        if self.counts is not None and len(arguments) not in self.counts:
            expected = " or ".join(str(count) for count in self.counts)
            raise ProgrammingError(f"{self.name} takes {expected} arguments, not {len(arguments)}: {self.signature}")
        return None if self.translation is None else self.translation(arguments)


@dataclass(frozen=True, slots=True)
class Group:
    """Makes the functions of one group."""

    name: str
    kind: str = SCALAR

    def __call__(
        self,
        name: str,
        signature: str,
        description: str,
        example: str,
        result: str | None,
        *counts: int,
        by: Translation | None = None,
        aliases: tuple[str, ...] = (),
        changes: bool = False,
        streams: bool = True,
    ) -> Function:
        """A function; counts: of its arguments; by: its translation."""
        return Function(
            name, self.name, signature, description, example, result, by, counts or None, self.kind, changes, streams,
            aliases,
        )  # fmt: skip


def call(name: str, *arguments: exp.Expr) -> exp.Expr:
    """A call of one of DataFusion's functions or of `tsdb.exec.builtin`."""
    return exp.Anonymous(this=name, expressions=[argument.copy() for argument in arguments])


def text(value: str) -> exp.Expr:
    """A string constant."""
    return exp.Literal.string(value)


def number(value: int) -> exp.Expr:
    """A numeric constant."""
    return exp.Literal.number(value)


def cast(node: exp.Expr, type_name: str) -> exp.Expr:
    """CAST(node AS type)."""
    return exp.Cast(this=node.copy(), to=exp.DataType.build(type_name))


def try_cast(node: exp.Expr, type_name: str) -> exp.Expr:
    """TRY_CAST(node AS type)."""
    return exp.TryCast(this=node.copy(), to=exp.DataType.build(type_name))


def string(node: exp.Expr) -> exp.Expr:
    """The node as STRING."""
    if isinstance(node, exp.Literal) and node.is_string:
        return node.copy()
    return cast(node, "STRING") if (written := time_text(node)) is None else written


_FRACTIONS = {"s": "", "ms": "%.3f", "us": "%.6f", "ns": "%.9f"}


def time_text(node: exp.Expr) -> exp.Expr | None:
    """A timestamp as text: with a blank, and all digits that its type has, a constant's as it was written."""
    kind = temporal(node)
    if kind is None or not pa.types.is_timestamp(kind):
        return None
    fraction = _FRACTIONS[kind.unit]
    if isinstance(node, exp.Cast) and not node.to.expressions and isinstance(node.this, exp.Literal):
        digits = len(node.this.name.partition(".")[2].rstrip("Zz"))
        fraction = {0: "", 3: "%.3f", 6: "%.6f"}.get(digits, fraction)
    written = call("to_char", node, text(f"%Y-%m-%d %H:%M:%S{fraction}"))
    cut = _cut_digits(node)
    return written if cut is None else call("left", written, number(20 + cut if cut else 19))


def _cut_digits(node: exp.Expr) -> int | None:
    """How many digits of a second a cast has left, where it is fewer than are stored."""
    inner = node.find(exp.Cast) if isinstance(node, exp.Anonymous) else None
    if inner is None or str(node.this) not in ("date_trunc", "arrow_cast"):
        return None
    digits = digits_of(inner) if temporal(inner) is not None else None
    return None if digits is None or digits in (3, 6, 9) else digits


def paren(node: exp.Expr) -> exp.Expr:
    """(node)."""
    return exp.Paren(this=node)


def binary(kind: type[exp.Binary], left: exp.Expr, right: exp.Expr) -> exp.Expr:
    """left kind right, with parentheses around both and the whole, so that no precedence can matter."""
    return paren(kind(this=wrapped(left), expression=wrapped(right)))


def divided(left: exp.Expr, right: exp.Expr) -> exp.Expr:
    """left / right with SQL's types: of integers, an integer."""
    return paren(exp.Div(this=wrapped(left), expression=wrapped(right), typed=True, safe=False))


def wrapped(node: exp.Expr) -> exp.Expr:
    """A copy of the node that may stand beside any operator."""
    bare = (exp.Binary, exp.Unary, exp.Between, exp.In)
    return paren(node.copy()) if isinstance(node, bare) and not isinstance(node, exp.Paren) else node.copy()


def when(condition: exp.Expr, then: exp.Expr, otherwise: exp.Expr) -> exp.Expr:
    """CASE WHEN condition THEN then ELSE otherwise END."""
    return exp.Case(ifs=[exp.If(this=condition, true=then.copy())], default=otherwise.copy())


def cases(pairs: list[tuple[exp.Expr, exp.Expr]], otherwise: exp.Expr) -> exp.Expr:
    """CASE with several branches."""
    return exp.Case(ifs=[exp.If(this=test, true=then.copy()) for test, then in pairs], default=otherwise.copy())


def is_null(node: exp.Expr) -> exp.Expr:
    """node IS NULL."""
    return exp.Is(this=wrapped(node), expression=exp.Null())


def compare(kind: type[exp.Binary], left: exp.Expr, right: exp.Expr) -> exp.Expr:
    """left kind right, bare."""
    return kind(this=wrapped(left), expression=wrapped(right))


def integer_of(node: exp.Expr) -> int | None:
    """The value of an integer constant, None if the node is something else."""
    if isinstance(node, exp.Neg):
        inner = integer_of(node.this)
        return None if inner is None else -inner
    return int(node.name) if isinstance(node, exp.Literal) and not node.is_string and node.name.isdigit() else None


def constant(node: exp.Expr, what: str) -> str:
    """The value of a string constant. Raises NotSupportedError naming `what` if it is none."""
    if not isinstance(node, exp.Literal) or not node.is_string:
        raise NotSupportedError(f"{what} must be a constant string")
    return node.name


def renamed(name: str) -> Translation:
    """The same call of another name."""
    return lambda arguments: call(name, *arguments)


def of_strings(name: str) -> Translation:
    """The same call of another name, every argument as STRING."""
    return lambda arguments: call(name, *(string(argument) for argument in arguments))
