"""The weight attack: long names set more bits, so the weight of a vector tells how long the name is.

A secret mask hides no weight where the bits themselves are biased: in each column, the commoner value is the masked 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .assignment import NOBODY, Known
from .encodings import View

Reals = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]


def weights(spins: Reals) -> Reals:
    """Mean spin of every vector, once each column is turned so that its majority is +1."""
    mask = np.where(spins.mean(axis=0) < 0, np.float32(-1), np.float32(1))
    turned: Reals = spins @ mask / np.float32(spins.shape[1])
    return turned


def attack(seen: Sequence[View], known: Known = NOBODY) -> Numbers:
    """Assign records to persons in the order of their weights."""
    records, persons = len(seen[0].spins), len(seen[0].bias)
    free_records = np.setdiff1d(np.arange(records), known[0])
    free_persons = np.setdiff1d(np.arange(persons), known[1])
    by_weight = free_records[np.argsort(sum(weights(view.spins) for view in seen)[free_records], kind="stable")]
    by_bias = free_persons[np.argsort(sum(view.bias for view in seen)[free_persons], kind="stable")]
    guess = np.full(records, -1, np.int64)
    guess[known[0]] = known[1]
    places = (np.arange(len(by_weight)) + 0.5) * len(by_bias) / max(1, len(by_weight))
    guess[by_weight] = by_bias[places.astype(np.int64)]
    return guess
