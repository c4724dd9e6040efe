"""The gRPC server: mutual TLS, health, reflection, bounded resources, a graceful stop."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio  # type: ignore[attr-defined]
from grpc_reflection.v1alpha import reflection

from mpi.config import TlsFiles
from mpi.errors import ConfigInvalid
from mpi.server.servicers import Locates, LocatorServicer, Matches, Registers, RegistryServicer
from mpi.v1 import (
    locator_service_pb2,
    locator_service_pb2_grpc,
    registry_service_pb2,
    registry_service_pb2_grpc,
)

MAX_MESSAGE_BYTES = 4 << 20
MAX_CONCURRENT_CALLS = 1000
GRACE_SECONDS = 10.0
_MATCHING_THREADS = 2

_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
)


@dataclass(frozen=True, slots=True)
class Application:
    """The use cases that a server serves."""

    registry: Registers
    locator: Locates
    matcher: Matches


async def serve(application: Application, listen: str, tls: TlsFiles | None, on_ready: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; calls under way are finished first.

    Args:
        application: the use cases.
        listen: address and port; port 0 takes a free one.
        tls: files of mutual TLS; None serves plain text, on a loopback address only.
        on_ready: told the real address when the server takes calls.

    Raises:
        ConfigInvalid: the address cannot be bound, is not loopback without TLS, or a TLS file is unusable.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await serve_until(stop, application, listen, tls, on_ready)


async def serve_until(
    stop: asyncio.Event,
    application: Application,
    listen: str,
    tls: TlsFiles | None,
    on_ready: Callable[[str], None],
) -> None:
    """Serve until `stop` is set; as `serve` does, without touching signals."""
    with ThreadPoolExecutor(1, "writer") as writer, ThreadPoolExecutor(_MATCHING_THREADS, "matching") as readers:
        server = grpc.aio.server(options=_OPTIONS, maximum_concurrent_rpcs=MAX_CONCURRENT_CALLS)
        secure = tls is not None
        registry_service_pb2_grpc.add_RegistryServiceServicer_to_server(  # type: ignore[no-untyped-call]
            RegistryServicer(application.registry, writer, secure=secure), server
        )
        locator_service_pb2_grpc.add_LocatorServiceServicer_to_server(  # type: ignore[no-untyped-call]
            LocatorServicer(application.locator, application.matcher, readers, secure=secure), server
        )
        names = [
            registry_service_pb2.DESCRIPTOR.services_by_name["RegistryService"].full_name,
            locator_service_pb2.DESCRIPTOR.services_by_name["LocatorService"].full_name,
        ]
        health = health_aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(health, server)
        for name in ("", *names):
            await health.set(name, health_pb2.HealthCheckResponse.SERVING)
        reflection.enable_server_reflection((*names, reflection.SERVICE_NAME, "grpc.health.v1.Health"), server)
        host = _bound_host(listen, secure=secure)
        try:
            port = server.add_secure_port(listen, _credentials(tls)) if tls else server.add_insecure_port(listen)
        except RuntimeError:
            raise ConfigInvalid("listen", f"{listen} cannot be bound; is another server running there?") from None
        await server.start()
        on_ready(f"{host}:{port}")
        try:
            await stop.wait()
        finally:
            await health.enter_graceful_shutdown()
            await server.stop(GRACE_SECONDS)


def _bound_host(listen: str, *, secure: bool) -> str:
    host, colon, port = listen.rpartition(":")
    if not colon or not host or not port.isdigit():
        raise ConfigInvalid("listen", "is an address and a port, such as 127.0.0.1:7443")
    if not secure:
        try:
            loopback = host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
        except ValueError:
            loopback = False
        if not loopback:
            raise ConfigInvalid("--insecure", "serves loopback addresses only; anything else needs certificates")
    return host


def _credentials(tls: TlsFiles) -> grpc.ServerCredentials:
    try:
        return grpc.ssl_server_credentials(
            [(tls.key.read_bytes(), tls.certificate.read_bytes())],
            root_certificates=tls.client_authority.read_bytes(),
            require_client_auth=True,
        )
    except OSError as error:
        raise ConfigInvalid("tls", f"{error.filename} cannot be read") from None
