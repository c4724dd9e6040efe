"""One call on a connection, as the connection moves it and as its handler sees it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

import grpc
from ngh2 import Header

from mpi.errors import InputRejected
from mpi.server.http2 import messages
from mpi.server.http2.messages import Assembler, Metadata
from mpi.server.tls import Peer
from mpi.wire.status import to_wire


class CallEnded(Exception):
    """The handler has ended its call by `abort`; nothing is left to do."""


class Carrier(Protocol):
    """The connection of a call."""

    loop: asyncio.AbstractEventLoop
    peer: Peer

    def read(self, stream: int, size: int) -> None:
        """Bytes of a call have been read."""

    def answer(self, call: Call, content: bytes, trailers: tuple[Header, ...]) -> None:
        """Send the one response of a call, and end it."""

    def begin(self, call: Call) -> None:
        """Send what stands before the responses of a call."""

    def send(self, call: Call, content: bytes) -> None:
        """Send a response."""

    def end(self, call: Call, trailers: tuple[Header, ...], *, begun: bool) -> None:
        """Send how a call ended."""

    async def drained(self, call: Call) -> None:
        """Wait while the client leaves too much unread."""


@dataclass(frozen=True, slots=True)
class Method:
    """How the calls of one name are served.

    Attributes:
        serve: takes the request, or an iterator of requests, and the call; gives an awaitable of the response, an
            iterator of responses, or, where the call writes its responses, an awaitable of nothing.
        parse: reads a request; None leaves it as bytes.
        write: writes a response; None where it is written.
        takes_many: requests come in a stream.
        gives_many: responses leave in a stream.
        together: serves all calls whose requests came in one turn of the event loop, in place of `serve`.
    """

    serve: Callable[[Any, Call], Any]
    parse: Callable[[bytes], Any] | None = None
    write: Callable[[Any], bytes] | None = None
    takes_many: bool = False
    gives_many: bool = False
    together: Callable[[list[Call]], None] | None = None


class Call:
    """A call under way; everything happens on its connection's event loop.

    Attributes:
        connection: that it came on.
        stream: its number there.
        method: how it is served.
        headers: as they came.
        begun: time of the event loop at which it came.
        charged: bytes of its request that its connection has counted as half sent.
        deadline: time of the event loop at which the client waits no longer; None where it waits for ever.
        request: the request of a call that takes one.
        whole: the client has said that it sends no more.
        ended: it was answered, or nobody waits for the answer.
        task: what serves it, once it is served by itself.
        unread: bytes of messages of a stream that its handler has not asked for.
    """

    __slots__ = (
        "_assembler",
        "_begun",
        "_came",
        "_failure",
        "_trailing",
        "_waiting",
        "begun",
        "charged",
        "connection",
        "deadline",
        "ended",
        "headers",
        "method",
        "request",
        "stream",
        "task",
        "unread",
        "whole",
    )

    def __init__(
        self,
        connection: Carrier,
        stream: int,
        method: Method,
        headers: tuple[Header, ...],
        deadline: float | None,
    ) -> None:
        self.connection = connection
        self.stream = stream
        self.method = method
        self.headers = headers
        self.begun = connection.loop.time()
        self.deadline = deadline
        self.request: bytes | None = None
        self.task: asyncio.Task[None] | None = None
        self.whole = self.ended = self._begun = False
        self._assembler = Assembler()
        self._trailing: Metadata = ()
        self._came = deque[bytes]()
        self._failure: InputRejected | None = None
        self._waiting: asyncio.Future[None] | None = None
        self.unread = self.charged = 0

    # What handlers see.

    @property
    def peer(self) -> Peer:
        """Who is at the other end."""
        return self.connection.peer

    def time_remaining(self) -> float | None:
        """Seconds until the client waits no longer; None where it set no deadline."""
        return None if self.deadline is None else max(0.0, self.deadline - self.connection.loop.time())

    def invocation_metadata(self) -> Metadata:
        """What the client says of the call beside its message."""
        return messages.metadata_of(self.headers)

    def set_trailing_metadata(self, metadata: Metadata) -> None:
        """Say something of the call when it ends."""
        self._trailing = metadata

    async def abort(self, code: grpc.StatusCode, message: str = "", metadata: Metadata = ()) -> NoReturn:
        """End the call with an error.

        Raises:
            CallEnded: always.
        """
        self.end(code, message, metadata)
        raise CallEnded

    async def write(self, response: Any) -> None:
        """Send one of several responses; waits while the client leaves too much of them unread.

        Raises:
            CallEnded: nobody waits for it.
        """
        if self.ended:
            raise CallEnded
        if not self._begun:
            self._begun = True
            self.connection.begin(self)
        self.connection.send(self, self.method.write(response) if self.method.write else response)
        await self.connection.drained(self)

    async def requests(self) -> AsyncIterator[Any]:
        """The requests of a stream; the client may send more of them as they are asked for.

        Raises:
            InputRejected: what comes is no message.
        """
        parse = self.method.parse
        while True:
            while not self._came:
                self.connection.read(self.stream, self.unread)
                self.unread = 0
                if self._failure is not None:
                    raise self._failure
                if self.whole:
                    return
                self._waiting = self.connection.loop.create_future()
                await self._waiting
            message = self._came.popleft()
            yield parse(message) if parse else message

    def answer(self, content: bytes) -> None:
        """Send the one response, written, and end the call."""
        if not self.ended:
            self.ended = True
            self.connection.answer(self, content, messages.ended(grpc.StatusCode.OK, "", self._trailing))

    def end(self, code: grpc.StatusCode, message: str = "", metadata: Metadata = ()) -> None:
        """End the call without a further response."""
        if not self.ended:
            self.ended = True
            trailers = messages.ended(code, message, metadata or self._trailing)
            self.connection.end(self, trailers, begun=self._begun)

    def fail(self, error: Exception) -> None:
        """End the call with what an error says to the client."""
        wire = to_wire(error)
        self.end(wire.code, wire.message, (*self._trailing, *wire.trailing_metadata))

    # What the connection does.

    @property
    def half_sent(self) -> int:
        """Bytes of a request of which the end has not come: of its message, or of the call after it."""
        return self._assembler.held + (0 if self.ended or self.request is None else len(self.request))

    def take(self, piece: bytes, *, last: bool) -> bool:
        """Take a piece of what the client sends; says whether a call that takes one request has it now.

        Raises:
            InputRejected: the request is too long, damaged, missing, or not the only one.
        """
        self.whole = last
        if self.method.takes_many:
            self._queue(piece, last=last)
            return False
        if piece:
            self.connection.read(self.stream, len(piece))
            found = self._assembler.taken(piece)
            if len(found) > (self.request is None):
                raise InputRejected("the call takes one message")
            if found:
                self.request = found[0]
        if last and (self.request is None or self._assembler.held):
            raise InputRejected("the call ends before its message does")
        return last

    def taken(self) -> bytes:
        """Give the request of a call that takes one, and keep it no longer.

        Raises:
            CallEnded: nobody waits for the answer, and the request was let go.
        """
        request, self.request = self.request, None
        if request is None:
            raise CallEnded
        return request

    def _queue(self, piece: bytes, *, last: bool) -> None:
        try:
            if self._failure is None:
                self._came += self._assembler.taken(piece)
                if last and self._assembler.held:
                    raise InputRejected("the stream ends within a message")
        except InputRejected as wrong:
            self._failure = wrong
        self.unread += len(piece)
        if not self._came:
            # Part of a message keeps nobody waiting; messages that wait keep their client from sending more.
            self.connection.read(self.stream, self.unread)
            self.unread = 0
        if self._waiting is not None and (self._came or last or self._failure is not None):
            if not self._waiting.done():
                self._waiting.set_result(None)
            self._waiting = None

    def start(self, work: Callable[[], Awaitable[None]]) -> None:
        """Serve the call in a task of its own, which ends with it."""
        self.task = self.connection.loop.create_task(self._served(work))

    async def _served(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except CallEnded:
            pass
        except asyncio.CancelledError:
            self.end(grpc.StatusCode.UNAVAILABLE, "the server is stopping; go on elsewhere")
        except Exception as error:  # noqa: BLE001 (the last place that can keep a message from leaking)
            self.fail(error)

    def overdue(self) -> None:
        """The deadline has passed."""
        self.end(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline has passed")
        self.gone()

    def gone(self) -> None:
        """Nobody waits for the answer any more. What serves it is told once it has begun, as it has to account."""
        self.ended, self.request = True, None
        if self.task is not None:
            self.connection.loop.call_soon(self.task.cancel)

    async def run(self) -> None:
        """Serve the call by its handler, from its request to its end.

        Raises:
            CallEnded: it was given up before it began, as when the client's word of that came with the request.
        """
        if self.ended:
            raise CallEnded
        method = self.method
        request: Any = self.requests() if method.takes_many else self.taken()
        if not method.takes_many and method.parse is not None:
            request = method.parse(request)
        served = method.serve(request, self)
        if not method.gives_many:
            response = await served
            self.answer(method.write(response) if method.write else response)
            return
        if hasattr(served, "__aiter__"):
            async for response in served:
                await self.write(response)
        else:
            await served
        self.end(grpc.StatusCode.OK)
