"""The table attack, with a facility's key: known persons betray the gateway's secret table, and that everybody else.

The thief works out what the facilities sent of each known person, so every stored bit is one equation for each of
them: which T of the sent bits have that XOR? Of the C(1024, T) answers about one in 2^k satisfies k known persons; all
of them are found by meeting in the middle. What they say together of another person's bit is its exact probability.
Where the answers are still many, rows are taken for known on trial, the likeliest first, as a beam of trials that each
halve the answers; a wrong trial loses the right ones, and with them its likelihood.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import comb

import numpy as np
import numpy.typing as npt

from .assignment import Known, greedy
from .encodings import View

Reals = npt.NDArray[np.float32]
Spins = npt.NDArray[np.int8]
Numbers = npt.NDArray[np.int64]
Places = npt.NDArray[np.int16]
Words = npt.NDArray[np.uint64]

MOST_DIFFUSION = 4
"""Where the gateway mixes more bits than this, half of an answer is too much for us to list, but for nobody else."""
MOST_ANSWERS = 3000
"""Answers for a bit above which they say too little together: n of them tell it with a correlation of n ** -0.5."""
_BEAM = 24
_DEPTH = 12
_SURE = 40.0
"""Nats by which one row must speak for its person for a beam to have found its way."""
_MOST_KNOWN = 60
_CLIP = 0.95
_SHIFT = 20
_TOGETHER = 8


@dataclass(frozen=True)
class Answers:
    """Sets of sent bits that may make stored bits: `bits` ascends, `of` has one set a row."""

    bits: Numbers
    of: Places

    def kept(self, which: npt.NDArray[np.bool_]) -> Answers:
        """Some of them."""
        return Answers(self.bits[which], self.of[which])


def feasible(bits: int, diffusion: int, known: int) -> bool:
    """Say whether so many known persons leave few enough answers to list."""
    return 2 <= diffusion <= MOST_DIFFUSION and comb(bits, diffusion) / 2 ** min(known, _MOST_KNOWN) <= MOST_ANSWERS


def attack(view: View, diffusion: int, known: Known) -> Numbers:
    """Guess the person of every record.

    Args:
        view: stored vectors, beside what facilities send of everybody.
        diffusion: of the gateway.
        known: records whose persons the attacker knows.

    Returns:
        The person of each record; all -1 where too few are known to list the answers.
    """
    if view.sent is None:
        raise ValueError("only a facility's key tells what is sent")
    bits = view.spins.shape[1]
    if not feasible(bits, diffusion, len(known[0])):
        return np.full(len(view.spins), -1, np.int64)
    stored = np.sign(view.spins).astype(np.int8)  # 0 where two records of one person differ
    sent = np.ascontiguousarray(view.sent.T).astype(np.int8)
    search = _Search(_words(sent[:, known[1]].T), diffusion)
    answers = search.answers(_words(stored[known[0]]))
    return greedy(_tried(answers, stored, sent, known), known)


class _Search:
    """Finds sets of bits whose patterns have a given XOR: the last two of a set are looked up by that of the others."""

    def __init__(self, patterns: Words, diffusion: int) -> None:
        one, other = np.triu_indices(len(patterns), 1)
        pairs = patterns[one] ^ patterns[other]
        order = np.argsort(_place(pairs), kind="stable")
        self._pairs, self._one, self._other = pairs[order], one[order], other[order]
        self._first = np.searchsorted(_place(self._pairs), np.arange((1 << _SHIFT) + 1))
        if diffusion == 2:
            self._left, self._parts = np.zeros(1, np.uint64), np.full((1, 0), -1)
        elif diffusion == 3:
            self._left, self._parts = patterns, np.arange(len(patterns))[:, None]
        else:
            self._left, self._parts = pairs, np.column_stack([one, other])

    def answers(self, wanted: Words) -> Answers:
        """All answers for the patterns of all stored bits."""
        found = [self._of(pattern) for pattern in wanted]
        return Answers(np.repeat(np.arange(len(found)), [len(each) for each in found]), np.concatenate(found))

    def _of(self, wanted: np.uint64) -> Places:
        rest = self._left ^ wanted
        place = _place(rest)
        first, count = self._first[place], self._first[place + 1] - self._first[place]
        left = np.repeat(np.arange(len(rest)), count)
        pair = np.arange(len(left)) + np.repeat(first - np.cumsum(count) + count, count)
        fits = self._pairs[pair] == rest[left]
        if self._parts.shape[1]:
            fits &= self._parts[left, -1] < self._one[pair]  # each set once
        left, pair = left[fits], pair[fits]
        found: Places = np.column_stack([self._parts[left], self._one[pair], self._other[pair]]).astype(np.int16)
        return found


def _place(words: Words) -> Numbers:
    """Where a pattern stands in the list of pairs: some bits of a product that all its bits have a part in."""
    return ((words * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - _SHIFT)).astype(np.int64)


def _words(spins: Spins) -> Words:
    """Columns of spins as bits of one number each."""
    words = np.zeros(spins.shape[1], np.uint64)
    for row in spins[:_MOST_KNOWN]:
        words = (words << np.uint64(1)) | (row < 0).astype(np.uint64)
    return words


def _spoken(answers: Answers, sent: Spins) -> Spins:
    """What each answer says that everybody's bit is: answers x people."""
    spoken: Spins = sent[answers.of[:, 0]]
    for part in answers.of.T[1:]:
        spoken = spoken * sent[part]
    return spoken


def _told(answers: Answers, sent: Spins) -> Reals:
    """Mean spin of each stored bit of everybody, over the answers that are left; 0 without any: bits x people."""
    told = np.zeros(sent.shape, np.float32)
    edges = np.searchsorted(answers.bits, np.arange(0, len(sent) + 1, _TOGETHER))
    for first, last in pairwise(edges.tolist()):
        if first < last:
            part = Answers(answers.bits[first:last], answers.of[first:last])
            which, starts, counts = np.unique(part.bits, return_index=True, return_counts=True)
            sums = np.add.reduceat(_spoken(part, sent), starts, axis=0, dtype=np.int32)
            told[which] = sums / counts[:, None]
    return told


def _scores(stored: Spins, told: Reals) -> Reals:
    """Log-likelihood of every record being every person, against a stranger."""
    sure = np.clip(told, -_CLIP, _CLIP)
    scores: Reals = stored.astype(np.float32) @ np.arctanh(sure) + np.log1p(-(sure**2)).sum(axis=0) / 2
    return scores


@dataclass(frozen=True)
class _Trial:
    """Rows that are taken for known, and what is left then."""

    rows: tuple[int, ...]
    persons: tuple[int, ...]
    worth: float
    answers: Answers
    scores: Reals


def _tried(answers: Answers, stored: Spins, sent: Spins, known: Known) -> Reals:
    """Scores once the likeliest rows were taken for known one after the other; the first scores if none gets sure."""
    first = _scores(stored, _told(answers, sent))
    beam = [_Trial((), (), 0.0, answers, first)]
    for _ in range(_DEPTH):
        steps: dict[frozenset[tuple[int, int]], tuple[float, _Trial, int, int]] = {}
        for trial in beam:
            left = trial.scores.copy()
            left[[*known[0], *trial.rows]] = -np.inf
            left[:, [*known[1], *trial.persons]] = -np.inf
            for place in np.argpartition(-left, _BEAM, axis=None)[:_BEAM]:
                row, person = (int(number) for number in np.unravel_index(place, left.shape))
                key = frozenset([*zip(trial.rows, trial.persons, strict=True), (row, person)])
                steps[key] = (trial.worth + float(left[row, person]), trial, row, person)
        kept = sorted(steps.values(), key=lambda step: -step[0])[:_BEAM]
        if kept[0][0] - kept[0][1].worth > _SURE:
            return kept[0][1].scores
        beam = [_taken(*step, stored, sent) for step in kept]
    return first


def _taken(worth: float, trial: _Trial, row: int, person: int, stored: Spins, sent: Spins) -> _Trial:
    """Take one more row for known: answers that contradict it fall."""
    spoken = _spoken(trial.answers, sent[:, person : person + 1])[:, 0]
    answers = trial.answers.kept(spoken * stored[row][trial.answers.bits] >= 0)
    scores = _scores(stored, _told(answers, sent))
    return _Trial((*trial.rows, row), (*trial.persons, person), worth, answers, scores)
