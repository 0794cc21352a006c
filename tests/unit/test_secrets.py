"""Which values are never shown."""

import pytest

import tsdb
from tsdb.options import BY_KEY
from tsdb.secrets import HIDDEN, is_secret, masked, shown

MISSPELT = ["s3.acces-key", "s3.secrt-key", "properties.sasl.pasword", "sasl.passwd", "properties.sasl.jass.config"]


@pytest.mark.parametrize("key", [*MISSPELT, "s3.secret-key", "properties.sasl.jaas.config", "a.access_token"])
def test_a_secret_is_hidden_also_where_its_name_is_misspelt(key: str) -> None:
    assert shown(key, "hunter2") == HIDDEN
    assert masked(f"WITH ('{key}' = 'hunter2', 'bucket' = '1')") == f"WITH ('{key}' = '*******', 'bucket' = '1')"


@pytest.mark.parametrize(
    "key", ["bucket-key", "sequence.field", "kafka.topic", "primary-key", "partition.expiration-time"]
)
def test_other_values_are_shown(key: str) -> None:
    assert not is_secret(key)


def test_no_option_of_a_table_or_session_is_hidden() -> None:
    assert [key for key in BY_KEY if is_secret(key)] == []


def test_an_error_does_not_show_what_stands_behind_a_misspelt_name() -> None:
    con = tsdb.connect(":memory:")
    for key in MISSPELT:
        with pytest.raises(tsdb.Error) as caught:
            con.execute(f"CREATE TABLE t (a INT) WITH ('{key}' = 'hunter2')")
        assert "hunter2" not in str(caught.value) and key in str(caught.value)
    con.close()
