"""What names mean at one place of a query: the sources of a FROM clause, with their columns.

A name is matched exactly first and then, if that finds nothing, without regard to case when only one column fits. A
source whose columns are not known (a table function) makes everything uncertain: then nothing is decided here and
DataFusion has the last word.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum

import pyarrow as pa
from sqlglot import exp


@dataclass(frozen=True, slots=True)
class Output:
    """A column of a source or of a result. `name` is used inside, `shown` is what the user wrote or sees."""

    name: str
    shown: str
    type: pa.DataType | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """One relation of a FROM clause. columns None: not known. hidden: merged into the other side by USING, NATURAL."""

    alias: str | None
    columns: tuple[Output, ...] | None
    database: str | None = None
    hidden: frozenset[str] = frozenset()
    in_star: bool = True
    inside: str | None = None
    """The alias that holds these columns in the SQL, when it is not `alias` (unnested arrays)."""
    relation: exp.Expr | None = field(default=None, compare=False)
    """The node in FROM."""

    @property
    def qualifier(self) -> str | None:
        """What to write before a column of this source."""
        return self.inside or self.alias


class Failure(Enum):
    """Why a name does not resolve. UNKNOWN: it may well exist, DataFusion has to find out."""

    MISSING = "missing"
    AMBIGUOUS = "ambiguous"
    UNKNOWN = "unknown"


@dataclass(slots=True)
class Scope:
    """The sources of one SELECT and the scope around it."""

    sources: list[Source] = field(default_factory=list)
    parent: Scope | None = None
    merged: dict[str, exp.Expr] = field(default_factory=dict)
    """What a column that USING or NATURAL merged stands for, by name."""

    def chain(self) -> Iterator[Scope]:
        """This scope and those around it, from inside to outside."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent

    def column(self, name: str) -> Output | Failure:
        """A column by its bare name, in this scope only."""
        known = [
            column for source in self.sources for column in source.columns or () if column.name not in source.hidden
        ]
        unknown = any(source.columns is None for source in self.sources)
        for exact in (True, False):
            found = match(known, name, exact=exact)
            if found and unknown and (not exact or len(found) > 1):
                return Failure.UNKNOWN
            if len(found) == 1:
                return found[0]
            if found:
                return Failure.AMBIGUOUS
        return Failure.UNKNOWN if unknown else Failure.MISSING

    def holder(self, column: Output) -> str | None:
        """What to write before a column that `column` found; None if it has no source of its own."""
        for source in self.sources:
            if any(known is column for known in source.columns or ()):
                return source.qualifier
        return None

    def source(self, alias: str, database: str | None = None) -> Source | Failure:
        """A source by its alias, in this scope only."""
        named = [source for source in self.sources if source.alias is not None]
        if database is not None:
            named = [source for source in named if (source.database or database).lower() == database.lower()]
        exact = [source for source in named if source.alias == alias]
        for found in (exact, [source for source in named if (source.alias or "").lower() == alias.lower()]):
            if len(found) == 1:
                return found[0]
            if found:
                return Failure.AMBIGUOUS
        return Failure.MISSING

    def names(self) -> list[str]:
        """Every column name that can be written here, for `nearest`."""
        return [column.shown for scope in self.chain() for source in scope.sources for column in source.columns or ()]

    def aliases(self) -> list[str]:
        """Every alias that can be written here, for `nearest`."""
        return [source.alias for scope in self.chain() for source in scope.sources if source.alias]


def match(columns: Iterable[Output], name: str, *, exact: bool) -> list[Output]:
    """The columns that `name` fits."""
    if exact:
        return [column for column in columns if column.shown == name]
    return [column for column in columns if column.shown.lower() == name.lower()]


def resolve(columns: Iterable[Output], name: str) -> Output | Failure:
    """One of `columns` by name: exactly, else the only one that differs in case."""
    columns = list(columns)
    for exact in (True, False):
        found = match(columns, name, exact=exact)
        if len(found) == 1:
            return found[0]
        if found:
            return Failure.AMBIGUOUS
    return Failure.MISSING


def is_derived_join(node: exp.Expr) -> bool:
    """Whether the first of a join in parentheses is a query in parentheses itself."""
    return isinstance(node, exp.Subquery) and bool(node.args.get("joins") or node.alias)
