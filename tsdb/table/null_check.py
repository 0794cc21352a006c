"""Whether a column of a table holds NULL anywhere, by the statistics of its files."""

from tsdb.errors import DataError
from tsdb.metadata.data_file import DataFileMeta
from tsdb.metadata.stats import column_ranges
from tsdb.table.newest import newest_files
from tsdb.table.table import Table


def check_no_nulls(table: Table, column: str) -> None:
    """Raise DataError unless no file has a NULL in the column, also none of a row that was replaced since."""
    for entry in newest_files(table):
        nulls = _nulls(table, entry.file, column)
        if nulls != 0:
            found = "may have NULLs, of which it has no statistics," if nulls is None else f"has {nulls} NULLs"
            raise DataError(
                f"column `{column}` of table `{table.identifier}` {found} in data file {entry.file.file_name}; "
                f"give these rows a value and compact the table before the column becomes NOT NULL"
            )


def _nulls(table: Table, file: DataFileMeta, column: str) -> int | None:
    written = table.schemas.schema(file.schema_id)
    old = next((field for field in written.fields if field.id == table.schema.field(column).id), None)
    if old is None:
        return file.row_count
    return column_ranges(file, written).get(old.name, (None, None, None))[2]
