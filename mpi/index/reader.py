"""What a snapshot of the index says: buckets for matching, ready answers for lookups, and members of identities."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np

from mpi.domain.consent import Consent, Subject
from mpi.domain.identifiers import EnterpriseId, IdentifierKind, IdentifierToken, LocalIdToken, LocateKey
from mpi.domain.identity import Identity, Location, ReadyIdentity
from mpi.errors import IndexCorrupt
from mpi.index.members import Member, MemberEncoding, TokenKey, pack_members, unpack_members
from mpi.index.ready import pack_answer, ready_identity
from mpi.index.sealing import BLOCK, NAME_BYTES, Numbers, Sealer, blocks_of, eid_bytes, eid_text, eid_texts
from mpi.index.tables import COUNTER, EID_BYTES, LINEAGE, REVISION, TURN, label, location_name, table_of
from mpi.linkage.comparison import Vectors
from mpi.store.consent_packing import pack_subject, unpack_consents

_NOBODY = b"nobody"
_LOCATION = NAME_BYTES + BLOCK
"""Bytes of a row of locations: its key, and an enterprise id encrypted."""
_IDENTITIES_AT_HAND, _FACILITIES_AT_HAND = 4000, 20_000


class IndexReader:
    """A snapshot of the index."""

    def __init__(self, sealer: Sealer, tables: dict[str, Any], transaction: Any) -> None:
        self._sealer = sealer
        self._tables = tables
        self._transaction = transaction
        self._silent: bool | None = None

    def rows(self, table: str) -> Iterator[tuple[bytes, bytes]]:
        """Read every row of a table as it lies on disk, in its order; for verification."""
        with self._transaction.cursor(self._tables[table]) as cursor:
            yield from cursor.iternext(keys=True, values=True)

    def revision(self) -> int:
        """Revision of the store that this snapshot stands at."""
        value = self._transaction.get(REVISION, db=self._tables["state"])
        return 0 if value is None else int(COUNTER.unpack(value)[0])

    def turn(self) -> int:
        """Turn up to which this snapshot knows when facilities registered, see `LastRegistration`."""
        value = self._transaction.get(TURN, db=self._tables["state"])
        return 0 if value is None else int(COUNTER.unpack(value)[0])

    def last_registrations(self, facilities: Iterable[str]) -> dict[str, bytes]:
        """When facilities registered last, see `mpi.index.ready`; those that never did are left out."""
        names = {self._sealer.name("facilities", code.encode()): code for code in facilities}
        with self._transaction.cursor(self._tables["facilities"]) as cursor:
            rows = cursor.getmulti(sorted(names))
        return {names[key]: _registered(self._sealer, key, sealed) for key, sealed in rows}

    def lineage(self) -> str:
        """Name of the history that the revision is one of; "" before the index has followed any."""
        return bytes(self._transaction.get(LINEAGE, db=self._tables["state"]) or b"").decode("ascii", "replace")

    def count(self, table: str) -> int:
        """Count the rows of a table, without reading them."""
        return int(self._transaction.stat(self._tables[table])["entries"])

    def bucket(self, channel: str, token: bytes, vector_bytes: int) -> tuple[Numbers, Vectors]:
        """Read a bucket: record numbers and their vectors, row by row."""
        rows = self.bucket_within(channel, token, vector_bytes, None)
        assert rows is not None  # noqa: S101 (there is no limit)
        return rows

    def bucket_within(
        self, channel: str, token: bytes, vector_bytes: int, most: int | None
    ) -> tuple[Numbers, Vectors] | None:
        """Read a bucket as `bucket` does, unless it has more rows than `most`; then None."""
        key = self._sealer.name("candidates", channel.encode(), token)
        with self._transaction.cursor(self._tables["candidates"]) as cursor:
            if not cursor.set_key(key):
                return np.empty(0, np.int64), np.empty((0, vector_bytes), np.uint8)
            if most is not None and cursor.count() > most:
                return None
            rows = cursor.getmulti([key], dupdata=True, dupfixed_bytes=BLOCK + vector_bytes, keyfixed=True)
        table = np.frombuffer(rows, dtype=np.uint8).reshape(-1, NAME_BYTES + BLOCK + vector_bytes)
        blocks = table[:, NAME_BYTES : NAME_BYTES + BLOCK]
        return self._sealer.channel(channel).open_numbers(blocks.tobytes()), table[:, NAME_BYTES + BLOCK :]

    def resolve(self, eid: str) -> str:
        """The enterprise id that another one stands for: itself, unless it was retired."""
        return self._standing(eid)[0] or eid

    def parts(self, eid: str) -> tuple[str, ...]:
        """Identities that were split off one and what they stand for today, sorted; itself never."""
        return tuple(sorted({self.resolve(part) for part in self._standing(eid)[1]} - {self.resolve(eid)}))

    def eids(self, key: LocateKey) -> list[str]:
        """Enterprise ids that a look-up key leads to, sorted."""
        if isinstance(key, EnterpriseId):
            return [self.resolve(key.value)]
        with self._transaction.cursor(self._tables["locations"]) as cursor:
            if not cursor.set_key(location_name(self._sealer, key)):
                return []
            if cursor.count() == 1:
                return [self._sealer.record_value.open_eid(cursor.value())]
            blocks = list(cursor.iternext_dup())
        return sorted(self._sealer.record_value.open_eid(block) for block in blocks)

    def eid_of(self, number: int) -> str:
        """Identity that a record belongs to.

        Raises:
            IndexCorrupt: no such record.
        """
        eid = self.placed(number)
        if not eid:
            raise IndexCorrupt("the index names a record that it does not hold; rebuild it")
        return eid

    def placed(self, number: int) -> str:
        """Identity that a record belongs to; "" for a record that is not held."""
        block = self._transaction.get(self._sealer.record_key.seal_number(number), db=self._tables["records"])
        return "" if block is None else self._sealer.record_value.open_eid(block[:BLOCK])

    def objections(self, after: bytes, most: int) -> tuple[list[Consent], bytes]:
        """What records were parted from, some records at a time.

        Args:
            after: the place that the page before said; empty for the beginning.
            most: records on a page.

        Returns:
            What was said, and the place of the next page; empty when there is none.
        """
        found: list[Consent] = []
        with self._transaction.cursor(self._tables["objections"]) as cursor:
            there = cursor.set_range(after) if after else cursor.first()
            for _ in range(most):
                if not there:
                    return found, b""
                key = cursor.key()
                found += unpack_consents(self._sealer.open(key, cursor.value()))
                there = cursor.next()
            return found, bytes(cursor.key()) if there else b""

    def members(self, eid: str) -> list[Member]:
        """Members of an identity by record number; empty when there is no such identity."""
        return unpack_members(self._packed(eid))

    def remembered(self, eid: str) -> tuple[Member, ...]:
        """Members as `members` gives them, for a batch: it asks for the same when it matches and when it writes.

        A lookup must not remember: the time of a second one would tell somebody hidden from nobody.
        """
        key = self._sealer.identity_name(eid)
        sealed = self._transaction.get(key, db=self._tables["identities"])
        return () if sealed is None else _opened(self._sealer, key, sealed)

    def consents(self, members: Iterable[Member]) -> list[Consent]:
        """What holds of what was said about the person whose records these are.

        Where nobody ever said anything, it costs nothing.
        """
        found: list[Consent] = []
        if self.is_silent():
            return found
        for table, subjects in (("consents", Member.tokens), ("objections", Member.numbers)):
            if self._has_rows(table):
                for subject in {subject for member in members for subject in subjects(member)}:
                    found += self.said(subject)
        return found

    def said(self, subject: Subject) -> list[Consent]:
        """What holds of what was said under one number, or of one record."""
        table = table_of(subject)
        key = self._sealer.name(table, pack_subject(subject))
        sealed = self._transaction.get(key, db=self._tables[table])
        return [] if sealed is None else unpack_consents(self._sealer.open(key, sealed))

    def held(self, keys: Sequence[LocateKey]) -> list[tuple[ReadyIdentity, ...]]:
        """Identities that each of some look-up keys leads to, read together: each step for all keys at once.

        Where there are none, nobody comes back, without an id, after the same work: how long a lookup takes must not
        tell somebody hidden from nobody.
        """
        own, led_to, several = self._led_to(keys)
        # Where a name leads nowhere, an id of nobody; so it is with an enterprise id that was asked for and nobody has.
        wanted = [led_to.get(name, name[:BLOCK]) for name in own]
        ready = self._ready({*wanted, *chain.from_iterable(several.values())})
        held = list(map(ready.__getitem__, wanted))
        if several:
            for at, name in enumerate(own):
                if name in several:
                    those = tuple(chain.from_iterable(map(ready.__getitem__, several[name])))
                    held[at] = tuple(each for each in those if each.eid) or those[:1]
        return held

    def _ready(self, eids: Collection[bytes]) -> dict[bytes, tuple[ReadyIdentity, ...]]:
        """Ready answers of identities; of nobody where there is none."""
        packed = b"".join(eids)
        names = self._sealer.answer_names(packed)
        with self._transaction.cursor(self._tables["answers"]) as cursor:
            sealed = dict(cursor.getmulti(sorted(names)))  # neighbours share pages
        rows = dict(zip(sealed, self._sealer.open_all(sealed.items()), strict=True))
        nobody = iter(self._sealer.open_all([(_NOBODY, _nobody_of(self._sealer)[0])] * (len(names) - len(rows))))
        ready: dict[bytes, tuple[ReadyIdentity, ...]] = {}
        for eid, text, name in zip(eids, eid_texts(packed), names, strict=True):
            row = rows.get(name)
            ready[eid] = (ready_identity("", next(nobody)) if row is None else ready_identity(text, row),)
        return ready

    def leading(self, tokens: Collection[TokenKey]) -> set[TokenKey]:
        """Those of some look-up keys that lead to anybody, all of them read, whichever do."""
        own, names, _ = self._places_of(tokens)
        there = set(names)
        return {token for token, name in zip(tokens, own, strict=True) if name in there}

    def _led_to(self, keys: Sequence[LocateKey]) -> tuple[list[bytes], dict[bytes, bytes], dict[bytes, list[bytes]]]:
        """Where look-up keys lead.

        Returns:
            For each key a name of its own; by name, an enterprise id that it leads to, unless it leads nowhere; and by
            name, where there are several, all of them.
        """
        tokens = [key for key in keys if not isinstance(key, EnterpriseId)]
        own, names, ids = self._places_of(tokens)
        led_to = dict(zip(names, ids, strict=True))
        several = {} if len(led_to) == len(names) else _several(names, ids)
        if len(tokens) == len(keys):
            return own, led_to, several
        of_tokens, of_all = iter(own), list[bytes]()
        for key in keys:
            if isinstance(key, EnterpriseId):
                of_all.append(key.value.encode())
                led_to[of_all[-1]] = eid_bytes(self.resolve(key.value))
            else:
                of_all.append(next(of_tokens))
        return of_all, led_to, several

    def _places_of(self, tokens: Collection[TokenKey]) -> tuple[list[bytes], list[bytes], list[bytes]]:
        """Name look-up keys, and read the rows under these names: one name and one enterprise id after the other."""
        own = self._sealer.look_up_names(list(map(label, tokens)), [token.value for token in tokens])
        with self._transaction.cursor(self._tables["locations"]) as cursor:
            rows = cursor.getmulti(sorted(set(own)), dupdata=True, dupfixed_bytes=BLOCK, keyfixed=True)
        table = np.frombuffer(rows, np.uint8).reshape(-1, _LOCATION)
        ids = self._sealer.record_value.open(table[:, NAME_BYTES:].tobytes())
        return own, blocks_of(table[:, :NAME_BYTES].tobytes()), blocks_of(ids)

    def is_silent(self) -> bool:
        """Say whether nobody ever said anything about consent."""
        if self._silent is None:
            self._silent = not any(map(self._has_rows, ("consents", "objections")))
        return self._silent

    def _has_rows(self, table: str) -> bool:
        # Statistics would say it as well, as a dict whose keys the interpreter makes and forgets each time: its table
        # of names, megabytes, is written anew whenever it is full of forgotten ones.
        with self._transaction.cursor(self._tables[table]) as cursor:
            return bool(cursor.first())

    def _packed(self, eid: str) -> bytes:
        """Members of an identity as they are packed; empty where there is none."""
        key = self._sealer.identity_name(eid)
        sealed = self._transaction.get(key, db=self._tables["identities"])
        return b"" if sealed is None else self._sealer.open(key, sealed)

    def members_of(self, held: ReadyIdentity) -> list[Member]:
        """Members of an identity by record number; for nobody some, after the same work."""
        if held.eid:
            return self.members(held.eid)
        self._packed(eid_text(bytes(BLOCK)))
        return unpack_members(self._sealer.open(_NOBODY, _nobody_of(self._sealer)[1]))

    def locate(self, key: LocateKey) -> tuple[Identity, ...]:
        """Identities that a look-up key leads to, each with its locations in order."""
        found = []
        for eid in self.eids(key):
            members = self.members(eid)
            if members:
                parts = self.parts(key.value) if isinstance(key, EnterpriseId) else ()
                found.append(Identity(eid, tuple(sorted(member.location for member in members)), parts))
        return tuple(found)

    def _standing(self, eid: str) -> tuple[str, list[str]]:
        """What an enterprise id stands for ("" for itself), and what was split off it."""
        key = self._sealer.name("standing", eid_bytes(eid))
        sealed = self._transaction.get(key, db=self._tables["standing"])
        if sealed is None:
            return "", []
        packed = self._sealer.open(key, sealed)
        target, *parts = (packed[at : at + EID_BYTES] for at in range(0, len(packed), EID_BYTES))
        return ("" if target == bytes(EID_BYTES) else eid_text(target)), [eid_text(part) for part in parts]


def _several(names: Iterable[bytes], eids: Iterable[bytes]) -> dict[bytes, list[bytes]]:
    """Names that stand before more than one enterprise id, with all of these."""
    every: dict[bytes, list[bytes]] = {}
    for name, eid in zip(names, eids, strict=True):
        every.setdefault(name, []).append(eid)
    return {name: each for name, each in every.items() if len(each) > 1}


@lru_cache(maxsize=16)
def _nobody_of(sealer: Sealer) -> tuple[bytes, bytes]:
    """Ready answer and members of nobody, sealed: one record as most are, with a national id."""
    token = IdentifierToken(IdentifierKind.NATIONAL_ID, bytes(32))
    encoding = MemberEncoding("1-00000000", LocalIdToken(bytes(32)), (token,), frozenset("ABCDE"))
    member = Member(0, Location("00000", bytes(48)), (encoding,))
    return sealer.seal(_NOBODY, pack_answer([member.location], silent=False)), sealer.seal(
        _NOBODY, pack_members([member])
    )


@lru_cache(maxsize=_IDENTITIES_AT_HAND)
def _opened(sealer: Sealer, key: bytes, sealed: bytes) -> tuple[Member, ...]:
    return tuple(unpack_members(sealer.open(key, sealed)))


@lru_cache(maxsize=_FACILITIES_AT_HAND)
def _registered(sealer: Sealer, key: bytes, sealed: bytes) -> bytes:
    """When a facility registered last; it says nothing of anybody, so it may be remembered."""
    return sealer.open(key, sealed)
