"""The producer of `confluent_client`: messages in blocks, failures by callback, transactions."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from tsdb.errors import OperationalError
from tsdb.kafka.client import MessageTooLarge, Outgoing, Partition
from tsdb.kafka.patience import turns
from tsdb.kafka.reach import NoAnswer, too_large, within

_BLOCK = 10_000
_QUEUED_MAX = 100_000
_BYTES_MAX = 128 << 20
_DELIVERY_S = 40.0
_TRANSACTION_S = 30.0
_OFFSETS_S = 10.0
_CLOSE_S = 1.0
_FENCED = {KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED}
_TOO_LARGE = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE}


class ConfluentProducer:
    """See `tsdb.kafka.client.Producer`."""

    def __init__(self, inner: Any, servers: str, failures: list[Any], group_metadata: Callable[[str], Any]) -> None:
        """failures: errors of messages, which the library's callback adds while `inner` is asked."""
        self._inner = inner
        self._servers = servers
        self._failures = failures
        self._group_metadata = group_metadata
        self._groups: dict[str, Any] = {}
        self._bytes = 0
        self._in_transaction = False
        self._is_lost = False

    def take_over(self, transactional_id: str) -> None:
        """Fence others that have the id."""
        with self._wrapped(f"the transaction '{transactional_id}' cannot be begun"):
            self._within("begin a transaction", lambda: self._inner.init_transactions(_TRANSACTION_S))

    def send(self, messages: Outgoing) -> None:
        """See `Producer`."""
        plain = messages.headers is None
        for begin in range(0, len(messages.values), _BLOCK):
            block = _block(messages, begin, begin + _BLOCK)
            self._make_room(sum(len(m.get("value") or b"") + len(m.get("key") or b"") for m in block))
            with self._delivered(messages.topic):
                if plain:
                    self._inner.produce_batch(messages.topic, block)
                    failed = next((m["_error"] for m in block if "_error" in m), None)
                    if failed is not None:
                        raise KafkaException(failed)
                else:
                    for message in block:
                        self._inner.produce(messages.topic, **message)
            self._served(lambda: self._inner.poll(0))

    def _make_room(self, more: int) -> None:
        """Wait while too much is under way."""
        for _ in turns(f"Kafka at {self._servers} to take messages", _DELIVERY_S):
            if len(self._inner) <= _QUEUED_MAX:
                break
            self._served(lambda: self._inner.poll(0.05))
        self._bytes += more
        if self._bytes > _BYTES_MAX:
            self._flushed()
            self._bytes = more

    def _flushed(self) -> int:
        """How many messages are still under way when the time is over."""
        left = len(self._inner)
        for turn in turns(f"Kafka at {self._servers} to acknowledge messages", _DELIVERY_S):
            left = self._served(partial(self._inner.flush, turn))
            if not left:
                break
        return left

    def flush(self) -> None:
        """See `Producer`."""
        left = self._flushed()
        failed, self._bytes = self._failures[:], 0
        self._failures.clear()
        if failed:
            self._note(KafkaException(failed[0]))
            text = failed[0].str()
            if failed[0].code() in _TOO_LARGE:
                raise MessageTooLarge(too_large("?", text))
            raise OperationalError(f"Kafka at {self._servers}: {len(failed)} messages were not delivered: {text}")
        if left:
            raise OperationalError(f"Kafka at {self._servers}: messages were not acknowledged in time")

    def begin(self) -> None:
        """See `Producer`."""
        with self._wrapped("the transaction cannot be begun"):
            self._inner.begin_transaction()
        self._in_transaction = True

    def commit(self, marks: Mapping[Partition, int], group: str) -> None:
        """See `Producer`."""
        offsets = [TopicPartition(*partition, offset) for partition, offset in marks.items()]
        with self._wrapped("the transaction cannot be committed"):
            if offsets and group:
                if group not in self._groups:
                    self._groups[group] = self._group_metadata(group)
                metadata = self._groups[group]
                self._within(
                    "take the offsets of a group",
                    lambda: self._inner.send_offsets_to_transaction(offsets, metadata, _OFFSETS_S),
                    _OFFSETS_S,
                )
            self._within("commit a transaction", lambda: self._inner.commit_transaction(_TRANSACTION_S))
        self._in_transaction = False

    def abort(self) -> None:
        """See `Producer`."""
        if self._in_transaction and not self._is_lost:
            with suppress(KafkaException):
                self._inner.abort_transaction(_CLOSE_S)
        self._in_transaction = False
        self._failures.clear()

    def close(self) -> None:
        """See `Producer`."""
        self.abort()
        if self._is_lost:  # closing would abort the transaction, which is the other one's, and warn that it cannot
            with suppress(KafkaException):
                self._inner.purge()
            self._inner = None
            return
        with suppress(KafkaException, SystemError, NoAnswer):
            self._inner.flush(_CLOSE_S)
            self._inner.purge()
            within(_CLOSE_S, f"Kafka at {self._servers} to let go", self._inner.close)

    def _within(self, what: str, call: Callable[[], object], seconds: float = _TRANSACTION_S) -> None:
        """A call that the library may never end, whatever its time-out: where a group's coordinator goes away."""
        within(seconds + _CLOSE_S, f"Kafka at {self._servers} to {what}", call)

    def _served(self, call: Callable[[], Any]) -> Any:
        """Let the library call back; where another producer has fenced this one, it raises out of any such call."""
        try:
            return call()
        except (KafkaException, SystemError) as err:
            cause = err.__cause__ if isinstance(err, SystemError) else err
            self._note(cause)
            text = cause.args[0].str() if isinstance(cause, KafkaException) else str(err)
            raise OperationalError(f"Kafka at {self._servers}: {text}") from err

    def _note(self, err: object) -> None:
        """Remember that another producer has fenced this one, or that it can do nothing more."""
        if isinstance(err, KafkaException) and (err.args[0].fatal() or err.args[0].code() in _FENCED):
            self._is_lost = True

    @contextmanager
    def _delivered(self, topic: str) -> Iterator[None]:
        try:
            yield
        except BufferError as err:
            raise OperationalError(f"Kafka at {self._servers}, topic '{topic}': {err}") from err
        except KafkaException as err:
            error = err.args[0]
            self._note(err)
            if error.code() in _TOO_LARGE:
                raise MessageTooLarge(too_large(topic, error.str())) from err
            raise OperationalError(f"Kafka at {self._servers}, topic '{topic}': {error.str()}") from err

    @contextmanager
    def _wrapped(self, what: str) -> Iterator[None]:
        try:
            yield
        except KafkaException as err:
            self._note(err)
            raise OperationalError(f"Kafka at {self._servers}: {what}: {err.args[0].str()}") from err
        except NoAnswer as err:
            raise OperationalError(f"Kafka at {self._servers}: {what}: {err}") from err


def _block(messages: Outgoing, begin: int, end: int) -> list[dict[str, Any]]:
    """Messages as the library takes them."""
    cut = slice(begin, end)
    block: list[dict[str, Any]] = [
        {"key": key, "value": value} for key, value in zip(messages.keys[cut], messages.values[cut], strict=True)
    ]
    if messages.partitions is not None:
        for message, number in zip(block, messages.partitions[cut], strict=True):
            message["partition"] = number
    if messages.timestamps_ms is not None:
        for message, at in zip(block, messages.timestamps_ms[cut], strict=True):
            if at is not None:
                message["timestamp"] = at
    if messages.headers is not None:
        for message, head in zip(block, messages.headers[cut], strict=True):
            message["headers"] = head
    return block
