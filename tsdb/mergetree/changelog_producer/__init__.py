"""The changelog producers, by the value of the table option 'changelog-producer': who writes changelog files, and when.

`none` writes no changelog files: a stream reads the rows of new level-0 files as upserts.
`input` keeps every row as it was written, before the buffer merges them, in a changelog file beside the data file.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tsdb.errors import NotSupportedError


@dataclass(frozen=True, slots=True)
class ChangelogProducer:
    """keeps_input: a flush writes the rows of the buffer, all of them, as a changelog file."""

    name: str
    keeps_input: bool


CHANGELOG_PRODUCERS: Mapping[str, ChangelogProducer] = {
    producer.name: producer
    for producer in (ChangelogProducer("none", keeps_input=False), ChangelogProducer("input", keeps_input=True))
}


def changelog_producer(name: str) -> ChangelogProducer:
    """The changelog producer of that name. Raises NotSupportedError that lists the ones there are."""
    producer = CHANGELOG_PRODUCERS.get(name)
    if producer is None:
        known = ", ".join(f"'{k}'" for k in CHANGELOG_PRODUCERS)
        raise NotSupportedError(f"the option 'changelog-producer' = '{name}' is not supported yet; use one of {known}")
    return producer
