"""The model of the population, read from `population.toml`, and the dice that it is thrown with."""

from __future__ import annotations

import math
import tomllib
from bisect import bisect_right
from collections.abc import Sequence
from importlib import resources
from itertools import accumulate
from typing import Any, TypeVar

import numpy as np

Table = dict[str, Any]
T = TypeVar("T")

_BLOCK = 4096


class Weighted:
    """Values with their shares; shares are scaled to a sum of 1."""

    __slots__ = ("limits", "shares", "values")

    def __init__(self, values: Sequence[Any], shares: Sequence[float]) -> None:
        total = math.fsum(shares)
        self.values = list(values)
        self.shares = [share / total for share in shares]
        self.limits = list(accumulate(self.shares))[:-1]


class Dice:
    """A stream of random draws, the same on every machine for the same numbers.

    Only uniform draws of PCG64 are used, because its bits are fixed by definition while the library may change how
    it makes other distributions of them. Draws are made in blocks: one at a time they would cost most of the run.
    """

    __slots__ = ("_drawn", "_source")

    def __init__(self, *numbers: int) -> None:
        self._source = np.random.Generator(np.random.PCG64(np.random.SeedSequence(numbers)))
        self._drawn: list[float] = []

    def uniform(self) -> float:
        """Draw from [0, 1)."""
        if not self._drawn:
            self._drawn = self._source.random(_BLOCK).tolist()
        return self._drawn.pop()

    def chance(self, share: float) -> bool:
        """Draw true with this share."""
        return self.uniform() < share

    def below(self, end: int) -> int:
        """Draw a whole number from 0 to `end` - 1."""
        return int(self.uniform() * end)

    def between(self, first: int, last: int) -> int:
        """Draw a whole number from `first` to `last`, both included."""
        return first + int(self.uniform() * (last - first + 1))

    def pick(self, values: Sequence[T]) -> T:
        """Draw one of the values, each alike."""
        return values[int(self.uniform() * len(values))]

    def weighted(self, choices: Weighted) -> Any:
        """Draw a value by its share."""
        return choices.values[bisect_right(choices.limits, self.uniform())]

    def poisson(self, mean: float) -> int:
        """Draw from a Poisson distribution with a small mean."""
        rest, drawn = self.uniform(), 0
        term = math.exp(-mean)
        while rest >= term and drawn < 50:
            rest -= term
            drawn += 1
            term *= mean / drawn
        return drawn

    def shuffle(self, values: list[T]) -> None:
        """Bring the values into a random order."""
        for last in range(len(values) - 1, 0, -1):
            other = self.below(last + 1)
            values[last], values[other] = values[other], values[last]


def load_model() -> Table:
    """Read the model; every list of values with a share each becomes a `Weighted`."""
    text = resources.files("mpi.batch").joinpath("population.toml").read_text(encoding="utf-8")
    model: Table = _with_shares(tomllib.loads(text))
    return model


def _with_shares(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_shares(entry) for key, entry in value.items()}
    if isinstance(value, list) and value and all(isinstance(entry, list) and _ends_in_share(entry) for entry in value):
        values = [entry[0] if len(entry) == 2 else tuple(entry[:-1]) for entry in value]
        return Weighted(values, [entry[-1] for entry in value])
    if isinstance(value, list):
        return [_with_shares(entry) for entry in value]
    return value


def _ends_in_share(entry: list[Any]) -> bool:
    return len(entry) > 1 and isinstance(entry[-1], float)
