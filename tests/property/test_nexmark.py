"""Every Nexmark query as a stream with event time adds up to what batch mode says."""

from collections.abc import Iterator

import pyarrow as pa
import pytest

import tsdb
from bench.nexmark import QUERIES, compare, fill, follow

EVENTS = 6_000


@pytest.fixture(scope="module")
def site() -> Iterator[tsdb.Connection]:
    with tsdb.connect() as con:
        fill(con, EVENTS, snapshot_events=2_000)
        yield con


@pytest.mark.parametrize("name", [name for name in QUERIES if name != "q12"])
def test_the_changes_add_up_to_the_batch_result(site: tsdb.Connection, name: str) -> None:
    changes = list(follow(site, QUERIES[name]))
    assert changes, "there are rows"
    assert compare(site, QUERIES[name], pa.Table.from_batches(changes)) == "= batch"
