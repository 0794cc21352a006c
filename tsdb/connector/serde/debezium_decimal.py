"""What the text of a DECIMAL means in Debezium messages without inline schema."""

import pyarrow as pa
import pyarrow.compute as pc

from tsdb.connector.serde.wire import base64_bytes, decimal_of_bytes, fit


class DecimalReader:
    """`precise`: base64 of the unscaled number; `string`: digits; `auto`: as the values show, for all columns alike.

    A connector writes all its decimals in one way. A point, a sign or a length that base64 cannot have proves digits; a
    letter, `=`, `+` or `/` inside proves base64. Four digits such as `1234` prove nothing: then what was proved before
    holds, else base64, which is Debezium's default.
    """

    def __init__(self, mode: str) -> None:
        """mode: the option's value."""
        self._mode = mode

    def read(self, texts: pa.Array, kind: pa.DataType) -> pa.Array:
        """The numbers of one column. Raises ValueError or ArrowInvalid."""
        if self._mode == "auto":
            self._mode = _proved(texts) or "auto"
        if self._mode == "string":
            return pc.cast(texts, kind)
        return fit(decimal_of_bytes(base64_bytes(texts), kind.scale), kind)


def _proved(texts: pa.Array) -> str | None:
    digits = pc.match_substring_regex(texts, r"^[+-]?\d+(\.\d+)?([eE][+-]?\d+)?$")
    whole_quads = pc.equal(pc.bit_wise_and(pc.binary_length(texts), 3), 0)
    if pc.any(pc.invert(digits)).as_py():
        return "precise"
    only_digits = pc.match_substring_regex(texts, r"^\d+$")
    if pc.any(pc.invert(pc.and_(only_digits, whole_quads))).as_py():
        return "string"
    return None
