"""The calls that look people up: single ones together, batches, streams, demographics, and the feed of changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from concurrent.futures import Executor
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Protocol, TypeVar

from mpi.domain.access import Caller, Role
from mpi.domain.consent import Asking
from mpi.domain.identifiers import EnterpriseId, LocateKey
from mpi.domain.identity import Decision, Lookups, MatchCandidate, Shown
from mpi.domain.record import EncodedDemographics
from mpi.errors import (
    AccessDenied,
    Conflict,
    IndexBehind,
    InputRejected,
    RateLimited,
    Reason,
    RecordRejected,
    ServiceUnavailable,
)
from mpi.server.accounts import ACCOUNT, Account
from mpi.server.edge import CALLER, Asked, Context, Outcome, Together
from mpi.server.limits import Guard
from mpi.server.servicers import Writer
from mpi.server.watches import Watches
from mpi.v1 import locator_service_pb2 as locator_pb2
from mpi.v1 import locator_service_pb2_grpc
from mpi.wire import answers, consent, convert, watching
from mpi.wire.answers import Answer
from mpi.wire.status import item_error

EMPTY_SECONDS, EMPTY_MATCH_SECONDS = 0.002, 0.05
"""Answers that show nobody, a batch's to any of its keys, leave at multiples of these after their request came: an
objection that was read takes some microseconds, hidden candidates some milliseconds, and neither must tell."""
WAIT_WITHOUT_DEADLINE = 5.0
"""Seconds that a look-up waits for a revision when the caller set no deadline."""

_POLL_SECONDS = 0.01
_ANSWER_SHARE = 0.1
"""Share of the time left that is kept for the answer "not yet" to reach the caller before its deadline."""
_KEYS_AT_ONCE = 250
"""Of a batch: single look-ups go between."""
_PATIENT_SECONDS, _PATIENT_TIMES = 2.0, 10
"""How long a batch of a stream waits for its client's limit, at most so often; then the stream ends."""
_EARLY_SECONDS = 0.005
"""How much too early a timer may fire, which would count as one of these times."""
LOCATE = "/mpi.v1.LocatorService/Locate"
_UNANSWERED = ServiceUnavailable("the call was not answered")

Result = TypeVar("Result")


class Locator(Protocol):
    """Answers where a person's records are, within microseconds.

    What a key leads to, shown or hidden, is noted in the `weighed` of its asking, where the audit journal finds it.
    """

    def locate_all(self, keys: Sequence[LocateKey | RecordRejected], askings: Sequence[Asking]) -> Lookups:
        """Find the identities that keys belong to, as far as they may be shown to who asks for each.

        The answer to a key that was refused is why.
        """

    def locate_once(self, key: LocateKey, asking: Asking, request: str) -> Lookups:
        """Find those of one key, and use the consent up; this writes."""

    def break_glass(self, key: LocateKey, asking: Asking, reason: str, request: str) -> Lookups:
        """Find all that is held, and leave a task for the privacy officer; this writes."""

    def revision(self) -> int:
        """Say which revision every following answer reflects at least."""


class Matcher(Protocol):
    """Weighs demographics against the index."""

    def match(
        self, demographics: EncodedDemographics, limit: int, asking: Asking
    ) -> tuple[list[MatchCandidate], Decision]:
        """Give the nearest identities, nearest first, and what registering would lead to."""


class History(Protocol):
    """Answers where a person's records were."""

    def locate_at(self, key: LocateKey, revision: int) -> Lookups:
        """Find the identity that a key belonged to after a revision."""


class Pseudonyms(Protocol):
    """Gives every client enterprise ids of its own."""

    def outward(self, client: str, eid: str) -> str:
        """The id that a client sees."""

    def all_outward(self, client: str, eids: Sequence[str]) -> list[str]:
        """The ids that a client sees, in the order of those that they stand for."""

    def inward(self, client: str, eid: str) -> str:
        """The id behind what a client says."""


class LocatorServicer(locator_service_pb2_grpc.LocatorServiceServicer):
    """Answers where a person's records are (compare IHE ITI-119)."""

    def __init__(
        self,
        locator: Locator,
        history: History,
        matcher: Matcher,
        pseudonyms: Pseudonyms,
        watches: Watches,
        guard: Guard,
        writer: Writer,
        pool: Executor,
    ) -> None:
        self._locator = locator
        self._watches = watches
        self._history = history
        self._matcher = matcher
        self._pseudonyms = pseudonyms
        self._guard = guard
        self._writer = writer
        self._pool = pool

    def together(self) -> dict[str, Together]:
        """How calls of Locate are served: those that came in the same moment read the index together."""
        return {LOCATE: Together(locator_pb2.LocateRequest.FromString, self.locate_together)}

    def locate_together(self, asked: Sequence[Asked]) -> list[Outcome]:
        """Find the identities that the key of each call belongs to.

        Almost all calls are answered from one snapshot of the index. What waits, writes, or reads the past is left to
        be done by itself; so is an answer that shows nobody, which leaves a little later.
        """
        begun = asyncio.get_running_loop().time()
        outcomes: list[Outcome] = []
        places, keys, askings = list[int](), list[LocateKey](), list[Asking]()
        for each in asked:
            try:
                key, asking, reason = self._wanted(each)
                if reason or each.request.as_of or self._is_behind(each.request.at_least):
                    outcomes.append(partial(self._locate_by_itself, each, key, asking, reason, begun))
                    continue
            except Exception as error:  # noqa: BLE001 (one call's failure is its own)
                outcomes.append(error)
                continue
            places.append(len(outcomes))
            outcomes.append(_UNANSWERED)
            keys.append(key)
            askings.append(asking)
        found = self._locator.locate_all(keys, askings)
        for place, identities, key, asking in zip(places, found.answers, keys, askings, strict=True):
            each = asked[place]
            if identities is None:
                outcomes[place] = partial(self._locate_by_itself, each, key, asking, "", begun)
            elif isinstance(identities, RecordRejected):
                outcomes[place] = identities
            else:
                outcomes[place] = self._answered(each, identities, found, begun)
        return outcomes

    def _wanted(self, asked: Asked) -> tuple[LocateKey, Asking, str]:
        """The key, who asks why, and the reason for breaking the glass; the lookup is counted."""
        request, caller = asked.request, asked.caller
        asking = _asking(request.purpose, caller, asked.account)
        reason = consent.reason_from_proto(request.reason, asking.purpose)
        self._guard.admit(caller, 1)
        (key,) = self._keys([request.key], caller)
        if isinstance(key, RecordRejected):
            raise key
        return key, asking, reason

    async def _locate_by_itself(
        self, asked: Asked, key: LocateKey, asking: Asking, reason: str, begun: float
    ) -> Answer:
        """Answer a call that waits for a revision, reads the past, or writes."""
        request, call = asked.request, asked.call
        if request.at_least:
            await self._reached(request.at_least, call)
        if request.as_of:
            if not asked.caller.has(Role.STEWARD):
                raise AccessDenied(Reason.ROLE_MISSING, "the past is shown to stewards alone")
            revision = convert.revision_from_token(request.as_of, "as_of")
            found = await asyncio.get_running_loop().run_in_executor(self._pool, self._history.locate_at, key, revision)
            # What is read of the past was not weighed.
            asked.account.identities |= {eid for each in _shown(found.answers) for eid in (each.eid, *each.split)}
        elif reason:
            _check_once(call)
            work = partial(self._locator.break_glass, key, asking, reason, asked.account.request)
            found = await self._writer.run(work)
        else:
            found = await self._located([key], asking, call)
        (identities,) = found.answers
        if isinstance(identities, RecordRejected):
            raise identities
        assert identities is not None  # noqa: S101 (a consent that the answer needs has been used up)
        outcome = self._answered(asked, identities, found, begun, opened=bool(reason))
        return outcome if isinstance(outcome, Answer) else await outcome()

    def _answered(
        self, asked: Asked, identities: Sequence[Shown], found: Lookups, begun: float, *, opened: bool = False
    ) -> Answer | Callable[[], Awaitable[Answer]]:
        """Write the answer of one call; one that shows nobody waits."""
        self._guard.missed(asked.caller, not identities)
        known_as = self._outward(identities, asked.caller)
        answer = answers.locate_answer(identities, known_as, found.revision, found.registered, opened=opened)
        return answer if identities else partial(_empty, begun, answer)

    async def BatchLocate(self, request: locator_pb2.BatchLocateRequest, context: Context) -> Answer:
        """Answer many keys, in their order; a malformed key is answered with its own error."""
        convert.check_batch(request.keys, "keys")
        return await self._batch(request, context)

    async def LocateStream(
        self, request_iterator: AsyncIterator[locator_pb2.LocateStreamRequest], context: Context
    ) -> AsyncIterator[Answer | locator_pb2.LocateStreamResponse]:
        """Answer batches as `BatchLocate` does; the next is read when the answer to the last has been sent."""
        async for request in request_iterator:
            convert.check_batch(request.keys, "keys")
            try:
                yield await _paced(partial(self._batch, request, context))
            except (InputRejected, IndexBehind) as refused:
                ACCOUNT.get().refused = refused
                response = locator_pb2.LocateStreamResponse()
                for _ in request.keys:
                    response.outcomes.add().error.CopyFrom(item_error(refused))
                yield response

    async def WatchIdentities(
        self, request: locator_pb2.WatchIdentitiesRequest, context: Context
    ) -> AsyncIterator[locator_pb2.WatchIdentitiesResponse | None]:
        """Tell what the caller may learn of changes to identities, from now or from a cursor on."""

        def asking() -> Asking:
            return _asking(request.purpose, CALLER.get(), ACCOUNT.get())

        consent.check_unbroken(asking().purpose)
        wanted = watching.wanted_from_proto(request)
        self._guard.admit(CALLER.get(), 1)
        async with aclosing(self._watches.feed(CALLER.get(), asking, wanted, request.cursor)) as pages:
            async for page in pages:
                yield page
                ACCOUNT.get().anew()

    async def Match(self, request: locator_pb2.MatchRequest, context: Context) -> locator_pb2.MatchResponse:
        """Weigh demographics against the index without storing anything."""
        begun = asyncio.get_running_loop().time()
        asking = _asking(request.purpose, CALLER.get(), ACCOUNT.get())
        consent.check_unbroken(asking.purpose)
        limit = convert.limit_from_proto(request.limit)
        if not request.HasField("demographics"):
            raise RecordRejected(Reason.REQUEST_INVALID, "demographics", "is missing")
        self._guard.admit(CALLER.get(), 1)
        demographics = convert.demographics_from_proto(request.demographics)
        revision = self._locator.revision()
        candidates, decision = await asyncio.get_running_loop().run_in_executor(
            self._pool, self._matcher.match, demographics, limit, asking
        )
        caller = CALLER.get()
        self._guard.missed(caller, not candidates)
        if not candidates:
            await _levelled(begun, EMPTY_MATCH_SECONDS)
        if caller.is_outside:
            outward = partial(self._pseudonyms.outward, caller.urn)
            candidates = [replace(candidate, eid=outward(candidate.eid)) for candidate in candidates]
        return locator_pb2.MatchResponse(
            candidates=[convert.candidate_to_proto(candidate) for candidate in candidates],
            decision=convert.decision_to_proto(decision),
            revision=convert.revision_to_token(revision),
        )

    async def _batch(
        self, request: locator_pb2.BatchLocateRequest | locator_pb2.LocateStreamRequest, context: Context
    ) -> Answer:
        """Answer a batch."""
        begun = asyncio.get_running_loop().time()
        asking = _asking(request.purpose, CALLER.get(), ACCOUNT.get())
        consent.check_unbroken(asking.purpose)
        self._guard.admit(CALLER.get(), len(request.keys))
        revision = await self._reached(request.at_least, context)
        outcomes: list[tuple[Shown, ...] | RecordRejected] = []
        registered: dict[str, bytes] = {}
        for start in range(0, len(request.keys), _KEYS_AT_ONCE):
            keys = self._keys(request.keys[start : start + _KEYS_AT_ONCE], CALLER.get())
            found = await self._located(keys, asking, context)
            outcomes += found.answers  # type: ignore[arg-type]  # none is missing
            registered.update(found.registered)
            await asyncio.sleep(0)  # single look-ups go between
        misses = outcomes.count(())
        self._guard.missed(CALLER.get(), misses)
        if misses:
            await _levelled(begun, EMPTY_SECONDS)
        return answers.batch_answer(outcomes, self._outward(_shown(outcomes), CALLER.get()), revision, registered)

    async def _located(self, keys: Sequence[LocateKey | RecordRejected], asking: Asking, context: Context) -> Lookups:
        """Look keys up, using up the consents that it takes; no answer is missing."""
        found = self._locator.locate_all(keys, [asking] * len(keys))
        if None not in found.answers:
            return found
        led_to, registered = list(found.answers), dict(found.registered)
        for at, key in enumerate(keys):
            if led_to[at] is None and not isinstance(key, RecordRejected):
                _check_once(context)
                work = partial(self._locator.locate_once, key, asking, ACCOUNT.get().request)
                once = await self._writer.run(work)
                led_to[at] = once.answers[0]
                registered.update(once.registered)
        return Lookups(led_to, found.revision, registered)

    def _keys(self, messages: Sequence[locator_pb2.LocateKey], caller: Caller) -> list[LocateKey | RecordRejected]:
        """Read keys, in the ids that the index knows; for one that is malformed, the error."""
        keys = convert.keys_from_proto(messages)
        if caller.is_outside:
            inward = partial(self._pseudonyms.inward, caller.urn)
            return [EnterpriseId(inward(key.value)) if isinstance(key, EnterpriseId) else key for key in keys]
        return keys

    def _outward(self, shown: Sequence[Shown], caller: Caller) -> dict[str, str]:
        """The ids that the caller sees for every id in identities."""
        eids = list(dict.fromkeys([each.eid for each in shown] + [part for each in shown for part in each.split]))
        return dict(
            zip(eids, self._pseudonyms.all_outward(caller.urn, eids) if caller.is_outside else eids, strict=True)
        )

    def _is_behind(self, at_least: bytes) -> bool:
        """Say whether the index has not reached a revision that a call demands; most demand none."""
        return bool(at_least) and convert.revision_from_token(at_least) > self._locator.revision()

    async def _reached(self, at_least: bytes, context: Context) -> int:
        """Wait until the index holds the demanded revision; give the revision that it stands at.

        Raises:
            IndexBehind: it did not get there within the caller's deadline.
        """
        wanted = convert.revision_from_token(at_least)
        revision = self._locator.revision()
        if revision >= wanted:
            return revision
        loop = asyncio.get_running_loop()
        left: float | None = context.time_remaining()
        until = loop.time() + (WAIT_WITHOUT_DEADLINE if left is None else left * (1 - _ANSWER_SHARE))
        while revision < wanted:
            if loop.time() >= until:
                raise IndexBehind("the index has not reached the revision asked for; try again")
            await asyncio.sleep(_POLL_SECONDS)
            revision = self._locator.revision()
        return revision


def _check_once(context: Context) -> None:
    """Refuse to use something up for a call that is made at several servers at once.

    Raises:
        Conflict: this one is.
    """
    if consent.HEDGED in (tuple(each) for each in context.invocation_metadata() or ()):
        raise Conflict("the answer would use something up; ask for it at one server alone")


def _shown(answers: Iterable[tuple[Shown, ...] | RecordRejected | None]) -> list[Shown]:
    """Every identity in answers."""
    return [identity for each in answers if isinstance(each, tuple) for identity in each]


async def _paced(work: Callable[[], Awaitable[Result]]) -> Result:
    """Do what a limit may refuse, a moment later where it says so: a stream's client waits anyway."""
    for _ in range(_PATIENT_TIMES):
        try:
            return await work()
        except RateLimited as refused:
            if refused.retry_after > _PATIENT_SECONDS:
                raise
            await asyncio.sleep(refused.retry_after + _EARLY_SECONDS)
    return await work()


async def _empty(begun: float, answer: Answer) -> Answer:
    """Give an answer that shows nobody, in its time."""
    await _levelled(begun, EMPTY_SECONDS)
    return answer


async def _levelled(begun: float, step: float) -> None:
    """Wait for the next multiple of a time after a call began."""
    spent = asyncio.get_running_loop().time() - begun
    await asyncio.sleep(step - spent % step)


def _asking(number: locator_pb2.PurposeOfUse.ValueType, caller: Caller, account: Account) -> Asking:
    """Who asks and why, if the caller may claim the purpose."""
    purpose = convert.purpose_from_proto(number)
    if not caller.may_claim(purpose):
        raise AccessDenied(Reason.PURPOSE_DENIED, "the client may not look up for this purpose")
    facility = caller.name if caller.role is Role.FACILITY else ""
    whole = Role.STEWARD in (caller.role, *caller.roles)
    return Asking(caller.urn, facility, purpose, whole, account.weighed)
