"""The benchmark of watching, run small as anybody would call it: what it reports holds together."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.test_linking import figures_of


def test_telling_of_changes(tmp_path: Path) -> None:
    """Every record is told of, and the parts of the cost add up."""
    figures = figures_of("watch.py", tmp_path, "--persons", "60")
    told = figures["telling"]
    assert told["events"] >= told["records"] > 60
    assert told["changes"] >= told["records"]
    assert abs(told["log_us"] + told["client_us"] - told["one_client_us"]) < 1e-6
    assert figures["idle"]["without"] >= 0
