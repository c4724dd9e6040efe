"""Assigning records to persons from a table of scores."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Reals = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]
Known = tuple[Numbers, Numbers]
"""Records whose persons the attacker knows, and those persons."""

NOBODY: Known = (np.empty(0, np.int64), np.empty(0, np.int64))


def greedy(scores: Reals, known: Known = NOBODY) -> Numbers:
    """One-to-one assignment: again and again, everybody who is the other's best is taken.

    Returns:
        The person of each record; -1 for records that are left over.
    """
    left = scores.astype(np.float32, copy=True)
    guess = np.full(len(scores), -1, np.int64)
    _settle(left, guess, *known)
    for _ in range(sum(scores.shape)):
        best = left.argmax(axis=1)
        rows = np.flatnonzero(left[np.arange(len(left)), best] > -np.inf)
        rows = rows[left.argmax(axis=0)[best[rows]] == rows]
        if not len(rows):
            break
        _settle(left, guess, rows, best[rows])
    return guess


def _settle(left: Reals, guess: Numbers, rows: Numbers, persons: Numbers) -> None:
    guess[rows] = persons
    left[rows] = -np.inf
    left[:, persons] = -np.inf


def balanced(logits: Reals, known: Known = NOBODY, rounds: int = 6) -> Reals:
    """Probabilities of each record's person: rows sum to 1, and no person is taken more than about once."""
    table = np.exp(logits - logits.max(axis=1, keepdims=True))
    table /= table.sum(axis=1, keepdims=True)
    for _ in range(rounds):
        if len(known[0]):
            table[:, known[1]] = 0
            table[known[0]] = 0
            table[known] = 1
        table /= np.maximum(table.sum(axis=0), 1)
        table /= np.maximum(table.sum(axis=1, keepdims=True), 1e-30)
    return table
