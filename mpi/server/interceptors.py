"""What every call of mpi.v1 passes on its way in: who calls, whether they may, and how failures leave.

Health and reflection are not ours and answer to anyone who got through the TLS handshake.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message

from mpi.domain.identifiers import is_facility_code
from mpi.errors import AccessDenied, InputRejected, Reason
from mpi.wire.status import to_wire

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Parse = Callable[[bytes], Message]

INSECURE_CALLER = "urn:mpi:insecure:local"

_OURS = "/mpi.v1."
_URN = re.compile(r"urn:mpi:(facility|exchange|steward):([A-Za-z0-9-]{1,64})", re.ASCII)


class Role(StrEnum):
    """What kind of client calls, as the URN in its certificate says."""

    FACILITY = "facility"
    EXCHANGE = "exchange"
    STEWARD = "steward"
    INSECURE = "insecure"


_EVERYONE = frozenset(Role)
_ROLES = {
    "/mpi.v1.RegistryService/Register": frozenset({Role.FACILITY, Role.INSECURE}),
    "/mpi.v1.RegistryService/RegisterBatch": frozenset({Role.FACILITY, Role.INSECURE}),
    "/mpi.v1.RegistryService/Retract": frozenset({Role.FACILITY, Role.INSECURE}),
    "/mpi.v1.LocatorService/Locate": _EVERYONE,
    "/mpi.v1.LocatorService/BatchLocate": frozenset({Role.EXCHANGE, Role.STEWARD, Role.INSECURE}),
    "/mpi.v1.LocatorService/Match": _EVERYONE,
    **dict.fromkeys(
        (
            f"/mpi.v1.StewardshipService/{call}"
            for call in (
                "GetIdentity",
                "Link",
                "Unlink",
                "Merge",
                "Split",
                "Undo",
                "ListChanges",
                "ListTasks",
                "DecideTask",
            )
        ),
        frozenset({Role.STEWARD, Role.INSECURE}),
    ),
}
"""Who may make which call; a call that is not listed is refused."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The client behind a call.

    Attributes:
        urn: its name in full, such as "urn:mpi:facility:10661"; the actor of every change that it causes.
        role: its kind.
        name: its own part of the name: the facility code, or the name of the exchange or steward.
    """

    urn: str
    role: Role
    name: str

    def may_write(self, facility: str) -> bool:
        """Say whether this client may write records of a facility: a facility writes its own and no others."""
        return self.role is Role.INSECURE or (self.role is Role.FACILITY and self.name == facility)


CALLER: ContextVar[Caller] = ContextVar("mpi_caller")
"""The client of the call that is being served; set before a servicer is entered."""


def caller_named(uris: list[bytes]) -> Caller:
    """Find the client among the URIs of a certificate's subject alternative name.

    Raises:
        AccessDenied: CLIENT_UNKNOWN: none of them names a client of the index, or more than one does.
    """
    found = [match for uri in uris if (match := _URN.fullmatch(uri.decode("ascii", "replace")))]
    if len(found) == 1:
        caller = Caller(found[0].group(), Role(found[0][1]), found[0][2])
        if caller.role is not Role.FACILITY or is_facility_code(caller.name):
            return caller
    raise AccessDenied(Reason.CLIENT_UNKNOWN, "the certificate does not name one client of this index")


class Edge(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Identifies the client, checks its role, and turns errors into status."""

    def __init__(self, *, insecure: bool) -> None:
        self._insecure = insecure

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Wrap the handler of a call of ours; leave the others as they are."""
        handler: Any = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith(_OURS):
            return handler  # type: ignore[no-any-return]
        # Messages are parsed in here: where gRPC parses them, malformed bytes are an error of the server's.
        parse = handler.request_deserializer
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(
                self._unary(method, parse, handler.unary_unary), response_serializer=handler.response_serializer
            )
        return grpc.stream_stream_rpc_method_handler(
            self._stream(method, parse, handler.stream_stream), response_serializer=handler.response_serializer
        )

    def _unary(self, method: str, parse: Parse, serve: Callable[[Any, Context], Awaitable[Any]]) -> Any:
        async def guarded(request: bytes, context: Context) -> Any:
            try:
                self._admit(method, context)
                return await serve(_parsed(parse, request), context)
            except (grpc.aio.AbortError, grpc.aio.UsageError):
                raise
            except Exception as error:  # noqa: BLE001 (the last place that can keep a message from leaking)
                await _abort(context, error)

        return guarded

    def _stream(self, method: str, parse: Parse, serve: Callable[[Any, Context], AsyncGenerator[Any, None]]) -> Any:
        async def guarded(requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[Any]:
            try:
                self._admit(method, context)
                messages = (_parsed(parse, request) async for request in requests)
                async with aclosing(serve(messages, context)) as responses:
                    async for response in responses:
                        yield response
            except (grpc.aio.AbortError, grpc.aio.UsageError):
                raise
            except Exception as error:  # noqa: BLE001 (as above)
                await _abort(context, error)

        return guarded

    def _admit(self, method: str, context: Context) -> None:
        if self._insecure:
            caller = Caller(INSECURE_CALLER, Role.INSECURE, "local")
        else:
            caller = caller_named(list(context.auth_context().get("peer_uri", ())))
        if caller.role not in _ROLES.get(method, ()):
            raise AccessDenied(Reason.ROLE_MISSING, f"the role {caller.role.value} does not allow this call")
        CALLER.set(caller)


def _parsed(parse: Parse, request: bytes) -> Message:
    try:
        return parse(request)
    except DecodeError:
        raise InputRejected("the request is not a message of this call") from None


async def _abort(context: Context, error: Exception) -> None:
    wire = to_wire(error)
    await context.abort(wire.code, wire.message, wire.trailing_metadata)
