"""What the options say of the files of a table: whether tsdb can write them, and what CREATE TABLE adds."""

from tsdb.format.choice import check_formats, choices
from tsdb.format.orc import LEGACY_LTZ
from tsdb.metadata.schema import TableSchema
from tsdb.metadata.stats import check_stats_modes
from tsdb.options import TableOptions


def check_files(schema: TableSchema, options: TableOptions) -> None:
    """Raise OptionError or NotSupportedError for formats, compressions or statistics that cannot be."""
    check_formats(schema.fields, options)
    for choice in choices(options):
        check_stats_modes(choice.options, schema.names)


def file_defaults(options: TableOptions) -> dict[str, str]:
    """Options that a new table has beside its own: in ORC, a TIMESTAMP_LTZ depends on its writer's zone otherwise."""
    return {LEGACY_LTZ: "false"} if any(choice.format.name == "orc" for choice in choices(options)) else {}
