"""Rates and how sure they are."""

from __future__ import annotations

import math


def wilson(right: int, of: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share (1927)."""
    if not of:
        return 0.0, 1.0
    z = 1.959964
    share = right / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of)) / (1 + z * z / of)
    return max(0.0, middle - half), min(1.0, middle + half)
