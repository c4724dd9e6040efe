"""Access: who the clients are, and which calls each role may make. There is one table, and it is here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from mpi.domain.identifiers import is_facility_code
from mpi.domain.purpose import PurposeOfUse

INSECURE_CALLER = "urn:mpi:insecure:local"


class Role(StrEnum):
    """What kind of client calls, as the URN in its certificate says."""

    FACILITY = "facility"
    """Registers its own records, and looks its patients up."""
    EXCHANGE = "exchange"
    """Looks people up for others, and brings their consents."""
    STEWARD = "steward"
    """Decides which records are of one person."""
    AUDITOR = "auditor"
    """Reads what was done."""
    PRIVACY_OFFICER = "privacy-officer"
    """Keeps citizens' consents, and judges every opening of what is hidden."""
    ADMIN = "admin"
    """Runs the centre; learns nothing about anybody."""
    INSECURE = "insecure"
    """Whoever is on this machine, where no certificates are asked for; no certificate names it."""


_LOOKERS = frozenset({Role.FACILITY, Role.EXCHANGE, Role.STEWARD})
_FACILITIES = frozenset({Role.FACILITY})
_STEWARDS = frozenset({Role.STEWARD})
_MANY = frozenset({Role.EXCHANGE, Role.STEWARD})

ALLOWED = {
    "/mpi.v1.RegistryService/Register": _FACILITIES,
    "/mpi.v1.RegistryService/RegisterBatch": _FACILITIES,
    "/mpi.v1.RegistryService/Retract": _FACILITIES,
    "/mpi.v1.LocatorService/Locate": _LOOKERS,
    # What leads to many people at once is not for facilities, which look up those who come to them.
    "/mpi.v1.LocatorService/BatchLocate": _MANY,
    "/mpi.v1.LocatorService/LocateStream": _MANY,
    "/mpi.v1.LocatorService/WatchIdentities": _MANY,
    "/mpi.v1.LocatorService/Match": _LOOKERS,
    # A facility may bring an objection and no consent: a mistake then hides, and never shows.
    "/mpi.v1.ConsentService/Give": frozenset({Role.EXCHANGE, Role.PRIVACY_OFFICER}),
    "/mpi.v1.ConsentService/Withdraw": frozenset({Role.FACILITY, Role.EXCHANGE, Role.PRIVACY_OFFICER}),
    "/mpi.v1.ConsentService/List": frozenset({Role.EXCHANGE, Role.PRIVACY_OFFICER}),
    "/mpi.v1.PrivacyService/ListOpenings": frozenset({Role.PRIVACY_OFFICER}),
    "/mpi.v1.PrivacyService/JudgeOpening": frozenset({Role.PRIVACY_OFFICER}),
    "/mpi.v1.PrivacyService/ListCarried": frozenset({Role.PRIVACY_OFFICER}),
    "/mpi.v1.PrivacyService/LiftCarried": frozenset({Role.PRIVACY_OFFICER}),
    "/mpi.v1.AdminService/ListClients": frozenset({Role.ADMIN}),
    "/mpi.v1.AdminService/DecideClient": frozenset({Role.ADMIN}),
    "/mpi.v1.AdminService/DescribeIndex": frozenset({Role.ADMIN}),
    "/mpi.v1.StewardshipService/GetIdentity": _STEWARDS,
    "/mpi.v1.StewardshipService/Link": _STEWARDS,
    "/mpi.v1.StewardshipService/Unlink": _STEWARDS,
    "/mpi.v1.StewardshipService/Merge": _STEWARDS,
    "/mpi.v1.StewardshipService/Split": _STEWARDS,
    "/mpi.v1.StewardshipService/Undo": _STEWARDS,
    "/mpi.v1.StewardshipService/ListChanges": frozenset({Role.STEWARD, Role.AUDITOR, Role.PRIVACY_OFFICER}),
    "/mpi.v1.StewardshipService/ListTasks": _STEWARDS,
    "/mpi.v1.StewardshipService/CountTasks": _STEWARDS,
    "/mpi.v1.StewardshipService/GetTask": _STEWARDS,
    "/mpi.v1.StewardshipService/ClaimTask": _STEWARDS,
    "/mpi.v1.StewardshipService/ReleaseTask": _STEWARDS,
    "/mpi.v1.StewardshipService/AssignTask": _STEWARDS,
    "/mpi.v1.StewardshipService/CommentTask": _STEWARDS,
    "/mpi.v1.StewardshipService/DecideTask": _STEWARDS,
    "/mpi.v1.StewardshipService/DecideTasks": _STEWARDS,
    "/mpi.v1.StewardshipService/GetGraph": _STEWARDS,
    "/mpi.v1.StewardshipService/RevealView": _STEWARDS,
    "/mpi.v1.StewardshipService/GetDashboard": _STEWARDS,
    "/mpi.v1.StewardshipService/PreviewRules": frozenset({Role.STEWARD, Role.ADMIN}),
    "/mpi.v1.QuestionService/ListQuestions": _FACILITIES,
    "/mpi.v1.QuestionService/AnswerQuestion": _FACILITIES,
}
"""Roles that may make each call. A call that is not listed nobody may make; the insecure caller may make every one."""

_URN = re.compile(
    rf"urn:mpi:({'|'.join(role.value for role in Role if role is not Role.INSECURE)}):([A-Za-z0-9-]{{1,64}})", re.ASCII
)


@dataclass(frozen=True, slots=True)
class ClientRule:
    """What the centre has decided about one client, beyond what its name says.

    Attributes:
        urn: its name.
        suspended: it may call nothing.
        roles: roles that it has besides the one in its name.
        purposes: the only purposes of use that it may claim; None for every one.
    """

    urn: str
    suspended: bool = False
    roles: frozenset[Role] = frozenset()
    purposes: frozenset[PurposeOfUse] | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """The client behind a call.

    Attributes:
        urn: its name in full, such as "urn:mpi:facility:10661"; the actor of every change that it causes.
        role: its kind.
        name: its own part of the name: the facility code, or the name of the exchange or person.
        roles: roles that it has besides.
        purposes: the only purposes of use that it may claim; None for every one.
    """

    urn: str
    role: Role
    name: str
    roles: frozenset[Role] = frozenset()
    purposes: frozenset[PurposeOfUse] | None = None

    @property
    def is_outside(self) -> bool:
        """Whether the client sees enterprise ids of its own instead of the centre's."""
        return self.role in (Role.FACILITY, Role.EXCHANGE)

    def has(self, role: Role) -> bool:
        """Say whether the client has a role, by its name or by decision of the centre."""
        return role is self.role or role in self.roles or self.role is Role.INSECURE

    def may_call(self, method: str) -> bool:
        """Say whether this client may make a call, such as "/mpi.v1.LocatorService/Locate"."""
        return method in ALLOWED and any(self.has(role) for role in ALLOWED[method])

    def may_claim(self, purpose: PurposeOfUse) -> bool:
        """Say whether this client may look up for a purpose."""
        return self.purposes is None or purpose in self.purposes

    def may_write(self, facility: str) -> bool:
        """Say whether this client may write records of a facility: a facility writes its own and no others."""
        return self.role is Role.INSECURE or (self.role is Role.FACILITY and self.name == facility)


def client_named(urn: str) -> Caller | None:
    """Read the name of a client; None for what is no such name."""
    match = _URN.fullmatch(urn)
    if match is None:
        return None
    caller = Caller(urn, Role(match[1]), match[2])
    return None if caller.role is Role.FACILITY and not is_facility_code(caller.name) else caller
