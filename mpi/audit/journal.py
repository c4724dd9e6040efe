"""The journal as a server uses it: entries of answers under way at the same time share one write to the disk."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Self

from mpi.audit.chain import LIMITS, Chain, Limits
from mpi.audit.keys import JournalKeys
from mpi.audit.lines import Fields
from mpi.domain.accounting import Access, NotAccounted

MOST_WAITING = 4096
"""Entries that may wait for the disk; more, and calls are refused."""
CLOSE_SECONDS = 0.001
"""Entries that follow each other so closely, most of the time, share groups: one write, one signature and one change of
threads. Entries that come now and then are written at once; so are those of a caller alone, however fast it is."""
COMPANY = 1 / 8
"""Share of entries, of late, that came while others waited or were being written, from which on there are several
callers."""
PAUSE_SECONDS = 0.001
"""A group to which nothing was added for so long is written."""
GATHER_SECONDS = 0.004
"""No entry waits longer than this for those after it."""
LOST_SECONDS = 0.1
"""How long after that the event loop that gathers is taken for one that has ended."""
LARGE = 64
"""Entries with which a group grows no further."""
MOST_PSEUDONYMS = 1000
"""Identities that one entry names; an answer with more has further entries."""
RETRY_SECONDS = 0.5
"""How often a journal that cannot be written is tried again."""

_REFUSED = "the audit journal cannot be written, so nothing is answered; try again later"

_Put = tuple[Sequence[Access], "asyncio.Future[None]"]
"""Entries that came together, and what is done when they are on disk."""

_log = logging.getLogger(__name__)


class Journal:
    """Takes entries from event loops and writes them on a thread of its own, all that wait in one group.

    When the disk is full or fails, the entries at hand are refused and the thread tries again until the disk takes a
    note of what was refused; until then every entry is refused at once.
    """

    def __init__(self, chain: Chain, keys: JournalKeys, *, retry: float = RETRY_SECONDS) -> None:
        self._chain = chain
        self._keys = keys
        self._retry = retry
        self._wake = threading.Condition()
        self._waiting: deque[_Put] = deque()
        self._waiting_entries = 0
        self._gathering = False
        self._writing = False
        self._came, self._gap, self._company = 0.0, 1.0, 0.0
        self._until = 0.0
        self._refused = 0
        self._broken = False
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="mpi-audit")
        self._thread.start()

    @classmethod
    def open(cls, folder: Path, heads: Path, keys: JournalKeys, limits: Limits = LIMITS) -> Self:
        """Open a journal for this process; raises as `Chain.open` does."""
        return cls(Chain.open(folder, heads, keys, limits), keys)

    @property
    def chain(self) -> str:
        """Name of the chain that this process writes."""
        return self._chain.name

    def check(self) -> None:
        """Make sure that entries are taken, before a call does anything.

        Raises:
            NotAccounted: the journal cannot be written.
        """
        if self._broken or self._stopping:
            with self._wake:
                self._refused += 1
            raise NotAccounted(_REFUSED)

    async def write(self, access: Access) -> None:
        """Write an entry; it is on disk when this returns.

        Raises:
            NotAccounted: it could not be written, or too much waits already.
        """
        # Who goes away cancels the waiting alone: the entry is written all the same.
        await self.put([access])

    def note(self, access: Access) -> None:
        """Write an entry of a call whose caller has gone, without waiting for it."""
        self.put([access]).add_done_callback(_seen)

    def close(self) -> None:
        """Write what waits, and let the chain go."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join()
        self._chain.close()

    def put(self, accesses: Sequence[Access]) -> asyncio.Future[None]:
        """Write entries together.

        Returns:
            What is done when they are on disk, with NotAccounted where they cannot be written.
        """
        loop = asyncio.get_running_loop()
        written: asyncio.Future[None] = loop.create_future()
        with self._wake:
            if self._broken or self._stopping or self._waiting_entries + len(accesses) > MOST_WAITING:
                self._refused += len(accesses)
                written.set_exception(NotAccounted(_REFUSED))
                return written
            now = time.monotonic()
            self._note_pace(now, len(accesses))
            self._waiting.append((accesses, written))
            self._waiting_entries += len(accesses)
            if self._gathering:
                return written
            if self._gap > CLOSE_SECONDS or self._company < COMPANY:
                self._wake.notify()
                return written
            self._gathering, self._until = True, now + GATHER_SECONDS
        loop.call_later(PAUSE_SECONDS, self._gather, loop, self._waiting_entries)
        return written

    def _note_pace(self, now: float, count: int) -> None:
        """Note how closely entries follow the last ones, and whether one is alone; the last eight times or so count."""
        gap, alone = min(now - self._came, 1.0) / count, count == 1 and not (self._waiting or self._writing)
        self._gap += (gap - self._gap) / 8
        self._company += ((not alone) - self._company) / 8
        self._came = now

    def _gather(self, loop: asyncio.AbstractEventLoop, seen: int) -> None:
        """Hand the group over unless it still grows."""
        waiting = self._waiting_entries
        if seen < waiting < LARGE and time.monotonic() < self._until:
            loop.call_later(PAUSE_SECONDS, self._gather, loop, waiting)
            return
        with self._wake:
            self._gathering = False
            self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._writing = False
                while (self._gathering or not self._waiting) and not self._broken and not self._stopping:
                    self._wake.wait(LOST_SECONDS)
                    if self._gathering and time.monotonic() > self._until + LOST_SECONDS:
                        self._gathering = False  # its event loop has ended
                if self._broken and not self._stopping:
                    self._wake.wait(self._retry)
                group = list(self._waiting)
                self._waiting.clear()
                self._waiting_entries = 0
                self._writing = True
                if self._stopping and not group:
                    return
            self._take(group)

    def _take(self, group: list[_Put]) -> None:
        error: NotAccounted | None = None
        try:
            entries = [
                entry for accesses, _ in group for access in accesses for entry in entries_of(access, self._keys)
            ]
            # Refusals are noted with the next entry; what is refused meanwhile, with the one after it.
            refused = self._refused
            if self._broken or (refused and group):
                entries.append({"kind": "refused", "calls": refused})
            if entries:
                self._chain.append(entries)
            if self._broken:
                _log.warning("the audit journal is written again; %d calls were refused", refused)
            if refused:
                with self._wake:
                    self._refused -= refused
            self._broken = False
        except Exception as failure:  # noqa: BLE001 (whatever it is, nothing may be answered, and the thread must live)
            if not self._broken:
                what = failure.strerror if isinstance(failure, OSError) else type(failure).__name__
                _log.error("the audit journal cannot be written (%s): calls are refused until it can", what)
            with self._wake:
                self._broken = True
                self._refused += sum(len(accesses) for accesses, _ in group)
            error = NotAccounted(_REFUSED)
        _settle(group, error)


def entries_of(access: Access, keys: JournalKeys) -> list[Fields]:
    """Write an access as entries: one, or several that share its request where it names very many identities."""
    pseudonyms = sorted(keys.all_pseudonyms(access.identities))
    common = {
        "kind": "access",
        "keys": access.key_epochs,
        "basis": access.basis,
        "call": access.call,
        "caller": access.caller,
        "purpose": access.purpose,
        "reason": access.reason,
        "request": access.request,
        "results": access.results,
        "revision": access.revision,
        "rules": access.rules_digest,
        "status": access.status,
    }
    return [
        {**common, "identities": pseudonyms[start : start + MOST_PSEUDONYMS]}
        for start in range(0, len(pseudonyms) or 1, MOST_PSEUDONYMS)
    ]


def _seen(written: asyncio.Future[None]) -> None:
    """Take note of an error whose caller has gone; asyncio would complain of it otherwise."""
    if not written.cancelled():
        written.exception()


def _settle(group: list[_Put], error: NotAccounted | None) -> None:
    for loop in {written.get_loop() for _, written in group}:
        mine = [written for _, written in group if written.get_loop() is loop]
        with suppress(RuntimeError):  # the loop has ended, and its callers with it
            loop.call_soon_threadsafe(partial(_release, mine, error))


def _release(group: list[asyncio.Future[None]], error: NotAccounted | None) -> None:
    for written in group:
        if written.done():
            continue
        if error is None:
            written.set_result(None)
        else:
            written.set_exception(NotAccounted(error.message))
