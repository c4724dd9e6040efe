"""What citizens said follows their records: to the tokens of the next key epoch, and to records that lose a number.

A consent is kept by a number's token, and a record may be registered anew without that number, or under the next key
epoch alone. An objection then stays with the record until a privacy officer lifts it; so the stricter wins. Of a record
that carries one number under both epochs the two tokens are known to be one, and what was said under either holds under
both, so that it outlives the earlier epoch.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator
from dataclasses import replace
from itertools import product

from mpi.domain.consent import Consent, Stance, Subject
from mpi.domain.identifiers import IdentifierKind, IdentifierToken
from mpi.index.members import Member
from mpi.index.reader import IndexReader
from mpi.service.overlay import Overlay

_NOWHERE = str(uuid.UUID(int=0))

KEEPER = "urn:mpi:index"
"""Who keeps an objection when records are parted from a number."""


def carried_over(reader: IndexReader, now: Overlay, revised: Collection[int]) -> list[Consent]:
    """Objections that records would escape because some of them were registered anew.

    Args:
        reader: the index as it was before.
        now: the index as it will be.
        revised: numbers of the records whose content is new.
    """
    kept: dict[tuple[Subject, str, str], Consent] = {}
    if reader.is_silent():
        return []
    for eid in sorted({reader.placed(number) for number in revised} - {""}):
        members = reader.members(eid)
        said = [each for each in reader.consents(members) if each.stance is Stance.WITHDRAWN]
        alike = _alike(members) if said else {}
        for each, member in product(said, members):
            meant = {each.subject, *alike.get(each.subject, ())}
            together = now.members(now.eid_of(member.number))
            if not any(meant.intersection(other.subjects()) for other in together):
                by_itself = replace(each, subject=member.number, recorder=KEEPER)
                kept[member.number, each.network, each.purpose] = by_itself
    return list(kept.values())


def left_behind(reader: IndexReader, number: int, *, erase: bool) -> list[Consent]:
    """Objections that records would escape by the retraction of one of them; also that one, should it come back.

    Args:
        reader: the index as it was before.
        number: of the record that is retracted.
        erase: it is erased, and never comes back.
    """
    members = reader.members(reader.placed(number) or _NOWHERE)
    kept = []
    for each in reader.consents(members):
        if each.stance is Stance.WITHDRAWN:
            carriers = {member.number for member in members if each.subject in member.subjects()}
            escaping = {member.number for member in members} - {number} if carriers == {number} else set()
            escaping |= set() if erase else {number}
            kept += [replace(each, subject=one, recorder=KEEPER) for one in sorted(escaping) if one != each.subject]
    return kept


def carried_on(reader: IndexReader, arrived: Collection[Member]) -> list[Consent]:
    """What was said under one epoch's token of a number and not yet under the other's; the stricter where they differ.

    Args:
        reader: the index as it was before.
        arrived: records as they were registered.
    """
    if reader.is_silent():
        return []
    pairs = {pair for member in arrived for pair in _pairs(member)}
    return [consent for pair in sorted(pairs) for consent in _levelled(reader, pair)]


def same_number(reader: IndexReader, token: IdentifierToken) -> set[IdentifierToken]:
    """Tokens of the same number under another key epoch, as far as records tell."""
    members = [member for held in reader.held([token])[0] for member in reader.members_of(held)]
    return {other for member in members for pair in _pairs(member) if token in pair for other in pair} - {token}


def _pairs(member: Member) -> Iterator[tuple[IdentifierToken, IdentifierToken]]:
    """Tokens of one number under both epochs; where a record has several numbers of a kind nobody can tell which."""
    if len(member.encodings) == 2:
        for kind in set(IdentifierKind) - {IdentifierKind.PHONE}:
            ours, theirs = ([t for t in each.tokens if t.kind is kind] for each in member.encodings)
            if len(ours) == len(theirs) == 1:
                yield ours[0], theirs[0]


def _alike(members: Collection[Member]) -> dict[Subject, set[Subject]]:
    alike: dict[Subject, set[Subject]] = {}
    for member in members:
        for one, other in _pairs(member):
            alike.setdefault(one, set()).add(other)
            alike.setdefault(other, set()).add(one)
    return alike


def _levelled(reader: IndexReader, pair: tuple[IdentifierToken, IdentifierToken]) -> Iterator[Consent]:
    said = [{(each.network, each.purpose): each for each in reader.said(token)} for token in pair]
    for about in sorted(said[0].keys() | said[1].keys()):
        held = [side[about] for side in said if about in side]
        strictest = min(held, key=_leniency)
        for side, subject in zip(said, pair, strict=True):
            if about not in side or _leniency(side[about]) != _leniency(strictest):
                yield replace(strictest, subject=subject)


def _leniency(consent: Consent) -> tuple[int, bool, bool]:
    order = (Stance.WITHDRAWN, Stance.USED, Stance.LIFTED, Stance.GIVEN)
    return order.index(consent.stance), not consent.once, consent.sensitive
