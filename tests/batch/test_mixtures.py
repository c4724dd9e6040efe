"""Our expectation-maximisation against others': recordlinkage's ECM, run here, and Splink's figures, kept in a file.

All start from the same comparison vectors and look for the stationary point of the same likelihood. What sets ours
apart is the half pair that is added to every count, lest what was never seen become impossible: without it, all agree
as far as each was told to go on, to less than `SETTLED`; with it, to what so few pairs can move.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpi.batch import training
from mpi.batch.training import maximise
from mpi.rules import Comparison, Level

ROOT = Path(__file__).parents[2]
FILE = ROOT / "tests" / "vectors" / "mixtures.json"
KEPT = json.loads(FILE.read_text(encoding="utf-8"))
SETS: dict[str, dict[str, Any]] = KEPT["sets"]
SETTLED = 1e-4
"""All stop when a round changes no probability by more than 1e-6, and rounds still to come would change little."""


def expanded(vectors: list[list[int]]) -> np.ndarray:
    """A row a pair."""
    rows = np.array(vectors)
    return np.repeat(rows[:, :-1], rows[:, -1], axis=0).astype(np.int8)


def ours(evidence: np.ndarray, u: dict[str, list[float]]) -> tuple[float, dict[str, np.ndarray]]:
    """The share of matches and m, begun with the pairs that differ in one known value at most."""
    blank = {name: tuple(Level(str(place), 0, 0.5, 0.5) for place in range(len(each))) for name, each in u.items()}
    comparisons = {name: Comparison(name, levels, "", "") for name, levels in blank.items()}
    chance = {name: np.array(each) for name, each in u.items()}
    # A level that no seed reaches would have an m of nothing, and keep it.
    seeds = (evidence > 0).sum(axis=1) <= 1
    same, rounds, matches = maximise(evidence, comparisons, chance, seeds, len(evidence))
    assert rounds < 100  # settled, and not stopped
    return matches / len(evidence), same


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing to speak of is added to counts."""
    monkeypatch.setattr(training, "_LEAST", 1e-9)


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("name", SETS)
def test_as_splink_estimates(name: str) -> None:
    """With u fixed, m of every level and the share of matches are Splink's; values are missing, levels many."""
    vectors = SETS[name]
    p, m = ours(expanded(vectors["vectors"]), vectors["u"])
    for column, expected in vectors["splink"]["m"].items():
        assert m[column] == pytest.approx(expected, abs=SETTLED), column
    assert p == pytest.approx(vectors["splink"]["p"], rel=SETTLED)


@pytest.mark.parametrize("name", SETS)
def test_half_a_pair_moves_little(name: str) -> None:
    """What is added moves the share of one of k levels among N matches by k / 2N at most, and the next rounds again."""
    vectors = SETS[name]
    evidence = expanded(vectors["vectors"])
    _, m = ours(evidence, vectors["u"])
    matches = vectors["splink"]["p"] * len(evidence)
    for column, expected in vectors["splink"]["m"].items():
        assert m[column] == pytest.approx(expected, abs=2 * len(expected) / matches), column


def test_what_was_drawn_is_found_again() -> None:
    """Where values are independent given who is who, m is the one that vectors were drawn from, but for chance."""
    vectors = SETS["drawn"]
    evidence = expanded(vectors["vectors"])
    p, m = ours(evidence, vectors["u"])
    matches = vectors["p"] * len(evidence)
    assert p == pytest.approx(vectors["p"], abs=0.005)
    for name, drawn in vectors["m"].items():
        # Three standard errors of a share among so many matches, which are not even known.
        spread = 3 * np.sqrt(np.array(drawn) * (1 - np.array(drawn)) / matches) + len(drawn) / matches
        assert (np.abs(m[name] - drawn) <= spread).all(), name


@pytest.mark.usefixtures("exact")
@pytest.mark.skipif(find_spec("recordlinkage") is None, reason="recordlinkage is not installed")
@pytest.mark.parametrize("name", SETS)
def test_as_recordlinkage_estimates(name: str) -> None:
    """On yes and no alone, with the u that ECM found for itself, m and the share of matches are ECM's."""
    from benchmarks.baselines.classifier import estimate

    evidence = expanded(SETS[name]["vectors"])
    columns = list(SETS[name]["u"])
    # It knows no missing values, so only whole vectors are given to both.
    whole = (evidence[(evidence >= 0).all(axis=1)] > 0).astype(np.int8)
    theirs, _ = estimate({column: whole[:, at] == 0 for at, column in enumerate(columns)})
    p, m = ours(whole, {column: [theirs.u[column], 1 - theirs.u[column]] for column in columns})
    assert theirs.p * len(whole) > 100
    for column in columns:
        assert m[column] == pytest.approx([theirs.m[column], 1 - theirs.m[column]], abs=SETTLED), column
    assert p == pytest.approx(theirs.p, rel=SETTLED)


@pytest.mark.skipif(find_spec("splink") is None, reason="Splink is not installed; its figures in the file are held to")
def test_the_file_is_what_splink_says(tmp_path: Path) -> None:
    """Splink, whichever release of 5 is here, still estimates what the file says."""
    command = [sys.executable, "-m", "benchmarks.baselines.mixtures", "--check", str(FILE)]
    out = tmp_path / "anew.json"
    done = subprocess.run(
        [*command, "--json", str(out)], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    anew = json.loads(out.read_text(encoding="utf-8"))["sets"]
    for name, vectors in SETS.items():
        assert anew[name]["splink"]["p"] == pytest.approx(vectors["splink"]["p"], rel=1e-4)
        for column, m in vectors["splink"]["m"].items():
            assert anew[name]["splink"]["m"][column] == pytest.approx(m, abs=1e-4), column
