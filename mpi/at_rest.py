"""The centre's keys at rest by epoch: what the store and the index are sealed with.

There is one epoch, or two while everything is sealed anew. What is sealed says which epochs it takes to open it; a
process that started before the newer one was made learns of it here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mpi.errors import StoreUnusable
from mpi.keyfiles import epoch_name

FETCH_SECONDS = 1.0
"""How long keys that were fetched in vain are not fetched again: a key management system may take its time."""


@dataclass(frozen=True, slots=True, repr=False)
class RestKey:
    """One generation of the key at rest: the number of its epoch, from 1 on, and 32 secret bytes."""

    number: int
    secret: bytes

    @property
    def name(self) -> str:
        """Name of the epoch, which ends in a fingerprint of the secret."""
        return epoch_name(self.number, self.secret)

    def __repr__(self) -> str:
        return f"RestKey({self.number})"


class AtRest:
    """The keys at rest that the centre holds, by name.

    Args:
        fetch: reads them, from the oldest epoch on; called once now, and again when another one is needed.
    """

    def __init__(self, fetch: Callable[[], Sequence[RestKey]]) -> None:
        self._fetch = fetch
        self._lock = threading.Lock()
        self._keys = tuple(fetch())
        self._vain = -FETCH_SECONDS

    @classmethod
    def of(cls, *secrets: bytes) -> AtRest:
        """Keys that stay as they are, from the oldest epoch on."""
        keys = [RestKey(number, secret) for number, secret in enumerate(secrets, 1)]
        return cls(lambda: keys)

    @property
    def oldest(self) -> RestKey:
        """The key of the oldest epoch that is known."""
        return self._keys[0]

    @property
    def newest(self) -> RestKey:
        """The key of the newest epoch that is known."""
        return self._keys[-1]

    def named(self, names: Sequence[str]) -> list[RestKey]:
        """The keys of these epochs, in this order.

        Raises:
            StoreUnusable: the centre's keys lack one of them.
        """
        known = {key.name: key for key in self._keys}
        if not known.keys() >= set(names):
            known = self._again(set(names))
        missing = [name for name in names if name not in known]
        if missing:
            raise StoreUnusable(
                f"rows are sealed with the key at rest of epoch {missing[0]}, which the centre's keys do not hold: the "
                "key file is another one, or an older copy"
            )
        return [known[name] for name in names]

    def _again(self, wanted: set[str]) -> dict[str, RestKey]:
        with self._lock:
            known = {key.name: key for key in self._keys}
            if not known.keys() >= wanted and time.monotonic() - self._vain >= FETCH_SECONDS:
                self._keys = tuple(self._fetch())
                known = {key.name: key for key in self._keys}
                if not known.keys() >= wanted:
                    self._vain = time.monotonic()
            return known
