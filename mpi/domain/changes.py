"""The change log: what happened to identities, in order, and why."""

from __future__ import annotations

from dataclasses import dataclass

from mpi.domain.identity import Decision


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a change was made: kept once for all changes of a batch.

    Attributes:
        actor: the client that asked, by the name in its certificate, such as "urn:mpi:facility:10661".
        rules_digest: hex SHA-256 of the rule file that decided.
    """

    actor: str
    rules_digest: str


@dataclass(frozen=True, slots=True)
class Placement:
    """A record was placed in an identity: the one kind of change that moves members.

    Attributes:
        record: the record's number in the store.
        eid: the identity that it belongs to from now on.
        previous: the identity that it belonged to before; "" for a record that is new.
        decision: how it came there.
        weight: match weight of the best candidate in bits, None without one.
        why: the rule that decided.
        rival: the identity that a reviewer should look at; "" when there is none.
    """

    record: int
    eid: str
    previous: str
    decision: Decision
    weight: float | None
    why: str
    rival: str
