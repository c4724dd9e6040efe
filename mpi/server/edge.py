"""What every call of mpi.v1 passes on its way in: who calls, whether they may, and how failures leave.

Health and reflection are not behind the edge: they answer to anyone who got through the TLS handshake.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, aclosing, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError, Message

from mpi.domain.access import INSECURE_CALLER, Caller, ClientRule, Role, client_named
from mpi.domain.accounting import Access, NotAccounted
from mpi.errors import AccessDenied, InputRejected, RateLimited, Reason, ServiceUnavailable
from mpi.server.accounts import ACCOUNT, Account, Journal
from mpi.server.http2.call import Call, CallEnded
from mpi.server.http2.listener import Server
from mpi.server.tls import Peer, Revocation
from mpi.wire.answers import Answer
from mpi.wire.status import to_wire

Context = Call
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Parse = Callable[[bytes], Message]

REQUEST_KEY = "mpi-request"
"""Trailing metadata that names the call as the audit journal and the log of changes do."""

_OURS = "/mpi.v1."

MAX_CALLS = 1024
"""Calls served at the same time. A call counts from when its request has come: requests that are sent by halves hold
a connection's streams, and nobody else's place."""
CALLS_OF_ONE = 512
"""Of these, calls of one client."""
STREAMS_OF_ONE = 64
"""Streams that one client may have open: it must not take all the calls that the server serves at the same time."""
BUSY_SECONDS = 1.0
"""How long a client should wait before it calls again when there is no place."""
IDLE_SECONDS = 120.0
"""How long a stream may wait for its client's next message; one that never comes must not hold a place for ever."""
LOOK_SECONDS = 0.5
"""How often it is asked whether the client of a feed that has nothing to tell may still call."""

_STOPPING = "the server is stopping; go on elsewhere"

CALLER: ContextVar[Caller] = ContextVar("mpi_caller")
"""The client of the call that is being served; set before a servicer is entered."""


@lru_cache(maxsize=4096)
def caller_named(uris: tuple[str, ...]) -> Caller:
    """Find the client among the URIs of a certificate's subject alternative name.

    Raises:
        AccessDenied: CLIENT_UNKNOWN: none of them names a client of the index, or more than one does.
    """
    found = [caller for uri in uris if (caller := client_named(uri))]
    if len(found) == 1:
        return found[0]
    raise AccessDenied(Reason.CLIENT_UNKNOWN, "the certificate does not name one client of this index")


class Admission:
    """Knows the client behind a connection, and what the centre has decided about it.

    Args:
        insecure: no certificates are asked for.
        rule_of: gives what was decided about the client of a name; asked at every call, so it takes effect at once.
        revoked: says which certificates count no more.
    """

    def __init__(self, *, insecure: bool, rule_of: Callable[[str], ClientRule], revoked: Revocation | None) -> None:
        self._insecure = insecure
        self._rule_of = rule_of
        self._revoked = revoked

    def caller(self, peer: Peer) -> Caller:
        """Name the client at the other end.

        Raises:
            AccessDenied: CLIENT_UNKNOWN: no client is named, its certificate was revoked, or it is suspended.
        """
        if self._insecure:
            return Caller(INSECURE_CALLER, Role.INSECURE, "local")
        caller = caller_named(peer.uris)
        if self._revoked is not None and self._revoked.holds(peer.certificate):
            raise AccessDenied(Reason.CLIENT_UNKNOWN, "the certificate was revoked")
        rule = self._rule_of(caller.urn)
        if rule.suspended:
            raise AccessDenied(Reason.CLIENT_UNKNOWN, "the client is suspended")
        return (
            caller
            if not (rule.roles or rule.purposes is not None)
            else replace(caller, roles=rule.roles, purposes=rule.purposes)
        )


@dataclass(frozen=True, slots=True, repr=False)
class Asked:
    """One of several calls that are served together.

    Attributes:
        request: what is asked.
        call: the call.
        caller: whose it is, who may make it.
        account: its account.
    """

    request: Any
    call: Call
    caller: Caller
    account: Account


Outcome = Answer | Exception | Callable[[], Awaitable[Answer]]
"""What becomes of a call at once: its answer, its refusal, or what must be waited for."""


@dataclass(frozen=True, slots=True)
class Together:
    """How the calls of a method are served together: what reads one, and what serves them all."""

    parse: Parse
    serve: Callable[[Sequence[Asked]], Sequence[Outcome]]


class Edge:
    """Identifies the client, checks its role, accounts for every answer and refusal, and turns errors into status.

    An answer leaves when its entry is on disk. When the journal cannot be written, nothing is begun and nothing
    leaves but UNAVAILABLE.
    """

    def __init__(
        self,
        admission: Admission,
        journal: Journal,
        rules_digest: str,
        key_epochs: Iterable[str],
        inward: Callable[[str, str], str],
    ) -> None:
        self._admission = admission
        self._journal = journal
        self._in_force = rules_digest, " ".join(key_epochs)
        self._inward = inward
        self._calls_of = Counter[str]()
        self._streams_of = Counter[str]()
        self._waits = set[asyncio.Timeout]()
        self._draining = False

    def drain(self) -> None:
        """End the streams: each when it next waits for its client or for something to tell."""
        self._draining = True
        for wait in self._waits:
            wait.reschedule(0)

    def before(self, server: Server, together: Mapping[str, Together]) -> Guarded:
        """Stand before a server: services that are added to what this gives are served behind the edge.

        Args:
            server: the server.
            together: for methods whose calls are served together where they come together, what serves them.
        """
        return Guarded(server, self._wrapped, {method: self._together(method, together[method]) for method in together})

    def _wrapped(self, method: str, handler: Any) -> Handler:
        # Messages are parsed in here, where malformed bytes are an error of the client's.
        parse, write = handler.request_deserializer, _writing(handler.response_serializer)
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(
                self._unary(method, parse, handler.unary_unary), response_serializer=write
            )
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(
                self._feed(method, parse, handler.unary_stream), response_serializer=write
            )
        return grpc.stream_stream_rpc_method_handler(
            self._stream(method, parse, handler.stream_stream), response_serializer=write
        )

    def _together(self, method: str, together: Together) -> Callable[[list[Call]], None]:
        """Guard calls that are answered at once where they can be: they share a look-up and a write to the journal."""

        def guarded(calls: list[Call]) -> None:
            asked = []
            for call in calls:
                account = self._account(method, call)
                try:
                    caller = self._admitted(method, call, account)
                    message = self._taken(together.parse, call.taken(), account)
                    self._enter(caller.urn)
                    asked.append(Asked(message, call, caller, account))
                except Exception as error:  # noqa: BLE001 (as below)
                    call.start(partial(self._end, call, account, error))
            ready, accesses = list[tuple[Asked, Answer]](), list[Access]()
            for each, outcome in zip(asked, _outcomes(together, asked), strict=True):
                if isinstance(outcome, Answer):
                    ready.append((each, outcome))
                    accesses.append(each.account.answered(outcome))
                elif isinstance(outcome, Exception):
                    self._exit(each.caller.urn)
                    each.call.start(partial(self._end, each.call, each.account, outcome))
                else:
                    each.call.start(partial(self._later, each, outcome))
            if ready:
                self._journal.put(accesses).add_done_callback(partial(self._leave, ready))

        return guarded

    def _leave(self, ready: Sequence[tuple[Asked, Answer]], written: asyncio.Future[None]) -> None:
        """Send answers whose entries are on disk."""
        error = written.exception()
        for asked, answer in ready:
            self._exit(asked.caller.urn)
            try:
                if error is None:
                    asked.call.answer(answer.content)
                else:
                    asked.call.fail(error if isinstance(error, Exception) else ServiceUnavailable(_STOPPING))
            except Exception as wrong:  # noqa: BLE001 (one call's failure is its own)
                asked.call.fail(wrong)

    async def _later(self, asked: Asked, work: Callable[[], Awaitable[Answer]]) -> None:
        """Finish a call that could not be answered at once."""
        ACCOUNT.set(asked.account)
        CALLER.set(asked.caller)
        try:
            answer = await work()
            await self._journal.write(asked.account.answered(answer))
            asked.call.answer(answer.content)
        except BaseException as error:  # noqa: BLE001 (the last place that can keep a message from leaking)
            await self._end(asked.call, asked.account, error)
        finally:
            self._exit(asked.caller.urn)

    def _unary(self, method: str, parse: Parse, serve: Callable[[Any, Context], Awaitable[Any]]) -> Any:
        async def guarded(request: bytes, context: Context) -> Any:
            account = self._account(method, context)
            ACCOUNT.set(account)
            try:
                self._admit(method, context, account)
                with self._place(account.caller):
                    response = await serve(self._taken(parse, request, account), context)
                    await self._journal.write(account.answered(response))
                return response
            except BaseException as error:  # noqa: BLE001 (the last place that can keep a message from leaking)
                await self._end(context, account, error)

        return guarded

    def _stream(self, method: str, parse: Parse, serve: Callable[[Any, Context], AsyncGenerator[Any, None]]) -> Any:
        async def guarded(requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[Any]:
            account = self._account(method, context)
            ACCOUNT.set(account)
            answered = False
            try:
                self._admit(method, context, account)
                with self._open(account.caller), self._place(account.caller):
                    messages = (
                        self._taken(parse, request, account)
                        async for request in self._in_time(requests)
                        if self._still_admitted(method, context, account)
                    )
                    async with aclosing(serve(messages, context)) as responses:
                        async for response in responses:
                            await self._journal.write(account.answered(response))
                            answered = True
                            yield response
                if not answered:
                    await self._journal.write(account.ended("OK"))
            except BaseException as error:  # noqa: BLE001 (as above)
                await self._end(context, account, error)

        return guarded

    def _feed(self, method: str, parse: Parse, serve: Callable[[Any, Context], AsyncGenerator[Any, None]]) -> Any:
        """Guard a stream of answers to one request: it goes on for months, so who is served is asked throughout.

        Where there is nothing to send for a while, None comes instead of a response.
        """

        async def guarded(request: bytes, context: Context) -> AsyncIterator[Any]:
            account = self._account(method, context)
            ACCOUNT.set(account)
            try:
                self._admit(method, context, account)
                with self._open(account.caller), self._place(account.caller):
                    async with aclosing(serve(self._taken(parse, request, account), context)) as responses:
                        loop, due = asyncio.get_running_loop(), 0.0
                        async for response in responses:
                            if response is not None or loop.time() >= due:
                                self._still_admitted(method, context, account)
                                due = loop.time() + LOOK_SECONDS
                            if self._draining:
                                raise ServiceUnavailable(_STOPPING)
                            if response is not None:
                                await self._journal.write(account.answered(response))
                                yield response
            except BaseException as error:  # noqa: BLE001 (as above)
                await self._end(context, account, error)

        return guarded

    async def _in_time(self, requests: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The messages of a stream, as long as each comes in time and the server is not stopping."""
        while not self._draining:
            try:
                async with asyncio.timeout(IDLE_SECONDS) as wait:
                    self._waits.add(wait)
                    try:
                        request = await anext(requests)
                    finally:
                        self._waits.discard(wait)
            except StopAsyncIteration:
                return
            except TimeoutError:
                if self._draining:
                    break
                raise ServiceUnavailable(
                    f"nothing came on the stream for {IDLE_SECONDS:.0f} s; open it again"
                ) from None
            yield request
        raise ServiceUnavailable(_STOPPING)

    @contextmanager
    def _place(self, caller: str) -> Iterator[None]:
        self._enter(caller)
        try:
            yield
        finally:
            self._exit(caller)

    def _enter(self, caller: str) -> None:
        """Give a client one of the places of calls that are served at the same time."""
        if self._calls_of.total() >= MAX_CALLS:
            raise RateLimited(f"the server serves {MAX_CALLS} calls already", BUSY_SECONDS)
        _count(self._calls_of, caller, CALLS_OF_ONE, "calls under way", BUSY_SECONDS)

    def _exit(self, caller: str) -> None:
        _uncount(self._calls_of, caller)

    def _open(self, caller: str) -> AbstractContextManager[None]:
        return _counted(self._streams_of, caller, STREAMS_OF_ONE, "streams open", IDLE_SECONDS)

    def _account(self, method: str, context: Context) -> Account:
        account = Account(method.removeprefix(_OURS), *self._in_force)
        context.set_trailing_metadata(((REQUEST_KEY, account.request),))
        return account

    def _admit(self, method: str, context: Context, account: Account) -> None:
        CALLER.set(self._admitted(method, context, account))

    def _admitted(self, method: str, context: Context, account: Account) -> Caller:
        """Name the caller, if it may make this call."""
        self._journal.check()
        try:
            caller = self._admission.caller(context.peer)
        except AccessDenied:
            account.caller = _client(context.peer)
            raise
        account.caller = caller.urn
        if caller.is_outside:
            account.inward = partial(self._inward, caller.urn)
        if not caller.may_call(method):
            raise AccessDenied(Reason.ROLE_MISSING, f"the role {caller.role.value} does not allow this call")
        return caller

    def _still_admitted(self, method: str, context: Context, account: Account) -> bool:
        """Admit the client of an open stream once more: a decision about it, or a revocation, ends the stream."""
        self._admit(method, context, account)
        return True

    def _taken(self, parse: Parse, request: bytes, account: Account) -> Message:
        self._journal.check()  # a batch that is written and then not answered for would have to be sent again
        try:
            message = parse(request)
        except DecodeError:
            raise InputRejected("the request is not a message of this call") from None
        account.asked(message)
        return message

    async def _end(self, context: Context, account: Account, error: BaseException) -> None:
        """Account for what ended a call without its answer, and tell the caller."""
        if not isinstance(error, Exception) or isinstance(error, CallEnded):
            # The caller has gone, or the server is stopping: there is nobody to wait for the entry.
            self._journal.note(account.ended("CANCELLED"))
            raise error
        wire = to_wire(error)
        if not isinstance(error, NotAccounted):  # that one is counted already
            try:
                await self._journal.write(account.ended(wire.code.name, error))
            except NotAccounted as refused:
                wire = to_wire(refused)
        context.end(wire.code, wire.message, (*wire.trailing_metadata, (REQUEST_KEY, account.request)))
        raise CallEnded


@contextmanager
def _counted(held: Counter[str], caller: str, most: int, what: str, wait: float) -> Iterator[None]:
    """Count what a client has at the same time, and refuse more than its share."""
    _count(held, caller, most, what, wait)
    try:
        yield
    finally:
        _uncount(held, caller)


def _count(held: Counter[str], caller: str, most: int, what: str, wait: float) -> None:
    if held[caller] >= most:
        raise RateLimited(f"the client has {most} {what} already", wait)
    held[caller] += 1


def _uncount(held: Counter[str], caller: str) -> None:
    held[caller] -= 1
    if not held[caller]:
        del held[caller]


def _outcomes(together: Together, asked: Sequence[Asked]) -> Sequence[Outcome]:
    """Serve calls together; where that fails, each by itself, so that it fails for nobody else."""
    try:
        return together.serve(asked)
    except Exception as error:  # noqa: BLE001 (whatever it is, it is told to its caller)
        if len(asked) < 2:
            return [error] * len(asked)
        return [outcome for each in asked for outcome in _outcomes(together, [each])]


class Guarded:
    """Takes services for a server, as the generated functions add them, and puts their handlers behind the edge."""

    def __init__(
        self,
        server: Server,
        wrapped: Callable[[str, Any], Handler],
        together: Mapping[str, Callable[[list[Call]], None]],
    ) -> None:
        self._server = server
        self._wrapped = wrapped
        self._together = together

    def add_generic_rpc_handlers(self, handlers: Iterable[object]) -> None:
        """Leave these: the same methods come by name."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Handler]) -> None:
        """Put the methods of a service behind the edge."""
        for name, handler in handlers.items():
            method = f"/{service}/{name}"
            self._server.add(method, self._wrapped(method, handler), self._together.get(method))


def _writing(write: Callable[[Message], bytes]) -> Callable[[Message | Answer], bytes]:
    """What writes a response, unless it is written already."""
    return lambda response: response.content if isinstance(response, Answer) else write(response)


def _client(peer: Peer) -> str:
    """Name the client of a call that may be refused; a certificate that names none is called by its digest.

    What such a certificate says of itself may be anything.
    """
    try:
        return caller_named(peer.uris).urn
    except AccessDenied:
        return f"certificate:sha256:{hashlib.sha256(peer.certificate).hexdigest()}"
