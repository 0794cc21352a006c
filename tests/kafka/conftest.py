"""One real broker for the whole run, shared by all workers; it ends with the run, however that ends."""

import fcntl
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import broker
import kafka
import pytest
from kafka_topics import Addresses, Topics


@pytest.fixture(scope="session")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Addresses:
    """The broker of this run, started by the first worker that wants it."""
    if reason := broker.missing():
        if os.environ.get("TSDB_REQUIRE_SERVERS"):
            pytest.fail(reason)
        pytest.skip(reason)
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    base = tmp_path_factory.getbasetemp()
    folder = base.parent if is_worker else base
    file = folder / "kafka-broker.json"
    with (folder / "kafka-broker.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            _launch(file, os.getppid() if is_worker else os.getpid(), folder / "kafka-broker.log")
    return Addresses(**json.loads(file.read_text()))


def _launch(file: Path, run: int, log: Path) -> None:
    """A process that keeps the broker while the test run lives."""
    command = [sys.executable, broker.__file__, "--auth", "--while-pid", str(run), "--address-file", str(file)]
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
    while not file.exists():
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    process.returncode = 0  # it outlives this process on purpose


@pytest.fixture(scope="session")
def bootstrap(addresses: Addresses) -> str:
    """The plain address."""
    return addresses.plain


@pytest.fixture(params=["kafka-python", "confluent-kafka"])
def client(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs a test with each client; the others run with the one that is chosen or installed."""
    name: str = request.param
    chosen = os.environ.get("TSDB_KAFKA_CLIENT")
    if chosen and chosen != name:
        pytest.skip(f"this run is for {chosen}")
    monkeypatch.setenv("TSDB_KAFKA_CLIENT", name)
    return name


@pytest.fixture
def topics(bootstrap: str, request: pytest.FixtureRequest) -> Iterator[Topics]:
    """Makes topics for one test and removes them."""
    admin = kafka.KafkaAdminClient(bootstrap_servers=bootstrap)
    prefix = re.sub(r"[^A-Za-z0-9._-]+", "-", request.node.name)[:80] + f"-{os.getpid()}"
    made = Topics(admin, bootstrap, prefix)
    yield made
    mine = [name for name in admin.list_topics() if name.startswith(prefix)]
    if mine:
        admin.delete_topics(mine)
    admin.close()
