"""The benchmark of registration, run small as anybody would call it: what it reports holds together."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.test_linking import figures_of


def test_registration_into_both_databases(tmp_path: Path) -> None:
    """Every record is taken and then unchanged, most link, and the rates follow from their counts."""
    figures = figures_of("register.py", tmp_path, "--data", str(tmp_path / "data"))
    assert sorted(figures["runs"]) == ["postgres", "sqlite"]
    for (run,) in figures["runs"].values():
        assert run["held"] == run["import"]["records"] > 500
        new, same = run["registered"], run["unchanged"]
        assert sum(new["outcomes"].values()) == new["records"] == same["records"] > 20
        assert same["outcomes"] == {"unchanged": same["records"]}
        assert new["outcomes"] == {"stored": new["records"]}
        assert new["per_second"] == new["records"] / new["seconds"]
        assert run["bytes"]["store"] == run["bytes_per_record"]["store"] * run["held"] > 1000 * run["held"]
    assert all(told["throughput_ratio"] == 1 for told in figures["growth"].values())
