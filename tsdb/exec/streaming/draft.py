"""Jobs before they have a state: what one INSERT, or the INSERTs of a statement set, come to."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from tsdb.catalog.catalog import Catalog, ConnectorTable
from tsdb.connector.connector import Sink
from tsdb.errors import NotSupportedError
from tsdb.exec.relation import SystemTable
from tsdb.exec.streaming.assemble import Assembly, Branch, PlannedQuery, Target, assemble_all
from tsdb.exec.streaming.branches import BranchSink, branch_prefix
from tsdb.exec.streaming.late_rows import KeepLate
from tsdb.exec.streaming.late_table import LateTable, late_name, late_tables
from tsdb.exec.streaming.pipeline import Pipeline
from tsdb.exec.streaming.sink import JobSink, open_sink
from tsdb.table.bucket import BucketMode
from tsdb.table.retraction import takes_all
from tsdb.table.table import Table

SinkFactory: TypeAlias = Callable[[str], JobSink]
"""Makes the sink of a job for a commit user."""

_WINDOW_COLUMNS = ("window_start", "window_end")
_MERGED_BY_COLUMN = ("partial-update", "aggregation")


@dataclass(frozen=True, slots=True)
class JobDraft:
    """A job before it has a state. sql: normalised text of the INSERT. plan: what the state depends on, as text.

    tables: the tables of the warehouse that it reads and writes, and when each was created. again: makes the pipeline
    once more, for a restart; None: the job cannot be restarted. reads: the tables of the warehouse that it
    reads, by the names of the inputs. begin: called when the job has no state to go on from,
    by the one process that may run it.
    """

    name: str
    sql: str
    plan: str
    pipeline: Pipeline
    sink: SinkFactory
    tables: Mapping[str, int] = field(default_factory=dict)
    again: Callable[[], Pipeline] | None = None
    reads: Mapping[str, str] = field(default_factory=dict)
    begin: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class PlannedInsert:
    """INSERT INTO `target` (`columns`) with the planned query. columns: in the order of the query's."""

    plan: PlannedQuery
    target: Table | ConnectorTable
    columns: tuple[str, ...]


def insert_draft(inserts: Sequence[PlannedInsert], sql: str, name: str, catalog: Catalog | None = None) -> JobDraft:
    """The job of one INSERT, or of several that run as one. sql: normalised, the same for the same statements.

    catalog: has the side tables of late rows; None: there are none. Raises NotSupportedError for what cannot be a
    stream.
    """
    assembly, late = _assembled(inserts, catalog)
    opened = list(zip(inserts, assembly.branches, strict=True))

    def sink(user: str) -> JobSink:
        if len(opened) == 1 and not late:
            return _open(*opened[0], user)
        sinks: list[Sink] = []
        try:
            for number, (insert, branch) in enumerate(opened):
                sinks.append(_open(insert, branch, f"{user}-{number}" if len(opened) > 1 else user))
            for number, side in enumerate(late):
                sinks.append(_open_late(side, f"{user}-late-{number}"))
        except BaseException:
            BranchSink(sinks).close()
            raise
        return BranchSink(sinks)

    def again() -> Pipeline:
        return _assembled(inserts, catalog)[0].pipeline

    sides = [f"late rows: {side.table.identifier}" for side in late]
    plan = "\n\n".join([*(branch.fingerprint for branch in assembly.branches), *sides])
    relations = [relation for insert in inserts for relation in insert.plan.relations.values()]
    tables = _created(
        [*(i.target for i in inserts), *(s.table for s in late), *(relation.source for relation in relations)]
    )
    return JobDraft(name, sql, plan, assembly.pipeline, sink, tables, again, _reads(inserts))


def _assembled(inserts: Sequence[PlannedInsert], catalog: Catalog | None) -> tuple[Assembly, list[LateTable]]:
    """The queries as one, and the side tables that their pipeline fills behind the targets."""
    assembly = assemble_all([(insert.plan, _target(insert)) for insert in inserts])
    try:
        for insert, branch in zip(inserts, assembly.branches, strict=True):
            _check_windows_close(insert, branch)
        late = _side_tables(inserts, assembly, catalog)
    except BaseException:
        assembly.pipeline.close()
        raise
    if late:
        assembly.pipeline.drive(KeepLate(assembly.pipeline.dataflow, [side.output for side in late]))
    return assembly, late


def _check_windows_close(insert: PlannedInsert, branch: Branch) -> None:
    """Raises NotSupportedError for windows that never close, if only the rows of closed ones could be appended."""
    text = branch.dataflow.explain()
    if branch.append_only or insert.target.schema.primary_keys or not any(column in text for column in _WINDOW_COLUMNS):
        return
    if all(spec.rowtime is None for spec in branch.dataflow.inputs.values()):
        tables = ", ".join(f"`{relation.shown}`" for relation in insert.plan.relations.values())
        raise NotSupportedError(
            f"the windows of {tables} never close, because no time column there has a WATERMARK, so their rows change "
            f"and cannot be appended to `{insert.target.identifier}`; declare one (WATERMARK FOR ts AS ts - INTERVAL "
            "'5' SECOND), or insert into a table with a PRIMARY KEY"
        )


def _side_tables(inserts: Sequence[PlannedInsert], assembly: Assembly, catalog: Catalog | None) -> list[LateTable]:
    relations = [list(insert.plan.relations.values()) for insert in inserts]
    if all(late_name(relation) is None for own in relations for relation in own):
        return []
    assert catalog is not None, "late rows go into tables of a catalog"
    flows = [
        (prefix, branch.dataflow, own)
        for prefix, branch, own in zip(_prefixes(inserts), assembly.branches, relations, strict=True)
    ]
    taken = {*_reads(inserts).values(), *(str(insert.target.identifier) for insert in inserts)}
    return late_tables(flows, sorted(taken), catalog)


def _prefixes(inserts: Sequence[PlannedInsert]) -> list[str]:
    return [""] if len(inserts) == 1 else [branch_prefix(number) for number in range(len(inserts))]


def _open_late(side: LateTable, user: str) -> Sink:
    schema = side.output.schema
    return open_sink(side.table, schema, schema.names, user=user, append_only=True, keyed=False)


def _target(insert: PlannedInsert) -> Target:
    target = insert.target
    return Target(
        str(target.identifier),
        tuple(target.schema.primary_keys),
        insert.columns,
        isinstance(target, Table) and takes_all(target),
    )


def _open(insert: PlannedInsert, branch: Branch, user: str) -> Sink:
    schema = branch.dataflow.schema
    return open_sink(
        insert.target, schema, insert.columns, user=user, append_only=branch.append_only, keyed=branch.keyed
    )


def _reads(inserts: Sequence[PlannedInsert]) -> dict[str, str]:
    """The tables of the warehouse by the names of the inputs, as `assemble_all` gives them."""
    found = {}
    for insert, prefix in zip(inserts, _prefixes(inserts), strict=True):
        for relation in insert.plan.relations.values():
            source = relation.source.table if isinstance(relation.source, SystemTable) else relation.source
            if isinstance(source, Table):
                found[prefix + relation.name] = str(source.identifier)
    return found


def check_targets(targets: Sequence[Table | ConnectorTable]) -> None:
    """Several statements of a set may fill one table only where none takes back what another gave.

    Raises NotSupportedError.
    """
    times = Counter(str(table.identifier) for table in targets)
    for table in targets:
        if times[str(table.identifier)] > 1 and not _takes_several(table):
            raise NotSupportedError(
                f"{times[str(table.identifier)]} statements of the statement set write into table "
                f"`{table.identifier}`: which of them holds for a row would be left to chance. Write one INSERT INTO … "
                "SELECT … UNION ALL SELECT …; append tables of the warehouse allow several, and so do tables with "
                "'merge-engine' = 'partial-update' or 'aggregation' and a fixed number of buckets"
            )


def _takes_several(table: Table | ConnectorTable) -> bool:
    if not isinstance(table, Table) or not table.is_primary_key:
        return isinstance(table, Table)
    return table.options.merge_engine in _MERGED_BY_COLUMN and table.bucket_mode is BucketMode.FIXED


def _created(tables: Iterable[object]) -> dict[str, int]:
    """When each table of the warehouse among them was created, by name."""
    stored = [table for table in tables if isinstance(table, Table)]
    return {str(table.identifier): table.schemas.schema(table.schemas.ids()[0]).time_millis for table in stored}
