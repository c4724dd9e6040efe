"""The best of what others offer, on plaintext: what linkage of encoded records is held against.

Splink 5 and the ECM classifier of recordlinkage see the very records that facilities encode, normalised and romanised
alike, and nothing of the encoding. Both want packages of the extra ``bench``.
"""

from __future__ import annotations

import sys
from typing import NoReturn

EXTRA = "bench"
"""Optional dependency that brings Splink and recordlinkage."""


def absent(missing: ModuleNotFoundError) -> NoReturn:
    """End the run and say which package is missing and how to get it."""
    sys.exit(f"{missing.name} is not installed; the baselines need: pip install '.[{EXTRA}]'")
