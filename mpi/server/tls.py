"""Mutual TLS: the server's certificate, renewed without a restart, and the clients' certificates that were revoked."""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from cryptography import x509

from mpi.config import TlsFiles
from mpi.errors import ConfigInvalid

LOOK_SECONDS = 1.0
"""How often a file is looked at again, at most."""

Stamp = tuple[tuple[int, int, int], ...]
"""What changes when a file is written or replaced: inode, time and size."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of a connection, as its certificate says.

    Attributes:
        uris: URIs of the subject alternative name.
        certificate: in DER; empty where none was asked for.
    """

    uris: tuple[str, ...]
    certificate: bytes


NOBODY = Peer((), b"")
"""The other end of a connection in plain text."""


def peer_of(secured: ssl.SSLObject) -> Peer:
    """Take from a connection, after its handshake, who is at the other end."""
    said: dict[str, Any] = secured.getpeercert() or {}
    uris = tuple(value for kind, value in said.get("subjectAltName", ()) if kind == "URI")
    return Peer(uris, secured.getpeercert(binary_form=True) or b"")


def context(tls: TlsFiles) -> ssl.SSLContext:
    """Make what asks clients for a certificate; new files take effect at the next handshake.

    Files that cannot be used, such as a certificate whose key has not been written yet, leave the last ones in place.

    Raises:
        ConfigInvalid: a file is unusable now.
    """
    files = (tls.certificate, tls.key, tls.client_authority)
    first = check(tls)
    held, current = _stamp(files), first

    def renewed(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        nonlocal held, current
        try:
            if (found := _stamp(files)) != held:
                held, current = found, check(tls)
                _log.info("the server's certificate was renewed")
        except (ConfigInvalid, OSError) as error:
            _log.error("the certificate in use stays: the new files are unusable (%s)", type(error).__name__)
        connection.context = current

    # Asked in each handshake, whatever name the client gives the server.
    first.sni_callback = renewed
    return first


def check(tls: TlsFiles) -> ssl.SSLContext:
    """Read the files, and say which one is at fault; gives what they lead to.

    Raises:
        ConfigInvalid: a file cannot be read or is not what it should be.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(tls.certificate, tls.key, password=_no_password)
    except (ssl.SSLError, ValueError):
        raise ConfigInvalid(
            "tls.certificate", f"{tls.certificate} and {tls.key} are not a certificate and its key"
        ) from None
    except OSError as error:
        raise ConfigInvalid("tls.certificate", f"{tls.certificate} or {tls.key}: {error.strerror}") from None
    try:
        context.load_verify_locations(tls.client_authority)
    except (ssl.SSLError, ValueError):
        raise ConfigInvalid("tls.client_authority", f"{tls.client_authority} holds no certificate") from None
    except OSError as error:
        raise ConfigInvalid("tls.client_authority", f"{tls.client_authority}: {error.strerror}") from None
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["h2"])
    # No session is taken up again, as it would go on under an authority that counts no more: no tickets, and nothing
    # older than TLS 1.3, which resumes by them alone.
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    return context


class Revocation:
    """The clients' certificates that count no more: a file of serial numbers, read again when it changes.

    A line is a number in hexadecimal, as `openssl x509 -noout -serial` prints it; what follows # is a remark. A file
    that cannot be read leaves the last numbers in force.

    Raises:
        ConfigInvalid: the file is unusable at the start.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._looked = clock()
        self._held, self._serials = _read_serials(path)

    def holds(self, certificate: bytes) -> bool:
        """Say whether a certificate, in DER, was revoked. One that cannot be read was."""
        self._look()
        if not self._serials:
            return False
        serial = _serial(certificate)
        return serial is None or serial in self._serials

    def _look(self) -> None:
        now = self._clock()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        try:
            if _stamp((self._path,)) != self._held:
                self._held, self._serials = _read_serials(self._path)
                _log.info("%d certificates are revoked", len(self._serials))
        except (ConfigInvalid, OSError):
            _log.error("the list of revoked certificates cannot be read; the last one stays in force")


def _read_serials(path: Path) -> tuple[Stamp, frozenset[int]]:
    serials = set()
    try:
        stamp = _stamp((path,))
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigInvalid("tls.revoked", f"{path} cannot be read ({type(error).__name__})") from None
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip().removeprefix("serial=").replace(":", "")
        if not text:
            continue
        try:
            serials.add(int(text, 16))
        except ValueError:
            raise ConfigInvalid("tls.revoked", f"{path}, line {number}: is no serial number in hexadecimal") from None
    return stamp, frozenset(serials)


@lru_cache(maxsize=4096)
def _serial(certificate: bytes) -> int | None:
    try:
        return x509.load_der_x509_certificate(certificate).serial_number
    except ValueError:
        return None


def _stamp(files: tuple[Path, ...]) -> Stamp:
    return tuple((at.st_ino, at.st_mtime_ns, at.st_size) for at in (file.stat() for file in files))


def _no_password() -> str:
    raise ValueError("the key is encrypted")  # instead of a prompt on the terminal
