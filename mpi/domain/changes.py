"""The change log: what happened to identities, in order, and why.

A change is a handful of facts, each with what was true before and after it. So a change is undone by turning its
facts round, and a log read from its beginning gives the state again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mpi.domain.consent import Consent
from mpi.domain.identity import Decision
from mpi.domain.record import EncodedRecord


class Action(StrEnum):
    """What a change was, apart from the registration of a record."""

    RETRACT = "retract"
    """The facility took a record back; the store keeps its content, so it can be undone."""
    ERASE = "erase"
    """The facility took a record back for good: its key is destroyed, and nothing opens what was kept of it."""
    LINK = "link"
    """Two records are of one person."""
    UNLINK = "unlink"
    """A record is not of the person whose identity it was in."""
    MERGE = "merge"
    """Two identities are one person."""
    SPLIT = "split"
    """One identity was several persons."""
    KEEP_APART = "keep_apart"
    """A record and an identity that it is not in are different persons."""
    UNDO = "undo"
    """An earlier change was taken back."""
    JOIN = "join"
    """The registration of a record showed two identities to be one person."""
    CONSENT = "consent"
    """A citizen's word about the use of their records was kept, or a consent for one lookup was used; none moves."""


class Bond(StrEnum):
    """What a person decided about two records; it outranks the model."""

    NONE = ""
    """Nothing: the model decides."""
    MUST = "must_link"
    """One person."""
    CANNOT = "cannot_link"
    """Two persons."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why changes were made: kept once for all changes of a batch and a facility.

    Attributes:
        actor: the client that asked, by the name in its certificate, such as "urn:mpi:facility:10661".
        rules_digest: hex SHA-256 of the rule file that decided.
        request: name of the call that asked; all batches of one stream share it.
        facility: facility whose records were registered or retracted; "" for a steward's operation.
        at: when it was committed, in UTC; None until then.
    """

    actor: str
    rules_digest: str
    request: str = ""
    facility: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """A record changed its identity.

    Attributes:
        record: the record's number in the store.
        source: the identity that it was in; "" when it was not held.
        target: the identity that it is in from now on; "" when it is no longer held.
        content: revision that brought the content that the record has after the move.
    """

    record: int
    source: str
    target: str
    content: int


@dataclass(frozen=True, slots=True)
class Redirect:
    """An enterprise id stands for another one from now on; "" says that it stands for itself."""

    eid: str
    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Binding:
    """What a person decided about two records, the one with the smaller number first."""

    first: int
    second: int
    before: Bond
    after: Bond


@dataclass(frozen=True, slots=True)
class Parting:
    """Whether an identity is known to have been split off another one."""

    origin: str
    part: str
    before: bool
    after: bool


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A record's content is another one: that which revision `after` brought instead of that which `before` brought."""

    record: int
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Placement:
    """A record was registered, or registered with new content, and placed in an identity.

    Attributes:
        record: the record's number in the store.
        eid: the identity that it belongs to from now on.
        previous: the identity that it belonged to before; "" for a record that was not held.
        decision: how it came there.
        weight: match weight of the best candidate in bits, None without one.
        why: the rule that decided.
        rival: the identity that a reviewer should look at; "" when there is none.
        content: revision that brought the content it had before; 0 for none.
        redirects: enterprise ids that stand for others because this left an identity without records.
        bindings: bonds that gave way because they contradicted each other when the record came back.
    """

    record: int
    eid: str
    previous: str
    decision: Decision
    weight: float | None
    why: str
    rival: str
    content: int = 0
    redirects: tuple[Redirect, ...] = ()
    bindings: tuple[Binding, ...] = ()


@dataclass(frozen=True, slots=True)
class Regrouping:
    """Records changed their identities without being registered.

    Attributes:
        action: what it was.
        moves: records that changed their identity.
        redirects: enterprise ids that stand for others from now on.
        bindings: what was decided about pairs of records.
        partings: identities that were split off.
        rewrite: the record whose content changed; None for none.
        undone: revision of the change that an UNDO took back, 0 otherwise.
        consents: what holds from now on of what citizens said.
    """

    action: Action
    moves: tuple[Move, ...] = ()
    redirects: tuple[Redirect, ...] = ()
    bindings: tuple[Binding, ...] = ()
    partings: tuple[Parting, ...] = ()
    rewrite: Rewrite | None = None
    undone: int = 0
    consents: tuple[Consent, ...] = ()


Event = Placement | Regrouping
"""What one entry of the log says."""


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the log.

    Attributes:
        revision: counts from 1 without a gap, in the order of commits.
        event: what happened. Of the registration of a record that was erased since, an ERASE without moves is left.
        record: content that the change gave to the one record that it registered, rewrote or brought back.
        cause: why; None where it was not asked for.
    """

    revision: int
    event: Event
    record: EncodedRecord | None = None
    cause: Cause | None = None


@dataclass(frozen=True, slots=True)
class LastRegistration:
    """When a facility registered last, whether that changed anything or not.

    Attributes:
        facility: its code.
        at: the moment, UTC, in whole seconds; the facility may have registered again within a minute after it.
        turn: counts the transactions that noted such moments, so that who follows knows what is new.
    """

    facility: str
    at: datetime
    turn: int


@dataclass(frozen=True, slots=True)
class Selection:
    """Which changes are meant; what is left out does not count.

    Attributes:
        revisions: these.
        eid: those that touched this identity.
        actor: those that this client caused.
        rules_digest: those that these rules decided.
        request: those of this call.
        facility: those of this facility's records.
        since: those committed at this time or later, UTC.
        until: those committed before this time, UTC.
    """

    revisions: tuple[int, ...] = ()
    eid: str = ""
    actor: str = ""
    rules_digest: str = ""
    request: str = ""
    facility: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def is_empty(self) -> bool:
        """Say whether nothing is left out, so that every change is meant."""
        return self == Selection()


def moves(revision: int, event: Event) -> tuple[Move, ...]:
    """Records that a change put somewhere, placed ones included."""
    if isinstance(event, Placement):
        return (Move(event.record, event.previous, event.eid, revision),)
    return event.moves


def rewrite(revision: int, event: Event) -> Rewrite | None:
    """Record whose content a change replaced by another; None for none, and for a record that had none before."""
    if isinstance(event, Placement):
        return Rewrite(event.record, event.content, revision) if event.content else None
    return event.rewrite


def partings(event: Event) -> tuple[Parting, ...]:
    """Identities that a change split off or put back."""
    return () if isinstance(event, Placement) else event.partings


def eids(event: Event) -> set[str]:
    """Every enterprise id that a change says something about."""
    found = {part for each in event.redirects for part in (each.eid, each.source, each.target)}
    if isinstance(event, Placement):
        found |= {event.eid, event.previous}
    else:
        found |= {part for move in event.moves for part in (move.source, move.target)}
        found |= {part for parting in event.partings for part in (parting.origin, parting.part)}
    return found - {""}
