"""All attacks on one bucket, on the same records."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from . import frequency, graph, meanfield, pattern, table, weight
from .assignment import Known
from .duplicates import merged
from .encodings import Encoding, View, encode, views, views_with_facility_key
from .people import NOISE, TWICE, Scene, scene

Numbers = npt.NDArray[np.int64]

ATTACKS = ("frequency", "weight", "graph", "mean field", "pattern")
"""What a thief can do."""
KEY_ATTACKS = ("weight", "graph", "mean field", "pattern", "table")
"""What a thief with a facility's key does; the table attack begins where enough persons are known."""
MARGINS = ("truth-started", "all others known")
"""What no thief can do: how much is there to be found by a better search, or by one who knows nearly everybody."""
LARGE = 2000
"""Groups above which the mean field takes one variance for all pairs and fewer steps."""


@dataclass(frozen=True)
class Outcome:
    """One attack on one bucket.

    Attributes:
        attack: its name.
        right: records of unknown persons that it matched to the right person.
        attacked: records of unknown persons.
        seconds: what it took.
    """

    attack: str
    right: int
    attacked: int
    seconds: float


def run(
    encoding: Encoding,
    size: int,
    known: int,
    overlap: float,
    seed: int,
    attacks: Collection[str] = (*ATTACKS, *MARGINS),
    facility_key: bool = False,
    noise: float = NOISE,
    twice: float = TWICE,
) -> list[Outcome]:
    """Make a bucket and attack it.

    Args:
        encoding: how it is encoded.
        size: people of the register who belong to it.
        known: persons whose records the attacker knows, people that are recorded just as the register has them.
        overlap: share of the people who are in the index.
        seed: of the people, the keys and the slips.
        attacks: names from `ATTACKS` and `MARGINS`; `KEY_ATTACKS` with a facility's key.
        facility_key: the attacker also holds the facilities' key.
        noise: share of records with a slip.
        twice: share of people with a second record.
    """
    bucket = scene(size, seed, encoding.shared, overlap, noise, twice)
    seen = (views_with_facility_key if facility_key else views)(encoding, bucket, seed)
    slips = [fields != bucket.register[place] for fields, place in zip(bucket.records, bucket.truth, strict=True)]
    persons = np.setdiff1d(bucket.truth, bucket.truth[slips])
    chosen = np.random.default_rng((seed, 11)).permutation(persons)[:known]
    rows = np.flatnonzero(np.isin(bucket.truth, chosen))
    told = (rows, bucket.truth[rows])
    groups, anchors, group = merged(seen, told)
    truth = np.zeros(len(groups[0].spins), np.int64)
    truth[group] = bucket.truth
    attacked = ~np.isin(bucket.truth, chosen)
    outcomes = []
    for attack in attacks:
        if attack == "table" and not table.feasible(encoding.bits, encoding.diffusions[-1], len(anchors[0])):
            continue
        begun = time.perf_counter()
        if attack == "frequency":
            guess = _by_frequency(encoding, bucket, seed)
        elif attack == "table":
            guess = table.attack(groups[0], encoding.diffusions[-1], anchors)[group]
        else:
            guess = _guess(attack, groups, anchors, truth)[group]
        right = int((guess == bucket.truth)[attacked].sum())
        outcomes.append(Outcome(attack, right, int(attacked.sum()), time.perf_counter() - begun))
    return outcomes


def _guess(attack: str, seen: list[View], known: Known, truth: Numbers) -> Numbers:
    even = len(seen[0].spins) > LARGE
    if attack == "weight":
        return weight.attack(seen, known)
    if attack == "graph":
        return graph.attack(seen, known)
    if attack == "pattern":
        return pattern.attack(seen, known)
    if attack == "mean field":
        return meanfield.attack(seen, known, 5 if even else 12, even)
    steps = 1 if attack == "all others known" else 8
    return meanfield.from_truth(seen, truth, known, steps, even)


def _by_frequency(encoding: Encoding, bucket: Scene, seed: int) -> Numbers:
    packed = np.concatenate(encode(encoding, bucket.records, seed), axis=1)
    plain = [
        tuple(person.get(each.field, "") for layer in encoding.layers for each in layer) for person in bucket.register
    ]
    values = np.unique(np.array(plain), axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
    return frequency.somebody(frequency.attack(frequency.classes(packed), values), values, seed)
