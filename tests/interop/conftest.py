"""The judges, one of each for the session. With TSDB_REQUIRE_SERVERS set a judge that is missing is a failure."""

import os
from collections.abc import Iterator

import pytest
from judge import PaimonJava, PythonPeers, S3Server, java_missing, peers_missing


def need(why: str) -> None:
    if why and os.environ.get("TSDB_REQUIRE_SERVERS"):
        pytest.fail(why)
    if why:
        pytest.skip(why)


@pytest.fixture(scope="session")
def java() -> Iterator[PaimonJava]:
    need(java_missing())
    judge = PaimonJava()
    yield judge
    judge.close()


@pytest.fixture(scope="session")
def peers() -> Iterator[PythonPeers]:
    need(peers_missing())
    judge = PythonPeers()
    yield judge
    judge.close()


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    need(peers_missing())
    server = S3Server()
    yield server
    server.close()
