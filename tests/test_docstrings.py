"""Every test says in a sentence what it holds the code to."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent


def undocumented(source: str) -> Iterator[tuple[int, str]]:
    """Line and name of the test functions of a source, methods included, that lack a docstring."""
    for node in ast.walk(ast.parse(source)):
        is_test = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test")
        if is_test and not (ast.get_docstring(node) or "").strip():
            yield node.lineno, node.name


def test_every_test_has_a_docstring() -> None:
    """Every test function below tests/ has a docstring, and there are files to look at."""
    files = sorted(TESTS.rglob("test_*.py"))
    assert Path(__file__) in files
    found = [(path, *place) for path in files for place in undocumented(path.read_text(encoding="utf-8"))]
    assert [f"{path.relative_to(TESTS.parent)}:{line} {name}" for path, line, name in found] == []


def test_a_missing_docstring_is_found() -> None:
    """The check sees plain, asynchronous and nested test functions, and leaves helpers alone."""
    source = (
        "def test_a(): pass\nasync def test_b(): pass\nclass TestC:\n    def test_c(self): ''\n"
        "def helper(): pass\ndef test_d():\n    'Said.'\n"
    )
    assert sorted(name for _, name in undocumented(source)) == ["test_a", "test_b", "test_c"]
