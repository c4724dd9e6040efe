"""Who calls: the client that a certificate names, and what its role lets it do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import grpc

from mpi.errors import AccessDenied, Reason

_URN = re.compile(r"urn:mpi:(facility|exchange|steward):([A-Za-z0-9._-]{1,64})")
LOCAL = "urn:mpi:insecure:local"


class Role(StrEnum):
    """What kind of client a certificate names."""

    FACILITY = "facility"
    EXCHANGE = "exchange"
    STEWARD = "steward"
    LOCAL = "local"
    """Anyone on this machine, where the server runs without certificates."""


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated client."""

    urn: str
    role: Role
    name: str

    def must_own(self, facility: str) -> None:
        """Let a facility write its own records only.

        Raises:
            AccessDenied: another facility's record, or a client that is no facility.
        """
        if self.role is Role.LOCAL:
            return
        if self.role is not Role.FACILITY:
            raise AccessDenied(Reason.ROLE_MISSING, "only a facility registers records")
        if self.name != facility:
            raise AccessDenied(Reason.FACILITY_MISMATCH, "a facility registers its own records only")


def caller_of(context: grpc.aio.ServicerContext[Any, Any], *, secure: bool) -> Caller:
    """Name the client of a call from the URI in its certificate.

    Raises:
        AccessDenied: the certificate names no client that this server knows.
    """
    if not secure:
        return Caller(LOCAL, Role.LOCAL, "")
    for name in context.auth_context().get("x509_subject_alternative_name", ()):
        found = _URN.fullmatch(name.decode(errors="replace"))
        if found:
            return Caller(found[0], Role(found[1]), found[2])
    raise AccessDenied(Reason.CLIENT_UNKNOWN, "the certificate names no client of this index (a URI urn:mpi:...)")
