"""Options of single columns, `fields.<column>.<option>`: whether both exist, and whether they have an effect.

What a merge engine makes of them is checked where the engine is made.
"""

from tsdb.errors import ColumnNotFound, OptionError, nearest
from tsdb.metadata.schema import TableSchema
from tsdb.options import TableOptions

DEFAULT_FUNCTION = "fields.default-aggregate-function"
_PREFIX = "fields."
# option -> the merge engines that heed it; None: all
_OPTIONS: dict[str, tuple[str, ...] | None] = {
    "sequence-group": ("partial-update",),
    **dict.fromkeys(
        (
            "aggregate-function", "ignore-retract", "distinct", "list-agg-delimiter", "nested-key", "count-limit",
            "nested-key-null-strategy", "nested-sequence-field", "ts-field",
        ),
        ("aggregation", "partial-update"),
    ),
    "stats-mode": None,
}  # fmt: skip


def check_field_options(schema: TableSchema, options: TableOptions) -> None:
    """Raise OptionError or ColumnNotFound, naming the nearest, for an option of a column that can have no effect."""
    for key in options.values:
        if not key.startswith(_PREFIX):
            continue
        if key == DEFAULT_FUNCTION:
            _check_engine(key, ("aggregation", "partial-update"), options)
            continue
        columns, _, option = key.removeprefix(_PREFIX).rpartition(".")
        if option not in _OPTIONS or not columns:
            raise OptionError(f"unknown option '{key}'.{nearest(option, _OPTIONS)}")
        for column in columns.split(",") if option == "sequence-group" else [columns]:
            if not schema.has(column.strip()):
                near = nearest(column.strip(), schema.names)
                raise ColumnNotFound(f"option '{key}': the table has no column `{column.strip()}`.{near}")
        engines = _OPTIONS[option]
        if engines is not None:
            _check_engine(key, engines, options)


def _check_engine(key: str, engines: tuple[str, ...], options: TableOptions) -> None:
    if options.merge_engine not in engines:
        wanted = " or ".join(f"'{engine}'" for engine in engines)
        raise OptionError(
            f"option '{key}' has no effect with 'merge-engine' = '{options.merge_engine}'; set that to {wanted}, or "
            f"leave the option out"
        )
