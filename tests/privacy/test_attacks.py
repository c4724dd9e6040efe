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

from benchmarks.attacks import bucket, encodings, files, frequency, nation, rekeyed, structure, table, weight
from benchmarks.attacks.assignment import balanced, greedy
from benchmarks.attacks.people import Scene, scene
from benchmarks.attacks.score import wilson
from tests.building import th_v1

ROOT = Path(__file__).parent.parent.parent
RULES = th_v1()
CLK = encodings.filters([["given", "family"]], 10, 1024)
FIELDS = encodings.filters([["given"], ["family"]], 10, 512)
SPARSE = encodings.of_channel(encodings.with_hashes(encodings.with_gateway(RULES, 4), "A", 8), "A")
SHIPPED = encodings.of_channel(RULES, "A")
SENT = encodings.as_sent(RULES, "A")
FIRM = encodings.of_channel(encodings.with_gateway(RULES, 4), "A")


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
        (SENT, "mean field", 100, 5),
        (CLK, "pattern", 300, 20),
    ],
    ids=lambda value: len(value.layers) if isinstance(value, encodings.Encoding) else value,
)
def test_attacks_on_vectors_win_against_weak_encodings(
    encoding: encodings.Encoding, attack: str, size: int, known: int
) -> None:
    """Graph matching and the mean field read filters, sparse ones, and what facilities send; patterns are learnt."""
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


@pytest.mark.parametrize("attack", ["graph", "mean field", "pattern"])
def test_the_diffusion_resists_a_facility_key(attack: str) -> None:
    """What facilities send is known exactly, and still no attack by similarity reads one record in twenty."""
    assert rate(FIRM, attack, 300, 20, facility_key=True) < 0.05
    with pytest.raises(ValueError, match="facility key"):
        rate(CLK, attack, 50, facility_key=True)


@pytest.mark.parametrize(("diffusion", "known"), [(2, 20), (3, 30)])
def test_known_persons_betray_the_table_of_a_bucket(diffusion: int, known: int) -> None:
    """With a facility's key and enough known persons in one bucket, everybody else in it is read."""
    encoding = encodings.of_channel(encodings.with_gateway(RULES, diffusion), "A")
    assert rate(encoding, "table", 100, known, facility_key=True) > 0.9
    assert not bucket.run(encoding, 100, 5, 1.0, 1, ["table"], facility_key=True)


def test_rows_taken_for_known_on_trial_find_the_table() -> None:
    """Where known persons leave many answers, the likeliest others narrow them down; wrong ones known find nothing."""
    dice = np.random.default_rng(7)
    sent = dice.choice(np.array([-1, 1], np.float32), (60, 256))
    seen = sent[:, dice.integers(0, 256, (3, 256))].prod(axis=1)
    view, known = encodings.exact(seen, sent, 3), np.arange(14)
    assert 100 < 256 * 255 * 254 / 6 / 2 ** len(known) < table.MOST_ANSWERS
    assert (table.attack(view, 3, (known, known)) == np.arange(60)).mean() > 0.9
    assert (table.attack(view, 3, (known, known + 14)) == np.arange(60)).mean() < 0.2


def test_a_bucket_is_found_by_how_alike_its_rows_are() -> None:
    """Similarities and sizes tell which people a bucket holds where they differ, whatever table diffused them."""
    dice = np.random.default_rng(4)
    groups = []
    for families in (2, 5, 20, 60):
        heads = dice.choice([-1, 1], (families, 1024))
        mixed = heads[dice.integers(0, families, 60)] * dice.choice([-1, 1], (60, 1024), p=[0.1, 0.9])
        groups.append(mixed.astype(np.float32))
    buckets = [group[:, dice.integers(0, 1024, (3, 1024))].prod(axis=1) for group in groups]
    likely = rekeyed.likelihoods(buckets, groups, 3, 1.0, sizes=False)
    assert likely.argmax(axis=1).tolist() == [0, 1, 2, 3]
    alike = [dice.choice([-1, 1], (size, 1024)).astype(np.float32) for size in (40, 60, 80)]
    assert rekeyed.likelihoods(alike, alike, 3, 1.0).argmax(axis=1).tolist() == [0, 1, 2]


@pytest.mark.parametrize("name", [channel.name for channel in RULES.profile.channels if channel.features])
def test_expected_correlations_are_those_of_the_index(name: str) -> None:
    """With a facility's key and without, what is worked out is the mean of what the gateway makes, and its scatter."""
    encoding = encodings.of_channel(RULES, name)
    people = scene(150, 2, encoding.shared, noise=0, twice=0)
    for views in (encodings.views, encodings.views_with_facility_key):
        assert_expected(views(encoding, people, 2), people, 0.9, 1.1)


@pytest.mark.parametrize("encoding", [CLK, SPARSE], ids=["CLK", "sparse"])
def test_expected_correlations_are_those_of_weak_encodings(encoding: encodings.Encoding) -> None:
    """The same of filters with few bits set; one key's chances shift all pairs alike, so that many keys are asked."""
    people = scene(100, 2, encoding.shared, noise=0, twice=0)
    assert_expected([encodings.views(encoding, people, seed)[0] for seed in range(20)], people, 0.75, 1.3)


def assert_expected(keys: list[encodings.View], people: Scene, least: float, most: float) -> None:
    off = ~np.eye(len(people.register), dtype=bool)
    seen = np.array([(view.spins @ view.spins.T / view.spins.shape[1])[off] for view in keys])
    wanted = keys[0].correlation[np.ix_(people.truth, people.truth)][off]
    scatter = keys[0].variance[np.ix_(people.truth, people.truth)][off]
    assert abs((seen - wanted).mean()) < 0.02
    assert least < ((seen - wanted) ** 2).mean() / scatter.mean() < most


@pytest.mark.parametrize("name", ["A", "B"])
def test_what_facilities_send_scatters_once_more_in_the_index(name: str) -> None:
    """Over many keys, the similarity of two records that are nearly alike scatters as both diffusions together say."""
    encoding = encodings.of_channel(encodings.with_gateway(RULES, 3), name)
    first = {**scene(1, 3, encoding.shared).register[0], "given": "somchai", "family": "jaidee", "house": "12"}
    pair = [first, {**first, "given": "somchal", "house": "14"}]
    mean, variance, _ = encodings.expected(encodings.draws(pair, encoding.layers[0]), 1024, encoding.diffusions)
    seen = []
    for seed in range(250):
        one, other = encodings.spins(encodings.encode(encoding, pair, seed)[0])
        seen.append(float(one @ other) / 1024)
    assert abs(np.mean(seen) - mean[0, 1]) < 4 * np.sqrt(variance[0, 1] / 250)
    assert 0.75 < np.var(seen) / variance[0, 1] < 1.3
    assert np.var(seen) > 2 * (1 - mean[0, 1] ** 2) / 1024  # more than the last diffusion's own


def test_structure_wins_against_what_the_running_matcher_sees() -> None:
    """Colour refinement reads a whole index, propagation one with mistakes; rows that stand alone give nothing."""
    people = 20_000
    register = nation.people(people, 1, 1)
    clear = nation.channels(RULES.profile, register)
    names, channels = [name for name, _ in clear], [channel for _, channel in clear]
    for noise, overlap in ((0.0, 1.0), (0.05, 1.0)):
        records, truth = nation.indexed(register, overlap, noise, 1)
        index = structure.hidden([channel for _, channel in nation.channels(RULES.profile, records)], 1)
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
    theft = files.steal(RULES, 1000, 6, 1.0, 0.0, 3, tmp_path)
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
