"""Limits of lookups: how many a client may make, and how many that find nothing.

Numbers of 13 digits can be guessed. Whoever guesses is told apart by looking for people who are not there, so that has
a limit of its own, far below that of lookups. What is hidden counts as not there.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from mpi.config import Limits
from mpi.domain.access import Caller, Role
from mpi.errors import RateLimited

CLIENTS_KEPT = 4096
"""Clients whose lookups are counted at the same time; who has not called for longest is forgotten first."""
LOOKUPS, MISSES = "lookups", "misses"


@dataclass(slots=True)
class _Bucket:
    """Fills by a rate up to its size. It may be overdrawn once, and then must fill again."""

    left: float
    at: float

    def fill(self, now: float, rate: float, size: float) -> None:
        self.left, self.at = min(size, self.left + (now - self.at) * rate), now


class Guard:
    """Counts every client's lookups; the one thread of the event loop asks it.

    Attributes:
        refused: how often each limit refused somebody: an alarm should watch "misses".
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._rates = {LOOKUPS: limits.lookups, MISSES: limits.misses}
        self._sizes = {LOOKUPS: limits.lookups_at_once, MISSES: limits.misses_at_once}
        self._clock = clock
        self._buckets: OrderedDict[str, dict[str, _Bucket]] = OrderedDict()
        self.refused: Counter[str] = Counter()

    def admit(self, caller: Caller, lookups: int) -> None:
        """Let a client make lookups, and count them.

        Raises:
            RateLimited: it has made too many, or too many that found nothing; the error says when to come back.
        """
        if caller.role is Role.INSECURE:
            return
        buckets = self._of(caller)
        for kind in (MISSES, LOOKUPS):
            wanted = lookups if kind == LOOKUPS else 1
            missing = min(wanted, self._sizes[kind]) - buckets[kind].left
            if missing > 0:
                self.refused[kind] += 1
                what = "lookups" if kind == LOOKUPS else "lookups that find nothing"
                raise RateLimited(f"too many {what}; come back later", missing / self._rates[kind])
        buckets[LOOKUPS].left -= lookups

    def missed(self, caller: Caller, misses: int) -> None:
        """Count lookups that found nothing."""
        if misses and caller.role is not Role.INSECURE:
            self._of(caller)[MISSES].left -= misses

    def __len__(self) -> int:
        return len(self._buckets)

    def _of(self, caller: Caller) -> dict[str, _Bucket]:
        now, buckets = self._clock(), self._buckets.get(caller.urn)
        if buckets is None:
            buckets = self._buckets[caller.urn] = {kind: _Bucket(size, now) for kind, size in self._sizes.items()}
            if len(self._buckets) > CLIENTS_KEPT:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(caller.urn)
        for kind, bucket in buckets.items():
            bucket.fill(now, self._rates[kind], self._sizes[kind])
        return buckets
