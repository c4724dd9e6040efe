"""The grouping of records into identities, and the operations that change it.

Every operation answers with the change that it would be; `apply` makes it true. An operation needs only the part of
the grouping that it is about: whole identities, with the bonds and the enterprise ids that lead to them.

What always holds:

- a record that is held is in exactly one identity;
- an enterprise id stands for itself or for one other, which stands for itself, and only one without records stands
  for another;
- records that must be linked are in one identity, records that cannot be linked are in two, as long as both are held;
- applying the changes of the log in their order to an empty grouping gives the present one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from mpi.domain import changes
from mpi.domain.changes import Action, Binding, Bond, Event, Move, Parting, Placement, Redirect, Regrouping, Rewrite
from mpi.domain.identifiers import new_eid
from mpi.errors import Conflict, InputRejected, NotFound

MOST_BINDINGS = 10_000
"""Most pairs of records that one operation may decide about: a giant is taken apart in steps."""

Pair = tuple[int, int]


class Grouping:
    """Which record is in which identity, what people decided about pairs, and what old enterprise ids stand for."""

    def __init__(self, make_eid: Callable[[], str] = new_eid) -> None:
        self._make_eid = make_eid
        self.eids: dict[int, str] = {}
        """Identity of every record that is held."""
        self.contents: dict[int, int] = {}
        """Revision that brought the content of a record; also of records that were retracted."""
        self.redirects: dict[str, str] = {}
        """What an enterprise id that is no longer in use stands for."""
        self.bonds: dict[Pair, Bond] = {}
        """What was decided about pairs of records."""
        self.partings: set[tuple[str, str]] = set()
        """Identities and those that were split off them."""
        self._members: dict[str, set[int]] = {}
        self._leading: dict[str, set[str]] = {}
        self._partners: dict[int, set[int]] = {}

    # --- what is held ----------------------------------------------------------------------------------------------

    def members(self, eid: str) -> list[int]:
        """Records of an identity, the oldest first."""
        return sorted(self._members.get(eid, ()))

    def resolve(self, eid: str) -> str:
        """The enterprise id that another one stands for: itself, unless it was retired."""
        return self.redirects.get(eid, eid)

    def partners(self, record: int, bond: Bond) -> list[int]:
        """Records that something was decided about together with this one."""
        return sorted(other for other in self._partners.get(record, ()) if self.bond(record, other) is bond)

    def bond(self, one: int, other: int) -> Bond:
        """What was decided about two records."""
        return self.bonds.get(_pair(one, other), Bond.NONE)

    def is_bound(self, record: int) -> bool:
        """Say whether anything was decided about a record."""
        return bool(self._partners.get(record))

    def violations(self, records: Iterable[int]) -> list[Pair]:
        """Pairs with one of these records whose bond does not hold."""
        return self._broken({record: self.eids.get(record, "") for record in records}, ())

    # --- operations ------------------------------------------------------------------------------------------------

    def place(self, placement: Placement) -> Placement:
        """Complete a placement: what the record's old enterprise id stands for, and which bonds give way.

        Bonds give way only when a record comes back: while it was away its partners may have been parted.
        """
        moves = {placement.record: placement.eid}
        dropped = [Binding(*pair, self.bonds[pair], Bond.NONE) for pair in self._broken(moves, ())]
        return replace(
            placement,
            content=self.contents.get(placement.record, 0),
            redirects=self._redirects(moves, {}),
            bindings=tuple(dropped),
        )

    def retract(self, record: int, *, erase: bool) -> Regrouping:
        """Take a record out; erased ones lose what was decided about them as well.

        Raises:
            NotFound: the record is not held; what was retracted can still be erased.
        """
        source = self.eids.get(record, "")
        if record not in self.contents or not (source or erase):
            raise NotFound("no such record is held")
        bindings = [
            Binding(*_pair(record, other), self.bond(record, other), Bond.NONE)
            for other in (sorted(self._partners.get(record, ())) if erase else ())
        ]
        move = Move(record, source, "", self.contents[record])
        return Regrouping(Action.ERASE if erase else Action.RETRACT, (move,), (), tuple(bindings))

    def link(self, one: int, other: int) -> Regrouping:
        """Say that two records are of one person: their identities become one, under the older enterprise id.

        Raises:
            NotFound: a record is not held.
            Conflict: this was said before, or other records of the two identities were decided to be of two persons.
        """
        if one == other:
            raise InputRejected("a record is linked with another one, not with itself")
        return self._join(Action.LINK, self._eid(one), self._eid(other), [_pair(one, other)])

    def merge(self, one: str, other: str) -> Regrouping:
        """Say that two identities are one person, under the older enterprise id.

        Raises:
            NotFound: an identity is not held.
            Conflict: they are one already, or records of the two were decided to be of two persons.
        """
        ours, theirs = self._held(one), self._held(other)
        if ours == theirs:
            raise Conflict("these enterprise ids stand for one identity already")
        pair = _pair(self.members(ours)[0], self.members(theirs)[0])
        if self.bonds.get(pair) is Bond.CANNOT:
            raise Conflict("a steward parted records of the two identities")  # only who names both records overrules
        return self._join(Action.MERGE, ours, theirs, [pair])

    def join(self, one: str, other: str) -> Regrouping:
        """Make two identities one, under the older enterprise id, because the model says so: nobody decided it.

        Raises:
            NotFound: an identity is not held.
            Conflict: records of the two were decided to be of two persons.
        """
        ours, theirs = self._held(one), self._held(other)
        return self._join(Action.JOIN, ours, theirs, ())

    def unlink(self, record: int) -> Regrouping:
        """Say that a record is not of the person whose identity it is in: it gets an identity of its own.

        Raises:
            NotFound: the record is not held.
            Conflict: it is alone in its identity.
        """
        eid = self._eid(record)
        others = [other for other in self.members(eid) if other != record]
        if not others:
            raise Conflict("the record is alone in its identity")
        return self._part(Action.UNLINK, eid, [others, [record]])

    def split(self, eid: str, parts: Sequence[Collection[int]]) -> Regrouping:
        """Say that an identity was several persons; the larger part keeps the enterprise id, of equal ones the older.

        Args:
            eid: the identity.
            parts: records of each person; records that none names are one more person together.

        Raises:
            NotFound: the identity is not held.
            InputRejected: a part is empty, or names a record twice or one that is not in the identity.
            Conflict: there is one part only.
        """
        held = self._held(eid)
        members = self.members(held)
        named = [record for part in parts for record in part]
        if not all(parts) or len(set(named)) != len(named) or not set(named) <= set(members):
            raise InputRejected("parts name records of the identity, each of them once")
        rest = [record for record in members if record not in set(named)]
        whole = [sorted(part) for part in parts] + ([rest] if rest else [])
        if len(whole) < 2:
            raise Conflict("all records of the identity are in one part")
        return self._part(Action.SPLIT, held, sorted(whole, key=lambda part: (-len(part), part)))

    def keep_apart(self, record: int, eid: str) -> Regrouping:
        """Say that a record is not of the person of an identity that it is not in.

        Raises:
            NotFound: the record or the identity is not held.
            Conflict: the record is in that identity, or this was said before.
        """
        held = self._held(eid)
        if self._eid(record) == held:
            raise Conflict("the record is in that identity; unlink it")
        bindings = self._bindings([_pair(record, other) for other in self.members(held)], Bond.CANNOT)
        if not bindings:
            raise Conflict("this was said before")
        return Regrouping(Action.KEEP_APART, bindings=bindings)

    def undo(self, revision: int, event: Event) -> Regrouping:
        """Take an earlier change back.

        Each of its facts must still be as the change left it. A record goes back to the identity that its former one
        stands for today. Records that came later stay where they are.

        Raises:
            Conflict: a later change touched the same facts, a record was erased, or a decision made since forbids it.
        """
        if isinstance(event, Regrouping) and event.action is Action.ERASE:
            raise Conflict("an erased record cannot be brought back", (revision,))
        if isinstance(event, Regrouping) and event.action is Action.CONSENT:
            raise Conflict("what a citizen said is not taken back for them", (revision,))
        content = changes.rewrite(revision, event)
        moves = changes.moves(revision, event)
        stands = (
            all(self.eids.get(move.record, "") == move.target for move in moves)
            # A content that came later counts for a record that was placed or taken out: it would go with it.
            and all(
                self.contents.get(move.record) == move.content
                for move in moves
                if isinstance(event, Placement) or not move.target
            )
            and all(self.bond(each.first, each.second) is each.after for each in event.bindings)
            and all(((each.origin, each.part) in self.partings) is each.after for each in changes.partings(event))
            and (content is None or self.contents.get(content.record) == content.after)
            and all(move.record in self.contents for move in moves)
        )
        if not stands:
            raise Conflict("a later change touched the same records or decisions", (revision,))
        revived = {each.eid for each in event.redirects if not each.source and self.redirects.get(each.eid)}
        back: dict[int, str] = {}
        for move in moves:
            target = move.source if move.source in revived else self.resolve(move.source)
            if target != move.target:
                back[move.record] = target
        bindings = tuple(Binding(each.first, each.second, each.after, each.before) for each in event.bindings)
        turned = {
            each.eid: each.source for each in event.redirects if self.resolve(each.eid) == (each.target or each.eid)
        }
        return self._checked(
            Regrouping(
                Action.UNDO,
                self._moves(back, {content.record: content.before} if content else {}),
                self._redirects(back, turned),
                bindings,
                tuple(Parting(each.origin, each.part, each.after, each.before) for each in changes.partings(event)),
                content and Rewrite(content.record, content.after, content.before),
                revision,
            ),
            revision,
        )

    # --- applying --------------------------------------------------------------------------------------------------

    def apply(self, revision: int, event: Event) -> None:
        """Make a change true. What it says of records that are not known here is passed over: they were erased."""
        content = changes.rewrite(revision, event)
        for move in changes.moves(revision, event):
            if isinstance(event, Placement):
                self.contents[move.record] = revision
            elif move.record not in self.contents:
                continue
            self._settle(move.record, move.target)
            if isinstance(event, Regrouping) and event.action is Action.ERASE:
                self.contents.pop(move.record)
        if content is not None and content.record in self.contents:
            self.contents[content.record] = content.after
        for redirect in event.redirects:
            self.lead(redirect.eid, redirect.target)
        for each in event.bindings:
            self.bind(each.first, each.second, each.after)
        for parting in changes.partings(event):
            (self.partings.add if parting.after else self.partings.discard)((parting.origin, parting.part))

    def hold(self, record: int, eid: str, content: int) -> None:
        """Know a record: its identity ("" when it was retracted), and the revision that brought its content."""
        self.contents[record] = content
        self._settle(record, eid)

    def lead(self, eid: str, target: str) -> None:
        """Know what an enterprise id stands for; "" for itself."""
        before = self.redirects.pop(eid, "")
        if before:
            self._leading[before].discard(eid)
        if target:
            self.redirects[eid] = target
            self._leading.setdefault(target, set()).add(eid)

    def bind(self, one: int, other: int, bond: Bond) -> None:
        """Know what was decided about two records."""
        for ours, theirs in ((one, other), (other, one)):
            partners = self._partners.setdefault(ours, set())
            (partners.add if bond is not Bond.NONE else partners.discard)(theirs)
        if bond is Bond.NONE:
            self.bonds.pop(_pair(one, other), None)
        else:
            self.bonds[_pair(one, other)] = bond

    # --- inside ----------------------------------------------------------------------------------------------------

    def _settle(self, record: int, eid: str) -> None:
        before = self.eids.pop(record, "")
        if before:
            self._members[before].discard(record)
        if eid:
            self.eids[record] = eid
            self._members.setdefault(eid, set()).add(record)

    def _eid(self, record: int) -> str:
        if record not in self.eids:
            raise NotFound("no such record is held")
        return self.eids[record]

    def _held(self, eid: str) -> str:
        held = self.resolve(eid)
        if not self._members.get(held):
            raise NotFound("no such identity is held")
        return held

    def _join(self, action: Action, ours: str, theirs: str, bound: Iterable[Pair]) -> Regrouping:
        # Numbers are given in the order of registration, so the smallest tells the older identity.
        older, younger = sorted((ours, theirs), key=lambda eid: self.members(eid)[0])
        moves = {} if older == younger else dict.fromkeys(self.members(younger), older)
        bindings = self._bindings(bound, Bond.MUST)
        if not moves and not bindings:
            raise Conflict("this was said before")
        return self._checked(Regrouping(action, self._moves(moves, {}), self._redirects(moves, {}), bindings))

    def _part(self, action: Action, eid: str, parts: Sequence[Sequence[int]]) -> Regrouping:
        """Part an identity: the first part keeps it, each other gets one of its own."""
        pairs = [
            _pair(one, other)
            for place, part in enumerate(parts)
            for later in parts[place + 1 :]
            for one in part
            for other in later
        ]
        if len(pairs) > MOST_BINDINGS:
            raise InputRejected("this decides about too many pairs of records at once; part the identity in steps")
        fresh = [self._make_eid() for _ in parts[1:]]
        moves = {record: target for target, part in zip(fresh, parts[1:], strict=True) for record in part}
        return Regrouping(
            action,
            self._moves(moves, {}),
            (),
            self._bindings(pairs, Bond.CANNOT),
            tuple(Parting(eid, part, before=False, after=True) for part in fresh),
        )

    def _bindings(self, pairs: Iterable[Pair], bond: Bond) -> tuple[Binding, ...]:
        return tuple(
            Binding(*pair, self.bonds.get(pair, Bond.NONE), bond)
            for pair in sorted(pairs)
            if self.bonds.get(pair, Bond.NONE) is not bond
        )

    def _moves(self, targets: Mapping[int, str], contents: Mapping[int, int]) -> tuple[Move, ...]:
        return tuple(
            Move(record, self.eids.get(record, ""), targets[record], contents.get(record, self.contents[record]))
            for record in sorted(targets)
        )

    def _redirects(self, targets: Mapping[int, str], turned: Mapping[str, str]) -> tuple[Redirect, ...]:
        """What enterprise ids stand for when records have moved.

        Args:
            targets: where records go.
            turned: what enterprise ids would stand for if a change is taken back; it counts for those without records.
        """
        sources = {self.eids[record] for record in targets if record in self.eids}
        arriving = Counter(target for target in targets.values() if target)
        standing: dict[str, str] = {}
        for eid in sorted({*sources, *arriving, *turned}):
            staying = [record for record in self._members.get(eid, ()) if record not in targets]
            gone = Counter(targets[record] for record in self._members.get(eid, ()) if targets.get(record))
            if staying or arriving[eid]:
                standing[eid] = ""
            elif gone:
                standing[eid] = min(gone, key=lambda target: (-gone[target], target))
            elif eid in turned:
                standing[eid] = turned[eid]
        for eid in sorted(standing):
            if standing[eid]:
                for leading in self._leading.get(eid, ()):
                    standing.setdefault(leading, standing[eid])

        def final(eid: str) -> str:
            target = standing.get(eid, self.redirects.get(eid, ""))
            return final(target) or target if target else ""

        after = {eid: final(eid) for eid in standing}
        return tuple(
            Redirect(eid, self.redirects.get(eid, ""), after[eid])
            for eid in sorted(after)
            if after[eid] != self.redirects.get(eid, "")
        )

    def _checked(self, event: Regrouping, *revisions: int) -> Regrouping:
        """Give a change back if what people decided still holds after it.

        Raises:
            Conflict: it would not.
        """
        if self._broken({move.record: move.target for move in event.moves}, event.bindings):
            raise Conflict("records that a steward linked or parted would not stay so", revisions)
        return event

    def _broken(self, targets: Mapping[int, str], bindings: Collection[Binding]) -> list[Pair]:
        """Pairs whose bond would not hold once these records have moved and these bonds were made."""
        bonds = {(each.first, each.second): each.after for each in bindings}
        pairs = {_pair(record, other) for record in targets for other in self._partners.get(record, ())}

        def holds(pair: Pair) -> bool:
            one, other = (targets.get(record, self.eids.get(record, "")) for record in pair)
            bond = bonds.get(pair, self.bonds.get(pair, Bond.NONE))
            return not one or not other or bond is Bond.NONE or (one == other) is (bond is Bond.MUST)

        return sorted(pair for pair in {*pairs, *bonds} if not holds(pair))


def demanded(record: int, bonds: Mapping[int, Bond], eid_of: Callable[[int], str]) -> tuple[str, frozenset[str]]:
    """Say what people's decisions demand of a record that is registered.

    Args:
        record: its number.
        bonds: what was decided about it and each of these other records.
        eid_of: identity of another record, "" when it is not held.

    Returns:
        The identity that it must join, "" for none (where several claim it, that of the oldest record); and the
        identities that it cannot join.
    """
    must = [eid for other in sorted(bonds) if bonds[other] is Bond.MUST and (eid := eid_of(other))]
    cannot = {eid for other, bond in bonds.items() if bond is Bond.CANNOT and (eid := eid_of(other))}
    return (must[0] if must else "", frozenset(cannot))


def _pair(one: int, other: int) -> Pair:
    return (one, other) if one < other else (other, one)
