"""Every function has an example that is true: in batch, and in a stream where it is allowed."""

import re
from collections.abc import Iterator

import datafusion
import pytest
import slt_format

import tsdb
from tsdb.exec.builtin import BUILT_IN
from tsdb.sql.functions import ALL, FUNCTIONS

GROUPS = list(dict.fromkeys(f.group for f in ALL))
ALIASES_OF_DATAFUSION = re.compile(r"list_|array_|make_|map_extract|regexp_|to_timestamp_")
LEFT_OUT = {
    "cast_to_type", "try_cast_to_type", "with_metadata", "arrow_field", "arrow_metadata", "file_row_index",
    "input_file_name", "union_extract", "union_tag", "version", "get_field", "element_at", "string_to_list",
    "cosine_distance", "dot_product", "inner_product", "empty", "position", "to_local_time", "to_time", "to_unixtime",
    "today", "covar", "approx_percentile_cont_with_weight",
}  # fmt: skip


@pytest.fixture(scope="module")
def batch() -> Iterator[tsdb.Connection]:
    with tsdb.connect() as con:
        yield con


@pytest.fixture(scope="module")
def streaming() -> Iterator[tsdb.Connection]:
    with tsdb.connect(options={"execution.mode": "streaming", "scan.bounded.mode": "latest"}) as con:
        yield con


def answers(con: tsdb.Connection, examples: list[str]) -> list[str]:
    """The value of each example: expressions together in one query, queries one by one."""
    plain = [example for example in examples if not example.startswith("SELECT")]
    found = dict.fromkeys(examples, "")
    if plain:
        columns = ", ".join(f"{example} AS c{i}" for i, example in enumerate(plain))
        row = slt_format.rows(con.execute(f"SELECT {columns}").fetch_arrow_table(), "")[-1]
        found.update(zip(plain, row[-len(plain) :], strict=True))
    for example in examples:
        if example not in plain:
            found[example] = slt_format.rows(con.execute(example).fetch_arrow_table(), "")[-1][-1]
    return [found[example] for example in examples]


@pytest.mark.parametrize("group", GROUPS)
def test_examples_in_batch(batch: tsdb.Connection, group: str) -> None:
    functions = [f for f in ALL if f.group == group]
    got = answers(batch, [f.example for f in functions])
    assert dict(zip([f.example for f in functions], got, strict=True)) == {f.example: f.result for f in functions}


@pytest.mark.parametrize("group", GROUPS)
def test_examples_in_a_stream(streaming: tsdb.Connection, group: str) -> None:
    functions = [f for f in ALL if f.group == group and f.streams]
    got = answers(streaming, [f.example for f in functions])
    assert dict(zip([f.example for f in functions], got, strict=True)) == {f.example: f.result for f in functions}


@pytest.mark.parametrize("function", [f for f in ALL if not f.streams], ids=lambda f: f.name)
def test_what_changes_is_refused_in_a_stream(streaming: tsdb.Connection, function: object) -> None:
    with pytest.raises(tsdb.NotSupportedError):
        streaming.execute(f"SELECT {function.example}").fetch_arrow_table()  # type: ignore[attr-defined]


def test_the_table_is_whole() -> None:
    names = [name for f in ALL for name in (f.name, *f.aliases)]
    assert len(names) == len(set(names)) == len(FUNCTIONS)
    for function in ALL:
        assert function.description.endswith("."), function.name
        assert function.name in function.signature.upper() or " " in function.name, function.name
    context = datafusion.SessionContext()
    theirs = {*context.udfs(), *context.udafs(), *context.udwfs()}
    ours = {name.lower() for name in FUNCTIONS} | {name for name, *_ in BUILT_IN}
    missing = {name for name in theirs - ours - LEFT_OUT if not ALIASES_OF_DATAFUSION.match(name)}
    assert missing <= {
        "btrim", "date_format", "row", "rand", "trunc", "sha1", "isnan", "encode", "decode", "quantile_cont", "mean",
        "arrays_zip",        "approx_distinct",
    }, missing  # fmt: skip


def test_describe_and_show(batch: tsdb.Connection) -> None:
    rows = dict(batch.execute("DESCRIBE FUNCTION split_index").fetchall())
    assert rows["signature"] == "SPLIT_INDEX(text, delimiter, index)"
    assert batch.execute("SHOW FUNCTIONS LIKE 'json_v%'").fetchall() == [("json_value",)]
    with pytest.raises(tsdb.ProgrammingError, match="Did you mean `split_index`"):
        batch.execute("DESCRIBE FUNCTION split_indx")
    with pytest.raises(tsdb.ProgrammingError, match=r"`splt_index` does not exist\. Did you mean `split_index`"):
        batch.execute("SELECT splt_index('a', ',', 1)")
