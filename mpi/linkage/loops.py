"""Loops that numba compiles where it is installed (extra `fast`); without it numpy does the same, to the last bit."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

FAST = importlib.util.find_spec("numba") is not None
"""Whether the loops are compiled."""


def compiled(name: str) -> Callable[..., Any]:
    """Give a loop of `mpi.linkage.compiled`, compiled at first use; numba keeps it on disk for the next process."""
    from mpi.linkage import compiled as loops

    return getattr(loops, name)  # type: ignore[no-any-return]
