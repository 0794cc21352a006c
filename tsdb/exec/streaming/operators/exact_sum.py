"""Sums of floats and decimals per slot, exact under addition and retraction.

A number is a row of 32-bit digits (limbs) in int64 arrays, limb j worth 2^(32·(lowest + j)); all limbs but the
highest are kept in [0, 2^32), the highest is signed. A float is an integer of 53 bits times a power of two, so it
fits three limbs and nothing is ever rounded before the result is read. Only as many limbs are kept as the values so
far need.

Source: Kulisch's long accumulator, as in Neal, Fast exact summation using small and large superaccumulators (2015).
"""

import itertools

import numpy as np
import pyarrow as pa

from tsdb.row_hash import I64, RowGroups

_LIMB = 32
_MASK = np.int64((1 << _LIMB) - 1)
_SPECIALS = 3


class FloatSum:
    """Exact sums of float64 per slot. state: counts of NaN, +inf and -inf, then the limbs from the lowest."""

    def __init__(self) -> None:
        """Nothing summed yet, no limbs."""
        self.lowest = 0
        self.state: list[I64] = [np.zeros(0, np.int64) for _ in range(_SPECIALS)]

    def add(self, slots: I64, groups: RowGroups, values: np.ndarray, weights: I64) -> None:
        """Add weights[i] * values[i] to the slot of row i's group."""
        finite = np.isfinite(values)
        if not finite.all():
            for state, special in zip(
                self.state, (np.isnan(values), values == np.inf, values == -np.inf), strict=False
            ):
                state[slots] += groups.sum(np.where(special, weights, 0))
        used = finite & (values != 0) & (weights != 0)
        if not used.any():
            return
        fraction, exponent = np.frexp(np.where(used, values, 0.0))
        whole = (fraction * (1 << 53)).astype(np.int64)
        shift = np.where(used, exponent.astype(np.int64) - 53, 0)
        limb, bits = shift >> 5, shift & 31
        low, high = (whole & _MASK) << bits, (whole >> _LIMB) << bits
        digits = (low & _MASK, ((low >> _LIMB) & _MASK) + (high & _MASK), high >> _LIMB)
        first, last = int(limb[used].min()), int(limb[used].max())
        self._cover(first, last + 3)
        for at in range(first, last + 1):
            here = used & (limb == at)
            factor = np.where(here, weights, 0)
            for j, digit in enumerate(digits):
                self._limb(at + j)[slots] += groups.sum(digit * factor)
        _carry(self.state[_SPECIALS:], slots)

    def result(self, slots: I64) -> np.ndarray:
        """The sums, each rounded from the exact value."""
        limbs = [x[slots] for x in self.state[_SPECIALS:]]
        total = np.zeros(len(slots))
        if limbs:
            negative = limbs[-1] < 0
            limbs = [np.where(negative, -x, x) for x in limbs]
            everything = np.arange(len(slots))
            _carry(limbs, everything)
            for j, digits in enumerate(limbs):
                with np.errstate(over="ignore"):
                    total += np.ldexp(digits.astype(np.float64), _LIMB * (self.lowest + j))
            total = np.where(negative, -total, total)
        nan, positive, minus = (x[slots] > 0 for x in self.state[:_SPECIALS])
        total[positive] = np.inf
        total[minus] = -np.inf
        total[nan | (positive & minus)] = np.nan
        return total

    def _limb(self, number: int) -> I64:
        return self.state[_SPECIALS + number - self.lowest]

    def _cover(self, first: int, last: int) -> None:
        """Have limbs first … last. A new highest limb takes the carry of the one that was highest."""
        capacity = len(self.state[0])
        limbs = self.state[_SPECIALS:]
        if not limbs:
            self.lowest = first
        below = max(0, self.lowest - first)
        above = max(0, last - (self.lowest + len(limbs) - 1))
        self.lowest -= below
        limbs = [np.zeros(capacity, np.int64) for _ in range(below)] + limbs
        limbs += [np.zeros(capacity, np.int64) for _ in range(above)]
        if above and len(limbs) > 1:
            _carry(limbs, np.arange(capacity))
        self.state = [*self.state[:_SPECIALS], *limbs]


class DecimalSum:
    """Sums of decimal128 per slot, modulo 2^128. state: four limbs."""

    def __init__(self) -> None:
        """Nothing summed yet."""
        self.state: list[I64] = [np.zeros(0, np.int64) for _ in range(4)]

    def add(self, slots: I64, groups: RowGroups, values: pa.Array, weights: I64) -> None:
        """Add weights[i] * values[i] to the slot of row i's group; NULLs have the weight 0."""
        words = np.frombuffer(values.buffers()[1], np.int64)[2 * values.offset : 2 * (values.offset + len(values))]
        low, high = words[0::2], words[1::2]
        for state, digit in zip(
            self.state, (low & _MASK, (low >> _LIMB) & _MASK, high & _MASK, high >> _LIMB), strict=True
        ):
            state[slots] += groups.sum(np.where(weights == 0, 0, digit) * weights)
        _carry(self.state, slots)

    def words(self, slots: I64) -> np.ndarray:
        """The sums as two's complement numbers of 128 bits: int64 of shape (n, 2), low word first."""
        limbs = [x[slots] for x in self.state]
        return np.stack([limbs[0] | (limbs[1] << _LIMB), limbs[2] | (limbs[3] << _LIMB)], axis=1)


def quotient_of_decimal(words: np.ndarray, factor: int, divisors: I64) -> np.ndarray:
    """words * factor / divisors, cut off towards zero. words: of `DecimalSum.words`; 0 < factor, divisors < 2^31."""
    negative = words[:, 1] < 0
    low, high = words[:, 0], words[:, 1]
    limbs = [low & _MASK, (low >> _LIMB) & _MASK, high & _MASK, high >> _LIMB]
    limbs = [np.where(negative, -x, x) for x in limbs] + [np.zeros(len(words), np.int64)]
    everything = np.arange(len(words))
    _carry(limbs, everything)
    limbs = [x * factor for x in limbs]
    _carry(limbs, everything)
    rest = np.zeros(len(words), np.int64)
    quotient: list[np.ndarray] = []
    for digit in reversed(limbs):
        current = (rest << _LIMB) | digit
        quotient.insert(0, current // divisors)
        rest = current % divisors
    quotient = [np.where(negative, -x, x) for x in quotient[:4]]
    _carry(quotient, everything)
    return np.stack([quotient[0] | (quotient[1] << _LIMB), quotient[2] | (quotient[3] << _LIMB)], axis=1)


def _carry(limbs: list[np.ndarray], slots: I64) -> None:
    """Bring all limbs but the highest into [0, 2^32), in place."""
    for lower, upper in itertools.pairwise(limbs):
        digits = lower[slots]
        carry = digits >> _LIMB
        lower[slots] = digits & _MASK
        upper[slots] += carry
