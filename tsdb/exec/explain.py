"""EXPLAIN: the plan that runs, and what each scan reads and leaves out."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa
from datafusion.expr import Aggregate
from sqlglot import exp

from tsdb.catalog.catalog import ConnectorTable
from tsdb.connector import described
from tsdb.errors import NotSupportedError
from tsdb.exec.batch.change import select
from tsdb.exec.batch.live_scan import asks_elsewhere
from tsdb.exec.batch.query import RelationScan, executable, scans, unplaced
from tsdb.exec.engine import our_schema
from tsdb.exec.failure import translated
from tsdb.exec.plan import Mode, QueryPlan, plan_nodes
from tsdb.exec.relation import FileSource, Relation
from tsdb.exec.streaming.assemble import assemble
from tsdb.metadata.predicate import And, Comparison, Or, Predicate
from tsdb.sql.statements import (
    CopyTo,
    CreateTable,
    Delete,
    ExecuteStatementSet,
    Explain,
    Insert,
    Select,
    Statement,
    Update,
)
from tsdb.table.scan import ScanPlan
from tsdb.table.table import Table

_PARTITIONS_SHOWN = 3


def explained(
    statement: Explain, plan_of: Callable[[exp.Query, Statement, Mode | None], QueryPlan], *, streaming: bool
) -> str:
    """What EXPLAIN says of the statement; of a statement set, of each of its statements."""
    inner = statement.statement
    if isinstance(inner, ExecuteStatementSet):
        if statement.mode == "analyze":
            raise NotSupportedError("EXPLAIN ANALYZE of a statement set: it would run; explain each of its queries")
        parts = [replace(statement, statement=insert) for insert in inner.statements]
        texts = [explained(part, plan_of, streaming=streaming) for part in parts]
        return "\n\n".join(f"{part.statement.text}\n\n{text}" for part, text in zip(parts, texts, strict=True))
    plan = plan_of(query_of(inner), inner, "batch" if statement.mode == "analyze" else None)
    if statement.mode == "analyze":
        return explain_analyze(plan)
    if streaming:
        return explain_streaming(plan, changelog_mode=statement.mode == "changelog_mode")
    return explain_batch(plan)


def query_of(statement: Statement) -> exp.Query:
    """The query that a statement asks: of UPDATE and DELETE, the rows that match."""
    match statement:
        case Select():
            return statement.query
        case Insert():
            return statement.source
        case CopyTo():
            return statement.query
        case CreateTable() if statement.as_select is not None:
            return statement.as_select
        case Update() | Delete():
            return select([exp.Star()], statement.target, statement.where, statement.alias)
    raise NotSupportedError(
        "EXPLAIN is for queries, INSERT, UPDATE, DELETE, COPY … TO and CREATE TABLE … AS", position=statement.position
    )


def explain_batch(plan: QueryPlan) -> str:
    """The optimised plan, then a line a relation."""
    reads = scans(plan)
    known = _may_be_known(plan, reads) and _is_known(_physical(plan, reads))
    lines = [scan_text(read, from_metadata=known) for read in reads]
    return _sections(plan, ("Optimized plan", plan.logical.display_indent()), ("Scans", "\n".join(lines)))


def explain_streaming(plan: QueryPlan, *, changelog_mode: bool = False) -> str:
    """The optimised plan and the dataflow; nothing is read. Raises NotSupportedError as running it would."""
    assembly = assemble(plan)
    assembly.pipeline.close()
    dataflow = assembly.dataflow
    shown = assembly.branch.changelog if changelog_mode else dataflow.explain()
    parts = [("Optimized plan", plan.logical.display_indent()), ("Dataflow", shown)]
    outside = [r for r in plan.relations.values() if isinstance(r.source, ConnectorTable)]
    parts.append(("Sources", "\n".join(f"{relation.shown}: {_elsewhere(relation)}" for relation in outside)))
    if changelog_mode:
        key = ", ".join(f"`{name}`" for name in dataflow.upsert_key or ())
        kinds = "+I" if assembly.branch.append_only else "+I -U +U -D"
        parts.append(("Changelog", f"kinds: {kinds}\nupsert key: {key or 'none'}"))
    return _sections(plan, *parts)


def explain_analyze(plan: QueryPlan) -> str:
    """Run the query, and show what each physical operator did."""
    reads = scans(plan)
    with translated(plan.scope):
        if any(read.by_position for read in reads) and asks_elsewhere(executable(plan, reads).execution_plan()):
            reads = unplaced(reads)
        frame = executable(plan, reads, explain="EXPLAIN ANALYZE ")
        table = frame.to_arrow_table()
    text = table.cast(our_schema(table.schema)).column("plan").to_pylist()[0]
    known = _may_be_known(plan, reads) and _is_known(text)
    lines = [scan_text(read, from_metadata=known) for read in reads]
    return _sections(plan, ("Plan with metrics", text), ("Scans", "\n".join(lines)))


def _may_be_known(plan: QueryPlan, reads: list[RelationScan]) -> bool:
    """Whether it is worth looking if the answer follows from the footers of files: of an aggregate over raw files."""
    aggregates = any(isinstance(node.to_variant(), Aggregate) for node in plan_nodes(plan.logical))
    return aggregates and bool(reads) and all(read.files and not read.empty for read in reads)


def _is_known(physical: str) -> bool:
    """Whether the physical plan has constants in the place of its scans."""
    return "PlaceholderRowExec" in physical and "DataSourceExec" not in physical


def _physical(plan: QueryPlan, reads: list[RelationScan]) -> str:
    with translated(plan.scope):
        return executable(plan, reads).execution_plan().display_indent()


def text_table(text: str) -> pa.Table:
    """One row, one column `plan`."""
    return pa.table({"plan": pa.array([text], pa.string())})


def scan_text(read: RelationScan, *, from_metadata: bool = False) -> str:
    """One relation: where its rows come from, and how many files are read of how many.

    from_metadata: no row is read.
    """
    relation = read.relation
    name = relation.shown
    if read.plan is None:
        return f"{name}: {_elsewhere(relation)}"
    table = relation.source
    assert isinstance(table, Table)
    plan = read.plan
    if plan.snapshot is None:
        return f"{name}: table {table.identifier}, no snapshot yet"
    merged = sum(not split.raw for split in plan.splits)
    how = "raw Parquet" if read.files is not None else f"{merged} of {len(plan.splits)} splits merged on read"
    if read.by_position:
        how = f"live rows of Parquet, {how}"
    if from_metadata:
        how += ", answered from metadata"
    facts = [
        f"snapshot {plan.snapshot.id}",
        f"manifests {plan.manifests_read} of {plan.manifests_total}",
        f"files {plan.files_kept} of {plan.files_total}",
        *_sizes(plan, table),
        how,
    ]
    if read.predicate is not None:
        facts.append(f"pruned by {predicate_text(read.predicate)}")
    return f"{name}: table {table.identifier}, " + ", ".join(facts)


def _sizes(plan: ScanPlan, table: Table) -> list[str]:
    """What the splits hold: partitions (the first by name), buckets, rows and bytes of their files."""
    facts = []
    keys = table.schema.partition_keys
    if keys:
        found = sorted({split.partition_values for split in plan.splits}, key=repr)
        names = ["/".join(f"{key}={value}" for key, value in zip(keys, values, strict=True)) for values in found]
        shown = ", ".join(names[:_PARTITIONS_SHOWN]) + (", …" if len(names) > _PARTITIONS_SHOWN else "")
        facts.append(f"partitions {len(names)}" + (f" ({shown})" if names else ""))
    files = [file for split in plan.splits for file in split.files]
    facts.append(f"buckets {len({(split.partition, split.bucket) for split in plan.splits})}")
    facts.append(f"rows {sum(file.row_count for file in files)}")
    facts.append(f"bytes {sum(file.file_size for file in files)}")
    return facts


def predicate_text(predicate: Predicate) -> str:
    """The predicate as a person would write it."""
    match predicate:
        case And(children):
            return " AND ".join(map(_wrapped, children))
        case Or(children):
            return " OR ".join(map(_wrapped, children))
        case Comparison("in", column, values):
            return f"{column} IN ({', '.join(map(repr, values))})"
        case Comparison(op, column, values):
            return f"{column} {op.upper()} {', '.join(map(repr, values))}".strip()


def _wrapped(predicate: Predicate) -> str:
    text = predicate_text(predicate)
    return text if isinstance(predicate, Comparison) else f"({text})"


def _elsewhere(relation: Relation) -> str:
    source = relation.source
    if isinstance(source, ConnectorTable):
        return f"table {source.identifier}, {described(source)}"
    if isinstance(source, FileSource):
        return f"{len(source.paths)} {source.format} file{'s' * (len(source.paths) != 1)}"
    rows = 0 if isinstance(source, Table) else source.rows.num_rows
    return f"{rows} rows in memory"


def _sections(plan: QueryPlan, *sections: tuple[str, str]) -> str:
    """Sections with titles; in the first one, the plan, relations are called as the user calls them."""
    title, text = sections[0]
    for relation in plan.relations.values():
        if relation.name != relation.shown:
            text = re.sub(rf"(?<!\w){re.escape(relation.name)}(?!\w)", relation.shown, text)
    return "\n\n".join(f"== {title} ==\n{body.rstrip()}" for title, body in ((title, text), *sections[1:]) if body)
