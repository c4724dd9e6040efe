"""Changes to the index within one transaction, held back until `flush` and then written in the order of their names."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from mpi.domain.changes import LastRegistration
from mpi.domain.consent import Consent, Subject
from mpi.domain.identifiers import IdentifierToken
from mpi.domain.record import EncodedRecord
from mpi.errors import IndexCorrupt
from mpi.index.members import Member, TokenKey, pack_members
from mpi.index.reader import IndexReader
from mpi.index.ready import pack_answer, ready_registration
from mpi.index.sealing import BLOCK, NAME_BYTES, Sealer, eid_bytes
from mpi.index.tables import COUNTER, EID_BYTES, LINEAGE, REVISION, TURN, location_name, table_of
from mpi.store.consent_packing import pack_consents, pack_subject, replaced

_U16 = struct.Struct(">H")

Key = TypeVar("Key")


class IndexWriter(IndexReader):
    """A write transaction on the index."""

    def __init__(self, sealer: Sealer, tables: dict[str, Any], transaction: Any) -> None:
        super().__init__(sealer, tables, transaction)
        self._touched: dict[str, dict[int, Member]] = {}
        self._fresh: set[tuple[str, int]] = set()
        self._stale: dict[TokenKey, set[str]] = {}
        self._added: dict[tuple[bytes, bytes], bytes] = {}
        self._places: dict[int, tuple[str, bytes] | None] = {}

    def set_revision(self, revision: int) -> None:
        """Say which revision of the store the index stands at after this transaction; an empty one says none."""
        if revision:
            self._transaction.put(REVISION, COUNTER.pack(revision), db=self._tables["state"])

    def set_lineage(self, lineage: str) -> None:
        """Say which history the index follows."""
        self._transaction.put(LINEAGE, lineage.encode(), db=self._tables["state"])

    def hear(self, registrations: Iterable[LastRegistration]) -> None:
        """Know when facilities registered, unless something newer is known already."""
        turn = before = self.turn()
        for each in registrations:
            if each.turn > before:
                key = self._sealer.name("facilities", each.facility.encode())
                sealed = self._sealer.seal(key, ready_registration(each.facility, each.at))
                self._transaction.put(key, sealed, db=self._tables["facilities"])
                turn = max(turn, each.turn)
        if turn > before:
            self._transaction.put(TURN, COUNTER.pack(turn), db=self._tables["state"])

    def put(self, number: int, eid: str, record: EncodedRecord) -> None:
        """Hold a record in an identity with this content, whatever is held of it so far."""
        self.remove(number)
        self.add(number, eid, record)

    def add(self, number: int, eid: str, record: EncodedRecord) -> None:
        """Hold a record of which nothing is held."""
        rows = Counter[str]()
        names = []
        for encoding in (each for demographics in record.encodings() for each in demographics.channels):
            channel = encoding.channel
            key = self._sealer.name("candidates", channel.encode(), encoding.bucket)
            block = self._sealer.channel(channel).seal_number(number, rows[channel])
            rows[channel] += 1
            self._added[key, block] = encoding.vector
            names.append(key + channel.encode())
        self._places[number] = eid, b"".join(_U16.pack(len(name)) + name for name in names)
        self._put_in(eid, Member.of(number, record))

    def move(self, number: int, eid: str) -> None:
        """Put a record that is held into another identity."""
        place = self._place(number)
        if place is None:
            return
        before, names = place
        self._put_in(eid, self._take_out(number, before))
        self._places[number] = eid, names

    def rewrite(self, number: int, record: EncodedRecord) -> None:
        """Give a record another content, if it is held."""
        place = self._place(number)
        if place is not None:
            self.put(number, place[0], record)

    def remove(self, number: int) -> None:
        """Hold a record no longer."""
        place = self._place(number)
        if place is None:
            return
        eid, names = place
        for key, block in self._candidates_of(number, names):
            self._remove_candidate(key, block)
        self._take_out(number, eid)
        self._places[number] = None

    def lead(self, eid: str, target: str) -> None:
        """Let an enterprise id stand for another one; "" lets it stand for itself."""
        self._stand(eid, target, self._standing(eid)[1])

    def part(self, origin: str, part: str, *, held: bool) -> None:
        """Know, or no longer know, that an identity was split off another one."""
        target, parts = self._standing(origin)
        self._stand(origin, target, sorted({*parts, part} if held else {*parts} - {part}))

    def say(self, said: Consent) -> None:
        """Hold what was said, in place of what was said before about the same network and purpose."""
        table = table_of(said.subject)
        key = self._sealer.name(table, pack_subject(said.subject))
        packed = pack_consents(replaced(self.said(said.subject), said))
        self._transaction.put(key, self._sealer.seal(key, packed), db=self._tables[table])
        self._silent = False
        for eid in self._about(said.subject):
            self._identity(eid)  # its answer is no longer ready for everybody

    def flush(self) -> None:
        """Write the identities that were touched and the look-up keys that changed with them."""
        # A page keeps the order in which its rows were written. Sorted by their keyed names, the rows of one batch
        # come in an order that has nothing to do with the records that they are of; and LMDB goes through once.
        for (key, block), vector in sorted(self._added.items()):
            self._transaction.put(key, block + vector, db=self._tables["candidates"])
        self._added.clear()
        self._write("records", {self._sealer.record_key.seal_number(each): each for each in self._places}, self._placed)
        self._places.clear()
        names = {self._sealer.identity_name(eid): eid for eid in self._touched}
        self._write("identities", names, self._held_in)
        self._write("answers", {self._sealer.answer_name(eid): eid for eid in self._touched}, self._ready_of)
        locations = self._tables["locations"]
        added: set[tuple[bytes, bytes]] = set()
        for eid, members in self._touched.items():
            block = self._sealer.record_value.seal_eid(eid)
            for number, member in members.items():
                if (eid, number) in self._fresh:
                    added.update((location_name(self._sealer, key), block) for key in member.look_up_keys())
                if self._stale:
                    for look_up in member.look_up_keys():
                        self._stale.get(look_up, set()).discard(eid)
        for name, block in sorted(added):
            self._transaction.put(name, block, dupdata=True, db=locations)
        for look_up, eids in self._stale.items():
            for eid in eids:
                name, block = location_name(self._sealer, look_up), self._sealer.record_value.seal_eid(eid)
                self._transaction.delete(name, block, db=locations)
        self._touched.clear()
        self._fresh.clear()
        self._stale.clear()

    def _write(self, table: str, keys: Mapping[bytes, Key], value: Callable[[bytes, Key], bytes | None]) -> None:
        """Write rows in the order of their keys; None takes a row away."""
        for key in sorted(keys):
            content = value(key, keys[key])
            if content is None:
                self._transaction.delete(key, db=self._tables[table])
            else:
                self._transaction.put(key, content, db=self._tables[table])

    def _placed(self, key: bytes, number: int) -> bytes | None:
        place = self._places[number]
        if place is None:
            return None
        eid, names = place
        return self._sealer.record_value.seal_eid(eid) + self._sealer.seal(key, names)

    def _held_in(self, key: bytes, eid: str) -> bytes | None:
        members = self._touched[eid]
        return self._sealer.seal(key, pack_members([members[each] for each in sorted(members)])) if members else None

    def _ready_of(self, key: bytes, eid: str) -> bytes | None:
        members = list(self._touched[eid].values())
        return (
            self._sealer.seal(key, pack_answer([each.location for each in members], silent=not self._spoken(members)))
            if members
            else None
        )

    def _spoken(self, members: Iterable[Member]) -> bool:
        """Say whether anything was ever said about consent for one of these records."""
        if self.is_silent():
            return False
        subjects = {subject for member in members for subject in member.subjects()}
        return any(
            self._transaction.get(self._sealer.name(table, pack_subject(subject)), db=self._tables[table]) is not None
            for subject, table in zip(subjects, map(table_of, subjects), strict=True)
        )

    def _about(self, subject: Subject) -> list[str]:
        """Identities that are held and that something was said about."""
        if isinstance(subject, IdentifierToken):
            return self.eids(subject)
        place = self._place(subject)
        return [place[0]] if place else []

    def _place(self, number: int) -> tuple[str, bytes] | None:
        """Identity of a record and names of its candidates; None for one that is not held."""
        if number in self._places:
            return self._places[number]
        key = self._sealer.record_key.seal_number(number)
        value = self._transaction.get(key, db=self._tables["records"])
        if value is None:
            return None
        return self._sealer.record_value.open_eid(value[:BLOCK]), self._sealer.open(key, value[BLOCK:])

    def _candidates_of(self, number: int, names: bytes) -> Iterator[tuple[bytes, bytes]]:
        rows = Counter[str]()
        at = 0
        while at < len(names):
            (length,) = _U16.unpack_from(names, at)
            name = names[at + _U16.size : at + _U16.size + length]
            at += _U16.size + length
            channel = name[NAME_BYTES:].decode()
            yield name[:NAME_BYTES], self._sealer.channel(channel).seal_number(number, rows[channel])
            rows[channel] += 1

    def _remove_candidate(self, key: bytes, block: bytes) -> None:
        self._added.pop((key, block), None)
        with self._transaction.cursor(self._tables["candidates"]) as cursor:
            if cursor.set_range_dup(key, block) and cursor.value()[:BLOCK] == block:
                cursor.delete()

    def _stand(self, eid: str, target: str, parts: Sequence[str]) -> None:
        key = self._sealer.name("standing", eid_bytes(eid))
        if target or parts:
            packed = b"".join(eid_bytes(each) if each else bytes(EID_BYTES) for each in (target, *parts))
            self._transaction.put(key, self._sealer.seal(key, packed), db=self._tables["standing"])
        else:
            self._transaction.delete(key, db=self._tables["standing"])

    def _identity(self, eid: str) -> dict[int, Member]:
        if eid not in self._touched:
            self._touched[eid] = {member.number: member for member in self.remembered(eid)}
        return self._touched[eid]

    def _put_in(self, eid: str, member: Member) -> None:
        self._identity(eid)[member.number] = member
        self._fresh.add((eid, member.number))

    def _take_out(self, number: int, eid: str) -> Member:
        member = self._identity(eid).pop(number, None)
        if member is None:
            raise IndexCorrupt("the index names a record that it does not hold; rebuild it")
        for look_up in member.look_up_keys():
            self._stale.setdefault(look_up, set()).add(eid)
        return member
