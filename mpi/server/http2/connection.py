"""One connection of a client: bytes from its socket to calls, and answers back."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakSet

import grpc
import ngh2
from ngh2 import Header, Setting

from mpi.errors import InputRejected, RateLimited, ServiceUnavailable
from mpi.server.http2 import messages
from mpi.server.http2.call import Call, Method
from mpi.server.tls import NOBODY, peer_of

CONNECTIONS_OF_ONE = 128
"""Connections that a client may have open to this process, as its certificate tells clients apart; the next one is
closed. What a connection may hold is bounded below: this bounds what a client may."""
CALLS_OF_ONE_CONNECTION = 256
"""Calls that a connection may have under way; its next ones wait at the client."""
STREAM_WINDOW, CONNECTION_WINDOW = 256 << 10, 32 << 20
"""Bytes that a client may have on the way in one call, and in all together, before they are read."""
HALF_SENT_BYTES = 32 << 20
"""Bytes of a connection's requests of which the end has not come; beyond them the call that brings more is refused."""
UNREAD_BYTES = 16 << 20
"""Bytes of answers that a client has not taken; beyond them its further calls are refused."""
AHEAD_BYTES = 1 << 20
"""Bytes of one stream's responses that wait for the client before their handler does."""
TOGETHER = 128
"""Calls that are served together at the most: what else came is looked at in between."""
MAX_HEADER_BYTES = 16 << 10
IDLE_SECONDS, SIGN_SECONDS = 60.0, 20.0
"""A client of which nothing was heard for so long is asked for a sign of life, and has so long to give it."""
REQUEST_SECONDS = 60.0
"""How long a request may take to come."""
FULL_SECONDS = 60.0
"""How long a client may read nothing of what is sent to it."""
BUSY_SECONDS = 1.0
"""How long a client that was refused should wait."""

_CONFIGURATION = ngh2.Configuration(
    auto_window_update=False,
    max_inbound_header_list_size=MAX_HEADER_BYTES,
    max_inbound_header_count=100,
    # Clients that ask two replicas at once give calls up all the time; a flood of such calls is more than this.
    stream_reset_rate_limit=(10_000, 1_000),
)
_SETTINGS = {
    Setting.MAX_CONCURRENT_STREAMS: CALLS_OF_ONE_CONNECTION,
    Setting.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
    Setting.MAX_HEADER_LIST_SIZE: MAX_HEADER_BYTES,
}
_NO_GRPC: tuple[Header, ...] = ((b":status", b"415"),)
_NO_ERROR = 0


@dataclass(slots=True, repr=False)
class Shared:
    """What all connections of a server have in common.

    Attributes:
        methods: how calls are served, by their path.
        unknown: what is said of a call that is none of them.
        connections: those that are open.
        arriving: those whose handshake has not ended; one that fails is forgotten without a word.
        of_each: how many of them each client has, by its certificate.
        arrived: calls that are served together at the end of this turn of the event loop, by what serves them.
    """

    methods: Mapping[bytes, Method]
    unknown: str
    connections: set[Connection] = field(default_factory=set)
    arriving: WeakSet[Connection] = field(default_factory=WeakSet)
    of_each: Counter[bytes] = field(default_factory=Counter)
    arrived: dict[Callable[[list[Call]], None], list[Call]] = field(default_factory=dict)

    def join(self, call: Call, serve: Callable[[list[Call]], None]) -> None:
        """Let a call be served with those that come in the same turn, on whatever connection."""
        if not self.arrived:
            call.connection.loop.call_soon(self._serve, call.connection.loop)
        self.arrived.setdefault(serve, []).append(call)

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        arrived, self.arrived = self.arrived, {}
        for serve, calls in arrived.items():
            group = [call for call in calls[:TOGETHER] if not call.ended]
            try:
                serve(group)
            except Exception as error:  # noqa: BLE001 (the last place that can keep a message from leaking)
                for call in group:
                    call.fail(error)
            if len(calls) > TOGETHER:
                self.arrived[serve] = calls[TOGETHER:]
        if self.arrived:
            loop.call_soon(self._serve, loop)


class Connection(asyncio.Protocol):
    """The protocol of one socket.

    Attributes:
        loop: where all of it happens.
        peer: who is at the other end.
    """

    def __init__(self, shared: Shared, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.peer = NOBODY
        self._shared = shared
        shared.arriving.add(self)
        self._http = ngh2.Connection(ngh2.Role.SERVER, _CONFIGURATION)
        self._transport: asyncio.Transport | None = None
        self._calls: dict[int, Call] = {}
        self._cut_short = set[int]()
        self._blocked: dict[Call, asyncio.Future[None]] = {}
        self._half_sent = 0
        self._scheduled = self._full = self._leaving = self._over = False
        self._heard, self._asked, self._filled = loop.time(), 0.0, 0.0

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: say what this server takes."""
        self._transport = transport  # type: ignore[assignment]
        secured = transport.get_extra_info("ssl_object")
        if secured is not None:
            self.peer = peer_of(secured)
        self._shared.arriving.discard(self)
        self._shared.connections.add(self)
        self._shared.of_each[self.peer.certificate] += 1
        self._http.initiate_connection(_SETTINGS)
        self._http.set_local_window_size(CONNECTION_WINDOW)
        # Without TLS nobody can tell clients apart.
        if self.peer.certificate and self._shared.of_each[self.peer.certificate] > CONNECTIONS_OF_ONE:
            self.leave()
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Take in all that came before anything is answered."""
        self._heard, self._asked = self.loop.time(), 0.0
        try:
            self._http.receive_data(data)
        except ngh2.NGH2Error:
            self._drop()
            return
        self._happened()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give up the calls of a client that has gone."""
        self._transport = None
        self._shared.connections.discard(self)
        self._shared.of_each[self.peer.certificate] -= 1
        if not self._shared.of_each[self.peer.certificate]:
            del self._shared.of_each[self.peer.certificate]
        for call in self._calls.values():
            call.gone()
        self._calls.clear()
        self._release()

    def pause_writing(self) -> None:
        """Send nothing more for now, as the client does not read, and read nothing that would have to be answered.

        The socket is full, not a window of HTTP/2's: that the client reads is all that is waited for.
        """
        self._full, self._filled = True, self.loop.time()
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Send and read on."""
        self._full = False
        if self._transport is not None:
            self._transport.resume_reading()
        self._flush()

    # What the server calls.

    def look(self, now: float) -> None:
        """End calls whose deadline has passed, and find out whether a silent client is still there."""
        for call in list(self._calls.values()):
            if call.deadline is not None and call.deadline < now:
                call.overdue()
            elif not (call.whole or call.ended or call.method.takes_many) and now - call.begun > REQUEST_SECONDS:
                call.fail(ServiceUnavailable("the request did not come; send it again"))
        if (self._full and now - self._filled > FULL_SECONDS) or (self._asked and now - self._asked > SIGN_SECONDS):
            self._drop()
        elif not self._asked and now - self._heard > IDLE_SECONDS:
            self._asked = now
            self._do(self._http.ping)

    def announce_leaving(self) -> None:
        """Ask the client to open no further calls here; those on the way are still served."""
        self._do(self._http.send_shutdown_notice)

    def leave(self) -> None:
        """Take no further calls, and close when those under way have ended."""
        self._leaving = True
        self._do(self._http.send_goaway)

    def close(self) -> None:
        """Give up what is under way, and close."""
        for call in list(self._calls.values()):
            call.end(grpc.StatusCode.UNAVAILABLE, "the server is stopping; go on elsewhere")
            call.gone()
        self._flush()
        if self._transport is not None:
            self._transport.close()

    # What calls do.

    def read(self, stream: int, size: int) -> None:
        """Bytes of a call have been read: the client may send as many more."""
        if size:
            try:
                self._http.acknowledge_received_data(size, stream)
            except (ngh2.NGH2Error, ValueError):
                return  # the connection has ended meanwhile

    def answer(self, call: Call, content: bytes, trailers: tuple[Header, ...]) -> None:
        """Send the one response of a call, and end it."""
        stream, http = call.stream, self._http
        try:
            http.send_response(stream, messages.BEGUN)
            http.send_data(stream, messages.framed(content))
            http.send_trailers(stream, trailers)
        except ngh2.NGH2Error:
            return
        if not call.whole:
            self._cut_short.add(stream)
        if not self._scheduled:
            self._scheduled = True
            self.loop.call_soon(self._flush)

    def begin(self, call: Call) -> None:
        """Send what stands before the responses of a call."""
        self._do(self._http.send_response, call.stream, messages.BEGUN)

    def send(self, call: Call, content: bytes) -> None:
        """Send a response."""
        self._do(self._http.send_data, call.stream, messages.framed(content))

    def end(self, call: Call, trailers: tuple[Header, ...], *, begun: bool) -> None:
        """Send how a call ended."""
        if begun:
            self._do(self._http.send_trailers, call.stream, trailers)
        else:
            self._refuse(call.stream, trailers)
        if not call.whole:
            self._cut_short.add(call.stream)

    async def drained(self, call: Call) -> None:
        """Wait while a client leaves too much unread, of a stream or of all together."""
        if self._is_behind(call, 1):
            self._blocked[call] = self.loop.create_future()
            try:
                await self._blocked[call]
            finally:
                self._blocked.pop(call, None)

    # What happens on the connection.

    def _happened(self) -> None:
        for event in self._http.events():
            known = _ON.get(type(event))
            if known is not None:
                known(self, event)

    def _requested(self, event: ngh2.RequestReceived) -> None:
        path = kind = verb = timeout = b""
        encoding = messages.IDENTITY
        for name, value in event.headers:
            if name == b":path":
                path = value
            elif name == b":method":
                verb = value
            elif name == b"content-type":
                kind = value
            elif name == b"grpc-timeout":
                timeout = value
            elif name == b"grpc-encoding":
                encoding = value
        stream, method = event.stream_id, self._shared.methods.get(path)
        if verb != b"POST" or not messages.is_grpc(kind):
            self._refuse(stream, _NO_GRPC)
        elif method is None:
            self._refuse(stream, messages.ended(grpc.StatusCode.UNIMPLEMENTED, self._shared.unknown))
        elif encoding != messages.IDENTITY:
            self._refuse(stream, messages.ended(grpc.StatusCode.UNIMPLEMENTED, "messages are not compressed here"))
        elif (left := messages.seconds_of(timeout)) is not None and left <= 0:
            self._refuse(stream, messages.ended(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline has passed"))
        else:
            deadline = None if left is None else self._heard + left
            self._open(Call(self, stream, method, event.headers, deadline), last=event.end_stream)

    def _open(self, call: Call, *, last: bool) -> None:
        self._calls[call.stream] = call
        if self._http.queued_body_size() > UNREAD_BYTES:
            call.fail(RateLimited("the answers that are ready are not taken", BUSY_SECONDS))
            return
        if call.method.takes_many:
            call.start(call.run)
        if last:
            self._take(call, b"", last=True)

    def _received(self, event: ngh2.DataReceived) -> None:
        call, piece, last = self._calls.get(event.stream_id), event.data, event.end_stream
        if call is None or call.ended:
            self.read(event.stream_id, len(piece))
            if call is not None and last:
                call.whole = True
        else:
            self._take(call, piece, last=last)

    def _trailers(self, event: ngh2.TrailersReceived) -> None:
        call = self._calls.get(event.stream_id)
        if call is not None and not call.ended:
            self._take(call, b"", last=True)

    def _take(self, call: Call, piece: bytes, *, last: bool) -> None:
        try:
            ready = call.take(piece, last=last)
        except InputRejected as wrong:
            call.fail(wrong)
            ready = False
        self._charge(call, 0 if ready else call.half_sent)
        if self._half_sent > HALF_SENT_BYTES and not call.ended:
            call.fail(RateLimited("too many requests have come in part", BUSY_SECONDS))
            call.gone()
        if not ready:
            return
        if call.method.together is not None:
            self._shared.join(call, call.method.together)
        else:
            call.start(call.run)

    def _charge(self, call: Call, held: int) -> None:
        """Count what of a request has come and is kept until the rest has."""
        self._half_sent += held - call.charged
        call.charged = held

    def _closed(self, event: ngh2.StreamClosed) -> None:
        self._cut_short.discard(event.stream_id)
        call = self._calls.pop(event.stream_id, None)
        if call is None:
            return
        self._charge(call, 0)
        # What nobody will read counts as read: else the window of the connection would be lost bit by bit.
        unread, call.unread = call.unread, 0
        self.read(call.stream, unread)
        call.gone()
        if call in self._blocked:
            self._release()

    def _ended(self, event: ngh2.ConnectionClosed) -> None:
        self._over = True

    def _refuse(self, stream: int, headers: tuple[Header, ...]) -> None:
        """Answer with headers alone."""
        if headers is not _NO_GRPC:
            headers = messages.BEGUN + headers
        self._do(lambda: self._http.send_response(stream, headers, end_stream=True))
        self._cut_short.add(stream)

    # What leaves.

    def _do(self, work: Callable[..., object], *arguments: Any) -> None:
        """Hand over what leaves at the end of this turn; a call or connection that has ended takes nothing."""
        try:
            work(*arguments)
        except ngh2.NGH2Error:
            return
        if not self._scheduled:
            self._scheduled = True
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Send what is ready, in one write."""
        self._scheduled = False
        transport = self._transport
        if transport is None or self._full or transport.is_closing():
            return
        try:
            ready = self._http.data_to_send()
            self._happened()
            if self._cut_short:
                self._cut()
                ready += self._http.data_to_send()
        except ngh2.NGH2Error:
            self._drop()
            return
        if ready:
            transport.write(ready)
        if self._blocked:
            self._release_drained()
        if self._over or (self._leaving and not self._calls):
            transport.close()

    def _cut(self) -> None:
        """Let clients whose calls have ended send no more of them (RFC 9113, section 8.1)."""
        for stream in [each for each in self._cut_short if not self._http.queued_body_size(each)]:
            self._cut_short.discard(stream)
            self._do(self._http.reset_stream, stream, _NO_ERROR)

    def _release_drained(self) -> None:
        for call, waiting in list(self._blocked.items()):
            if not self._is_behind(call, 2) and not waiting.done():
                waiting.set_result(None)

    def _is_behind(self, call: Call, part: int) -> bool:
        """Say whether the client leaves more unread than so large a part of what it may."""
        queued = self._http.queued_body_size
        return self._full or queued(call.stream) > AHEAD_BYTES // part or queued() > UNREAD_BYTES // part

    def _release(self) -> None:
        for waiting in self._blocked.values():
            if not waiting.done():
                waiting.set_result(None)

    def _drop(self) -> None:
        """Close without a further word: the client does not keep to HTTP/2, or is not there."""
        if self._transport is not None:
            self._transport.abort()


# Of the class, not of each connection: one that referred to itself would outlive a handshake that failed.
_ON: Mapping[type[ngh2.Event], Callable[[Connection, Any], None]] = {
    ngh2.RequestReceived: Connection._requested,
    ngh2.DataReceived: Connection._received,
    ngh2.TrailersReceived: Connection._trailers,
    ngh2.StreamClosed: Connection._closed,
    ngh2.ConnectionClosed: Connection._ended,
}
