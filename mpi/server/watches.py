"""Feeds of changes: when a page leaves.

Pages leave at set times after their stream began: how long reading took, with what was passed over, cannot be seen.
Where there is nothing to tell, a cursor leaves now and then all the same. Each page waits for its client to have taken
the last one, so a client that reads slowly holds one page in memory and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Protocol

from mpi.domain.access import Caller
from mpi.domain.consent import Asking
from mpi.domain.watching import IdentityEvent, Wanted
from mpi.errors import IndexBehind, RateLimited, StoreUnusable
from mpi.v1 import locator_service_pb2 as pb2
from mpi.wire import watching as wire

TICK_SECONDS = 0.2
"""Pages leave at multiples of this after their stream began."""
STILL_SECONDS = 15.0
"""After this time without a page a cursor leaves alone."""
EVENTS_OF_ONE = 200
"""No further changes are read for a page that holds so many events."""
REST = 1.0
"""How long the thread that reads rests, by the time that it worked: lookups share the interpreter with it, and a feed
can wait where somebody at a desk cannot."""
WATCHES_OF_ONE = 8
"""Feeds that one client may have open in a process."""
WAIT_SECONDS = 5.0
"""How long a feed waits for the index to reach its cursor, which another process gave out."""

_log = logging.getLogger(__name__)


class Page(Protocol):
    """What a client may learn of some changes."""

    @property
    def events(self) -> tuple[IdentityEvent, ...]:
        """What happened."""

    @property
    def revision(self) -> int:
        """The last of these changes."""


class Watching(Protocol):
    """Knows what each client may learn of the changes."""

    def revision(self) -> int:
        """The last change that can be told."""

    def opened(self, client: str, cursor: bytes) -> int:
        """Read where a client's cursor leads on from."""

    def cursor(self, client: str, revision: int) -> bytes:
        """Write a client's cursor."""

    def page(self, asking: Asking, wanted: Wanted, after: int, *, outside: bool) -> Page:
        """Say what a client may learn of the next changes."""


class Watches:
    """The feeds that are open in this process; one thread works for all of them."""

    def __init__(self, watching: Watching) -> None:
        self._watching = watching
        self._open = Counter[str]()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="mpi-watch")
        self._failing = False

    def close(self) -> None:
        """Wait until the page under way is read."""
        self._thread.shutdown(cancel_futures=True)

    async def feed(
        self, caller: Caller, asking: Callable[[], Asking], wanted: Wanted, cursor: bytes
    ) -> AsyncGenerator[pb2.WatchIdentitiesResponse | None, None]:
        """Give the pages of one feed, and None at every moment that one could leave and there is nothing to tell.

        Args:
            caller: the client.
            asking: says who watches and why, as long as they may; takes note of what the next page rests on.
            wanted: which events are.
            cursor: where to go on; empty for the newest change.

        Raises:
            RateLimited: the client has too many feeds open.
            RecordRejected: the cursor is none of this client's.
            IndexBehind: the index has not reached the cursor.
            AccessDenied: the client may not watch for this purpose any more.
        """
        with self._place(caller.urn):
            loop = asyncio.get_running_loop()
            begun = loop.time()
            at = await self._reached(caller.urn, cursor)
            left = loop.time()
            yield self._response(caller, (), at)
            while True:
                who = asking()
                events, until = list[IdentityEvent](), loop.time() + TICK_SECONDS
                while len(events) < EVENTS_OF_ONE and loop.time() < until and self._watching.revision() > at:
                    page = await self._page(partial(self._watching.page, who, wanted, at, outside=caller.is_outside))
                    if page is None or page.revision == at:
                        break
                    events += page.events
                    at = page.revision
                await asyncio.sleep(TICK_SECONDS - (loop.time() - begun) % TICK_SECONDS)
                if events or loop.time() - left >= STILL_SECONDS:
                    yield self._response(caller, events, at)
                    left = loop.time()
                else:
                    yield None

    async def _page(self, read: Callable[[], Page]) -> Page | None:
        """Read a page; None while the database is away."""
        try:
            page = await asyncio.get_running_loop().run_in_executor(self._thread, _rested, read)
        except StoreUnusable as error:
            # The client hears of it later, in order; lookups go on meanwhile.
            if not self._failing:
                _log.warning("changes cannot be told: %s", error.message)
            self._failing = True
            return None
        self._failing = False
        return page

    def _response(self, caller: Caller, events: Sequence[IdentityEvent], at: int) -> pb2.WatchIdentitiesResponse:
        return pb2.WatchIdentitiesResponse(
            events=map(wire.event_to_proto, events), cursor=self._watching.cursor(caller.urn, at)
        )

    async def _reached(self, client: str, cursor: bytes) -> int:
        if not cursor:
            return self._watching.revision()
        wanted, loop = self._watching.opened(client, cursor), asyncio.get_running_loop()
        until = loop.time() + WAIT_SECONDS
        while self._watching.revision() < wanted:
            if loop.time() > until:
                raise IndexBehind("the index has not reached the cursor; try again")
            await asyncio.sleep(TICK_SECONDS)
        return wanted

    @contextmanager
    def _place(self, client: str) -> Iterator[None]:
        if self._open[client] >= WATCHES_OF_ONE:
            raise RateLimited(f"the client has {WATCHES_OF_ONE} feeds open already", STILL_SECONDS)
        self._open[client] += 1
        try:
            yield
        finally:
            self._open[client] -= 1
            if not self._open[client]:
                del self._open[client]


def _rested(read: Callable[[], Page]) -> Page:
    """Read a page, and rest."""
    begun = time.thread_time()
    page = read()
    time.sleep(REST * (time.thread_time() - begun))
    return page
