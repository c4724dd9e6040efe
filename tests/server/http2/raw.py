"""A server of a few calls in a thread, and a client that speaks HTTP/2 as rightly or wrongly as a test needs."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Self

import grpc
import ngh2
import uvloop

from mpi.server.http2.listener import Server
from mpi.server.http2.messages import framed

HEADERS = {
    b":method": b"POST",
    b":scheme": b"http",
    b":path": b"/test/Echo",
    b":authority": b"localhost",
    b"content-type": b"application/grpc",
    b"te": b"trailers",
}


class Calls:
    """What the server does, and what it saw."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()
        self.let_go = threading.Event()
        self.sent = 0
        self.together: list[int] = []
        self.echoed: list[bytes] = []

    async def echo(self, request: bytes, call: Any) -> bytes:
        """Give back what came."""
        self.echoed.append(request)
        return request

    async def wait(self, request: bytes, call: Any) -> bytes:
        """Answer when the test lets it."""
        try:
            while not self.let_go.is_set():
                await asyncio.sleep(0.005)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return request

    async def fail(self, request: bytes, call: Any) -> bytes:
        """Fail with a text that must not leave."""
        raise RuntimeError("1103702488992")

    async def many(self, requests: Any, call: Any) -> Any:
        """Give back each of a stream."""
        async for request in requests:
            yield request

    async def stuck(self, requests: Any, call: Any) -> Any:
        """Take the first of a stream, and no more."""
        async for request in requests:
            yield request
            await asyncio.sleep(20)

    async def flood(self, request: bytes, call: Any) -> Any:
        """Send without end."""
        while True:
            self.sent += 1
            yield bytes(100_000)

    def at_once(self, calls: list[Any]) -> None:
        """Answer all that came together."""
        self.together.append(len(calls))
        for call in calls:
            call.answer(call.request)


@contextmanager
def serving(calls: Calls, set_up: Callable[[Server], None] = lambda server: None, grace: float = 0.5) -> Iterator[str]:
    """Serve until the block ends; gives the address."""
    unary, feed, stream = (
        grpc.unary_unary_rpc_method_handler,
        grpc.unary_stream_rpc_method_handler,
        grpc.stream_stream_rpc_method_handler,
    )
    started, over = threading.Event(), threading.Event()
    at: list[str] = []

    async def serve() -> None:
        server = Server()
        handlers = {"Echo": unary(calls.echo), "Wait": unary(calls.wait), "Fail": unary(calls.fail)}
        handlers |= {"Many": stream(calls.many), "Stuck": stream(calls.stuck), "Flood": feed(calls.flood)}
        server.add_registered_method_handlers("test", handlers)
        server.add("/test/AtOnce", unary(calls.echo), calls.at_once)
        set_up(server)
        at.append(f"127.0.0.1:{await server.start('127.0.0.1', 0, None)}")
        started.set()
        while not over.is_set():
            await asyncio.sleep(0.005)
        await server.stop(grace)

    thread = threading.Thread(target=lambda: uvloop.run(serve()))
    thread.start()
    try:
        assert started.wait(10)
        yield at[0]
    finally:
        over.set()
        thread.join(20)
        assert not thread.is_alive()


class Raw:
    """One connection, frame by frame."""

    def __init__(self, address: str, *, takes: bool = True) -> None:
        """Connect; a client that `takes` lets the server send on as answers come."""
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=10)
        self.http = ngh2.Connection(ngh2.Role.CLIENT, ngh2.Configuration(auto_window_update=takes))
        self.http.initiate_connection({})
        self.events: list[Any] = []
        self.send()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def send(self) -> None:
        """Send what is ready."""
        self.socket.sendall(self.http.data_to_send())

    def open(self, *, end: bool = False, **changed: bytes) -> int:
        """Send the headers of a call; gives its stream."""
        fields = HEADERS | {name.replace("_", "-").encode(): value for name, value in changed.items()}
        for name in ("path", "method"):
            if name in changed:
                fields[b":" + name.encode()] = fields.pop(name.encode())
        stream = self.http.send_request(tuple(fields.items()), end_stream=end)
        self.send()
        return stream

    def say(self, stream: int, content: bytes, *, end: bool = False) -> None:
        """Send bytes of a call."""
        self.http.send_data(stream, content, end_stream=end)
        self.send()

    def call(self, content: bytes, **changed: bytes) -> int:
        """Send a whole call; gives its stream."""
        stream = self.open(**changed)
        self.say(stream, framed(content), end=True)
        return stream

    def until(self, enough: Callable[[list[Any]], bool], seconds: float = 10.0) -> list[Any]:
        """Read until the events are enough, or the server closes; gives all events."""
        end = time.monotonic() + seconds
        self.socket.settimeout(0.05)
        while not enough(self.events) and time.monotonic() < end:
            try:
                data = self.socket.recv(1 << 16)
            except TimeoutError:
                continue
            except OSError:
                data = b""
            if not data:
                self.events.append(None)  # closed
                break
            self.http.receive_data(data)
            self.events += self.http.events()
            with suppress(OSError):
                self.send()
        return self.events

    def read(self, seconds: float) -> None:
        """Read for a while."""
        self.until(lambda events: None in events, seconds)

    def status(self, stream: int, seconds: float = 10.0) -> tuple[dict[bytes, bytes], bytes]:
        """Wait for the end of a call; gives its headers and trailers together, and its bytes."""

        def over(events: list[Any]) -> bool:
            return any(
                each is None or (isinstance(each, ngh2.StreamClosed) and each.stream_id == stream) for each in events
            )

        mine = [each for each in self.until(over, seconds) if getattr(each, "stream_id", None) == stream]
        said: dict[bytes, bytes] = {}
        content = b""
        for each in mine:
            if isinstance(each, ngh2.ResponseReceived | ngh2.TrailersReceived):
                said |= dict(each.headers)
            elif isinstance(each, ngh2.DataReceived):
                content += each.data
        return said, content

    @property
    def closed(self) -> bool:
        """Whether the server has closed the connection."""
        return None in self.events


def _closes(event: object, stream: int) -> bool:
    return isinstance(event, ngh2.StreamClosed) and event.stream_id == stream
