"""Training: the probabilities of a model, estimated from encoded files without knowing who is who.

u, how often two people reach a level by chance, is counted among pairs of one facility that hold different national
ids: they are two people, and a facility's own pairs are random ones. m, how often one person's records reach it,
starts from pairs that agree on the national id (or, where the profile has none, meet an anchor) and is refined by
expectation-maximisation with u fixed (Dempster, Laird and Rubin 1977; Winkler 1988 for record linkage): free u on
these data drifts away. The calibration says how often pairs of a weight are of one person: an isotonic fit (Ayer and
others 1955) on pairs whose national ids tell, with the ids hidden.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mpi.batch.hamming import close_pairs
from mpi.batch.linker import Pairs, Population, bucket_order
from mpi.domain.identifiers import IdentifierKind
from mpi.domain.learning import Label
from mpi.errors import InputRejected
from mpi.linkage.loops import FAST
from mpi.linkage.scoring import MISSING, Evidence, PairScorer
from mpi.rules import AGREE, Calibration, Comparison, Model, Rules

ROUNDS = 100
CHANGE = 1e-6
"""Greatest change of a probability at which estimation has settled."""
FEWEST_PAIRS = 1_000_000
"""Pairs of strangers beneath which a channel's levels are not counted but left as they are."""
FEWEST_LABELS = 50
"""Labels beneath which people's word does not take the place of what national ids tell."""
_MARGIN = 0.05
"""Share of the labels at either end that do not say how far people's word reaches alone."""
POINTS = 24
"""Points of a calibration at most."""
_LEAST = 0.5
"""What is added to every count, so that what was never seen is rare and not impossible."""

Shares = dict[str, npt.NDArray[np.float64]]
"""Probability of each level by comparison."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A model with the figures that it was estimated from.

    Attributes:
        model: the model; its digest is still that of the file it began with.
        seeds: pairs that agree on the national id.
        strangers: pairs of one facility with different national ids.
        rounds: how many rounds estimation took.
        matches: expected number of pairs of one person among those that met.
    """

    model: Model
    seeds: int
    strangers: int
    rounds: int
    matches: float


def train(held: Population, pairs: Pairs, rules: Rules, fast: bool = FAST, labels: Sequence[Label] = ()) -> Trained:
    """Estimate the probabilities and the calibration of a model."""
    chance, strangers = chance_shares(held, rules, fast)
    # Where nothing was counted the file's own word stands: what numbers agree by chance, and channels of people
    # who hold no national id.
    for name, comparison in rules.model.comparisons.items():
        chance.setdefault(name, np.array([level.u for level in comparison.levels]))
    seeds = PairScorer(rules.model).agrees(pairs.evidence, (IdentifierKind.NATIONAL_ID,))
    if IdentifierKind.NATIONAL_ID not in held.numbers:
        seeds = pairs.by_anchor
    total = len(held) * (len(held) - 1) / 2
    same, rounds, matches = maximise(pairs.evidence, rules.model.comparisons, chance, seeds, total)
    for channel in rules.profile.channels:
        if channel.confirms:  # read only where nothing else met, so what was seen of it is not the rule
            same[channel.name] = np.array([level.m for level in rules.model.comparisons[channel.name].levels])
    model = replace(
        rules.model,
        comparisons={
            name: _with(comparison, same[name], chance[name]) for name, comparison in rules.model.comparisons.items()
        },
    )
    if IdentifierKind.NATIONAL_ID in held.numbers:
        model = replace(model, calibration=calibrate(pairs, model, labels))
    return Trained(model, int(seeds.sum()), strangers, rounds, matches)


def chance_shares(held: Population, rules: Rules, fast: bool = FAST) -> tuple[Shares, int]:
    """Probability of each level of each channel between two people, and the pairs that it was counted among."""
    # Without national ids every record of a facility is taken for another person: its own duplicates are few.
    value = np.arange(len(held))
    numbered = np.ones(len(held), bool)
    if IdentifierKind.NATIONAL_ID in held.numbers:
        number = held.numbers[IdentifierKind.NATIONAL_ID]
        numbered = number.counts() > 0
        value[number.records] = number.values
    shares: Shares = {}
    most = 0
    for channel in rules.profile.channels:
        comparison = rules.model.comparisons[channel.name]
        rows = held.channels[channel.name]
        has = (rows.counts() > 0) & numbered
        inside = np.bincount(held.facility[has], minlength=len(held.facilities))
        pairs = int((inside * (inside - 1) // 2).sum())
        counts = np.zeros(len(comparison.levels))
        order, ends = bucket_order(rows)
        cuts = np.array([level.similarity for level in comparison.levels[:-1]])
        words = np.ascontiguousarray(rows.words[order])
        for left, right, apart in close_pairs(words, ends, rules.profile.bits, fast):
            one, other = rows.records[order[left]], rows.records[order[right]]
            counted = (held.facility[one] == held.facility[other]) & numbered[one] & numbered[other]
            counted &= (value[one] != value[other]) & (one != other)
            similarity = 1.0 - apart[counted] / rules.profile.bits
            reached = (similarity[:, None] < cuts[None, :]).sum(axis=1)
            counts += np.bincount(reached, minlength=len(counts))
        most = max(most, pairs)
        if pairs >= FEWEST_PAIRS:
            counts[-1] = max(pairs - counts.sum(), 0)
            shares[channel.name] = _shares(counts, comparison)
    return shares, most


def maximise(
    evidence: Evidence,
    comparisons: Mapping[str, Comparison],
    chance: Shares,
    seeds: npt.NDArray[np.bool_],
    total: float,
) -> tuple[Shares, int, float]:
    """Estimate m with u fixed: how sure a pair is of one person, then the levels of those that are, and again.

    Args:
        evidence: levels reached, a row a pair and a column a comparison.
        comparisons: what the columns compare, in their order.
        chance: u of each comparison's levels.
        seeds: pairs that are taken for one person's to begin with.
        total: number of all pairs, with those that never met and are nobody's.

    Returns:
        m of each comparison's levels, the rounds taken, and the expected number of pairs of one person.
    """
    columns = list(comparisons.values())
    sure = seeds.astype(float)
    same = _levels(evidence, columns, sure)
    prior = max(sure.sum(), 1.0) / total
    rounds = 0
    while rounds < ROUNDS:
        rounds += 1
        weight = np.zeros(len(evidence))
        for column, comparison in enumerate(columns):
            bits = np.append(np.log2(same[comparison.on] / chance[comparison.on]), 0.0)
            weight += bits[evidence[:, column]]
        odds = np.exp2(np.clip(weight + np.log2(prior / (1 - prior)), -60, 60))
        sure = odds / (1 + odds)
        before, same = same, _levels(evidence, columns, sure)
        prior = max(float(sure.sum()), 1.0) / total
        if max(float(np.abs(same[name] - before[name]).max()) for name in same) < CHANGE:
            break
    return same, rounds, float(sure.sum())


def _levels(evidence: Evidence, columns: list[Comparison], sure: npt.NDArray[np.float64]) -> Shares:
    shares: Shares = {}
    for column, comparison in enumerate(columns):
        reached = evidence[:, column]
        has = reached != MISSING
        counts = np.bincount(reached[has], weights=sure[has], minlength=len(comparison.levels))
        shares[comparison.on] = _shares(counts.astype(float), comparison)
    return shares


def _shares(counts: npt.NDArray[np.float64], comparison: Comparison) -> npt.NDArray[np.float64]:
    """Probabilities of levels from how often they were reached; beside another channel, among pairs that met."""
    counts = counts + _LEAST
    if comparison.beside:
        return np.append(counts[:-1] / counts[:-1].sum(), 1.0)
    shares: npt.NDArray[np.float64] = counts / counts.sum()
    return shares


def _with(comparison: Comparison, same: npt.NDArray[np.float64], chance: npt.NDArray[np.float64]) -> Comparison:
    """The comparison with other probabilities, rounded to what the file will say."""
    levels = tuple(
        replace(level, m=_rounded(float(m)), u=_rounded(float(u)))
        for level, m, u in zip(comparison.levels, same, chance, strict=True)
    )
    return replace(comparison, levels=levels)


def _rounded(probability: float) -> float:
    return float(f"{probability:.4g}")


def calibrate(pairs: Pairs, model: Model, labels: Sequence[Label] = ()) -> Calibration:
    """How often pairs of a weight are of one person, from pairs whose national ids tell, with the ids hidden.

    Pairs that only the national id led to are left out: without it nobody would have weighed them. Where most labels
    lie people's word stands alone: a person looked at the very pairs that are asked about.

    Raises:
        InputRejected: the labels are of another model, or too few to learn from.
    """
    scorer = PairScorer(model)
    column = scorer.names.index(IdentifierKind.NATIONAL_ID.value)
    told = (pairs.evidence[:, column] != MISSING) & scorer.found_without(pairs.evidence, IdentifierKind.NATIONAL_ID)
    agree = [level.name for level in model.comparisons[IdentifierKind.NATIONAL_ID.value].levels].index(AGREE)
    same = (pairs.evidence[told, column] == agree).astype(float)
    hidden = pairs.evidence[told].copy()
    hidden[:, column] = MISSING
    weight, _ = scorer.weigh(hidden)
    if labels:
        said, answers = labelled(labels, model)
        lightest, heaviest = np.quantile(said, (_MARGIN, 1 - _MARGIN))
        apart = (weight < lightest) | (weight > heaviest)
        weight, same = np.append(weight[apart], said), np.append(same[apart], answers)
    return Calibration(tuple(_isotonic(weight, same)))


def labelled(labels: Sequence[Label], model: Model) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Weights of labelled pairs without their national ids, and 1 where a person said that they are of one person.

    Labels about a number in common say nothing of pairs without one, and are left out.

    Raises:
        InputRejected: the labels are of another model, or too few to learn from.
    """
    scorer = PairScorer(model)
    if IdentifierKind.NATIONAL_ID.value not in scorer.names:
        raise InputRejected("labels calibrate what national ids calibrate; this model compares none")
    places = {
        name: {level.name: place for place, level in enumerate(each.levels)} for name, each in model.comparisons.items()
    }
    try:
        rows = [[places[name].get(each.levels.get(name, ""), MISSING) for name in places] for each in labels]
        if any(level not in places[name] for each in labels for name, level in each.levels.items()):
            raise KeyError
    except KeyError:
        raise InputRejected("the labels compare what this model does not; they are of other rules") from None
    evidence = np.array(rows, np.int8)
    without = ~scorer.agrees(evidence, model.decision.identifying)
    if without.sum() < FEWEST_LABELS:
        raise InputRejected(
            f"{int(without.sum())} labels about pairs without a number in common are too few to learn from; "
            f"{FEWEST_LABELS} are needed"
        )
    evidence = evidence[without]
    evidence[:, scorer.names.index(IdentifierKind.NATIONAL_ID.value)] = MISSING
    weight, _ = scorer.weigh(evidence)
    return weight, np.array([each.same for each in labels], float)[without]


def _isotonic(weight: npt.NDArray[np.float64], same: npt.NDArray[np.float64]) -> list[tuple[float, float]]:
    """Pool adjacent violators; returns at most `POINTS` points of (weight, share), both ascending."""
    order = np.argsort(weight, kind="stable")
    blocks: list[list[float]] = []  # weights' sum, ones, count
    for bits, one in zip(weight[order].tolist(), same[order].tolist(), strict=True):
        blocks.append([bits, one, 1.0])
        while len(blocks) > 1 and blocks[-2][1] * blocks[-1][2] >= blocks[-1][1] * blocks[-2][2]:
            last = blocks.pop()
            blocks[-1] = [a + b for a, b in zip(blocks[-1], last, strict=True)]
    points = [(bits / count, (ones + _LEAST) / (count + 2 * _LEAST)) for bits, ones, count in blocks]
    rising: list[tuple[float, float]] = []
    for place in np.unique(np.linspace(0, len(points) - 1, min(POINTS, len(points))).astype(int)).tolist():
        bits, share = round(points[place][0], 2), _rounded(points[place][1])
        if not rising or (bits > rising[-1][0] and share >= rising[-1][1]):
            rising.append((bits, share))
    return rising


def weights_table(model: Model) -> Mapping[str, list[tuple[str, float, float, float]]]:
    """Levels of each comparison as (level, m, u, match weight in bits)."""
    return {
        name: [(level.name, level.m, level.u, level.weight) for level in comparison.levels]
        for name, comparison in model.comparisons.items()
    }
