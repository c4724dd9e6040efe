"""The channel to an index: whom it trusts, the services behind it, and what their status means."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc

from mpi.client.addresses import read_addresses
from mpi.errors import ConfigInvalid, InputRejected, MpiError, ServiceUnavailable
from mpi.v1 import (
    admin_service_pb2_grpc,
    consent_service_pb2_grpc,
    locator_service_pb2_grpc,
    privacy_service_pb2_grpc,
    question_service_pb2_grpc,
    registry_service_pb2_grpc,
    stewardship_service_pb2_grpc,
)
from mpi.wire.status import from_wire

SERVICE_CONFIG = json.dumps(
    {
        # Calls go to all servers that can be reached, in turn; one that comes back is used again.
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [
            {
                # Every call may be repeated: lookups read, registering the same content again changes nothing, and
                # a steward's decision that was carried out already is refused as a conflict.
                "name": [{}],
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "2s",
                    "backoffMultiplier": 3,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ],
    }
)
"""How calls are spread over servers, and which are repeated: what a client in any language does well to have."""
_OPTIONS = (
    ("grpc.service_config", SERVICE_CONFIG),
    # A thousand persons with all their locations can pass gRPC's default of 4 MiB.
    ("grpc.max_receive_message_length", 64 << 20),
    # A server that hangs is left out after so long, whether or not it is asked anything then. No sooner: the sign of
    # life comes after what is already on its way, and over a slow line an answer may take many seconds.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.ping_timeout_ms", 30_000),  # of pings for other ends, which keep these from being sent
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_reconnect_backoff_ms", 5_000),
)
_CLOSED = "the client was closed; open another one"


class Channel:
    """A channel, with a stub of each service.

    Args:
        address: as of `Client`; so are the others.
        certificates: the client's.
        timeout: deadline of a call in seconds.

    Raises:
        ConfigInvalid: a certificate file or an address is unusable, or plain text was asked for across a network.
    """

    def __init__(self, address: str, certificates: Path | None, timeout: float) -> None:
        self.addresses = read_addresses(address)
        self.timeout = timeout
        self.secure = certificates is not None
        if certificates is None and not self.addresses.is_loopback():
            raise ConfigInvalid(
                "certificates", "are needed for a server on another machine: a folder with ca.pem, cert.pem and key.pem"
            )
        self._credentials = None if certificates is None else _credentials(certificates)
        self._opened: list[grpc.Channel] = []
        self._closed = False
        self.connection = self.opened(self.addresses.target)
        self.registry: Any = registry_service_pb2_grpc.RegistryServiceStub(self.connection)  # type: ignore[no-untyped-call]
        self.locator: Any = locator_service_pb2_grpc.LocatorServiceStub(self.connection)  # type: ignore[no-untyped-call]
        self.stewardship: Any = stewardship_service_pb2_grpc.StewardshipServiceStub(self.connection)  # type: ignore[no-untyped-call]
        self.consent: Any = consent_service_pb2_grpc.ConsentServiceStub(self.connection)  # type: ignore[no-untyped-call]
        self.admin: Any = admin_service_pb2_grpc.AdminServiceStub(self.connection)  # type: ignore[no-untyped-call]
        self.question: Any = question_service_pb2_grpc.QuestionServiceStub(self.connection)  # type: ignore[no-untyped-call]
        self.privacy: Any = privacy_service_pb2_grpc.PrivacyServiceStub(self.connection)  # type: ignore[no-untyped-call]

    def opened(self, target: str, *, retries: bool = True) -> grpc.Channel:
        """Open one of gRPC's channels, to some or all of the servers; it is closed with this one.

        Raises:
            InputRejected: this one was closed already.
        """
        if self._closed:
            raise InputRejected(_CLOSED)
        options: list[tuple[str, Any]] = [*_OPTIONS, ("grpc.enable_retries", int(retries))]
        if self.addresses.name:  # otherwise gRPC would look for the whole list in the certificates
            options.append(("grpc.default_authority", self.addresses.name))
        if self._credentials is None:
            self._opened.append(grpc.insecure_channel(target, options))
        else:
            self._opened.append(grpc.secure_channel(target, self._credentials, options))
        return self._opened[-1]

    def close(self) -> None:
        """Close the connections; calls under way are cancelled."""
        self._closed = True
        for each in self._opened:
            each.close()

    def call(self, method: Callable[..., Any], request: Any, timeout: float | None = None) -> Any:
        """Make a call within its deadline, or the usual one; raises what its status means."""
        try:
            return self.begun(method)(request, timeout=self.timeout if timeout is None else timeout)
        except grpc.RpcError as error:
            raise self.meant(error) from None

    def begun(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """A method as it is, unless this channel was closed, of which gRPC says nothing that a caller could expect.

        Raises:
            InputRejected: when it is called on a channel that was closed.
        """

        def call(*arguments: Any, **named: Any) -> Any:
            try:
                return method(*arguments, **named)
            except ValueError:
                if not self._closed:
                    raise
            raise InputRejected(_CLOSED)

        return call

    def meant(self, error: grpc.RpcError) -> MpiError:
        """The error that a status means, with a hint where nobody was reached."""
        meant = from_wire(error)
        if isinstance(meant, ServiceUnavailable):
            return ServiceUnavailable(f"{self.addresses}: {meant.message}{_hint(error, self.secure)}")
        return meant

    def late(self) -> ServiceUnavailable:
        """The error of a call whose time was up before it was made."""
        return ServiceUnavailable(f"{self.addresses}: no answer within the deadline")


class Part:
    """Some of the calls, over the channel that all of them share."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def _call(self, method: Callable[..., Any], request: Any, timeout: float | None = None) -> Any:
        return self._channel.call(method, request, timeout)


def _credentials(folder: Path) -> grpc.ChannelCredentials:
    authority, certificate, key = folder / "ca.pem", folder / "cert.pem", folder / "key.pem"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for path in (authority, certificate, key):
        try:
            path.read_bytes()
        except OSError as error:
            raise ConfigInvalid("certificates", f"{path}: {error.strerror}") from None
    try:
        context.load_verify_locations(authority)
    except ssl.SSLError:
        raise ConfigInvalid("certificates", f"{authority} holds no certificate") from None
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (ssl.SSLError, ValueError):
        raise ConfigInvalid("certificates", f"{certificate} and {key} are not a certificate and its key") from None
    return grpc.ssl_channel_credentials(authority.read_bytes(), key.read_bytes(), certificate.read_bytes())


def _no_password() -> str:
    raise ValueError("the key is encrypted")  # instead of a prompt on the terminal


def _hint(error: grpc.RpcError, secure: bool) -> str:
    """Say what to look at when a connection failed: gRPC's own text names the symptom only."""
    if error.code() is not grpc.StatusCode.UNAVAILABLE:
        return ""
    details = error.details() or ""
    if "CERTIFICATE_VERIFY_FAILED" in details or "Hostname Verification" in details:
        return "; the server's certificate is not from the authority in ca.pem, or not for this address"
    if secure and "WRONG_VERSION_NUMBER" in details:
        return "; the server speaks plain text"
    if "Connection refused" in details:
        return "; nothing listens there"
    if secure:
        return "; if the server runs, it may not accept this certificate (another authority, or expired)"
    return "; if the server runs, it may demand certificates"
