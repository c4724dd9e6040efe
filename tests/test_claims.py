"""Every claim of the README that names a test names one that is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
HEADING = "## What the centre can see, what a thief gets, what a court can check"

_ROW = re.compile(r"^\| (?P<claim>[^|]+) \| (?P<tests>`[^|]+`) \|$", re.MULTILINE)


def functions() -> set[str]:
    """Names of all tests and fixtures of the suite."""
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "tests").rglob("*.py"))
    return {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def named(text: str) -> dict[str, list[str]]:
    """What each claim of a text names."""
    return {row["claim"]: re.findall(r"`([^`]+)`", row["tests"]) for row in _ROW.finditer(text)}


def test_every_test_that_a_claim_names_is_there() -> None:
    """By file or by function; renaming a test makes this fail until the claim follows."""
    known = functions()
    missing = [
        (claim, name)
        for claim, names in named(README).items()
        for name in names
        if (name.isidentifier() or name.startswith("tests/")) and name not in known and not (ROOT / name).exists()
    ]
    assert missing == []


def test_every_claim_about_the_centre_a_thief_and_a_court_names_a_test() -> None:
    """None of that page is said without a test."""
    page = README.partition(HEADING)[2].partition("\n## ")[0]
    rows = [line for line in page.splitlines() if line.startswith("| ") and not re.match(r"\| [A-Z]", line)]
    claims = named(page)
    assert len(rows) == len(claims) > 15
    assert all(any("test_" in name for name in names) for names in claims.values())
