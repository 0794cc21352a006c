"""Giving data files the indexes that the table's options ask for today, without writing the files anew.

The entry of a file is replaced by one that names another index; its rows, its name and its deletion vector stay.
Source: Paimon, `FileIndexProcessor` and `RewriteFileIndexSink`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa

from tsdb.metadata.data_file import DataFileMeta
from tsdb.metadata.file_index import FileIndexWriter, WantedIndex, wanted_indexes
from tsdb.metadata.manifest import ManifestEntry
from tsdb.options import parse_size
from tsdb.table.bucket_writer import bucket_directory
from tsdb.table.commit import commit
from tsdb.table.commit_message import CommitMessage
from tsdb.table.data_file_reader import read_file
from tsdb.table.newest import on_newest
from tsdb.table.prune import file_index
from tsdb.table.scan import live_files
from tsdb.table.table import Table
from tsdb.table.write import undone_unless_committed

_SUFFIX = ".index"


def rewrite_file_indexes(
    table: Table, *, partitions: Callable[[bytes], bool] | None = None, user: str
) -> list[CommitMessage]:
    """Write the indexes of all files that have others than the options say, and commit; a message a file.

    partitions: which serialized partitions (None: all).
    """
    wanted = wanted_indexes(table.options.values, table.schema.fields)
    messages = on_newest(table, lambda snapshot: _messages(table, live_files(table, snapshot, partitions), wanted))
    if not messages:
        return []
    with undone_unless_committed(table, lambda: _delete_indexes(table, messages), user=user):
        commit(table, messages, user=user)
    return messages


def _messages(table: Table, entries: Iterable[ManifestEntry], wanted: Sequence[WantedIndex]) -> list[CommitMessage]:
    """The replacements of all files that need one."""
    messages: list[CommitMessage] = []
    try:
        for entry in entries:
            message = _message(table, entry, wanted)
            if message is not None:
                messages.append(message)
    except BaseException:
        _delete_indexes(table, messages)
        raise
    return messages


def _delete_indexes(table: Table, messages: Sequence[CommitMessage]) -> None:
    """The new ones, which nobody will ask for."""
    for message in messages:
        directory = bucket_directory(table, message.partition, message.bucket)
        kept = {name for file in message.compact_before for name in file.extra_files}
        for file in message.compact_after:
            for name in (name for name in file.extra_files if name not in kept):
                table.file_io.delete(f"{file.directory(directory)}/{name}")


def _message(table: Table, entry: ManifestEntry, wanted: Sequence[WantedIndex]) -> CommitMessage | None:
    """The replacement of one file's indexes; None if it has those that are wanted."""
    file, directory = entry.file, bucket_directory(table, entry.partition, entry.bucket)
    there = file_index(table, file, directory)
    here = _as_written(table, file, wanted)
    if {(index.column, index.kind) for index in here} == (set() if there is None else there.kinds):
        return None
    changed = replace(file, embedded_file_index=None, extra_files=_without_index(file))
    data = _index_of(table, file, directory, here)
    if data is not None and len(data) <= parse_size(table.options.get("file-index.in-manifest-threshold") or ""):
        changed = replace(changed, embedded_file_index=data)
    elif data is not None:
        name = _new_name(file)
        table.file_io.write_bytes(f"{file.directory(directory)}/{name}", data)
        changed = replace(changed, extra_files=(*changed.extra_files, name))
    return CommitMessage(
        entry.partition, entry.bucket, entry.total_buckets, compact_before=(file,), compact_after=(changed,)
    )


def _as_written(table: Table, file: DataFileMeta, wanted: Sequence[WantedIndex]) -> list[WantedIndex]:
    """The indexes by the names that the columns had when the file was written; columns that it lacks have none."""
    then: Mapping[int, str] = {field.id: field.name for field in table.schemas.schema(file.schema_id).fields}
    found = [(index, then.get(table.schema.field(index.column).id)) for index in wanted]
    return [replace(index, column=name) for index, name in found if name is not None]


def _index_of(table: Table, file: DataFileMeta, directory: str, wanted: Sequence[WantedIndex]) -> bytes | None:
    if not wanted:
        return None
    schema = table.schemas.schema(file.schema_id)
    writer = FileIndexWriter(wanted, schema.fields)
    names = list(dict.fromkeys(index.column for index in wanted))
    for batch in read_file(table.with_schema(schema), file, directory, names):
        writer.add(pa.Table.from_batches([batch]))
    return writer.finish()


def _without_index(file: DataFileMeta) -> tuple[str, ...]:
    return tuple(name for name in file.extra_files if not name.endswith(_SUFFIX))


def _new_name(file: DataFileMeta) -> str:
    """A name that no index of the file has had: `<file>.index`, then `<file>-1.index` and so on."""
    before = next((name for name in file.extra_files if name.endswith(_SUFFIX)), None)
    if before is None:
        return f"{file.file_name}{_SUFFIX}"
    number = before.removeprefix(file.file_name).removesuffix(_SUFFIX).removeprefix("-")
    return f"{file.file_name}-{int(number or 0) + 1}{_SUFFIX}"
