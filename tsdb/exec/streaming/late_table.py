"""'late-rows': the side tables of a job, made where there are none, and checked where there are."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from tsdb.catalog.catalog import Catalog, ConnectorTable
from tsdb.data_types import DataField, DataType, arrow_schema, parse_type
from tsdb.errors import BindError, NotSupportedError, TableNotFound
from tsdb.exec.relation import Relation
from tsdb.exec.streaming.dataflow import Dataflow
from tsdb.exec.streaming.late_rows import LATE_FOR, LATE_KIND, LATE_WATERMARK, LateOutput, LatePath, late_paths
from tsdb.metadata.schema import TableSchema
from tsdb.table.table import Identifier, Table

LATE_ROWS = "late-rows"


@dataclass(frozen=True, slots=True)
class LateTable:
    """A side table and what goes into it."""

    table: Table
    output: LateOutput


def late_name(relation: Relation) -> str | None:
    """The side table that the hint or the table asks for."""
    source = relation.source
    if not isinstance(source, Table | ConnectorTable):
        return None
    found: str | None = relation.options.get(LATE_ROWS, source.options.get(LATE_ROWS))
    return found


def refuse_late_rows(relations: Sequence[Relation]) -> None:
    """Raises NotSupportedError if a hint asks for a side table where nothing is committed."""
    for relation in relations:
        if LATE_ROWS in relation.options:
            raise NotSupportedError(
                f"'{LATE_ROWS}' = '{relation.options[LATE_ROWS]}' of `{relation.shown}`: late rows are kept by jobs, "
                "which commit them with their results; use INSERT INTO … SELECT, or leave the hint out (a SELECT "
                "drops late rows)"
            )


def late_tables(
    flows: Sequence[tuple[str, Dataflow, Sequence[Relation]]], taken: Sequence[str], catalog: Catalog
) -> list[LateTable]:
    """The side tables of a job, one for each name. flows: prefix of the inputs, dataflow, relations of each query.

    taken: names of the tables that the job reads or fills. Raises NotSupportedError where a hint asks for late rows
    that cannot be, BindError for a table of another shape.
    """
    found: dict[Identifier, tuple[Relation, list[tuple[str, LatePath]]]] = {}
    for prefix, flow, relations in flows:
        for relation in relations:
            name = late_name(relation)
            if name is None:
                continue
            paths = late_paths(flow, relation.name)
            if not paths:
                _check_not_asked(relation, flow)
                continue
            place = _place(name, relation)
            if str(place) in taken:
                raise BindError(
                    f"'{LATE_ROWS}' = '{name}' of `{relation.shown}` is a table that the job reads or fills"
                )
            first, known = found.setdefault(place, (relation, []))
            if _wanted(first) != _wanted(relation):
                raise BindError(
                    f"'{LATE_ROWS}' = '{name}': late rows of `{first.shown}` and `{relation.shown}` have other columns "
                    "and do not fit into one table; give each its own"
                )
            known += [(prefix + relation.name, path) for path in paths]
    return [_opened(place, relation, tuple(paths), catalog) for place, (relation, paths) in found.items()]


def _check_not_asked(relation: Relation, flow: Dataflow) -> None:
    """Raises NotSupportedError if it is this statement that wants late rows."""
    if LATE_ROWS not in relation.options:
        return
    spec = flow.inputs[relation.name]
    if spec.rowtime is None:
        why = "its rows have no WATERMARK that the query uses, and without one nothing is late"
    elif spec.mode == "upsert":
        why = "a row of a table whose changes are known by key only replaces another one, and is not kept as it came"
    else:
        why = "the query closes no window, and joins nothing by time, of which a row of it could come too late"
    raise NotSupportedError(
        f"'{LATE_ROWS}' = '{relation.options[LATE_ROWS]}' of `{relation.shown}`: {why}; leave the hint out"
    )


def _place(name: str, relation: Relation) -> Identifier:
    """A bare name is one of the source's own database."""
    assert isinstance(relation.source, Table | ConnectorTable)
    database, dot, bare = name.partition(".")
    place = Identifier(database, bare) if dot else Identifier(relation.source.identifier.database, name)
    if not place.name or not place.database or "." in place.name or "$" in place.name:
        raise BindError(f"'{LATE_ROWS}' = '{name}' is no name of a table; write 'table' or 'database.table'")
    return place


def _wanted(relation: Relation) -> list[tuple[str, DataType]]:
    """The columns of the side table: the stored ones of the source, then the reason."""
    source = relation.source
    assert isinstance(source, Table | ConnectorTable)
    stored = [(field.name, field.type.with_nullable(True)) for field in source.schema.fields]
    text, time = parse_type("STRING"), parse_type("TIMESTAMP(3)")
    reason = [(LATE_FOR, text), (LATE_WATERMARK, time), (LATE_KIND, text)]
    clash = {name for name, _ in stored} & {name for name, _ in reason}
    if clash:
        raise BindError(f"'{LATE_ROWS}' of `{relation.shown}`: its column `{min(clash)}` is one that a side table adds")
    return [*stored, *reason]


def _opened(
    place: Identifier, relation: Relation, paths: tuple[tuple[str, LatePath], ...], catalog: Catalog
) -> LateTable:
    wanted = _wanted(relation)
    fields = tuple(DataField(i, name, kind) for i, (name, kind) in enumerate(wanted))
    try:
        table = catalog.get_table(place)
    except TableNotFound:
        draft = TableSchema(
            0, fields, partition_keys=(), primary_keys=(), options={}, highest_field_id=len(fields) - 1,
            comment=f"rows of {relation.shown} that came too late",
        )  # fmt: skip
        table = catalog.create_table(place, draft, if_not_exists=True)
    if not isinstance(table, Table) or table.is_primary_key:
        raise BindError(f"'{LATE_ROWS}' = '{place}' is to be a table of the warehouse without a primary key")
    has = [(field.name, field.type.with_nullable(True)) for field in table.schema.fields]
    if has != wanted:
        columns = ", ".join(f"{name} {kind.sql()}" for name, kind in wanted)
        raise BindError(
            f"'{LATE_ROWS}' = '{place}': the table has other columns than the late rows of `{relation.shown}`, which "
            f"are ({columns}); name another table, or one that does not exist yet"
        )
    plain: pa.Schema = arrow_schema(fields)
    return LateTable(table, LateOutput(paths, plain))
