"""Formats of lines and messages, by the value of the option `format`."""

from collections.abc import Mapping

from tsdb.connector.serde.csv import CsvSerde
from tsdb.connector.serde.debezium_json import DebeziumSerde
from tsdb.connector.serde.json import JsonSerde
from tsdb.connector.serde.keyed_json import CANAL, MAXWELL, OGG, KeyedSerde
from tsdb.connector.serde.raw import RawSerde
from tsdb.connector.serde.serde import Serde

_ALL: tuple[Serde, ...] = (
    JsonSerde(),
    CsvSerde(),
    RawSerde(),
    DebeziumSerde(),
    *(KeyedSerde(layout) for layout in (CANAL, MAXWELL, OGG)),
)

SERDES: Mapping[str, Serde] = {serde.name: serde for serde in _ALL}
