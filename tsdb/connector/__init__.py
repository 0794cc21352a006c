"""Connectors: tables that live outside the warehouse, by the value of the option `connector`."""

from collections.abc import Mapping

from tsdb.connector.connector import Connector, ConnectorTable
from tsdb.connector.console import BlackholeConnector, PrintConnector
from tsdb.connector.datagen import DatagenConnector
from tsdb.connector.filesystem import FilesystemConnector
from tsdb.connector.kafka import KafkaConnector
from tsdb.errors import NotSupportedError, OptionError, nearest

_ALL: tuple[Connector, ...] = (
    FilesystemConnector(),
    KafkaConnector("kafka", upsert=False),
    KafkaConnector("upsert-kafka", upsert=True),
    DatagenConnector(),
    PrintConnector(),
    BlackholeConnector(),
)

CONNECTORS: Mapping[str, Connector] = {connector.name: connector for connector in _ALL}

_PLANNED = ("postgres-cdc", "mysql-cdc", "jdbc")


def connector_of(table: ConnectorTable) -> Connector:
    """The connector that the table's options name. Raises OptionError if there is none."""
    word = table.options.get("connector", "")
    connector = CONNECTORS.get(word)
    if connector is not None:
        return connector
    known = ", ".join(f"'{name}'" for name in sorted(CONNECTORS))
    if word in _PLANNED:
        raise NotSupportedError(
            f"table `{table.identifier}`: the connector '{word}' is not there yet; there are {known}"
        )
    raise OptionError(
        f"table `{table.identifier}`: there is no connector '{word}'.{nearest(word, CONNECTORS)} There are {known}"
    )


def described(table: ConnectorTable) -> str:
    """The connector, and through what it reads, for EXPLAIN."""
    connector = connector_of(table)
    more = f", {connector.described(table)}" if isinstance(connector, KafkaConnector) else ""
    return f"connector '{connector.name}'{more}"
