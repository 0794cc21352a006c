"""Kafka as the rest of tsdb sees it: a small interface, and the client behind it, loaded when first used."""

import importlib
from collections.abc import Mapping

from tsdb.kafka.client import Client


def connect(properties: Mapping[str, str]) -> Client:
    """A client after Kafka's own properties (`bootstrap.servers`, `sasl.mechanism`, …); nothing is sent yet.

    Raises OptionError for a property that the client does not have.
    """
    # the library takes longer to load than all of tsdb, so it is loaded only for those who use Kafka
    client: Client = importlib.import_module("tsdb.kafka.python_client").PythonClient(properties)
    return client
