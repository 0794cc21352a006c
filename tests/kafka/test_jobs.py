"""Jobs from and to topics: every change once, over stops and kills, and secrets that nobody sees."""

import json
import subprocess
import sys
import time
from pathlib import Path

import broker
import job as job_process
import pytest
from kafka_topics import Addresses, Topics

import tsdb


def options(topics: Topics, topic: str, **more: str) -> str:
    given = {"topic": topic, "properties.bootstrap.servers": topics.bootstrap, "connector": "kafka"} | more
    return ", ".join(f"'{key}' = '{value}'" for key, value in given.items())


def start(warehouse: Path, sql: str, *before: str) -> "subprocess.Popen[str]":
    command = [sys.executable, job_process.__file__, str(warehouse), sql, *before]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stderr is not None
    line = process.stdout.readline()
    assert line == "running\n", process.stderr.read()
    return process


def end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.communicate()


@pytest.mark.usefixtures("client")
def test_a_job_that_is_killed_writes_each_row_to_the_topic_once(tmp_path: Path, topics: Topics) -> None:
    topic = topics.create(partitions=2)
    with tsdb.connect(str(tmp_path)) as con:
        con.execute("CREATE TABLE numbers (n BIGINT)")
        guarantee = {"format": "json", "sink.delivery-guarantee": "exactly-once"}
        con.execute(f"CREATE TABLE out (n BIGINT) WITH ({options(topics, topic, **guarantee)})")
        total = 0
        for _ in range(4):
            process = start(tmp_path, "INSERT INTO out SELECT n FROM numbers")
            for _ in range(6):
                con.execute("INSERT INTO numbers SELECT n + ? FROM (VALUES (0), (1), (2)) AS v(n)", [total])
                total += 3
                time.sleep(0.05)
            end(process)
        con.execute("SET 'execution.mode' = 'streaming'")
        con.execute("INSERT INTO out SELECT n FROM numbers")
        (job,) = con.jobs()
        job.checkpoint()
        job.stop()
    sent = sorted(json.loads(value or b"")["n"] for _, value in topics.read(topic))
    assert sent == list(range(total))


def test_a_job_that_is_killed_reads_each_message_once(tmp_path: Path, topics: Topics) -> None:
    topic = topics.create(partitions=2)
    with tsdb.connect(str(tmp_path)) as con:
        con.execute(f"CREATE TABLE source (n BIGINT) WITH ({options(topics, topic, format='json')})")
        con.execute("CREATE TABLE totals (k INT, c BIGINT, s BIGINT, PRIMARY KEY (k) NOT ENFORCED)")
        sql = "INSERT INTO totals SELECT 1, count(*), sum(n) FROM source"
        total = 0
        for _ in range(3):
            process = start(tmp_path, sql)
            for _ in range(5):
                topics.send(topic, *(f'{{"n":{n}}}' for n in range(total, total + 10)), partition=total // 10 % 2)
                total += 10
            end(process)
        con.execute("SET 'execution.mode' = 'streaming'")
        con.execute(sql)
        (job,) = con.jobs()
        job.checkpoint()
        job.stop()
        con.execute("RESET 'execution.mode'")
        assert con.execute("SELECT c, s FROM totals").fetchall() == [(total, total * (total - 1) // 2)]


def test_updates_of_a_query_reach_upsert_kafka_and_come_back(tmp_path: Path, topics: Topics) -> None:
    topic = topics.create()
    with tsdb.connect(str(tmp_path)) as con:
        con.execute("CREATE TABLE sales (id INT, who STRING, v INT, PRIMARY KEY (id) NOT ENFORCED)")
        con.execute("INSERT INTO sales VALUES (1, 'ann', 5), (2, 'bob', 7), (3, 'ann', 1)")
        more = {"connector": "upsert-kafka", "key.format": "json", "value.format": "json"}
        columns = "who STRING, total BIGINT, PRIMARY KEY (who) NOT ENFORCED"
        con.execute(f"CREATE TABLE totals ({columns}) WITH ({options(topics, topic, **more)})")
        con.execute("SET 'execution.mode' = 'streaming'")
        con.execute("INSERT INTO totals SELECT who, sum(v) FROM sales GROUP BY who")
        (job,) = con.jobs()
        job.checkpoint()
        con.execute("RESET 'execution.mode'")
        assert sorted(con.execute("SELECT * FROM totals").fetchall()) == [("ann", 6), ("bob", 7)]
        con.execute("DELETE FROM sales WHERE id = 2")
        con.execute("UPDATE sales SET v = 2 WHERE id = 3")
        job.checkpoint()
        job.stop()
        assert con.execute("SELECT * FROM totals").fetchall() == [("ann", 7)]
    assert topics.read(topic)[-1] in [(b'{"who":"bob"}', None), (b'{"who":"ann"}', b'{"who":"ann","total":7}')]


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize("mechanism", broker.USERS)
def test_sasl_and_tls(
    mechanism: str, addresses: Addresses, topics: Topics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, password = broker.USERS[mechanism]
    topic = topics.create()
    secret = {
        "PLAIN": {
            "properties.sasl.jaas.config": "org.apache.kafka.common.security.plain.PlainLoginModule required "
            f'username="{user}" password="{password}";'
        },
        "SCRAM-SHA-256": {"properties.sasl.username": user, "properties.sasl.password": "${env:TSDB_TEST_PASSWORD}"},
        "SCRAM-SHA-512": {
            "properties.sasl.username": user,
            "properties.sasl.password": f"${{file:{tmp_path / 'password'}}}",
        },
    }[mechanism]
    monkeypatch.setenv("TSDB_TEST_PASSWORD", password)
    (tmp_path / "password").write_text(password + "\n")
    more = {
        "properties.bootstrap.servers": addresses.sasl,
        "properties.security.protocol": "SASL_SSL",
        "properties.sasl.mechanism": mechanism,
        "properties.ssl.truststore.type": "PEM",
        "properties.ssl.truststore.location": addresses.ca,
        "format": "json",
    }
    with tsdb.connect(str(tmp_path / "warehouse")) as con:
        con.execute(f"CREATE TABLE t (id INT) WITH ({options(topics, topic, **more, **secret)})")
        con.execute("INSERT INTO t VALUES (1)")
        assert con.execute("SELECT id FROM t").fetchall() == [(1,)]
        shown = con.execute("SHOW CREATE TABLE t").fetchall()[0][0]
        con.execute("SET 'execution.mode' = 'streaming'")
        explained = str(con.execute("EXPLAIN SELECT * FROM t").fetchall())
    assert password not in shown and password not in explained
    assert ("******" in shown) == (mechanism == "PLAIN")


# the client's own thread may trip over the connection that the broker closes
@pytest.mark.usefixtures("client")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_wrong_password_is_an_error_that_does_not_show_it(
    addresses: Addresses, topics: Topics, tmp_path: Path
) -> None:
    topic = topics.create()
    more = {
        "properties.bootstrap.servers": addresses.sasl,
        "properties.security.protocol": "SASL_SSL",
        "properties.sasl.mechanism": "PLAIN",
        "properties.sasl.username": "alice",
        "properties.sasl.password": "wrong-secret",
        "properties.ssl.truststore.location": addresses.ca,
        "properties.bootstrap.timeout.ms": "1500",
        "format": "json",
    }
    with tsdb.connect(str(tmp_path)) as con:
        con.execute(f"CREATE TABLE t (id INT) WITH ({options(topics, topic, **more)})")
        with pytest.raises(tsdb.OperationalError, match="the user and the password") as caught:
            con.execute("SELECT * FROM t").fetchall()
        assert "wrong-secret" not in str(caught.value)
        with pytest.raises(tsdb.ProgrammingError) as refused:
            con.execute(f"CREATE TABLE u (id INTT) WITH ({options(topics, topic, **more)})")
        assert "wrong-secret" not in str(refused.value)


def test_a_reference_that_leads_nowhere_is_named(topics: Topics, tmp_path: Path) -> None:
    more = {"properties.sasl.password": "${env:TSDB_NO_SUCH_VARIABLE}", "format": "json"}
    with tsdb.connect(str(tmp_path)) as con, pytest.raises(tsdb.ProgrammingError, match="TSDB_NO_SUCH_VARIABLE"):
        con.execute(f"CREATE TABLE t (id INT) WITH ({options(topics, 'x', **more)})")


def test_no_system_table_shows_a_secret(topics: Topics, tmp_path: Path) -> None:
    secret = "'kafka.sasl.password' = 'hush-hush'"
    with tsdb.connect(str(tmp_path)) as con:
        con.execute(f"CREATE TABLE t (id INT) WITH ({secret})")
        more = {"format": "json", "properties.sasl.password": "hush-hush"}
        con.execute(f"CREATE TABLE k (id INT) WITH ({options(topics, 'k', **more)})")
        for sql in (
            "SHOW CREATE TABLE t",
            "SHOW CREATE TABLE k",
            "SELECT * FROM t$options",
            "SELECT * FROM t$schemas",
            "SELECT * FROM sys.all_table_options",
            "SELECT * FROM sys.catalog_options",
            "EXPLAIN SELECT * FROM k",
            "DESCRIBE t",
        ):
            assert "hush-hush" not in str(con.execute(sql).fetchall()), sql
        assert "******" in str(con.execute("SELECT * FROM t$options").fetchall())


def test_what_the_client_logs_has_no_secret(
    addresses: Addresses, topics: Topics, tmp_path: Path, client: str, caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    topic = topics.create()
    more = {
        "properties.bootstrap.servers": addresses.sasl,
        "properties.security.protocol": "SASL_SSL",
        "properties.sasl.mechanism": "PLAIN",
        "properties.sasl.username": "alice",
        "properties.sasl.password": "alice-pw",
        "properties.ssl.truststore.location": addresses.ca,
        "format": "json",
    }
    if client == "confluent-kafka":
        more["properties.debug"] = "all"
    caplog.set_level("DEBUG")
    with tsdb.connect(str(tmp_path)) as con:
        con.execute(f"CREATE TABLE t (id INT) WITH ({options(topics, topic, **more)})")
        con.execute("INSERT INTO t VALUES (1)")
        assert con.execute("SELECT id FROM t").fetchall() == [(1,)]
    assert caplog.records and "alice-pw" not in caplog.text
    assert "".join(capfd.readouterr()) == ""


def test_certificates_of_clients(addresses: Addresses, topics: Topics, tmp_path: Path, client: str) -> None:
    topic = topics.create()
    more = {
        "properties.bootstrap.servers": addresses.ssl,
        "properties.bootstrap.timeout.ms": "2000",
        "properties.security.protocol": "SSL",
        "properties.ssl.truststore.type": "PEM",
        "properties.ssl.truststore.location": addresses.ca,
        "format": "json",
    }
    own = {"properties.ssl.keystore.location": addresses.client, "properties.ssl.key.password": broker.KEY_PASSWORD}
    with tsdb.connect(str(tmp_path)) as con:
        con.execute(f"CREATE TABLE t (id INT) WITH ({options(topics, topic, **more, **own)})")
        con.execute("INSERT INTO t VALUES (1)")
        assert con.execute("SELECT id FROM t").fetchall() == [(1,)]
        assert broker.KEY_PASSWORD not in str(con.execute("SHOW CREATE TABLE t").fetchall())
        con.execute(f"CREATE TABLE without (id INT) WITH ({options(topics, topic, **more)})")
        with pytest.raises(tsdb.OperationalError, match="certificates"):
            con.execute("SELECT id FROM without").fetchall()


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_sasl_without_tls(mechanism: str, addresses: Addresses, topics: Topics, tmp_path: Path, client: str) -> None:
    user, password = broker.USERS[mechanism]
    topic = topics.create()
    more = {
        "properties.bootstrap.servers": addresses.sasl_plaintext,
        "properties.bootstrap.timeout.ms": "2000",
        "properties.security.protocol": "SASL_PLAINTEXT",
        "properties.sasl.mechanism": mechanism,
        "properties.sasl.username": user,
        "properties.sasl.password": password,
        "format": "json",
    }
    with tsdb.connect(str(tmp_path)) as con:
        con.execute(f"CREATE TABLE t (id INT) WITH ({options(topics, topic, **more)})")
        con.execute("INSERT INTO t VALUES (1)")
        assert con.execute("SELECT id FROM t").fetchall() == [(1,)]


def test_no_file_of_a_job_has_a_secret(addresses: Addresses, topics: Topics, tmp_path: Path, client: str) -> None:
    topic = topics.create()
    more = {
        "properties.bootstrap.servers": addresses.sasl_plaintext,
        "properties.security.protocol": "SASL_PLAINTEXT",
        "properties.sasl.mechanism": "PLAIN",
        "properties.sasl.username": "alice",
        "format": "json",
    }
    hint = "/*+ OPTIONS('properties.sasl.password' = 'alice-pw') */"
    with tsdb.connect(str(tmp_path)) as con:
        con.execute(f"CREATE TABLE t (n INT) WITH ({options(topics, topic, **more)})")
        con.execute("CREATE TABLE out (n INT, PRIMARY KEY (n) NOT ENFORCED)")
        con.execute("SET 'execution.mode' = 'streaming'")
        con.execute(f"INSERT INTO out SELECT n FROM t {hint}")
        (job,) = con.jobs()
        job.checkpoint()
        shown = str(con.execute("SHOW JOBS").fetchall())
        job.stop()
    assert "alice-pw" not in shown
    leaky = [str(p) for p in tmp_path.rglob("*") if p.is_file() and b"alice-pw" in p.read_bytes()]
    assert not leaky
