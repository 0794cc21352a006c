"""What Tab offers, and when Enter runs a statement."""

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from tsdb_repl.completion import SqlCompleter, open_part
from tsdb_repl.shell import is_complete

TABLES = ["orders", "order_log", "totals"]
COLUMNS = {"orders": ["id", "customer", "amount"], "totals": ["paid", "amount"]}

CASES = [
    ("SELECT * FROM ord|", ["orders", "order_log"], []),
    ("select * from |", TABLES, []),
    ("INSERT INTO t|", ["totals"], ["TABLE"]),
    ("SEL|", ["SELECT"], []),
    ("sel|", ["select"], []),
    ("SELECT cu| FROM orders", ["customer", "CURRENT_DATE".lower()], ["paid"]),
    ("SELECT o.| FROM orders o", ["id", "customer", "amount"], ["SELECT"]),
    ("SELECT O.a| FROM orders AS o JOIN totals t ON true", ["amount"], ["paid"]),
    ("SELECT * FROM orders WHERE orders.c|", ["customer"], ["count"]),
    ("SELECT 1; SELECT * FROM to|", ["totals"], []),
    ("SELECT 'from |", [], TABLES),
    ("-- from |", [], TABLES),
    (".he|", [".help"], ["HAVING"]),
    ("\\q|", ["\\quit"], []),
]


@pytest.mark.parametrize(("text", "offered", "missing"), CASES, ids=[c[0] for c in CASES])
def test_offers(text: str, offered: list[str], missing: list[str]) -> None:
    before, _, after = text.partition("|")
    completer = SqlCompleter(lambda: TABLES, lambda t: COLUMNS.get(t, []), ["help", "quit"])
    found = [c.text for c in completer.get_completions(Document(before + after, len(before)), CompleteEvent())]
    assert set(offered) <= set(found)
    assert not set(missing) & set(found)


COMPLETE = [
    ("", True),
    (".help", True),
    ("\\q", True),
    ("select 1", False),
    ("select 1;", True),
    ("select 1;  ", True),
    ("select ';", False),
    ("select ';';", True),
    ("select 1 -- ;", False),
    ("select 1; -- done", True),
    ("select 1 /* ; */", False),
    ("select `;", False),
]


@pytest.mark.parametrize(("text", "complete"), COMPLETE)
def test_enter_runs_what_is_complete(text: str, complete: bool) -> None:
    assert is_complete(text) is complete


@pytest.mark.parametrize(
    ("sql", "part"),
    [
        ("a 'b", "'"),
        ("a 'b''c' d", ""),
        ("-- x\n", ""),
        ("-- x", "--"),
        ("/* a", "/*"),
        ("/* a */ 'x' /", ""),
        ('"a', '"'),
    ],
)
def test_open_part(sql: str, part: str) -> None:
    assert open_part(sql) == part
