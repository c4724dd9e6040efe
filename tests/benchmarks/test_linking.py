"""The benchmarks of linking, run small as anybody would call them: what they report holds together."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent


def figures_of(script: str, folder: Path, *options: str) -> dict[str, Any]:
    """Run a benchmark and read what it wrote."""
    out = folder / "figures.json"
    command = [sys.executable, str(ROOT / "benchmarks" / script), "--small", *options, "--json", str(out)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    figures: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return figures


def test_quality_of_a_small_nation_and_a_dense_one(tmp_path: Path) -> None:
    """Hardly a wrong link, most true ones, a reviewer who only helps, and figures that follow from their counts."""
    runs = figures_of("quality.py", tmp_path, "--persons", "300", "--seeds", "5")["runs"]
    assert sorted(runs) == ["dense, seed 5", "nation, seed 5"]
    for run in runs.values():
        made, reviewed = run["automatic"], run["reviewed"]
        assert made["precision"] >= 0.99
        assert 0.85 <= made["recall"] <= reviewed["recall"] <= run["candidate_completeness"] + 0.05 <= 1.05
        assert made["precision_interval"][0] <= made["precision"] <= made["precision_interval"][1]
        assert made["recall_interval"][0] <= made["recall"] <= made["recall_interval"][1]
        strata = made["strata"].values()
        for count in ("true_links", "links", "matches"):
            assert sum(stratum[count] for stratum in strata) == made[count]
        recalls = [point["recall"] for point in run["curve"]]
        assert recalls == sorted(recalls, reverse=True)
        assert reviewed["precision"] >= 0.99
        assert 0 <= run["tasks_that_join"] <= 1


def test_speed_of_a_small_run(tmp_path: Path) -> None:
    """Every loop finds the planted pairs, the command links what was encoded, and that is kept for the next run."""
    figures = figures_of("link.py", tmp_path, "--records", "300", "--data", str(tmp_path / "data"))
    assert all(rate > 0 for rate in figures["kernel"]["comparisons_per_second"].values())
    assert "numpy" in figures["kernel"]["comparisons_per_second"]
    job = figures["mpi link"]
    assert job["records"] > 200
    assert job["precision"] >= 0.99
    assert job["recall"] >= 0.85
    assert job["peak_megabytes"] > 10
    assert job["processor_seconds"] > 0
    assert len(list((tmp_path / "data").rglob("encoded-*/*.parquet"))) == 20


@pytest.mark.parametrize("script", ["link.py", "quality.py"])
def test_the_commands_say_what_they_do(script: str) -> None:
    """Each starts without matplotlib and competitors, and says what it takes."""
    command = [sys.executable, str(ROOT / "benchmarks" / script), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert "--small" in done.stdout
