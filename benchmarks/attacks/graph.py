"""Graph matching: the similarity graph of the records laid upon that of the register.

The graphs are aligned by their spectra (Fan, Mao, Wu, Xu 2020: all pairs of eigenvectors, weighted by how close their
eigenvalues are), then records are moved to where their neighbours' persons say that they belong, until nothing moves.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .assignment import NOBODY, Known, greedy
from .encodings import View

Reals = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]

_WIDTH = 0.2


def spectral(seen: Sequence[View]) -> Reals:
    """Scores of every record being every person from the spectra of both graphs."""
    observed, wanted = graphs(seen)
    ours, us = np.linalg.eigh(observed)
    theirs, them = np.linalg.eigh(wanted)
    close = 1 / ((ours[:, None] - theirs[None, :]) ** 2 + _WIDTH**2)
    middle = close * np.outer(us.sum(axis=0), them.sum(axis=0))
    scores: Reals = (us @ middle @ them.T).astype(np.float32)
    return scores


def graphs(seen: Sequence[View]) -> tuple[Reals, Reals]:
    """Both graphs, scaled alike: similarities of the records, and expected similarities of the persons."""
    observed = sum(view.spins @ view.spins.T / np.float32(view.spins.shape[1]) for view in seen)
    return _scaled(np.array(observed)), _scaled(sum(view.correlation for view in seen).copy())


def attack(seen: Sequence[View], known: Known = NOBODY, rounds: int = 30) -> Numbers:
    """Guess the person of every record.

    Args:
        seen: vectors beside expectations.
        known: records whose persons the attacker knows.
        rounds: at most so many times are all records moved.
    """
    observed, wanted = graphs(seen)
    scores = _standard(spectral(seen))
    if len(known[0]):
        scores += np.float32(2) * _standard(observed[:, known[0]] @ wanted[known[1]])
    guess = greedy(scores, known)
    for _ in range(rounds):
        placed = np.flatnonzero(guess >= 0)
        moved = greedy(observed[:, placed] @ wanted[guess[placed]], known)
        if (moved == guess).all():
            break
        guess = moved
    return guess


def _scaled(table: Reals) -> Reals:
    """Take out the mean and the diagonal, and bring the spectrum to about -2 .. 2."""
    np.fill_diagonal(table, 0)
    off = ~np.eye(len(table), dtype=bool)
    table -= table[off].mean()
    np.fill_diagonal(table, 0)
    table /= max(1e-9, float(table[off].std())) * np.sqrt(len(table))
    return table.astype(np.float32)


def _standard(table: Reals) -> Reals:
    scaled: Reals = (table - table.mean()) / max(1e-9, float(table.std()))
    return scaled
