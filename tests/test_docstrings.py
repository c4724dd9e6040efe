"""Every test says in a sentence what it holds the code to."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent


def undocumented(path: Path) -> Iterator[str]:
    """Test functions of a file, methods included, that lack a docstring."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        is_test = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test")
        if is_test and not (ast.get_docstring(node) or "").strip():
            yield f"{path.relative_to(TESTS.parent)}:{node.lineno} {node.name}"


def test_every_test_has_a_docstring() -> None:
    """Every test function below tests/ has a docstring, and there are files to look at."""
    files = sorted(TESTS.rglob("test_*.py"))
    assert Path(__file__) in files
    assert [line for path in files for line in undocumented(path)] == []


def test_a_missing_docstring_is_found(tmp_path: Path) -> None:
    """The check sees plain, asynchronous and nested test functions."""
    path = TESTS / "test_docstrings.py"
    assert list(undocumented(path)) == []
    bare = "def test_a(): pass\nasync def test_b(): pass\nclass TestC:\n    def test_c(self): pass\ndef helper(): pass\n"
    tree = tmp_path / "test_bare.py"
    tree.write_text(bare, encoding="utf-8")
    names = [node.name for node in ast.walk(ast.parse(bare)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert sorted(names) == ["helper", "test_a", "test_b", "test_c"]
