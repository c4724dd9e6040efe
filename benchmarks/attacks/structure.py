"""Structure attacks: no vector and no token is read, only which records share a bucket in which channel.

`refinement` colours records and persons by their neighbourhoods, round by round (Weisfeiler and Leman 1968), and joins
those whose colour is unique on both sides: it needs an index of everybody without mistakes. `propagation` stands
mistakes and missing people: what is known of some records names their buckets, and a record whose named buckets fit
one person only becomes known itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from .assignment import NOBODY, Known

Numbers = npt.NDArray[np.int64]
Colours = npt.NDArray[np.uint64]

_ODD = np.uint64(0x9E3779B97F4A7C15)
_AGREED = 0.6
"""Share of the known records of a bucket that must agree on its name."""


@dataclass(frozen=True)
class Channel:
    """Rows of one channel: `owners` says whose each row is, `buckets` which bucket it lies in; numbers from 0."""

    owners: Numbers
    buckets: Numbers

    @property
    def size(self) -> int:
        """How many buckets there are."""
        return int(self.buckets.max()) + 1 if len(self.buckets) else 0


def refinement(
    index: Sequence[Channel], records: int, register: Sequence[Channel], people: int, rounds: int = 6
) -> Numbers:
    """Guess persons by colour refinement.

    Args:
        index: the channels as the attacker sees them.
        records: how many records there are.
        register: the same channels worked out for the register, in the same order.
        people: how many persons the register has.
        rounds: rounds of colouring; each lets a record see two steps further.

    Returns:
        The person of each record whose colour is unique on both sides; -1 for the others.
    """
    ours, theirs = colours(index, records, rounds), colours(register, people, rounds)
    single, place = _unique(ours)
    wanted, whose = _unique(theirs)
    at = np.searchsorted(wanted, single)
    at[at == len(wanted)] = 0
    found = wanted[at] == single if len(wanted) else np.zeros(len(single), bool)
    guess = np.full(records, -1, np.int64)
    guess[place[found]] = whose[at[found]]
    return guess


def colours(channels: Sequence[Channel], count: int, rounds: int) -> Colours:
    """Colour of each record after some rounds; equal numbers for equal neighbourhoods, on any side."""
    colour = np.zeros(count, np.uint64)
    for _ in range(rounds):
        mixed = _mix(colour)
        for number, channel in enumerate(channels):
            # Sums do not depend on an order, so they stand for the colours in a bucket, and for the rows of a record.
            inside = np.zeros(channel.size, np.uint64)
            np.add.at(inside, channel.buckets, _mix(colour[channel.owners]))
            np.add.at(mixed, channel.owners, _mix(_mix(inside[channel.buckets]) + np.uint64(number)))
        colour = mixed
    return colour


def components(channels: Sequence[Channel], count: int) -> Numbers:
    """Records that are joined by chains of shared buckets in these channels have the same number; -1 without a row."""
    label = np.arange(count)
    while True:
        before = label.copy()
        for channel in channels:
            least = np.full(channel.size, count)
            np.minimum.at(least, channel.buckets, label[channel.owners])
            np.minimum.at(label, channel.owners, least[channel.buckets])
        label = label[label]
        if (label == before).all():
            break
    present = np.zeros(count, bool)
    present[np.unique(np.concatenate([channel.owners for channel in channels]))] = True
    return np.where(present, np.unique(label, return_inverse=True)[1], -1)


def apart(channels: Sequence[Channel]) -> tuple[list[Channel], Numbers]:
    """The same rows where nothing joins them: every row has an owner of its own. With them, each row's old owner."""
    alone, first = [], 0
    for channel in channels:
        alone.append(Channel(np.arange(first, first + len(channel.owners)), channel.buckets))
        first += len(channel.owners)
    return alone, np.concatenate([channel.owners for channel in channels])


def hidden(channels: Sequence[Channel], seed: int) -> list[Channel]:
    """The same channels with their buckets numbered at random, as keyed names number them."""
    dice = np.random.default_rng((seed, 14))
    return [Channel(channel.owners, dice.permutation(channel.size)[channel.buckets]) for channel in channels]


def columns(channels: Sequence[Channel], count: int, joined: Sequence[Sequence[int]] = ()) -> Numbers:
    """Bucket of each record in each channel (its first row there; -1 without one), then its components.

    Args:
        channels: the channels.
        count: how many records there are.
        joined: sets of channels, by place, whose components count as buckets of their own.
    """
    table = np.full((count, len(channels) + len(joined)), -1, np.int64)
    for number, channel in enumerate(channels):
        table[channel.owners[::-1], number] = channel.buckets[::-1]
    for number, places in enumerate(joined):
        table[:, len(channels) + number] = components([channels[place] for place in places], count)
    return table


def propagation(ours: Numbers, theirs: Numbers, known: Known = NOBODY, rounds: int = 25) -> Numbers:
    """Spread what is known of some records over the buckets that they share with others.

    Args:
        ours: buckets of each record, as `columns` gives them.
        theirs: buckets of each person, in the same order of columns but numbered differently.
        known: records whose persons are known at the start.
        rounds: at most so many times.

    Returns:
        The person guessed for each record, -1 where there is no guess.
    """
    guess = np.full(len(ours), -1, np.int64)
    guess[known[0]] = known[1]
    pairs = {pair: _unique(_joined(theirs, pair)) for pair in combinations(range(ours.shape[1]), 2)}
    named = np.full_like(ours, -1)
    for _ in range(rounds):
        before = (guess >= 0).sum()
        for column in range(ours.shape[1]):
            named[:, column] = _names(ours[:, column], theirs[:, column], guess)
        votes = np.full(len(ours), -1, np.int64)
        sure = np.zeros(len(ours), np.int8)
        for chosen, (keys, persons) in pairs.items():
            rows = np.flatnonzero((named[:, chosen] >= 0).all(axis=1) & (guess < 0))
            if not len(rows):
                continue
            wanted = _joined(named[rows], chosen)
            if not len(keys):
                continue
            at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
            hit = keys[at] == wanted
            rows, found = rows[hit], persons[at[hit]]
            fresh = votes[rows] < 0
            votes[rows[fresh]] = found[fresh]
            sure[rows] += np.where(votes[rows] == found, 1, -1).astype(np.int8)
        fits = votes >= 0
        agree = (named == theirs[votes]) & (named >= 0)
        clash = (named != theirs[votes]) & (named >= 0)
        fits &= (sure > 0) & (agree.sum(axis=1) >= 2) & (clash.sum(axis=1) == 0)
        guess[fits] = votes[fits]
        if (guess >= 0).sum() == before:
            break
    return guess


def _names(ours: Numbers, theirs: Numbers, guess: Numbers) -> Numbers:
    """Name buckets by the persons of the records in them, where most agree; the name of each record's bucket."""
    rows = np.flatnonzero((guess >= 0) & (ours >= 0))
    rows = rows[theirs[guess[rows]] >= 0]
    answer = np.full(len(ours), -1, np.int64)
    if not len(rows):
        return answer
    width = int(theirs.max()) + 1
    pairs, votes = np.unique(ours[rows] * width + theirs[guess[rows]], return_counts=True)
    buckets, names = np.divmod(pairs, width)
    total = np.bincount(buckets, votes, minlength=int(ours.max()) + 1)
    most = votes > _AGREED * total[buckets]
    name = np.full(int(ours.max()) + 1, -1, np.int64)
    name[buckets[most]] = names[most]
    present = ours >= 0
    answer[present] = name[ours[present]]
    return answer


def _joined(table: Numbers, chosen: Sequence[int]) -> Colours:
    """One number for several columns."""
    key = np.zeros(len(table), np.uint64)
    for column in chosen:
        key = _mix(key + (table[:, column] + 1).astype(np.uint64) * _ODD)
    return key


def _unique(values: Colours) -> tuple[Colours, Numbers]:
    """Values that occur once, sorted, and where."""
    order = np.argsort(values)
    ordered = values[order]
    edge = np.concatenate([[True], ordered[1:] != ordered[:-1], [True]])
    once = edge[1:] & edge[:-1]
    return ordered[once], order[once]


def _mix(values: Colours) -> Colours:
    """Scatter 64-bit numbers (the finisher of SplitMix64)."""
    mixed = values + _ODD
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
