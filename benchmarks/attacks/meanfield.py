"""The mean-field attack: maximum likelihood of all assignments at once, with seeds that it finds itself.

The similarity of two records is normal about what is expected of their two persons. Each record keeps a distribution
over persons; in turn, every distribution is set to what the expected log-likelihood under all others says, at a
falling temperature. Then the surest records become seeds of the next run, a larger share each time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from .assignment import NOBODY, Known, balanced, greedy
from .encodings import View
from .graph import attack as graph
from .weight import weights

Reals = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]

SEED_SHARES = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Shares of the records that are taken as seeds, run after run."""


CONTRAST = 5
"""Standard deviations of the scores, to their temperature, at which a run that has seeds begins."""


class Likelihood:
    """How well assignments explain what is seen, up to a constant.

    Args:
        seen: vectors beside expectations.
        even: take the variance as one number, which costs half as much and loses little where expectations are low.
    """

    def __init__(self, seen: Sequence[View], even: bool = False) -> None:
        self._layers = []
        for view in seen:
            observed = view.spins @ view.spins.T / np.float32(view.spins.shape[1])
            # A filter's own chances shift all similarities alike: only what is above or below the mean counts.
            observed += _mean(view.correlation) - _mean(observed)
            np.fill_diagonal(observed, 0)
            variance = view.variance
            if even:
                variance = np.full_like(variance, np.median(variance))
            precision = 1 / variance
            pull = view.correlation * precision
            offset = view.correlation * pull / 2 + np.log(variance) / 2
            for table in (precision, pull, offset):
                np.fill_diagonal(table, 0)
            precision -= precision.mean()
            offset -= offset.mean()
            np.fill_diagonal(offset, 0)
            np.fill_diagonal(precision, 0)
            self._layers.append((observed, None if even else precision, pull, offset))
        self.alone = sum(_unary(view) for view in seen)

    def scores(self, table: Reals) -> Reals:
        """Expected log-likelihood of every record being every person, given all the others' distributions."""
        total = self.alone.copy()
        taken = table.sum(axis=0)
        for observed, precision, pull, offset in self._layers:
            total += observed @ (table @ pull) - (taken @ offset)
            if precision is not None:
                total -= (observed**2) @ (table @ precision) / 2
        return total

    def of(self, table: Reals) -> float:
        """Expected log-likelihood of a whole table of distributions."""
        return float((table * (self.scores(table) + self.alone)).sum() / 2)


def attack(seen: Sequence[View], known: Known = NOBODY, steps: int = 12, even: bool = False) -> Numbers:
    """Guess the person of every record, from several starts; the likeliest outcome counts.

    Args:
        seen: vectors beside expectations.
        known: records whose persons the attacker knows.
        steps: updates from the highest to the lowest temperature.
        even: as for `Likelihood`.
    """
    likelihood = Likelihood(seen, even)
    flat = np.zeros_like(likelihood.alone)
    matched = flat.copy()
    found = graph(seen, known)
    matched[np.flatnonzero(found >= 0), found[found >= 0]] = 1
    best, most = flat, -np.inf
    for start in (_annealed(likelihood, balanced(flat, known), known, steps), _once(likelihood, matched, known)):
        for table in _self_seeded(likelihood, start, known, steps):
            value = likelihood.of(table)
            if value > most:
                best, most = table, value
    return greedy(best, known)


def from_truth(
    seen: Sequence[View], truth: Numbers, known: Known = NOBODY, steps: int = 8, even: bool = False
) -> Numbers:
    """Start at the right answer and let the likelihood move it: what a perfect search could find, and the margin."""
    likelihood = Likelihood(seen, even)
    table = np.zeros_like(likelihood.alone)
    table[np.arange(len(truth)), truth] = 1
    for _ in range(steps):
        table = balanced(likelihood.scores(table), known)
    return greedy(table, known)


def _once(likelihood: Likelihood, table: Reals, known: Known, contrast: float = 6) -> Reals:
    """One update, at a temperature that leaves room for doubt."""
    scores = likelihood.scores(table)
    return balanced(min(1.0, contrast / max(float(scores.std(axis=1).mean()), 1e-9)) * scores, known)


def _self_seeded(likelihood: Likelihood, table: Reals, known: Known, steps: int) -> Iterator[Reals]:
    yield table
    for share in SEED_SHARES:
        table = _annealed(likelihood, _surest(table, share, known), known, steps, CONTRAST)
        yield table


def _annealed(likelihood: Likelihood, table: Reals, known: Known, steps: int, start: float = 2) -> Reals:
    for step in range(steps):
        table = _once(likelihood, table, known, float(np.geomspace(start, 20, steps)[step]))
    return table


def _surest(table: Reals, share: float, known: Known) -> Reals:
    """The surest records, each on its best person; the others say nothing for the time being."""
    best = greedy(table, known)
    sure = np.where(best >= 0, table[np.arange(len(table)), best], -1)
    rows = np.argsort(-sure)[: len(known[0]) + max(2, round(share * (best >= 0).sum()))]
    rows = np.union1d(rows, known[0])
    seeds = np.zeros_like(table)
    seeds[rows, best[rows]] = 1
    return seeds


def _mean(table: Reals) -> float:
    """Mean of a table beside its diagonal."""
    return float((table.sum() - np.trace(table)) / (table.size - len(table)))


def _unary(view: View) -> Reals:
    """What a vector's weight says of its person's, where the weights spread more than chance alone spreads them."""
    weight, bits = weights(view.spins), view.spins.shape[1]
    signal = weight.var() - 1 / bits
    if signal <= 3 / bits * np.sqrt(2 / len(weight)):
        return np.zeros((len(weight), len(view.bias)), np.float32)
    from_mean = (weight - weight.mean())[:, None] - (view.bias - view.bias.mean())[None, :]
    scores: Reals = (-(from_mean**2) / (2 * (1 / bits + signal / 4))).astype(np.float32)
    return scores
