"""Kafka as the rest of tsdb sees it: a small interface, and the client behind it, loaded when first used."""

import importlib
import importlib.util
import os
from collections.abc import Mapping

from tsdb.errors import OptionError, nearest
from tsdb.kafka.client import Client

CLIENT = "client"
"""The one property that is ours: which library talks to the broker."""

_MODULES = {
    "confluent-kafka": ("confluent_kafka", "tsdb.kafka.confluent_client", "ConfluentClient"),
    "kafka-python": ("kafka", "tsdb.kafka.python_client", "PythonClient"),
}
_VARIABLE = "TSDB_KAFKA_CLIENT"


def connect(properties: Mapping[str, str]) -> Client:
    """A client after Kafka's own properties (`bootstrap.servers`, `sasl.mechanism`, …); nothing is sent yet.

    Raises OptionError for a property that the client does not have.
    """
    _, module, name = _MODULES[client_name(properties)]
    others = {key: value for key, value in properties.items() if key != CLIENT}
    # the libraries take longer to load than all of tsdb, so one is loaded only for those who use Kafka
    client: Client = getattr(importlib.import_module(module), name)(others)
    return client


def client_name(properties: Mapping[str, str]) -> str:
    """The library: what the property or the environment says, else confluent-kafka if it is installed.

    Raises OptionError for another one, or one that is not installed.
    """
    for where, word in ((f"'properties.{CLIENT}'", properties.get(CLIENT)), (_VARIABLE, os.environ.get(_VARIABLE))):
        if not word:
            continue
        if word not in _MODULES:
            raise OptionError(f"{where} is {' or '.join(_MODULES)}, not '{word}'.{nearest(word, _MODULES)}")
        if importlib.util.find_spec(_MODULES[word][0]) is None:
            raise OptionError(f"{where} = '{word}': it is not installed; run: pip install 'tsdb[confluent]'")
        return word
    return next(word for word, (library, _, _) in _MODULES.items() if importlib.util.find_spec(library) is not None)
