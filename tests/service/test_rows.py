"""Rows of a bucket are looked up in several ways, by how many there are; all find the same."""

from __future__ import annotations

import numpy as np
import pytest

from mpi.service.matching import _rows_of


@pytest.mark.parametrize("rows", [0, 1, 199, 200, 201, 3000])
@pytest.mark.parametrize("wanted", [0, 1, 16, 17, 300])
def test_rows_of_wanted_numbers(rows: int, wanted: int) -> None:
    """As many as a plain look finds, also of numbers that stand on several rows or on none."""
    dice = np.random.default_rng(rows + wanted)
    numbers = dice.integers(1, 500, rows)
    those = np.unique(dice.integers(1, 700, wanted))
    expected = [row for row in range(rows) if numbers[row] in those]
    assert sorted(_rows_of(numbers, those).tolist()) == expected
