"""Lookups: where the records of a person are, for one key or any number, and whom demographics come near."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

import grpc

from mpi.client.channel import Channel, Part
from mpi.client.frames import to_frame
from mpi.client.hedging import Hedge
from mpi.client.stream import BATCHES_IN_FLIGHT, Stream
from mpi.coalescing import Coalescer
from mpi.domain.identifiers import LocateKey
from mpi.domain.identity import Decision, Identity, MatchCandidate
from mpi.domain.purpose import PurposeOfUse
from mpi.domain.record import EncodedDemographics
from mpi.errors import AccessDenied, MpiError, Reason, RecordRejected, ServiceUnavailable
from mpi.feed import PATIENCE_SECONDS
from mpi.v1 import locator_service_pb2 as locator_pb2
from mpi.wire import convert

if TYPE_CHECKING:
    import pandas as pd

MOST_TOGETHER = 500
"""Lookups that share a call."""
SOONEST_SECONDS, LATEST_SECONDS = 0.2, 5.0
"""How long it takes until a stream of lookups that broke is opened again: twice as long each time, up to the latter."""
FRESH_SECONDS = 5.0
"""How long a server waits for a demanded revision before it answers, in a call without a deadline such as a stream."""
CALLS_TOGETHER = 2
"""Calls for lookups under way at the same time, from which on further lookups share the next one."""


@dataclass(frozen=True, slots=True)
class Located:
    """The identities that a key belongs to.

    Attributes:
        identities: the identities.
        revision: token of the state that was answered from.
        registered: when each facility in them registered last, by its code, UTC: how fresh what is known from it is. It
            may have registered again within a minute after that. Empty in an answer about the past.
    """

    identities: tuple[Identity, ...]
    revision: bytes
    registered: Mapping[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BatchLocated:
    """What became of many keys.

    Attributes:
        answers: for each key, in order, its identities or why it was not looked up.
        revision: token of the state that was answered from.
        registered: as in `Located`, for every facility in the answers.
    """

    answers: tuple[tuple[Identity, ...] | RecordRejected, ...]
    revision: bytes
    registered: Mapping[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Matched:
    """The identities that came near, nearest first, and what registering the same demographics would lead to."""

    candidates: tuple[MatchCandidate, ...]
    decision: Decision
    revision: bytes


class _Source:
    """Keys, of which reading may fail; what was read before counts all the same."""

    def __init__(self, keys: Iterable[LocateKey]) -> None:
        self._left = iter(keys)
        self._failure: Exception | None = None

    def take(self, most: int) -> list[LocateKey]:
        """Read some keys; none at the end, or where reading failed."""
        part: list[LocateKey] = []
        if self._failure is None:
            try:
                part.extend(islice(self._left, most))
            except Exception as error:  # noqa: BLE001 (whatever it is, `check` tells it)
                self._failure = error
        return part

    def check(self) -> None:
        """Raise what reading failed with, if it did."""
        if self._failure is not None:
            raise self._failure


class Looking(Part):
    """Calls of whoever looks for records; see `Client` for the arguments."""

    def __init__(self, channel: Channel, *, coalesce: bool, hedge: bool, hedge_after: float | None) -> None:
        super().__init__(channel)
        self._hedge = Hedge(channel, hedge_after) if hedge and len(channel.addresses.places) > 1 else None
        self._coalesces = coalesce
        self._coalescer = Coalescer[tuple[LocateKey, PurposeOfUse], Located](
            self._together, MOST_TOGETHER, CALLS_TOGETHER
        )

    def locate(
        self,
        key: LocateKey,
        purpose: PurposeOfUse,
        at_least: bytes | None = None,
        as_of: bytes | None = None,
        reason: str = "",
    ) -> Located:
        """Find the identities that a key belongs to and where their records are (compare IHE ITI-119).

        Args:
            key: whom to look for.
            purpose: why.
            at_least: token of a write that the answer must reflect.
            as_of: token of the state that is asked about; with an enterprise id only, and for stewards.
            reason: why the glass is broken, with purpose BTG; a privacy officer reads it.

        Raises:
            IndexBehind: the index did not reach `at_least` within the deadline.
            AccessDenied: the client may not look up.
        """
        if self._coalesces and not (at_least or as_of or reason):
            try:
                return self._coalescer.get((key, purpose), self._channel.timeout)
            except TimeoutError:
                raise self._channel.late() from None
        return self._locate(key, purpose, at_least, as_of, reason)

    def _locate(
        self,
        key: LocateKey,
        purpose: PurposeOfUse,
        at_least: bytes | None = None,
        as_of: bytes | None = None,
        reason: str = "",
        timeout: float | None = None,
    ) -> Located:
        request = locator_pb2.LocateRequest(
            key=convert.key_to_proto(key),
            purpose=convert.purpose_to_proto(purpose),
            at_least=at_least or b"",
            as_of=as_of or b"",
            reason=reason,
        )
        response = self._read("Locate", request, timeout, hedged=purpose is not PurposeOfUse.BTG)
        identities = tuple(convert.identity_from_proto(identity) for identity in response.identities)
        return Located(identities, response.revision, convert.registrations_from_proto(response.registrations))

    def _together(self, asked: Sequence[tuple[LocateKey, PurposeOfUse]], left: float) -> list[Located | Exception]:
        """Look up what several threads asked for, one call a purpose; each has its own answer or error."""
        until = time.monotonic() + left
        found: dict[int, Located | Exception] = {}
        for purpose in {purpose for _, purpose in asked}:
            places = [place for place, (_, each) in enumerate(asked) if each is purpose]
            keys = [asked[place][0] for place in places]
            try:
                if len(keys) > 1 and self._coalesces:
                    batch = self._batch_locate(keys, purpose, None, until - time.monotonic())
                    answers: list[Located | Exception] = [
                        each
                        if isinstance(each, RecordRejected)
                        else Located(each, batch.revision, _registered(each, batch))
                        for each in batch.answers
                    ]
                else:
                    answers = [self._alone(key, purpose, until) for key in keys]
            except AccessDenied as denied:
                if denied.reason is not Reason.ROLE_MISSING:
                    answers = [denied] * len(keys)
                else:
                    self._coalesces = False  # this client may look up one by one only
                    answers = [self._alone(key, purpose, until) for key in keys]
            except MpiError as error:
                answers = [error] * len(keys)
            found.update(zip(places, answers, strict=True))
        return [found[place] for place in range(len(asked))]

    def _alone(self, key: LocateKey, purpose: PurposeOfUse, until: float) -> Located | Exception:
        try:
            return self._locate(key, purpose, timeout=until - time.monotonic())
        except MpiError as error:
            return error

    def locate_many(
        self,
        keys: Iterable[LocateKey],
        purpose: PurposeOfUse,
        on_progress: Callable[[int], None] | None = None,
        patience: float = PATIENCE_SECONDS,
    ) -> Iterator[tuple[LocateKey, tuple[Identity, ...] | RecordRejected]]:
        """Look up any number of keys over one stream, some thousand ahead of where the answers are taken.

        Where the server goes away, the stream is opened again, elsewhere if there are several, and goes on with the
        keys that have no answer yet. Where `keys` fails, what it gave before is answered first.

        Args:
            keys: read as the answers are taken, never all at once.
            purpose: why.
            on_progress: told how many have been answered so far.
            patience: seconds that the server may be away in one piece; before its first answer no more than `timeout`.

        Yields:
            Each key, in order, with its identities or why it was not looked up.

        Raises:
            MpiError: the stream ended and could not be opened again; what was yielded before was answered.
        """
        for part, located in self._many(keys, purpose, on_progress, patience):
            yield from zip(part, located.answers, strict=True)

    def _many(
        self,
        keys: Iterable[LocateKey],
        purpose: PurposeOfUse,
        on_progress: Callable[[int], None] | None,
        patience: float,
    ) -> Iterator[tuple[list[LocateKey], BatchLocated]]:
        """Look up as `locate_many` does; gives the keys of a batch, and what became of them."""
        source, done, wait, until = _Source(keys), 0, SOONEST_SECONDS, math.inf
        parts: deque[list[LocateKey]] = deque()

        def batches(again: Sequence[list[LocateKey]]) -> Iterator[list[LocateKey]]:
            yield from again
            while part := source.take(MOST_TOGETHER):
                parts.append(part)
                yield part

        while True:
            with closing(self.locate_stream(batches(tuple(parts)), purpose)) as answers:
                while True:
                    try:
                        located = next(answers, None)
                    except ServiceUnavailable:
                        # Whoever never answered may be at another address: that must not take long to be told.
                        patient = patience if done else min(patience, self._channel.timeout)
                        until = min(until, time.monotonic() + patient)
                        if time.monotonic() + wait > until:
                            raise
                        break
                    if located is None:
                        source.check()
                        return
                    part = parts.popleft()
                    done, wait, until = done + len(part), SOONEST_SECONDS, math.inf
                    if on_progress is not None:
                        on_progress(done)
                    yield part, located
            time.sleep(wait)
            wait = min(2 * wait, LATEST_SECONDS)

    def locate_frame(
        self,
        keys: Iterable[LocateKey],
        purpose: PurposeOfUse,
        on_progress: Callable[[int], None] | None = None,
        patience: float = PATIENCE_SECONDS,
    ) -> pd.DataFrame:
        """Look up any number of keys as `locate_many` does, and make a table of pandas of what was found.

        It has a row for each record that was found, and one for each key that was refused; a key under which nothing is
        held has none. Its columns are `position` (of the key among the keys, from 0), `eid`, `facility`, `pointer` (the
        local id as only that facility can open it; bytes), `registered` (when that facility registered last, UTC) and
        `refused` (reason code; the others are empty then).

        Raises:
            ConfigInvalid: pandas is not installed; the extra `frames` brings it.
            MpiError: a call failed.
        """
        return to_frame(
            (answer, located.registered)
            for _, located in self._many(keys, purpose, on_progress, patience)
            for answer in located.answers
        )

    def batch_locate(
        self, keys: Sequence[LocateKey], purpose: PurposeOfUse, at_least: bytes | None = None
    ) -> BatchLocated:
        """Look up at most 1000 keys at once; arguments and errors as for `locate`.

        Raises:
            InputRejected: BATCH_TOO_LARGE.
        """
        return self._batch_locate(keys, purpose, at_least)

    def _batch_locate(
        self, keys: Sequence[LocateKey], purpose: PurposeOfUse, at_least: bytes | None, timeout: float | None = None
    ) -> BatchLocated:
        request = locator_pb2.BatchLocateRequest(
            keys=[convert.key_to_proto(key) for key in keys],
            purpose=convert.purpose_to_proto(purpose),
            at_least=at_least or b"",
        )
        return _located(self._read("BatchLocate", request, timeout))

    def locate_stream(
        self, batches: Iterable[Sequence[LocateKey]], purpose: PurposeOfUse, at_least: bytes | None = None
    ) -> Generator[BatchLocated, None, None]:
        """Look up batches over one stream; `batches` is read a few batches ahead of the answers and no further.

        Args:
            batches: at most 1000 keys each.
            purpose: why.
            at_least: token of a write that the answers must reflect.

        Yields:
            The answers to each batch, in order; of a batch that is refused as a whole, every key has the same error.

        Raises:
            MpiError: the stream ended; what was yielded before was answered.
        """
        stream = Stream(self._channel.begun(self._channel.locator.LocateStream))
        timeout = self._channel.timeout + (FRESH_SECONDS if at_least else 0.0)
        try:
            for keys in batches:
                request = locator_pb2.LocateStreamRequest(
                    keys=map(convert.key_to_proto, keys),
                    purpose=convert.purpose_to_proto(purpose),
                    at_least=at_least or b"",
                )
                stream.send(request)
                for response in stream.answers(BATCHES_IN_FLIGHT - 1, timeout):
                    yield _located(response)
            stream.finish()
            for response in stream.answers(0, timeout):
                yield _located(response)
        except grpc.RpcError as error:
            raise self._channel.meant(error) from None
        finally:
            stream.close()

    def _read(self, name: str, request: Any, timeout: float | None, *, hedged: bool = True) -> Any:
        if self._hedge is None or not hedged:
            return self._call(getattr(self._channel.locator, name), request, timeout)
        return self._hedge.call(name, request, self._channel.timeout if timeout is None else timeout)

    def match(self, demographics: EncodedDemographics, purpose: PurposeOfUse, limit: int = 10) -> Matched:
        """Weigh demographics against the index without storing anything.

        Args:
            demographics: whom to look for.
            purpose: why.
            limit: the most candidates wanted, 1 to 50.

        Raises:
            RecordRejected: the index cannot compare these demographics.
        """
        request = locator_pb2.MatchRequest(
            demographics=convert.demographics_to_proto(demographics),
            purpose=convert.purpose_to_proto(purpose),
            limit=limit,
        )
        response = self._call(self._channel.locator.Match, request)
        candidates = tuple(convert.candidate_from_proto(candidate) for candidate in response.candidates)
        return Matched(candidates, convert.decision_from_proto(response.decision), response.revision)


def _located(response: locator_pb2.BatchLocateResponse | locator_pb2.LocateStreamResponse) -> BatchLocated:
    answers = tuple(convert.located_from_proto(item) for item in response.outcomes)
    return BatchLocated(answers, response.revision, convert.registrations_from_proto(response.registrations))


def _registered(identities: Sequence[Identity], batch: BatchLocated) -> dict[str, datetime]:
    """When the facilities in some identities of a batch registered last."""
    found = {at.facility for identity in identities for at in identity.locations}
    return {code: batch.registered[code] for code in sorted(found & batch.registered.keys())}
