"""Disclosure: what this caller may learn, for this purpose, about this person, now.

What is hidden and what is not there take the same way: the same reads, the same unsealing, the same rules, the same
empty answer. It reads the index alone, so it answers while the database is down; the store is written only where a
consent for one lookup is used up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from mpi.domain.changes import Cause
from mpi.domain.consent import (
    OWN_RECORD,
    Asking,
    Consent,
    Holding,
    Network,
    Opening,
    OpeningStatus,
    Policy,
    Stance,
    Weighed,
    disclosed,
    grounds,
    open_to_all,
    statutory,
)
from mpi.domain.identifiers import EnterpriseId, LocateKey
from mpi.domain.identity import Identity, Lookups, ReadyIdentity, Shown
from mpi.domain.purpose import PurposeOfUse
from mpi.errors import Conflict, RecordRejected
from mpi.index.lmdb_index import Index
from mpi.index.members import Member
from mpi.index.projector import bring_up, project
from mpi.index.reader import IndexReader
from mpi.service.gateway import Gateway
from mpi.service.location import admitted, admitted_all
from mpi.service.pseudonyms import own_eid
from mpi.store.sql import Store

_COMBINATIONS = 100_000
"""Sets of facilities that are remembered; people's records lie at the same ones again and again."""


class _View(dict[bytes, frozenset[str]]):
    """What may be shown over some networks of people who said nothing; what was found out once is kept.

    ``view[codes]`` is what showing all of an identity's facilities rests on, by their codes as a ready answer has them;
    nothing where one hides.
    """

    def __init__(self, policy: Policy, networks: tuple[Network, ...]) -> None:
        super().__init__()
        self._policy = policy
        self._networks = networks
        self._grounds: dict[str, str] = {}  # no more than there are facilities

    def __missing__(self, codes: bytes) -> frozenset[str]:
        found = frozenset(map(self.ground, codes.decode().split(" ")))
        if "" in found:
            found = frozenset()
        if len(self) < _COMBINATIONS:
            self[codes] = found
        return found

    def ground(self, facility: str) -> str:
        """What showing a facility's record rests on; "" for nothing."""
        if facility not in self._grounds:
            network = open_to_all(self._policy, self._networks, facility)
            self._grounds[facility] = network and statutory(network)
        return self._grounds[facility]


class _Open:
    """What is shown to one asking without a look at anybody's records."""

    def __init__(self, view: _View, asking: Asking) -> None:
        self.asking = asking
        self._view = view
        self._own = asking.facility.encode()
        self._eids = asking.weighed.eids
        self._shown = set[bytes]()
        self._weighs_all = asking.whole or asking.purpose is PurposeOfUse.BTG

    def has(self, held: Sequence[ReadyIdentity]) -> bool:
        """Say whether identities are shown as they are held, as with almost every key, and take note of it.

        Nobody said anything about them, all of them may be shown to everybody, and none has a record of who asks (or
        of a facility whose code holds theirs, which is weighed for nothing).
        """
        if self._weighs_all:
            return False
        for _, _, codes, silent, _ in held:
            if not silent or not self._view[codes] or (self._own and self._own in codes):
                return False
        for eid, _, codes, _, _ in held:
            self._eids.add(eid)
            self._shown.add(codes)
        return True

    def facilities(self) -> list[str]:
        """Note what showing rested on, and say whose records were shown."""
        self.asking.weighed.grounds.update(*{self._view[codes] for codes in self._shown})
        return b" ".join(self._shown).decode().split()


Looked = tuple[tuple[Shown, ...], tuple[Consent, ...]]


class _Weighed:
    """What came of keys of one snapshot that had to be weighed, each once for whoever asks for it again.

    Somebody hidden takes some microseconds longer than nobody; asked for a thousand times it would show.
    """

    def __init__(self, look: Callable[[LocateKey, Sequence[ReadyIdentity], Asking], Looked]) -> None:
        self._look = look
        self._known: dict[tuple[Asking, LocateKey], tuple[Looked, Weighed]] = {}

    def of(self, key: LocateKey, held: Sequence[ReadyIdentity], asking: Asking) -> Looked:
        """Weigh a key, or say once more what came of it."""
        if (asking, key) not in self._known:
            afresh = replace(asking, weighed=Weighed())
            self._known[asking, key] = self._look(key, held, afresh), afresh.weighed
        looked, noted = self._known[asking, key]
        asking.weighed.eids |= noted.eids
        _, used = looked
        if not used:  # else nothing is shown yet
            asking.weighed.grounds |= noted.grounds
        return looked


class Disclosure:
    """The use case behind `Locate` and `BatchLocate`."""

    def __init__(self, gateway: Gateway, index: Index, store: Store, policy: Policy, rules_digest: str) -> None:
        self._gateway = gateway
        self._index = index
        self._store = store
        self._policy = policy
        self._rules_digest = rules_digest
        self._free = _View(policy, policy.networks)
        named = {client for network in policy.networks for client in network.clients}
        self._bound = {client: _View(policy, policy.asked_over(client)) for client in named}

    def locate_all(self, keys: Sequence[LocateKey | RecordRejected], askings: Sequence[Asking]) -> Lookups:
        """Find the identities that keys lead to, with the locations that may be shown; none without any.

        A key that would use up a consent has no answer, which `locate_once` gives; a phone is refused, as it is not a
        person's alone.

        Args:
            keys: the keys; one that was refused has its error for an answer.
            askings: for each key who asks.
        """
        with self._index.reading() as reader:
            arrived = admitted_all(self._gateway, reader, keys)
            weighed = _Weighed(partial(self._look, reader))
            led_to = iter(reader.held([key for key in arrived if not isinstance(key, RecordRejected)]))
            answers: list[tuple[Shown, ...] | RecordRejected | None] = []
            facilities = set[str]()
            now: _Open | None = None
            for key, asking in zip(arrived, askings, strict=True):
                if isinstance(key, RecordRejected):
                    answers.append(key)
                    continue
                held = next(led_to)
                if now is None or asking is not now.asking:  # all keys of a batch have the same
                    facilities.update(now.facilities() if now else ())
                    now = _Open(self._view(asking), asking)
                if not isinstance(key, EnterpriseId) and now.has(held):
                    answers.append(held)
                    continue
                found, used = weighed.of(key, held, asking)
                if not used:
                    facilities.update(*[each.facilities for each in found])
                answers.append(None if used else found)
            facilities.update(now.facilities() if now else ())
            return Lookups(answers, reader.revision(), reader.last_registrations(sorted(facilities)))

    def locate_once(self, key: LocateKey, asking: Asking, request: str = "") -> Lookups:
        """Find identities as `locate_all` does, and use up the consents for one lookup that this takes.

        Of any number of lookups at the same time, in any process, one is answered by such a consent.

        Raises:
            RecordRejected: a phone.
            StoreUnusable: nothing was used up.
        """
        with self._store.transaction(Cause(asking.client, self._rules_digest, request)) as transaction:
            bring_up(self._index, transaction)
            with self._index.reading() as reader:
                found, used = self._found(reader, key, asking)
                lookups = _lookups(reader, found)
            if used:
                transaction.say([replace(each, stance=Stance.USED) for each in used])
            changes = transaction.changes_made
        project(self._index, changes)
        return lookups

    def break_glass(self, key: LocateKey, asking: Asking, reason: str, request: str = "") -> Lookups:
        """Find all that is held, hidden or not. A task for the privacy officer is on disk before this returns.

        Raises:
            RecordRejected: a phone.
            StoreUnusable: the task cannot be kept, so nothing is shown.
        """
        with self._store.transaction(Cause(asking.client, self._rules_digest, request)) as transaction:
            bring_up(self._index, transaction)
            with self._index.reading() as reader:
                found, _ = self._found(reader, key, asking)
                lookups = _lookups(reader, found)
            eids = tuple(sorted(asking.weighed.eids))
            transaction.open_glass(Opening(0, None, asking.client, reason, eids, request))
        return lookups

    def openings(self, after: int) -> list[Opening]:
        """List the openings that wait to be judged, the oldest first, at most 100."""
        with self._store.reading() as reading:
            return reading.openings(after)

    def judge(self, number: int, status: OpeningStatus, actor: str, request: str = "") -> None:
        """Judge an opening.

        Raises:
            Conflict: no such opening waits to be judged.
        """
        with self._store.transaction(Cause(actor, self._rules_digest, request)) as transaction:
            if not transaction.judge_opening(number, status):
                raise Conflict("no such opening waits to be judged")

    def shows(self, reader: IndexReader, eid: str, asking: Asking) -> bool:
        """Say whether anything of an identity may be shown without using up a consent."""
        seen, used, why = self._seen(reader, reader.members(eid), asking)
        asking.weighed.eids.add(eid)
        shown = any(seen) and not used
        asking.weighed.grounds |= why if shown else set()
        return shown

    def lasting(
        self, reader: IndexReader, members: Sequence[Member], asking: Asking
    ) -> tuple[frozenset[int], frozenset[str]]:
        """Say which records of an identity may be shown without using up a consent, and what showing them rests on.

        Args:
            reader: the snapshot.
            members: all records of the identity.
            asking: who asks; it is not noted there.
        """
        seen, used, why = self._seen(reader, list(members), asking)
        if used:
            holdings = [Holding(member.location.facility, frozenset(member.subjects())) for member in members]
            others = [each for each in reader.consents(members) if each not in used]
            seen, _ = disclosed(self._policy, asking, holdings, others)
            why = grounds(self._policy, asking, holdings, others)
        return frozenset(member.number for member, is_seen in zip(members, seen, strict=True) if is_seen), frozenset(
            why
        )

    def asks_over(self, asking: Asking, network: str) -> bool:
        """Say whether what is said about a network concerns what a client may see."""
        return any(each.name == network for each in self._policy.asked_over(asking.client))

    def is_plain(self, asking: Asking, facility: str) -> bool:
        """Say whether a facility's record may be shown of somebody who said nothing."""
        return asking.whole or bool(self._plain(asking, facility))

    def revision(self) -> int:
        """Revision of the store that the index stands at."""
        with self._index.reading() as reader:
            return reader.revision()

    def known_as(self, reader: IndexReader, eid: str, asking: Asking) -> str:
        """The id that stands for an identity in an answer, before it is made the client's own."""
        return _known_as(eid, reader.members(eid), asking) if asking.facility else eid

    def _found(
        self, reader: IndexReader, key: LocateKey, asking: Asking
    ) -> tuple[tuple[Shown, ...], tuple[Consent, ...]]:
        """Find what one key leads to, and the consents that showing it uses up."""
        arrived = admitted(self._gateway, reader, key)
        return self._look(reader, arrived, reader.held([arrived])[0], asking)

    def _look(
        self, reader: IndexReader, key: LocateKey, led_to: Sequence[ReadyIdentity], asking: Asking
    ) -> tuple[tuple[Shown, ...], tuple[Consent, ...]]:
        """Find what may be shown of what a key leads to, and the consents that this uses up.

        Args:
            reader: the snapshot.
            key: the key, re-keyed.
            led_to: what it leads to.
            asking: who asks.
        """
        found, used = list[Shown](), dict[Consent, None]()
        for held in led_to:
            eid = held.eid
            if eid:
                asking.weighed.eids.add(eid)
            members = reader.members_of(held)
            seen, uses, grounds_of = self._seen(reader, members, asking)
            shown = sorted(member.location for member, is_seen in zip(members, seen, strict=True) if is_seen)
            known_as = _known_as(eid, members, asking)
            if eid and shown:
                found.append(Identity(known_as, tuple(shown), self._parts(reader, key, asking)))
                used.update(dict.fromkeys(uses))
                asking.weighed.grounds |= grounds_of
        return tuple(found), tuple(used)

    def _seen(
        self, reader: IndexReader, members: list[Member], asking: Asking
    ) -> tuple[list[bool], tuple[Consent, ...], set[str]]:
        """Say which records may be shown, the consents that this uses up, and what it rests on."""
        consents = reader.consents(members)
        if consents or asking.whole or asking.purpose is PurposeOfUse.BTG:
            holdings = [Holding(member.location.facility, frozenset(member.subjects())) for member in members]
            seen, used = disclosed(self._policy, asking, holdings, consents)
            return seen, used, grounds(self._policy, asking, holdings, consents)
        why = [self._plain(asking, member.location.facility) for member in members]
        return [bool(each) for each in why], (), {each for each in why if each}

    def _plain(self, asking: Asking, facility: str) -> str:
        """What showing a record of somebody who said nothing rests on, "" for nothing; almost all said nothing."""
        return OWN_RECORD if facility == asking.facility else self._view(asking).ground(facility)

    def _view(self, asking: Asking) -> _View:
        return self._bound.get(asking.client, self._free)

    def _parts(self, reader: IndexReader, key: LocateKey, asking: Asking) -> tuple[str, ...]:
        if not isinstance(key, EnterpriseId):
            return ()
        shown = (part for part in reader.parts(key.value) if self.shows(reader, part, asking))
        return tuple(self.known_as(reader, part, asking) for part in shown)


def _lookups(reader: IndexReader, found: tuple[Shown, ...]) -> Lookups:
    """Add to the answer to one key what goes with it, from the same snapshot."""
    facilities = set[str]().union(*[each.facilities for each in found])
    return Lookups([found], reader.revision(), reader.last_registrations(sorted(facilities)))


def _known_as(eid: str, members: Sequence[Member], asking: Asking) -> str:
    """A facility knows a person of its own by its oldest record, which no merge elsewhere changes."""
    own = [member.number for member in members if member.location.facility == asking.facility]
    return own_eid(min(own)) if own else eid
