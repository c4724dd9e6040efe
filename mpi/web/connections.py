"""Connections to the index: one for the steward whose page it is, or one for each with their own certificate."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from cryptography import x509

from mpi.client import Client
from mpi.domain.access import INSECURE_CALLER, Role, client_named
from mpi.errors import AccessDenied, ConfigInvalid, Reason
from mpi.web.visits import Connection

PEOPLE = (Role.STEWARD, Role.PRIVACY_OFFICER)
"""Whose pages there are."""


class OwnConnection:
    """The one connection of the steward whose page it is."""

    def __init__(self, client: Client, urn: str = INSECURE_CALLER) -> None:
        self._connection = Connection(client, urn)

    def of(self, steward: str) -> Connection:
        """Give it."""
        return self._connection


class CertificateConnections:
    """A connection for each steward, with that steward's certificate, made at first use.

    Args:
        server: address of the index.
        folders: folder of each steward's certificate.
    """

    def __init__(self, server: str, folders: Mapping[str, Path]) -> None:
        self._server = server
        self._folders = folders
        self._lock = threading.Lock()
        self._made: dict[str, Connection] = {}

    def of(self, steward: str) -> Connection:
        """Give the connection of a steward.

        Raises:
            AccessDenied: there is no certificate of this steward.
            ConfigInvalid: it cannot be used.
        """
        with self._lock:
            if steward not in self._made:
                folder = self._folders.get(steward)
                if folder is None:
                    raise AccessDenied(Reason.CLIENT_UNKNOWN, "this page holds no certificate of yours")
                urn = person_named(folder)
                self._made[steward] = Connection(Client(address=self._server, certificates=folder), urn)
            return self._made[steward]

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            for each in self._made.values():
                each.client.close()
            self._made.clear()


def person_named(folder: Path) -> str:
    """Read which steward or privacy officer a folder's certificate names, such as "urn:mpi:steward:somsri".

    Raises:
        ConfigInvalid: there is no certificate, or it names neither.
    """
    path = folder / "cert.pem"
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except OSError as error:
        raise ConfigInvalid("certificates", f"{path}: {error.strerror}") from None
    except (ValueError, x509.ExtensionNotFound):
        raise ConfigInvalid("certificates", f"{path} holds no certificate that names a client") from None
    for urn in names.get_values_for_type(x509.UniformResourceIdentifier):
        named = client_named(urn)
        if named is not None and named.role in PEOPLE:
            return urn
    raise ConfigInvalid("certificates", f"{path} names no steward and no privacy officer")
