"""The server: sockets, TLS, limits, start and stop."""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import logging
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import uvloop
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from mpi.config import Limits, TlsFiles
from mpi.domain.access import ClientRule
from mpi.errors import ConfigInvalid
from mpi.server.accounts import Journal
from mpi.server.admin import AdminServicer, Clients
from mpi.server.edge import Admission, Edge
from mpi.server.http2.listener import Server
from mpi.server.limits import Guard
from mpi.server.locating import History, Locator, LocatorServicer, Matcher, Pseudonyms
from mpi.server.servicers import (
    Consents,
    ConsentServicer,
    Privacy,
    PrivacyServicer,
    Registry,
    RegistryServicer,
    Writer,
)
from mpi.server.stewards import Learning, Questions, QuestionServicer, Review, Stewardship, StewardshipServicer
from mpi.server.tls import Revocation
from mpi.server.tls import context as tls_context
from mpi.server.watches import Watches, Watching
from mpi.v1 import (
    admin_service_pb2,
    admin_service_pb2_grpc,
    consent_service_pb2,
    consent_service_pb2_grpc,
    locator_service_pb2,
    locator_service_pb2_grpc,
    privacy_service_pb2,
    privacy_service_pb2_grpc,
    question_service_pb2,
    question_service_pb2_grpc,
    registry_service_pb2,
    registry_service_pb2_grpc,
    stewardship_service_pb2,
    stewardship_service_pb2_grpc,
)

MATCH_THREADS = 2
STOP_SECONDS = 5.0
"""How long calls under way may go on after the server was told to stop."""

SWITCH_SECONDS = 0.0005
"""How long the busy event loop may keep other threads waiting. The audit journal's thread works for a moment between
two waits for the disk, and answers wait for it: Python's default of 5 ms would be longer than both."""

YOUNG_OBJECTS = 5_000
"""Objects after which the collector looks for rings among them. Answering a batch makes thousands, and none in a ring;
Python's default of 700 would look at each of them time and again."""
_LOOKUPS_ONLY = "lookups alone are served here; everything else is served at the registrar's address"
_LOCATOR = locator_service_pb2.DESCRIPTOR.services_by_name["LocatorService"].full_name
_OTHERS = (
    registry_service_pb2.DESCRIPTOR.services_by_name["RegistryService"].full_name,
    stewardship_service_pb2.DESCRIPTOR.services_by_name["StewardshipService"].full_name,
    question_service_pb2.DESCRIPTOR.services_by_name["QuestionService"].full_name,
    privacy_service_pb2.DESCRIPTOR.services_by_name["PrivacyService"].full_name,
    consent_service_pb2.DESCRIPTOR.services_by_name["ConsentService"].full_name,
    admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"].full_name,
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Application:
    """The use cases that the server offers, and what stands before them.

    Attributes:
        journal: where every call leaves an entry before its answer leaves.
        rules_digest: of the model that decides, hex; stands in every entry.
        key_epochs: names of the key epochs that records are accepted under.
        rule_of: what was decided about the client of a name.
        guard: limits of every client's lookups.
    """

    registry: Registry
    locator: Locator
    history: History
    matcher: Matcher
    stewardship: Stewardship
    review: Review
    learning: Learning
    questions: Questions
    consents: Consents
    clients: Clients
    privacy: Privacy
    pseudonyms: Pseudonyms
    watching: Watching
    journal: Journal
    rules_digest: str
    key_epochs: tuple[str, ...] = ()
    rule_of: Callable[[str], ClientRule] = ClientRule
    guard: Guard = field(default_factory=lambda: Guard(Limits()))


def run(
    application: Application,
    listen: str,
    tls: TlsFiles | None,
    on_ready: Callable[[str], None],
    *,
    lookups_only: bool = False,
    shares_port: bool = False,
) -> None:
    """Serve as `serve` does, on an event loop of its own, until SIGINT or SIGTERM."""
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.freeze()  # what was loaded for the start stays to the end: no collection need go through it again
    gc.set_threshold(YOUNG_OBJECTS, 10, 10)
    uvloop.run(serve(application, listen, tls, on_ready, lookups_only=lookups_only, shares_port=shares_port))


async def serve(
    application: Application,
    listen: str,
    tls: TlsFiles | None,
    on_ready: Callable[[str], None],
    *,
    lookups_only: bool = False,
    shares_port: bool = False,
) -> None:
    """Serve until SIGINT, SIGTERM or cancellation; then take no new calls and let those under way finish.

    Args:
        application: the use cases; they stay open until this returns.
        listen: address and port, such as "127.0.0.1:7443" or "[::1]:0"; port 0 takes any free one.
        tls: files of mutual TLS; None serves plain text, on loopback addresses only.
        on_ready: called once with the address that calls are taken at.
        lookups_only: serve LocatorService and nothing else.
        shares_port: other processes serve the same at this address.

    Raises:
        ConfigInvalid: the address cannot be used, is not loopback without TLS, or a TLS file is unusable.
    """
    host = host_of(listen)
    context = tls_context(tls) if tls else None
    if context is None:
        _check_loopback(host)
    revoked = Revocation(tls.revoked) if tls and tls.revoked else None
    admission = Admission(insecure=context is None, rule_of=application.rule_of, revoked=revoked)
    in_force = application.rules_digest, application.key_epochs
    edge = Edge(admission, application.journal, *in_force, application.pseudonyms.inward)
    server = Server(_LOOKUPS_ONLY) if lookups_only else Server()
    writer = Writer()
    pool = ThreadPoolExecutor(MATCH_THREADS, thread_name_prefix="mpi-match")
    watches = Watches(application.watching)
    health_servicer = health.aio.HealthServicer()  # type: ignore[attr-defined]
    for_stewards = application.stewardship, application.review, application.learning
    use_cases = application.locator, application.history, application.matcher, application.pseudonyms
    locator = LocatorServicer(*use_cases, watches, application.guard, writer, pool)
    guarded = edge.before(server, locator.together())
    locator_service_pb2_grpc.add_LocatorServiceServicer_to_server(locator, guarded)  # type: ignore[no-untyped-call]
    if not lookups_only:
        registry_service_pb2_grpc.add_RegistryServiceServicer_to_server(  # type: ignore[no-untyped-call]
            RegistryServicer(application.registry, writer), guarded
        )
        stewardship_service_pb2_grpc.add_StewardshipServiceServicer_to_server(  # type: ignore[no-untyped-call]
            StewardshipServicer(*for_stewards, writer, pool), guarded
        )
        question_service_pb2_grpc.add_QuestionServiceServicer_to_server(  # type: ignore[no-untyped-call]
            QuestionServicer(application.questions, writer, pool), guarded
        )
        consent_service_pb2_grpc.add_ConsentServiceServicer_to_server(  # type: ignore[no-untyped-call]
            ConsentServicer(application.consents, writer, pool), guarded
        )
        privacy_service_pb2_grpc.add_PrivacyServiceServicer_to_server(  # type: ignore[no-untyped-call]
            PrivacyServicer(application.privacy, application.consents, writer, pool), guarded
        )
        admin_service_pb2_grpc.add_AdminServiceServicer_to_server(  # type: ignore[no-untyped-call]
            AdminServicer(application.clients, application.rules_digest, application.key_epochs, writer, pool), guarded
        )
    services = (_LOCATOR,) if lookups_only else (_LOCATOR, *_OTHERS)
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    described = reflection.aio.ReflectionServicer(  # type: ignore[attr-defined]
        (*services, health.SERVICE_NAME, reflection.SERVICE_NAME)
    )
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(described, server)
    try:
        # Two servers on one port would split the callers between two indexes; the second must fail instead.
        port = await server.start(host, int(listen.rpartition(":")[2]), context, shared_port=shares_port)
        address = f"{host}:{port}"
        for service in services:
            await health_servicer.set(service, health_pb2.HealthCheckResponse.SERVING)
        if context is None:
            _log.warning("INSECURE: plain text on %s, and every caller on this machine may do everything", address)
        else:
            _log.info("serving on %s with mutual TLS", address)
        stop = _stop_event()
        on_ready(address)
        await stop.wait()
    finally:
        writer.refuse()
        edge.drain()
        await health_servicer.enter_graceful_shutdown()
        await server.stop(STOP_SECONDS)
        # A batch under way must end before the caller closes the store.
        writer.close()
        watches.close()
        pool.shutdown()


def host_of(listen: str) -> str:
    """The host of an address; raises ConfigInvalid where it is none."""
    host, colon, port = listen.rpartition(":")
    if not colon or not host or not port.isdecimal() or not port.isascii() or int(port) > 0xFFFF:
        raise ConfigInvalid("listen", "is not an address and a port, such as 127.0.0.1:7443 or [::1]:7443")
    return host


def _check_loopback(host: str) -> None:
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ConfigInvalid("listen", "without TLS only loopback addresses are served: 127.0.0.1, [::1] or localhost")


def _stop_event() -> asyncio.Event:
    """An event that SIGINT and SIGTERM set; only a process's main thread can take signals."""
    stop = asyncio.Event()
    if threading.current_thread() is threading.main_thread():
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
    return stop
