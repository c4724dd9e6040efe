"""The attacks of the privacy benchmark: each wins clearly where it is known to win, and small runs are repeatable.

An attack that cannot win proves nothing about the encodings that it loses against. Bounds are generous: seeds are
fixed, and what is measured stands in the benchmark's own report.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.attacks import bucket, encodings, files, frequency, nation, rekeyed, structure, weight
from benchmarks.attacks.assignment import balanced, greedy
from benchmarks.attacks.people import scene
from benchmarks.attacks.score import wilson
from tests.building import th_v1

ROOT = Path(__file__).parent.parent.parent
PROFILE = th_v1().profile
CLK = encodings.filters([["given", "family"]], 10, 1024)
FIELDS = encodings.filters([["given"], ["family"]], 10, 512)
SPARSE = encodings.of_channel(encodings.with_hashes(PROFILE, "A", 10), "A")
SHIPPED = encodings.of_channel(PROFILE, "A")


def rate(encoding: encodings.Encoding, attack: str, size: int, known: int = 0, **more: object) -> float:
    (outcome,) = bucket.run(encoding, size, known, 1.0, 1, [attack], **more)  # type: ignore[arg-type]
    assert outcome.attacked >= size - known
    return outcome.right / outcome.attacked


@pytest.mark.parametrize(
    ("encoding", "attack", "size", "known"),
    [
        (CLK, "graph", 300, 0),
        (FIELDS, "graph", 300, 0),
        (CLK, "mean field", 100, 0),
        (SPARSE, "mean field", 100, 0),
        (SPARSE, "mean field", 300, 0),
        (CLK, "pattern", 300, 20),
    ],
    ids=lambda value: getattr(value, "bits", value),
)
def test_attacks_on_vectors_win_against_weak_encodings(
    encoding: encodings.Encoding, attack: str, size: int, known: int
) -> None:
    """Graph matching and the mean field read filters with one key and sparse ones; the pattern attack learns bits."""
    assert rate(encoding, attack, size, known) > 0.8


@pytest.mark.parametrize(("encoding", "least"), [(CLK, 0.8), (SPARSE, 0.3)], ids=["CLK", "sparse"])
def test_the_weight_of_a_vector_tells_how_long_the_name_is(encoding: encodings.Encoding, least: float) -> None:
    """Weights follow the expected weights in plain filters, and in sparse ones in spite of mask and diffusion."""
    people = scene(300, 1, encoding.shared)
    (view,) = encodings.views(encoding, people, 1)
    assert np.corrcoef(weight.weights(view.spins), view.bias[people.truth])[0, 1] > least
    assert rate(CLK, "weight", 300) > 5 / 300


@pytest.mark.parametrize("attack", bucket.ATTACKS)
def test_the_shipped_anchor_resists(attack: str) -> None:
    """No attack with 20 known persons reads one record in twenty of a bucket of the shipped anchor channel."""
    assert rate(SHIPPED, attack, 300, 20) < 0.05


def test_exact_distances_open_a_bucket_that_only_moves_and_masks_bits() -> None:
    """Where a secret permutation and mask keep all distances, a facility's key tells whose bucket it is, and who."""
    bits = np.random.default_rng(4).integers(0, 2, (3, 80, 1024))
    people = [(1 - 2 * group).astype(np.float32) for group in bits]
    dice = np.random.default_rng(5)
    truth, mask = dice.permutation(80)[:30], dice.choice([-1, 1], 1024).astype(np.float32)
    seen = (people[2][truth] * mask)[:, dice.permutation(1024)]
    place, guess = rekeyed.attack([encodings.exact(seen, group) for group in people])
    assert place == 2
    assert (guess == truth).mean() > 0.9
    fresh = (1 - 2 * dice.integers(0, 2, (30, 1024))).astype(np.float32)
    assert rekeyed.attack([encodings.exact(fresh, group) for group in people])[0] == -1
    with pytest.raises(ValueError, match="facility key"):
        rate(CLK, "distances", 50, facility_key=True)


@pytest.mark.parametrize("encoding", [CLK, SPARSE, SHIPPED], ids=["CLK", "sparse", "shipped"])
def test_expected_correlations_are_those_of_real_vectors(encoding: encodings.Encoding) -> None:
    """What the attacker works out without keys is the mean of what the encoder makes, and scatters as predicted."""
    people = scene(150, 2, encoding.shared, noise=0, twice=0)
    (view,) = encodings.views(encoding, people, 2)
    off = ~np.eye(150, dtype=bool)
    seen = (view.spins @ view.spins.T / encoding.bits)[off]
    wanted = view.correlation[np.ix_(people.truth, people.truth)][off]
    scatter = view.variance[np.ix_(people.truth, people.truth)][off]
    assert abs((seen - wanted).mean()) < 0.02
    assert 0.2 < ((seen - wanted) ** 2).mean() / scatter.mean() < 1.3


def test_structure_wins_against_what_the_running_matcher_sees() -> None:
    """Colour refinement reads a whole index, propagation one with mistakes; rows that stand alone give nothing."""
    people = 20_000
    register = nation.people(people, 1, 1)
    clear = nation.channels(PROFILE, register)
    names, channels = [name for name, _ in clear], [channel for _, channel in clear]
    for noise, overlap in ((0.0, 1.0), (0.05, 1.0)):
        records, truth = nation.indexed(register, overlap, noise, 1)
        index = structure.hidden([channel for _, channel in nation.channels(PROFILE, records)], 1)
        assert len(index) == len(names) >= 5
        found = structure.refinement(index, len(truth), channels, people)
        rows, owners = structure.apart(index)
        alone, persons = structure.apart(channels)
        stolen = structure.refinement(rows, len(owners), alone, len(persons))
        assert (np.where(stolen >= 0, persons[stolen], -1) == truth[owners]).mean() <= 0.001
        ours, theirs = structure.columns(index, len(truth)), structure.columns(channels, people)
        told = np.arange(100)
        spread = structure.propagation(ours, theirs, (told, truth[told]))[100:]
        assert (spread == truth[100:]).mean() > 0.3
        assert (spread[spread >= 0] == truth[100:][spread >= 0]).mean() > 0.95
        assert (found == truth).mean() > 0.8 if noise == 0 else True


def test_structure_of_files_that_the_service_wrote(tmp_path: Path) -> None:
    """Files alone give nobody away by structure; with the at-rest key the same attack reads most of them."""
    theft = files.steal(th_v1(), 1000, 6, 1.0, 0.0, 3, tmp_path)
    assert (structure.refinement(theft.live(), len(theft.truth), theft.register, 1000) == theft.truth).mean() > 0.4
    rows, owners = structure.apart(theft.live())
    clear, persons = structure.apart(theft.register)
    found = structure.refinement(rows, len(owners), clear, len(persons))
    assert (np.where(found >= 0, persons[found], -1) == theft.truth[owners]).mean() <= 0.001


def test_frequency_reads_tokens_that_are_the_same_everywhere() -> None:
    """The commonest token is the commonest name where one key makes all tokens."""
    dice = np.random.default_rng(1)
    names = np.minimum(dice.zipf(1.4, 5000), 400)
    secret = dice.permutation(401)
    guess = frequency.attack(secret[names], names)
    assert (guess == names).mean() > 0.7
    persons = frequency.somebody(guess, names, 1)
    assert (names[persons] == guess).all()


def test_components_join_what_chains_of_buckets_join() -> None:
    """Records linked through others are one component; without a row there is none."""
    first = structure.Channel(np.array([0, 1, 3]), np.array([0, 0, 1]))
    second = structure.Channel(np.array([1, 2]), np.array([0, 0]))
    assert structure.components([first, second], 5).tolist() == [0, 0, 0, 1, -1] or structure.components(
        [first, second], 5
    ).tolist() == [1, 1, 1, 2, -1]


def test_assignments_are_one_to_one_and_keep_the_known() -> None:
    """No person is given twice, what is known stays, and probabilities of a record sum to one."""
    scores = np.random.default_rng(1).random((30, 40)).astype(np.float32)
    known = (np.array([3]), np.array([7]))
    guess = greedy(scores, known)
    assert guess[3] == 7
    assert len(set(guess.tolist())) == 30
    table = balanced(scores * 10, known)
    assert np.allclose(table.sum(axis=1), 1, atol=1e-4)
    assert table[3, 7] == pytest.approx(1)
    assert (table.sum(axis=0) < 1.3).all()


def test_wilson_interval() -> None:
    """The interval is that of the textbook, and stays within 0 and 1."""
    low, high = wilson(10, 100)
    assert low == pytest.approx(0.0552, abs=1e-3)
    assert high == pytest.approx(0.1744, abs=1e-3)
    assert wilson(0, 50)[0] == 0.0
    assert wilson(0, 0) == (0.0, 1.0)


def test_the_same_seed_gives_the_same_outcome() -> None:
    """People, slips and keys come of the seed alone."""
    first, second = (
        [(each.attack, each.right, each.attacked) for each in bucket.run(SPARSE, 60, 5, 0.5, 9)] for _ in range(2)
    )
    assert first == second


def test_the_command_says_what_it_does() -> None:
    """The benchmark starts without matplotlib and says what it takes."""
    command = [sys.executable, str(ROOT / "benchmarks" / "privacy.py"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "--small" in done.stdout
