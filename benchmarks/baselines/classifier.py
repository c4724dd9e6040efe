"""The ECM classifier of recordlinkage on any binary table: its estimated p, m and u, and what it takes for matches.

It wants no more than recordlinkage itself, so that other implementations of EM can be checked against it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.baselines import absent

try:
    import pandas as pd
    import recordlinkage
except ModuleNotFoundError as missing:
    absent(missing)

Vectors = Mapping[str, npt.NDArray[np.bool_]]
"""Answers to each question, one a pair."""
FLOOR = 1e-12
"""Probabilities are kept this far from 0 and 1 where their logarithm is taken."""


@dataclass(frozen=True, slots=True)
class Estimates:
    """What the classifier estimated.

    Attributes:
        p: share of matches among the pairs.
        m: probability of a yes to each question among matches.
        u: the same among all others.
    """

    p: float
    m: dict[str, float]
    u: dict[str, float]

    def weights(self, vectors: Vectors) -> dict[str, npt.NDArray[np.float64]]:
        """Bits that each question gives to each pair."""
        return {
            name: np.where(yes, _bits(self.m[name], self.u[name]), _bits(1 - self.m[name], 1 - self.u[name]))
            for name, yes in vectors.items()
        }

    @property
    def prior(self) -> float:
        """Bits before any question."""
        return _bits(self.p, 1 - self.p)


def _bits(one: float, other: float) -> float:
    return float(np.log2(max(one, FLOOR)) - np.log2(max(other, FLOOR)))


def estimate(vectors: Vectors) -> tuple[Estimates, npt.NDArray[np.bool_]]:
    """Estimate p, m and u by ECM, and say which pairs the classifier takes for matches."""
    frame = pd.DataFrame({name: yes.astype(np.int8) for name, yes in vectors.items()})
    frame.index = pd.MultiIndex.from_arrays([np.arange(len(frame)), np.arange(len(frame))])
    classifier = recordlinkage.ECMClassifier(max_iter=1000, atol=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # logarithms of 0 where a question has one answer only
        matches = classifier.fit_predict(frame)
        found = Estimates(
            float(classifier.p),
            {name: float(each.get(1, 0.0)) for name, each in classifier.m_probs.items()},
            {name: float(each.get(1, 0.0)) for name, each in classifier.u_probs.items()},
        )
    taken = np.zeros(len(frame), bool)
    taken[matches.get_level_values(0)] = True
    return found, taken
