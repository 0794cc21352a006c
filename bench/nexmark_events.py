"""Nexmark's events: people, auctions and bids of an auction site, as Arrow tables.

Every value is a hash of the seed, the event's number and the field, so the same event is the same whatever is asked
for first. Of 50 events 1 is a person, 3 are auctions, 46 bids; ids, hot sellers, bidders and auctions, prices and
lengths follow the public generator. Times follow the events' numbers, `rate` events a second.

Source: nexmark/nexmark (Apache Beam's Nexmark), the rules of its generator.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Numbers = np.ndarray[Any, Any]

_FIRST_ID = 1000
_HOT_BATCH = 100
_AHEAD = 10
_ACTIVE_PEOPLE = 1000
_IN_FLIGHT = 100
_CHANNELS = 10_000
_PADDING = 1 << 16
_STATES = ("AZ", "CA", "ID", "OR", "WA", "WY")
_CITIES = (
    "Phoenix",
    "Los Angeles",
    "San Francisco",
    "Boise",
    "Portland",
    "Bend",
    "Redmond",
    "Seattle",
    "Kent",
    "Cheyenne",
)
_FIRST_NAMES = ("Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter")
_LAST_NAMES = ("Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris")
_TIME = pa.timestamp("ms")


@dataclass(frozen=True)
class Events:
    """The events of one run. base_ms: the time of the first."""

    seed: int = 42
    rate: int = 10_000
    base_ms: int = 1_436_918_400_000

    def tables(self, start: int, stop: int) -> dict[str, pa.Table]:
        """Events start … stop - 1, by kind, in order."""
        numbers = np.arange(start, stop, dtype=np.int64)
        place = numbers % 50
        return {
            "person": self._people(numbers[place < 1]),
            "auction": self._auctions(numbers[(place >= 1) & (place < 4)]),
            "bid": self._bids(numbers[place >= 4]),
        }

    def _people(self, n: Numbers) -> pa.Table:
        name = pc.binary_join_element_wise(self._one_of(_FIRST_NAMES, n, 1), self._one_of(_LAST_NAMES, n, 2), " ")
        email = pc.binary_join_element_wise(self._text(n, 3, 3, 7), "@", self._text(n, 4, 3, 5), ".com", "")
        return pa.table(
            {
                "id": n // 50 + _FIRST_ID,
                "name": name,
                "emailAddress": email,
                "creditCard": self._text(n, 5, 19, 20),
                "city": self._one_of(_CITIES, n, 6),
                "state": self._one_of(_STATES, n, 7),
                "dateTime": pa.array(self._time(n), _TIME),
                "extra": self._text(n, 8, 100, 150),
            }
        )

    def _auctions(self, n: Numbers) -> pa.Table:
        people = n // 50 + 1
        hot = self._below(n, 20, 4) > 0
        seller = np.where(hot, (people - 1) // _HOT_BATCH * _HOT_BATCH, self._anyone(n, 21, people)) + _FIRST_ID
        first_bid, at = self._price(n, 22), self._time(n)
        horizon = np.maximum(2 * (self._time(n + _IN_FLIGHT * 50 // 3) - at), 1)
        return pa.table(
            {
                "id": n // 50 * 3 + n % 50 - 1 + _FIRST_ID,
                "itemName": self._text(n, 24, 3, 20),
                "description": self._text(n, 25, 3, 100),
                "initialBid": first_bid,
                "reserve": first_bid + self._price(n, 26),
                "dateTime": pa.array(at, _TIME),
                "expires": pa.array(at + 1 + (self._hash(n, 23) >> np.uint64(1)).astype(np.int64) % horizon, _TIME),
                "seller": seller,
                "category": 10 + self._below(n, 27, 5),
                "extra": self._text(n, 28, 300, 450),
            }
        )

    def _bids(self, n: Numbers) -> pa.Table:
        people, last = n // 50 + 1, n // 50 * 3 + 2
        oldest = np.maximum(last - _IN_FLIGHT, 0)
        cold = oldest + (self._hash(n, 41) % (last - oldest + 1 + _AHEAD).astype(np.uint64)).astype(np.int64)
        auction = np.where(self._below(n, 40, 2) > 0, last // _HOT_BATCH * _HOT_BATCH, cold) + _FIRST_ID
        hot = self._below(n, 42, 4) > 0
        bidder = np.where(hot, (people - 1) // _HOT_BATCH * _HOT_BATCH + 1, self._anyone(n, 43, people)) + _FIRST_ID
        channel = np.where(self._below(n, 45, 2) > 0, self._below(n, 46, 4), 4 + self._below(n, 47, _CHANNELS))
        names, urls = self._channels()
        return pa.table(
            {
                "auction": auction,
                "bidder": bidder,
                "price": self._price(n, 44),
                "channel": names.take(pa.array(channel)),
                "url": urls.take(pa.array(channel)),
                "dateTime": pa.array(self._time(n), _TIME),
                "extra": self._text(n, 48, 54, 82),
            }
        )

    def _channels(self) -> tuple[pa.Array, pa.Array]:
        numbers = np.arange(_CHANNELS)
        cold = pa.array([f"channel-{i}" for i in numbers])
        names = pa.concat_arrays([pa.array(["Google", "Facebook", "Baidu", "Apple"]), cold])
        every = np.arange(len(names))
        words = [self._text(every, 50 + i, 3, 5) for i in range(3)]
        path = pc.binary_join_element_wise("https://www.nexmark.com", *words, "item.htm?query=1", "/")
        number = pc.cast(pa.array(self._hash(every, 53) >> np.uint64(33)), pa.string())
        tagged = pc.binary_join_element_wise(path, number, "&channel_id=")
        has_tag = (every >= 4) & (self._below(every, 54, 10) > 0)
        return names, pc.if_else(pa.array(has_tag), tagged, path)

    def _time(self, n: Numbers) -> Numbers:
        return self.base_ms + n * 1_000_000 // self.rate // 1000

    def _anyone(self, n: Numbers, field: int, people: Numbers) -> Numbers:
        active = np.minimum(people, _ACTIVE_PEOPLE)
        return people - active + (self._hash(n, field) % (active + _AHEAD).astype(np.uint64)).astype(np.int64)

    def _price(self, n: Numbers, field: int) -> Numbers:
        unit = (self._hash(n, field) >> np.uint64(11)).astype(np.float64) / (1 << 53)
        return np.floor(100 * 10.0 ** (6 * unit) + 0.5).astype(np.int64)

    def _one_of(self, words: tuple[str, ...], n: Numbers, field: int) -> pa.Array:
        return pa.array(words).take(pa.array(self._below(n, field, len(words))))

    def _text(self, n: Numbers, field: int, least: int, most: int) -> pa.Array:
        """Cuts of a long text: each of `least` to `most` - 1 letters."""
        draws = np.random.Generator(np.random.PCG64(self.seed)).integers(97, 123, _PADDING + most).astype(np.uint8)
        hashed = self._hash(n, field)
        lengths = least + (hashed % np.uint64(most - least)).astype(np.int64)
        starts = (hashed >> np.uint64(40)).astype(np.int64) % _PADDING
        ends = np.cumsum(lengths)
        at = np.arange(ends[-1] if len(n) else 0) + np.repeat(starts - ends + lengths, lengths)
        offsets = np.concatenate([[0], ends]).astype(np.int32)
        return pa.Array.from_buffers(pa.string(), len(n), [None, pa.py_buffer(offsets), pa.py_buffer(draws[at])])

    def _below(self, n: Numbers, field: int, count: int) -> Numbers:
        return (self._hash(n, field) % np.uint64(count)).astype(np.int64)

    def _hash(self, n: Numbers, field: int) -> Numbers:
        mixed = n.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        mixed += np.uint64((self.seed * 0x9E3779B97F4A7C15 + field * 0xD1B54A32D192ED03) & 0xFFFFFFFFFFFFFFFF)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            mixed ^= mixed >> np.uint64(shift)
            mixed *= np.uint64(factor)
        return mixed ^ (mixed >> np.uint64(31))
