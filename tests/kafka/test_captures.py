"""Change events captured from real databases, replayed through a topic: tables lead to what the servers held."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from cdc_captures import CAPTURES, FIXTURES, RENAMED, leads_to, schema_of
from kafka_topics import Topics

import tsdb
from tsdb.data_types import from_arrow

DOCUMENTED = json.loads((FIXTURES / "documented.expected.json").read_text())
COLUMNS = "id INT, customer STRING, amount DECIMAL(10, 2), qty INT, note STRING, extra STRING"


@pytest.fixture
def con() -> Iterator[tsdb.Connection]:
    with tsdb.connect() as connection:
        yield connection


def replay(topics: Topics, capture: str) -> str:
    """The messages as they were in the topics of Debezium, all in one."""
    topic = topics.create()
    pairs = [json.loads(line) for line in (FIXTURES / f"{capture}.jsonl").read_text().splitlines()]
    topics.send_pairs(topic, [(_body(m["key"]), _body(m["value"])) for m in pairs])
    return topic


def _body(value: Any) -> bytes | None:
    return None if value is None else json.dumps(value).encode()


def create(con: tsdb.Connection, topics: Topics, topic: str, columns: str, key: list[str], **options: str) -> None:
    given = {"connector": "kafka", "topic": topic, "properties.bootstrap.servers": topics.bootstrap, **options}
    listed = ", ".join(f"'{key}' = '{value}'" for key, value in given.items())
    primary = f", PRIMARY KEY ({', '.join(key)}) NOT ENFORCED" if key else ""
    con.execute(f"CREATE TABLE t ({columns}{primary}) WITH ({listed})")


def streamed(con: tsdb.Connection) -> list[dict[str, Any]]:
    """What the changes of a bounded stream lead to."""
    con.execute("SET 'execution.mode' = 'streaming'")
    changes = con.execute("SELECT * FROM t /*+ OPTIONS('scan.bounded.mode' = 'latest-offset') */").fetch_arrow_table()
    state: list[dict[str, Any]] = []
    for change in changes.to_pylist():
        op = change.pop("op")
        state.append(change) if op in ("+I", "+U") else state.remove(change)
    return state


@pytest.mark.parametrize(("capture", "name"), CAPTURES, ids="-".join)
def test_a_capture_leads_to_what_the_server_held(con: tsdb.Connection, topics: Topics, capture: str, name: str) -> None:
    expected = json.loads((FIXTURES / f"{capture}.expected.json").read_text())["tables"][name]
    columns = ", ".join(f"`{f.name}` {from_arrow(f.type).sql()}" for f in schema_of(expected))
    include = name.replace(".", r"\.") if name != RENAMED else r"fxm\.nopk(_renamed)?"
    more = {"format": "debezium-json", "debezium-json.table.include": include}
    create(con, topics, replay(topics, capture), columns, expected["primary_key"], **more)
    if name.endswith("trunc_me"):
        with pytest.raises(tsdb.NotSupportedError, match=r"the source table was emptied.*skipped\.operations"):
            con.execute("SELECT * FROM t").fetchall()
        return
    leads_to(con.execute("SELECT * FROM t").fetch_arrow_table().to_pylist(), name, expected)
    leads_to(streamed(con), name, expected)


@pytest.mark.parametrize("word", ["canal", "maxwell", "ogg"])
def test_documented_messages_lead_to_their_rows(con: tsdb.Connection, topics: Topics, word: str) -> None:
    topic = topics.create()
    lines = (FIXTURES / f"{word}.documented.jsonl").read_bytes().splitlines()
    topics.send(topic, *lines)
    create(con, topics, topic, COLUMNS, ["id"], format=f"{word}-json")
    wanted = sorted(str(list(row.values())) for row in DOCUMENTED["rows"])
    for found in (con.execute("SELECT * FROM t").fetch_arrow_table().to_pylist(), streamed(con)):
        shown = [[None if v is None else str(v) if k == "amount" else v for k, v in r.items()] for r in found]
        assert sorted(map(str, shown)) == wanted
