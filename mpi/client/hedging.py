"""Hedging: a lookup that takes longer than almost all others is asked for once more, at another replica.

The first answer counts, and the other attempt is cancelled. gRPC describes such a policy, but the library under its
Python does not have it, so it is done here. A few lookups in a hundred are asked for twice, no more, and the journal of
the centre has an entry of each attempt.

What is asked for twice must use nothing up. Both attempts say so: a server refuses one whose answer would use up a
consent for one lookup, nothing is used, and the lookup is made once more, plainly. The glass is never broken twice.
"""

from __future__ import annotations

import itertools
import math
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import grpc

from mpi.client.channel import Channel
from mpi.errors import IndexBehind
from mpi.v1 import locator_service_pb2_grpc
from mpi.wire.consent import HEDGED
from mpi.wire.status import from_wire

RECENT, EVERY = 200, 20
"""Lookups that say what is slow, and after how many of them that is worked out anew."""
SLOW_SHARE = 0.05
"""Share of the lookups that are slow."""
SOONEST_SECONDS = 0.01
"""A second attempt is not made sooner, however fast the others are."""
SECOND_SHARE, MOST_SAVED = 0.05, 10.0
"""Second attempts for each lookup, at most; and how many can be saved up."""
LOST_IN_A_ROW, AWAY_SECONDS = 3, 10.0
"""A replica that others had to answer for so often, and that answered nothing itself, comes last for so long."""
GRACE_SECONDS = 1.0
"""How long after its deadline a call is given up that has not said that it has ended."""


class Pace:
    """How long the lookups of one kind take, and from when on one is slow.

    Args:
        given: seconds; None to go by the lookups themselves.
    """

    def __init__(self, given: float | None) -> None:
        self._given = given
        self._recent = deque[float](maxlen=RECENT)
        self._noted = itertools.count(1)
        self._slow: float | None = None

    def slow(self) -> float | None:
        """Seconds after which a lookup is slow; None while too few were made to say."""
        return self._slow if self._given is None else self._given

    def note(self, seconds: float) -> None:
        """Note how long one took."""
        self._recent.append(seconds)
        if next(self._noted) % EVERY == 0:
            ordered = sorted(self._recent.copy())
            self._slow = max(SOONEST_SECONDS, ordered[int(len(ordered) * (1 - SLOW_SHARE))])


class Budget:
    """How many second attempts may be made: each lookup earns a share of one."""

    def __init__(self) -> None:
        self._saved = 0.0
        self._lock = threading.Lock()

    def earn(self) -> None:
        """Count a lookup."""
        with self._lock:
            self._saved = min(MOST_SAVED, self._saved + SECOND_SHARE)

    def spend(self) -> bool:
        """Take one second attempt, if there is one."""
        with self._lock:
            if self._saved < 1 - 1e-9:  # twenty times a twentieth
                return False
            self._saved -= 1
            return True


class Replica(NamedTuple):
    """One of the servers: its place among them, and its stub."""

    place: int
    stub: Any


class Replicas:
    """A channel to each server alone, and which of them are there now."""

    def __init__(self, channel: Channel, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        alone = [channel.opened(target, retries=False) for target in channel.addresses.targets]
        self._stubs: list[Any] = [locator_service_pb2_grpc.LocatorServiceStub(each) for each in alone]  # type: ignore[no-untyped-call]
        self._there = [False] * len(alone)
        self._lost = [0] * len(alone)
        self._away_until = [-math.inf] * len(alone)
        self._turn = itertools.count()
        for place, each in enumerate(alone):
            each.subscribe(partial(self._changed, place), try_to_connect=True)

    def in_turn(self) -> list[Replica]:
        """Give those that are there, the next in turn first.

        One that hangs keeps its connection for a while, and would keep every second lookup waiting: it comes last.
        """
        there = [place for place, is_there in enumerate(self._there) if is_there]
        turn, now = next(self._turn) % max(1, len(there)), self._clock()
        ordered = sorted(there[turn:] + there[:turn], key=lambda place: self._away_until[place] > now)
        return [Replica(place, self._stubs[place]) for place in ordered]

    def note(self, place: int, *, answered: bool) -> None:
        """Note whether one answered what it was asked first, or the other had to, or neither in time."""
        if answered:
            self._lost[place] = 0
            return
        self._lost[place] += 1
        if self._lost[place] >= LOST_IN_A_ROW:
            self._away_until[place] = self._clock() + AWAY_SECONDS

    def _changed(self, place: int, state: grpc.ChannelConnectivity) -> None:
        self._there[place] = state is grpc.ChannelConnectivity.READY


class Hedge:
    """Makes lookups, some of them twice.

    Args:
        channel: to several servers.
        after: seconds after which a lookup is slow; None for longer than 95 in 100 of the last ones took.
    """

    def __init__(self, channel: Channel, after: float | None) -> None:
        self._channel = channel
        self._paces = {name: Pace(after) for name in ("Locate", "BatchLocate")}
        self._budget = Budget()
        self._lock = threading.Lock()
        self._replicas: Replicas | None = None

    def call(self, name: str, request: Any, timeout: float) -> Any:
        """Make a call of LocatorService that uses nothing up but a consent for one lookup.

        Raises:
            MpiError: what its status means.
        """
        pace, begun = self._paces[name], time.monotonic()
        there, response = self._in_turn(), None
        if there:
            self._budget.earn()
            slow = pace.slow() if len(there) > 1 else None
            response = self._asked(there, name, request, slow, begun + timeout)
        if response is None:
            plain, left = getattr(self._channel.locator, name), begun + timeout - time.monotonic()
            response = self._channel.call(plain, request, left)
        pace.note(time.monotonic() - begun)
        return response

    def _in_turn(self) -> list[Replica]:
        with self._lock:
            if self._replicas is None:
                self._replicas = Replicas(self._channel)
        return self._replicas.in_turn()

    def _asked(self, there: Sequence[Replica], name: str, request: Any, slow: float | None, until: float) -> Any | None:
        """Ask one server, and the next where that is slow; None where a plain call must be made."""
        assert self._replicas is not None  # noqa: S101 (they are of it)
        done = queue.SimpleQueue[Any]()
        attempts: list[Any] = []

        def begin() -> None:
            begin = self._channel.begun(getattr(there[len(attempts)].stub, name).future)
            call = begin(request, timeout=until - time.monotonic(), metadata=(HEDGED,))
            attempts.append(call)
            call.add_done_callback(done.put)

        try:
            begin()
            try:
                ended = self._ended(done, until) if slow is None else done.get(timeout=slow)
            except queue.Empty:
                if self._budget.spend():
                    begin()
                ended = self._ended(done, until)
            over = 1
            while ended.code() is not grpc.StatusCode.OK:
                if over == len(attempts):
                    if over == len(there) or not _is_lost(ended):
                        break
                    begin()  # another one may be there
                ended, over = self._ended(done, until), over + 1
            return self._answer(ended)
        finally:
            if attempts:
                answered = attempts[0].done() and attempts[0].code() is not grpc.StatusCode.DEADLINE_EXCEEDED
                self._replicas.note(there[0].place, answered=answered)
            for call in attempts:
                call.cancel()

    def _ended(self, done: queue.SimpleQueue[Any], until: float) -> Any:
        try:
            return done.get(timeout=max(0.0, until - time.monotonic()) + GRACE_SECONDS)
        except queue.Empty:
            raise self._channel.late() from None

    def _answer(self, ended: Any) -> Any | None:
        if ended.code() is grpc.StatusCode.OK:
            return ended.result()
        if _is_lost(ended) or ended.code() is grpc.StatusCode.FAILED_PRECONDITION:  # a consent to use up
            return None
        raise self._channel.meant(ended)


def _is_lost(ended: Any) -> bool:
    """Say whether a server was not there to answer; one that is behind a demanded revision has answered."""
    return ended.code() is grpc.StatusCode.UNAVAILABLE and not isinstance(from_wire(ended), IndexBehind)
