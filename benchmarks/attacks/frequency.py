"""The frequency attack: what is equal is counted, and the commonest encoding taken for the commonest value."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]


def attack(encoded: Numbers, values: Numbers) -> Numbers:
    """Match encodings to values by the rank of how often they occur.

    Args:
        encoded: for each record, a number for its encoding; equal encodings have equal numbers.
        values: for each person of the register, a number for the value that is encoded.

    Returns:
        The value guessed for each record; -1 where the register has fewer values than the index has encodings.
    """
    kinds, place, counts = np.unique(encoded, return_inverse=True, return_counts=True)
    wanted, sizes = np.unique(values, return_counts=True)
    ours, theirs = np.argsort(-counts, kind="stable"), np.argsort(-sizes, kind="stable")
    guess = np.full(len(kinds), -1, np.int64)
    both = min(len(ours), len(theirs))
    guess[ours[:both]] = wanted[theirs[:both]]
    answer: Numbers = guess[place]
    return answer


def classes(rows: npt.NDArray[np.uint8]) -> Numbers:
    """Number rows so that equal rows have equal numbers."""
    packed = np.ascontiguousarray(rows).view(np.dtype((np.void, rows.shape[1]))).reshape(-1)
    return np.unique(packed, return_inverse=True)[1].astype(np.int64)


def somebody(guesses: Numbers, values: Numbers, seed: int) -> Numbers:
    """Turn guessed values into guessed persons, drawn at random among those who have the value; -1 where nobody has."""
    order = np.argsort(values, kind="stable")
    first = np.searchsorted(values[order], guesses, "left")
    many = np.searchsorted(values[order], guesses, "right") - first
    drawn = first + (np.random.default_rng((seed, 8)).random(len(guesses)) * many).astype(np.int64)
    return np.where(many > 0, order[np.minimum(drawn, len(order) - 1)], -1)
