"""Statements: what one piece of SQL text asks for, as plain data.

The parser makes them, `tsdb.session` dispatches on their class. A query inside a statement stays a sqlglot tree
(`exp.Query`) of our dialect; its nodes know their place in the user's text (see `tsdb.sql.script.position_of`).

Every statement keeps where it began (`position`), its own text without the `;` (`text`) and the whole script
(`script`). Two statements are equal when they ask for the same, wherever they were written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlglot import exp

from tsdb.data_types import DataType
from tsdb.errors import Position

_START = Position(1, 1)


BRANCH_PREFIX = "branch_"
"""What follows the `$` in the name of a branch."""


@dataclass(frozen=True, slots=True)
class TableName:
    """A table's name as written: one to three parts, the last may carry a system suffix (`t$snapshots`)."""

    parts: tuple[str, ...]
    start: int | None = field(default=None, compare=False, repr=False)
    """Offset of the first character in the script, for error messages."""

    @property
    def name(self) -> str:
        """The last part, with a system suffix if there is one."""
        return self.parts[-1]

    @property
    def database(self) -> str | None:
        """The part before the last, or None: the current database."""
        return self.parts[-2] if len(self.parts) > 1 else None

    @property
    def catalog(self) -> str | None:
        """The first of three parts, or None."""
        return self.parts[-3] if len(self.parts) > 2 else None

    @property
    def table(self) -> str:
        """The last part without a system suffix: `orders` for `orders$snapshots`; a branch, `t$branch_b`, stays."""
        return self._split()[0]

    @property
    def system(self) -> str | None:
        """The system suffix, `snapshots` for `orders$snapshots`, or None."""
        return self._split()[1]

    @property
    def whole(self) -> TableName:
        """The same name without a system suffix."""
        return TableName((*self.parts[:-1], self.table), self.start)

    def _split(self) -> tuple[str, str | None]:
        base, _, rest = self.name.partition("$")
        if not base or not rest:
            return base or self.name, None
        if not rest.startswith(BRANCH_PREFIX):
            return base, rest
        branch, _, suffix = rest.partition("$")
        return f"{base}${branch}", suffix or None

    def __str__(self) -> str:
        return ".".join(self.parts)


@dataclass(frozen=True, slots=True)
class ColumnDef:
    """One column of CREATE TABLE or ALTER TABLE. A computed column may have no type: then the expression gives it.

    computed_text: the expression as it was written.
    """

    name: str
    type: DataType | None
    comment: str | None = None
    computed: exp.Expr | None = None
    metadata_key: str | None = None
    default: str | None = None
    virtual: bool = False
    computed_text: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Watermark:
    """WATERMARK FOR `column` AS `expression`. text: the expression as it was written."""

    column: str
    expression: exp.Expr
    text: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """Base of all statements."""

    position: Position = field(default=_START, compare=False, repr=False)
    text: str = field(default="", compare=False, repr=False)
    script: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Select(Statement):
    """SELECT, WITH, VALUES, a set operation or TABLE t."""

    query: exp.Query


@dataclass(frozen=True, slots=True)
class CreateTable(Statement):
    """CREATE TABLE in all its forms; `like` and `as_select` are never both given. like_without: the features of
    EXCLUDING, in capitals.
    """

    name: TableName
    columns: tuple[ColumnDef, ...] = ()
    primary_key: tuple[str, ...] = ()
    partition_keys: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    comment: str | None = None
    if_not_exists: bool = False
    temporary: bool = False
    watermark: Watermark | None = None
    like: TableName | None = None
    like_without: frozenset[str] = frozenset()
    as_select: exp.Query | None = None
    or_replace: bool = False


@dataclass(frozen=True, slots=True)
class DropTable(Statement):
    """DROP [TEMPORARY] TABLE [IF EXISTS] name."""

    name: TableName
    if_exists: bool = False
    temporary: bool = False


@dataclass(frozen=True, slots=True)
class RenameTable(Statement):
    """ALTER TABLE name RENAME TO new_name."""

    name: TableName
    new_name: TableName
    if_exists: bool = False


@dataclass(frozen=True, slots=True)
class SetTableOptions:
    """A change of ALTER TABLE: SET ('key' = 'value', …)."""

    options: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ResetTableOptions:
    """A change of ALTER TABLE: RESET ('key', …)."""

    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AddColumn:
    """A change of ALTER TABLE: a new column, at the end unless `first` or `after` says otherwise.

    parents: the path to the ROW it is of, () for the table; the same below.
    """

    column: ColumnDef
    first: bool = False
    after: str | None = None
    if_not_exists: bool = False
    parents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DropColumn:
    """A change of ALTER TABLE: a column goes."""

    name: str
    if_exists: bool = False
    parents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RenameColumn:
    """A change of ALTER TABLE: a column gets another name."""

    name: str
    new_name: str
    parents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModifyColumn:
    """A change of ALTER TABLE: another type, comment, default or place; None and False leave that part as it is."""

    name: str
    type: DataType | None = None
    comment: str | None = None
    first: bool = False
    after: str | None = None
    nullable: bool | None = None
    default: str | None = None
    drop_default: bool = False
    parents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DropPartition:
    """A change of ALTER TABLE: DROP PARTITION (key = 'value', …)."""

    partition: Mapping[str, Any]
    if_exists: bool = False


@dataclass(frozen=True, slots=True)
class SetComment:
    """A change of ALTER TABLE: the comment of the table."""

    comment: str


Change = (
    SetTableOptions
    | ResetTableOptions
    | AddColumn
    | DropColumn
    | RenameColumn
    | ModifyColumn
    | DropPartition
    | SetComment
)


@dataclass(frozen=True, slots=True)
class AlterTable(Statement):
    """ALTER TABLE name …: changes, in order."""

    name: TableName
    changes: tuple[Change, ...]
    if_exists: bool = False


@dataclass(frozen=True, slots=True)
class TruncateTable(Statement):
    """TRUNCATE TABLE name."""

    name: TableName


@dataclass(frozen=True, slots=True)
class CreateView(Statement):
    """CREATE [OR REPLACE] [TEMPORARY] VIEW name [(column, …)] AS query."""

    name: TableName
    query: exp.Query
    query_text: str
    columns: tuple[str, ...] | None = None
    comment: str | None = None
    if_not_exists: bool = False
    or_replace: bool = False
    temporary: bool = False


@dataclass(frozen=True, slots=True)
class DropView(Statement):
    """DROP [TEMPORARY] VIEW [IF EXISTS] name."""

    name: TableName
    if_exists: bool = False


@dataclass(frozen=True, slots=True)
class CreateFunction(Statement):
    """CREATE [OR REPLACE] TEMPORARY FUNCTION name AS 'module.function' LANGUAGE PYTHON."""

    name: str
    path: str
    if_not_exists: bool = False
    or_replace: bool = False


@dataclass(frozen=True, slots=True)
class DropFunction(Statement):
    """DROP [TEMPORARY] FUNCTION name."""

    name: str
    if_exists: bool = False


@dataclass(frozen=True, slots=True)
class Conflict:
    """What INSERT does with a row whose key is there: `replace` it, `nothing`, or `update` it where `condition` holds.

    key: the columns of ON CONFLICT, None where it names none. written: the clause, for messages.
    """

    action: Literal["replace", "nothing", "update"]
    written: str
    key: tuple[str, ...] | None = None
    assignments: Mapping[str, exp.Expr] = field(default_factory=dict)
    condition: exp.Expr | None = None


@dataclass(frozen=True, slots=True)
class Insert(Statement):
    """INSERT INTO or OVERWRITE. partition: the static values by key, as Python values. by_name: the columns of the
    source are those of the target by their names.
    """

    target: TableName
    columns: tuple[str, ...] | None
    partition: Mapping[str, Any] | None
    source: exp.Query
    overwrite: bool = False
    target_options: Mapping[str, str] = field(default_factory=dict)
    by_name: bool = False
    alias: str | None = None
    conflict: Conflict | None = None


@dataclass(frozen=True, slots=True)
class Update(Statement):
    """UPDATE target [AS alias] SET column = expression, … [WHERE …]."""

    target: TableName
    assignments: Mapping[str, exp.Expr]
    where: exp.Expr | None = None
    alias: str | None = None


@dataclass(frozen=True, slots=True)
class Delete(Statement):
    """DELETE FROM target [AS alias] [WHERE …]."""

    target: TableName
    where: exp.Expr | None = None
    alias: str | None = None


MergeMatch = Literal["matched", "not matched", "not matched by source"]
MergeAction = Literal["update", "delete", "insert", "nothing"]


@dataclass(frozen=True, slots=True)
class MergeClause:
    """WHEN match [AND condition] THEN action. values: by column, or by place (`#0`) where INSERT names no columns;
    None: every column from the source's column of the same name.
    """

    match: MergeMatch
    condition: exp.Expr | None
    action: MergeAction
    values: Mapping[str, exp.Expr] | None = None


@dataclass(frozen=True, slots=True)
class MergeInto(Statement):
    """MERGE INTO target [alias] USING source ON condition clauses. source: an item of FROM with a name.

    word: the statement that the user wrote. repeats: a row of the target may match more than one row of the source;
    only for a single WHEN MATCHED THEN DELETE.
    """

    target: TableName
    alias: str | None
    source: exp.Expr
    condition: exp.Expr
    clauses: tuple[MergeClause, ...]
    word: str = "MERGE"
    repeats: bool = False


@dataclass(frozen=True, slots=True)
class CopyTo(Statement):
    """COPY (query) TO 'path' (options)."""

    query: exp.Query
    path: str
    options: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class CopyFrom(Statement):
    """COPY target [(columns)] FROM 'path' (options)."""

    target: TableName
    columns: tuple[str, ...] | None
    path: str
    options: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SetOption(Statement):
    """SET key = value. No key: list all; a key without a value: show that one. value: a text, once it is bound."""

    key: str | None = None
    value: Any = None


@dataclass(frozen=True, slots=True)
class ResetOption(Statement):
    """RESET key, or all when there is no key."""

    key: str | None = None


@dataclass(frozen=True, slots=True)
class ShowStatement(Statement):
    """SHOW kind. kind: databases, tables, views, columns, partitions, jobs, savepoints, functions, options, procedures,
    catalogs, materialized tables, current database, current catalog, table options. args, where given: `database` and
    `catalog` (str), `table` (TableName), `like` (pattern), `not`, `user` (bool), `partition` (mapping).
    """

    kind: str
    args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Describe(Statement):
    """DESCRIBE target: a table, a view or a file."""

    target: TableName
    extended: bool = False


@dataclass(frozen=True, slots=True)
class ShowCreateTable(Statement):
    """SHOW CREATE TABLE (or VIEW) target. view, materialized: it must be one."""

    target: TableName
    view: bool = False
    materialized: bool = False


@dataclass(frozen=True, slots=True)
class Explain(Statement):
    """EXPLAIN [mode] statement."""

    statement: Statement
    mode: Literal["plan", "analyze", "changelog_mode"] = "plan"


@dataclass(frozen=True, slots=True)
class Call(Statement):
    """CALL procedure(argument, name => argument, …); arguments are Python values, `exp.Placeholder` before binding."""

    procedure: str
    positional: tuple[Any, ...] = ()
    named: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StopJob(Statement):
    """STOP JOB name [WITH SAVEPOINT]."""

    name: str
    savepoint: bool = False


@dataclass(frozen=True, slots=True)
class DescribeJob(Statement):
    """DESCRIBE JOB name."""

    name: str


@dataclass(frozen=True, slots=True)
class DropJob(Statement):
    """DROP JOB name: forget a stopped job and its state."""

    name: str
    if_exists: bool = False


@dataclass(frozen=True, slots=True)
class DropSavepoint(Statement):
    """DROP SAVEPOINT 'path'."""

    path: str


@dataclass(frozen=True, slots=True)
class ExecuteStatementSet(Statement):
    """EXECUTE STATEMENT SET BEGIN insert; … END: several INSERTs that run as one job."""

    statements: tuple[Insert, ...]
