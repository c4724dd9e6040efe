"""The listening end: which calls there are, the socket that connections come from, and how serving stops."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeAlias

import grpc

from mpi.errors import ConfigInvalid
from mpi.server.http2 import messages
from mpi.server.http2.call import Call, Method
from mpi.server.http2.connection import Connection, Shared

LOOK_SECONDS = 0.25
"""How often deadlines are looked at; a client keeps its own more exactly."""
HANDSHAKE_SECONDS = 20.0
BACKLOG = 1024
"""Connections that may wait to be taken."""
NOTICE_SECONDS = 0.1
"""How long calls still come after clients were told that the server stops."""
LAST_SECONDS = 1.0
"""How long handshakes under way, and in the end the last bytes to clients, may take when the server stops."""

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class Server:
    """Serves calls of gRPC. Services are added as the generated functions add them to a server of grpcio."""

    def __init__(self, unknown: str = messages.UNKNOWN) -> None:
        """Serve nothing yet; `unknown` is said of a call that is not served."""
        self._methods: dict[bytes, Method] = {}
        self._shared = Shared(self._methods, unknown)
        self._listening: asyncio.Server | None = None
        self._looking: asyncio.TimerHandle | None = None

    def add_generic_rpc_handlers(self, handlers: Iterable[object]) -> None:
        """Leave these: the same methods come by name."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Handler]) -> None:
        """Serve the methods of a service."""
        for name, handler in handlers.items():
            self.add(f"/{service}/{name}", handler)

    def add(self, path: str, handler: Handler, together: Callable[[list[Call]], None] | None = None) -> None:
        """Serve the calls of one path.

        Args:
            path: such as "/mpi.v1.LocatorService/Locate".
            handler: what serves them.
            together: serves all of them that come in the same turn of the event loop, in place of the handler.
        """
        serve: Any = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
        self._methods[path.encode()] = Method(
            serve,
            handler.request_deserializer,
            handler.response_serializer,
            bool(handler.request_streaming),
            bool(handler.response_streaming),
            together,
        )

    async def start(self, host: str, port: int, context: ssl.SSLContext | None, *, shared_port: bool = False) -> int:
        """Listen; gives the port.

        Args:
            host: a name or number of this machine.
            port: 0 takes any free one.
            context: of TLS; None serves plain text.
            shared_port: other processes may listen there, too.

        Raises:
            ConfigInvalid: the address cannot be used.
        """
        loop = asyncio.get_running_loop()
        listening = _bound(host, port, shared=shared_port)
        self._listening = await loop.create_server(
            lambda: Connection(self._shared, loop),
            sock=listening,
            ssl=context,
            backlog=BACKLOG,
            ssl_handshake_timeout=HANDSHAKE_SECONDS if context else None,
        )
        self._look(loop)
        return int(listening.getsockname()[1])

    async def stop(self, grace: float) -> None:
        """Take no further calls; those under way have so many seconds to end."""
        if self._listening is None:
            return
        self._listening.close()
        connections = self._shared.connections
        # The event loop may be closed after this, and a handshake must not end then.
        await self._left(self._shared.arriving, LAST_SECONDS)
        for connection in list(connections):
            connection.announce_leaving()
        if connections:
            await asyncio.sleep(NOTICE_SECONDS)
        for connection in list(connections):
            connection.leave()
        await self._left(connections, grace)
        for connection in list(connections):
            connection.close()
        await self._left(connections, LAST_SECONDS)
        if self._looking is not None:
            self._looking.cancel()

    async def _left(self, connections: Collection[Connection], seconds: float) -> None:
        """Wait until all of these have left, and no longer than this."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while connections and loop.time() < until:
            await asyncio.sleep(0.01)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for connection in list(self._shared.connections):
            connection.look(now)
        self._looking = loop.call_later(LOOK_SECONDS, self._look, loop)


def _bound(host: str, port: int, *, shared: bool) -> socket.socket:
    bare = host.removeprefix("[").removesuffix("]")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            bare, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
    except OSError:
        raise ConfigInvalid("listen", f"{host}:{port} is no address of this machine") from None
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, bare != "::")
        bound.bind(address)
    except OSError:
        bound.close()
        raise ConfigInvalid("listen", f"{host}:{port} cannot be bound; is another server there?") from None
    bound.setblocking(False)
    return bound
