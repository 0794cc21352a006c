"""The harness itself: what is written survives a broker that is killed."""

from pathlib import Path

import broker
import kafka
import pytest
from kafka.admin import NewTopic


def test_a_killed_broker_comes_back_with_its_data_at_the_same_address(tmp_path: Path, bootstrap: str) -> None:
    own = broker.Broker(tmp_path).start()
    try:
        assert own.bootstrap != bootstrap
        admin = kafka.KafkaAdminClient(bootstrap_servers=own.bootstrap)
        admin.create_topics([NewTopic("kept", 1, 1)])
        admin.close()
        producer = kafka.KafkaProducer(bootstrap_servers=own.bootstrap)
        producer.send("kept", b"1").get(10)
        producer.close()
        own.kill()
        own.start()
        consumer = kafka.KafkaConsumer("kept", bootstrap_servers=own.bootstrap, auto_offset_reset="earliest")
        assert [r.value for rs in consumer.poll(10_000).values() for r in rs] == [b"1"]
        consumer.close()
    finally:
        own.kill()


def test_without_jars_a_broker_says_what_to_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(broker, "JARS", tmp_path)
    assert "make .cache/kafka/.installed" in broker.missing()
