"""The shape of the code, checked: who may import whom, one library one home, sizes, complete lists."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70

EVERYWHERE = {
    "errors",
    "options",
    "foreign_options",
    "data_types",
    "changes",
    "clock",
    "cancellation",
    "nearest_floats",
    "nested_nulls",
    "row_hash",
    "secrets",
    "time_zone",
}

# package (or top module) of tsdb -> what else of tsdb it may import; everything may import EVERYWHERE and itself
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "clock": set(),
    "cancellation": set(),
    "changes": set(),
    "data_types": set(),
    "secrets": set(),
    "time_zone": set(),
    "nearest_floats": set(),
    "nested_nulls": set(),
    "options": {"foreign_options"},
    "foreign_options": set(),
    "fs": set(),
    "format": {"fs"},
    "metadata": {"format", "fs"},
    "mergetree": {"metadata", "format", "fs"},
    "kafka": set(),
    "log": {"connector", "metadata", "fs", "kafka"},
    "table": {"mergetree", "metadata", "log", "format", "fs", "kafka"},
    "connector": {"metadata", "format", "fs", "kafka"},
    "catalog": {"table", "metadata", "connector", "fs"},
    "procedure": {"catalog", "table", "metadata"},
    "sql": set(),
    "exec": {"sql", "catalog", "table", "connector", "log", "metadata", "fs", "format", "kafka"},
    "session": {"sql", "exec", "procedure", "catalog", "table", "connector", "fs", "metadata"},
    "dbapi": {"session", "exec", "sql", "catalog", "fs"},
    "__init__": {"dbapi"},
    "aio": {"dbapi"},
}

# library -> where it may be imported
HOMES: dict[str, tuple[str, ...]] = {
    "datafusion": ("tsdb/exec/",),
    "sqlglot": ("tsdb/sql/", "tsdb/exec/"),
    "kafka": ("tsdb/kafka/python_client.py",),
    "obstore": ("tsdb/fs/object_store.py",),
    "confluent_kafka": ("tsdb/kafka/confluent_",),
    "prompt_toolkit": ("repl/",),
    "uuid": ("tsdb/clock.py",),
    "random": ("tsdb/clock.py",),
}


def modules() -> list[Path]:
    return sorted([*(ROOT / "tsdb").rglob("*.py"), *(ROOT / "repl").rglob("*.py")])


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def package_of(path: Path) -> str:
    parts = path.relative_to(ROOT / "tsdb").parts
    return parts[0] if len(parts) > 1 else path.stem


def imports(tree: ast.AST, path: Path) -> Iterator[tuple[str, int]]:
    """Absolute dotted names of what is imported, with the line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                base = path.relative_to(ROOT).with_suffix("").parts[: -node.level]
                module = ".".join([*base, *([node.module] if node.module else [])])
            else:
                module = node.module or ""
            for alias in node.names:
                yield f"{module}.{alias.name}", node.lineno


def type_checking_only(tree: ast.Module) -> ast.Module:
    """The module without its `if TYPE_CHECKING:` blocks."""
    body = [n for n in tree.body if not (isinstance(n, ast.If) and "TYPE_CHECKING" in ast.dump(n.test))]
    return ast.Module(body=body, type_ignores=[])


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_imports_point_downwards(path: Path) -> None:
    tree = type_checking_only(ast.parse(path.read_text()))
    for target, line in imports(tree, path):
        where = f"{name_of(path)}:{line} imports {target}"
        top = target.split(".")[0]
        if path.is_relative_to(ROOT / "repl"):
            public = target == "tsdb" or (
                top == "tsdb" and (target.count(".") == 1 or target.startswith("tsdb.errors"))
            )
            assert top != "tsdb" or public, where + ": the shell uses public names only"
        elif top == "tsdb" and target != "tsdb":
            used, own = target.split(".")[1], package_of(path)
            allowed = EVERYWHERE | ALLOWED.get(own, set()) | {own}
            assert used in allowed or own == "__init__", f"{where}: `{own}` may import {sorted(allowed)}"
        if top in HOMES:
            assert name_of(path).startswith(HOMES[top]), f"{where}: its home is {HOMES[top]}"


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_sizes_and_no_deferred_imports(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    docstring = ast.get_docstring(tree) or ""
    lines = len(text.splitlines())
    assert lines <= MODULE_LINES_MAX or "Longer than" in docstring, f"{name_of(path)} has {lines} lines"
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        why = ast.get_docstring(node) or ""
        assert length <= FUNCTION_LINES_MAX or "Longer than" in why, (
            f"{name_of(path)}:{node.lineno} {node.name}: {length} lines"
        )
        deferred = [n.lineno for n in ast.walk(node) if isinstance(n, ast.Import | ast.ImportFrom)]
        reasoned = "Imported here" in text
        assert not deferred or reasoned, f"{name_of(path)}:{deferred} imports inside a function"


def test_banned_names_and_words() -> None:
    for path in modules():
        assert path.stem not in {"utils", "helpers", "common", "base", "impl"}, name_of(path)
        assert not re.search(r"\b(TODO|FIXME|XXX)\b", path.read_text()), name_of(path)
        assert "except Exception: pass" not in path.read_text(), name_of(path)


def test_every_module_says_what_it_is() -> None:
    for path in modules():
        assert ast.get_docstring(ast.parse(path.read_text())) or path.read_text() == "", name_of(path)


def test_packages_are_listed() -> None:
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    there = {".".join(p.parent.relative_to(ROOT).parts) for p in (ROOT / "tsdb").rglob("__init__.py")}
    assert listed == there | {"tsdb_repl"}


def test_nothing_names_a_machine_path() -> None:
    pattern = re.compile(r"(^|[^\w.])/(" + "|".join(["work", "root", "home"]) + r")/")
    for folder in ("tsdb", "repl", "docs", "examples", "bench", "sql_tests"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".md", ".sql", ".slt", ".sh"}:
                assert not pattern.search(path.read_text()), name_of(path)
