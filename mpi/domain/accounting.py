"""What the audit journal is told about a call: who asked for what, why, and what became of it. Never a value asked."""

from __future__ import annotations

from dataclasses import dataclass

from mpi.errors import ServiceUnavailable


class NotAccounted(ServiceUnavailable):
    """The audit journal takes no entries, so nothing is answered; it keeps count of the calls that it refused."""


@dataclass(frozen=True, slots=True)
class Access:
    """One answer or refusal.

    Attributes:
        call: service and method, such as "LocatorService/Locate".
        request: name of the call; all entries of a stream share it.
        status: name of the gRPC status, such as "OK" or "PERMISSION_DENIED".
        reason: reason code of a refusal; "" for an answer.
        caller: name in the client's certificate; for one that names no client, the certificate's SHA-256.
        purpose: word of HL7 PurposeOfUse; "" where a call has none.
        basis: legal basis or consent that the answer rests on; "" where none was weighed.
        identities: enterprise ids that the answer names, sorted; the journal writes pseudonyms of them.
        results: how many identities the answer names; 0 is an empty answer.
        revision: of the index, that was answered from; 0 where the answer has none.
        rules_digest: of the model in force, hex.
        key_epochs: names of the facilities' key epochs in force, between spaces.
    """

    call: str
    request: str
    status: str
    reason: str = ""
    caller: str = ""
    purpose: str = ""
    basis: str = ""
    identities: tuple[str, ...] = ()
    results: int = 0
    revision: int = 0
    rules_digest: str = ""
    key_epochs: str = ""
