"""The changelog producers, by the value of the table option 'changelog-producer': who writes changelog files, and when.

`none` writes no changelog files: a stream reads the rows of new level-0 files as upserts.
`input` keeps every row as it was written, before the buffer merges them, in a changelog file beside the data file.
`lookup` compacts level 0 with every commit, and writes what that changes: see `tsdb.mergetree.changes`.
`full-compaction` writes what a compaction into the highest level changes there.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tsdb.errors import NotSupportedError


@dataclass(frozen=True, slots=True)
class ChangelogProducer:
    """keeps_input: a flush writes the rows of the buffer, all of them, as a changelog file. compares: compactions write
    what they change: `level 0`, when they take files of it; `highest level`, when they go there; None: never.
    """

    name: str
    keeps_input: bool = False
    compares: str | None = None


CHANGELOG_PRODUCERS: Mapping[str, ChangelogProducer] = {
    producer.name: producer
    for producer in (
        ChangelogProducer("none"),
        ChangelogProducer("input", keeps_input=True),
        ChangelogProducer("lookup", compares="level 0"),
        ChangelogProducer("full-compaction", compares="highest level"),
    )
}


def changelog_producer(name: str) -> ChangelogProducer:
    """The changelog producer of that name. Raises NotSupportedError that lists the ones there are."""
    producer = CHANGELOG_PRODUCERS.get(name)
    if producer is None:
        known = ", ".join(f"'{k}'" for k in CHANGELOG_PRODUCERS)
        raise NotSupportedError(f"there is no 'changelog-producer' = '{name}'; use one of {known}")
    return producer
