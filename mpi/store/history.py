"""What an identity was: read from the log, through the changes that touched it."""

from __future__ import annotations

from mpi.domain import changes
from mpi.domain.changes import Selection
from mpi.domain.identity import IdentityView, Member
from mpi.store.reading import Reading


def identity_at(reading: Reading, eid: str, revision: int) -> IdentityView | None:
    """Read an identity as it was after a revision; contents of records that were erased since are left out.

    Args:
        reading: a snapshot that has this revision.
        eid: enterprise id, also one that stood for another by then.
        revision: the last change that counts.

    Returns:
        The identity; None when it held nothing then.
    """
    held: dict[int, int] = {}
    target, split = "", set[str]()
    for change in reading.selected(Selection(eid=eid)):
        if change.revision > revision:
            break
        for move in changes.moves(change.revision, change.event):
            if move.target == eid:
                held[move.record] = move.content
            elif move.source == eid:
                held.pop(move.record, None)
        content = changes.rewrite(change.revision, change.event)
        if content is not None and content.record in held:
            held[content.record] = content.after
        for redirect in change.event.redirects:
            if redirect.eid == eid:
                target = redirect.target
        for parting in changes.partings(change.event):
            if parting.origin == eid:
                (split.add if parting.after else split.discard)(parting.part)
    if target:
        return identity_at(reading, target, revision)
    contents = reading.contents(held.values())
    members = tuple(
        Member.of(number, content, contents[content].record)
        for number, content in sorted(held.items())
        if content in contents
    )
    return IdentityView(eid, members, split=tuple(sorted(split))) if members else None


def records_before(reading: Reading, eid: str, revision: int) -> frozenset[int]:
    """Read which records were in an identity before a change, those excepted that were erased since.

    Args:
        reading: a snapshot that has this revision.
        eid: enterprise id.
        revision: the first change that does not count.
    """
    held = set[int]()
    for change in reading.selected(Selection(eid=eid)):
        if change.revision >= revision:
            break
        for move in changes.moves(change.revision, change.event):
            if move.target == eid:
                held.add(move.record)
            elif move.source == eid:
                held.discard(move.record)
    return frozenset(held)


def identity_now(reading: Reading, eid: str) -> IdentityView | None:
    """Read an identity as it is; None when it holds nothing."""
    grouping = reading.grouping([eid])
    held = grouping.resolve(eid)
    numbers = grouping.members(held)
    if not numbers:
        return None
    contents = reading.contents([grouping.contents[number] for number in numbers])
    return IdentityView(
        held,
        tuple(
            Member.of(number, grouping.contents[number], contents[grouping.contents[number]].record)
            for number in numbers
        ),
        tuple(sorted(retired for retired, target in grouping.redirects.items() if target == held)),
        tuple(sorted(part for origin, part in grouping.partings if origin == held)),
        tuple((one, other, bond.value) for (one, other), bond in sorted(grouping.bonds.items())),
    )
