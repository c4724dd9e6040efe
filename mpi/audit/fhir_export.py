"""Entries as FHIR R4 AuditEvent, in the shapes of IHE BALP (Basic Audit Log Patterns).

Answers claim a profile: Query or Update, and their Patient forms where an identity was named, one event for each as
BALP asks. Refusals have the same shape and claim none, for the profiles are of successes. The patient is named by the
journal's pseudonym. BALP holds a query's text in `entity.query`; the journal never has it, so it is marked as masked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mpi.audit.lines import Fields

PSEUDONYMS = "urn:mpi:audit:pseudonym"
"""System of the identifiers that stand for patients."""
_PROFILES = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."
_TERMS = "http://terminology.hl7.org/CodeSystem/"
_DICOM = "http://dicom.nema.org/resources/ontology/DCM"
_READS = ("Locate", "BatchLocate", "Match", "Get", "List", "Watch", "report")
_REFUSALS = frozenset(
    {
        "ABORTED",
        "ALREADY_EXISTS",
        "CANCELLED",
        "FAILED_PRECONDITION",
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "OUT_OF_RANGE",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "UNAUTHENTICATED",
        "UNIMPLEMENTED",
    }
)
"""Statuses that are the caller's part: a minor failure; the others are serious ones."""

Resource = dict[str, Any]


def audit_events(chain: str, entry: Fields) -> Iterator[Resource]:
    """Write an entry as events: one for each identity that it names, or one alone."""
    named = f"{chain}-{entry['sequence']}"
    if not entry["identities"]:
        yield _event(named, chain, entry, None)
    for number, pseudonym in enumerate(entry["identities"], 1):
        yield _event(f"{named}-{number}", chain, entry, pseudonym)


def _event(name: str, chain: str, entry: Fields, pseudonym: str | None) -> Resource:
    method = str(entry["call"]).rpartition("/")[2]
    reads = method.startswith(_READS)
    event: Resource = {
        "resourceType": "AuditEvent",
        "id": name,
        "type": {"system": _TERMS + "audit-event-type", "code": "rest", "display": "RESTful Operation"},
        "subtype": [
            {"system": "http://hl7.org/fhir/restful-interaction", "code": "search" if reads else "update"},
            {"system": "urn:mpi:call", "code": entry["call"]},
        ],
        "action": "E" if reads else "U",
        "recorded": entry["at"],
        "outcome": _outcome(entry["status"]),
        "agent": [
            _agent("110153", "Source Role ID", entry["caller"] or "urn:mpi:unknown", requestor=True),
            _agent("110152", "Destination Role ID", f"urn:mpi:index:{chain}", requestor=False),
        ],
        "source": {
            "observer": {"identifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:mpi:index:{chain}"}},
            "type": [{"system": _TERMS + "security-source-type", "code": "4", "display": "Application Server"}],
        },
        "entity": [_transaction(entry), *([_patient(pseudonym)] if pseudonym else []), _object(entry, reads=reads)],
    }
    if entry["status"] == "OK":
        event["meta"] = {"profile": [_PROFILES + ("Patient" if pseudonym else "") + ("Query" if reads else "Update")]}
    else:
        event["outcomeDesc"] = entry["reason"] or entry["status"]
    if entry["purpose"]:
        event["purposeOfEvent"] = [{"coding": [{"system": _TERMS + "v3-ActReason", "code": entry["purpose"]}]}]
    return event


def _agent(code: str, display: str, who: str, *, requestor: bool) -> Resource:
    return {
        "type": {"coding": [{"system": _DICOM, "code": code, "display": display}]},
        "who": {"identifier": {"system": "urn:ietf:rfc:3986", "value": who}},
        "requestor": requestor,
        "network": {"address": who, "type": "5"},
    }


def _transaction(entry: Fields) -> Resource:
    names = ("results", "revision", "rules", "keys", "basis", "status")
    facts = {name: str(entry[name]) for name in names if entry[name]}
    return {
        "what": {"identifier": {"value": entry["request"]}},
        "type": {"system": "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType", "code": "XrequestId"},
        "detail": [{"type": name, "valueString": value} for name, value in facts.items()],
    }


def _patient(pseudonym: str) -> Resource:
    return {
        "what": {"identifier": {"system": PSEUDONYMS, "value": pseudonym}},
        "type": {"system": _TERMS + "audit-entity-type", "code": "1", "display": "Person"},
        "role": {"system": _TERMS + "object-role", "code": "1", "display": "Patient"},
    }


def _object(entry: Fields, *, reads: bool) -> Resource:
    """What was asked, or what was changed: BALP wants either, and the journal holds neither's text."""
    kind = {"system": _TERMS + "audit-entity-type", "code": "2", "display": "System Object"}
    if not reads:
        role = {"system": _TERMS + "object-role", "code": "4", "display": "Domain Resource"}
        return {"what": {"display": entry["call"]}, "type": kind, "role": role}
    masked = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "masked"}
    role = {"system": _TERMS + "object-role", "code": "24", "display": "Query"}
    return {"type": kind, "role": role, "_query": {"extension": [masked]}}


def _outcome(status: str) -> str:
    if status == "OK":
        return "0"
    return "4" if status in _REFUSALS else "8"
