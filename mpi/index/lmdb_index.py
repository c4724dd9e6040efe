"""The index: LMDB tables shared by all processes of a host, rebuilt from the store at any time.

============  =====================================  =====================================================
table         key                                    value
============  =====================================  =====================================================
candidates    name of (channel, bucket token)        many: record number encrypted per channel, then vector
locations     name of a look-up key                  many: enterprise id, encrypted
records       record number, encrypted               enterprise id, encrypted; names of the record's candidates
answers       another name of an enterprise id       what a lookup shows of it, ready; whether all were silent
identities    name of an enterprise id               members: number, facility, pointer, tokens, channels
standing      name of an enterprise id               the one that it stands for, and those split off it
consents      name of a number of a person            what citizens said, by network and purpose
objections    name of a record's number               what a record was parted from, by network and purpose
facilities    name of a facility's code               when it registered last, as a lookup sends it
state         "revision"                             revision of the store that the index stands at
state         "turn"                                 turn up to which it is known when facilities registered
state         "lineage"                              name of the history that the revision is one of
state         "format"                               format of the rows
state         "epoch"                                name of the key at rest that the rows are sealed with
============  =====================================  =====================================================

Names are keyed. A lookup reads `locations` and `answers`; where somebody said something about consent, or something is
hidden, also `identities`, `consents` and `objections`. Matching reads `candidates`, `records` and `identities`. None of
them touches SQL. A record's own row names its candidates, so it can be taken out by whoever has not its content, which
after an erasure nobody has.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar

import lmdb
import numpy as np

from mpi.at_rest import AtRest
from mpi.domain.changes import LastRegistration
from mpi.domain.consent import Consent, Subject
from mpi.domain.identifiers import EnterpriseId, IdentifierKind, IdentifierToken, LocalIdToken, LocateKey
from mpi.domain.identity import Identity, Location, ReadyIdentity
from mpi.domain.record import EncodedRecord
from mpi.errors import IndexCorrupt
from mpi.index.members import Member, MemberEncoding, TokenKey, pack_members, unpack_members
from mpi.index.ready import pack_answer, ready_identity, ready_registration
from mpi.index.sealing import BLOCK, NAME_BYTES, Numbers, Sealer, blocks_of, eid_bytes, eid_text, eid_texts
from mpi.linkage.comparison import Vectors
from mpi.store.consent_packing import pack_consents, pack_subject, replaced, unpack_consents

MAP_BYTES = 1 << 38
"""Address space that LMDB reserves at first (256 GiB); the file itself grows as it is filled, and then the space."""

TABLES = (
    "candidates",
    "locations",
    "records",
    "answers",
    "identities",
    "standing",
    "consents",
    "objections",
    "facilities",
    "state",
)
LOOK_SECONDS = 0.02
"""How often readers look whether another index has taken this one's place."""

DEAD_SECONDS = 60.0
"""How often whoever writes looks for processes that died while they read: LMDB keeps every page that was there then."""

FORMAT = b"4"
"""Format of the rows; an index of another one is rebuilt."""

_REVISION = b"revision"
_TURN = b"turn"
_FORMAT = b"format"
_EPOCH = b"epoch"
_LINEAGE = b"lineage"
_NOBODY = b"nobody"
_U16 = struct.Struct(">H")
_U64 = struct.Struct(">Q")
_EID_BYTES = 16
_LOCATION = NAME_BYTES + BLOCK
"""Bytes of a row of locations: its key, and an enterprise id encrypted."""
_IDENTITIES_AT_HAND, _FACILITIES_AT_HAND = 4000, 20_000
_DATA = "data.mdb"
_MANY = {"candidates": {"dupsort": True, "dupfixed": True}, "locations": {"dupsort": True, "dupfixed": True}}
_HERE, _EXCHANGE = -100, 2
"""Linux's AT_FDCWD and RENAME_EXCHANGE."""

Result = TypeVar("Result")
Key = TypeVar("Key")


class Index:
    """An open index folder. One process writes at a time; readers never wait.

    Another index can take its place at any time (`put_in_place`), by the hand of any process: whatever is read or
    written afterwards is read from and written to that one.
    """

    def __init__(self, folder: Path, at_rest: AtRest, map_bytes: int = MAP_BYTES, epoch: str = "") -> None:
        """Open an index, making it where there is none.

        Args:
            folder: where it lies.
            at_rest: keys at rest; which one it is sealed with stands in it.
            map_bytes: address space that is reserved at first.
            epoch: name of the key that a new one is sealed with, "" for the newest.

        Raises:
            IndexCorrupt: it is damaged or of another format; it has to be rebuilt.
            StoreUnusable: the keys at rest lack the one that it is sealed with.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder = folder
        self.at_rest = at_rest
        self._new_epoch = epoch or at_rest.newest.name
        self._map_bytes = map_bytes
        self._gate = _Gate()
        self._looked = time.monotonic()
        self._open()
        self._cleared = self._looked

    def close(self) -> None:
        """Close the files."""
        self._env.close()

    def reading(self) -> AbstractContextManager[IndexReader]:
        """Read one snapshot."""
        return _Transaction(self, IndexReader)

    def writing(self) -> AbstractContextManager[IndexWriter]:
        """Write: all of it is committed when the block ends well, nothing when it raises."""
        return _Transaction(self, IndexWriter)

    def write(self, work: Callable[[IndexWriter], Result]) -> Result:
        """Write, and where the reserved address space does not hold it, reserve twice as much and write again."""
        while True:
            try:
                with self.writing() as writer:
                    return work(writer)
            except lmdb.MapFullError:
                with self._gate.closed():
                    self._env.set_mapsize(2 * self._env.info()["map_size"])

    def cover(self) -> None:
        """Commit once more without changing anything.

        LMDB keeps the snapshot before the last write in the file. Without this, the difference of the two snapshots
        would show the rows of the record that was written last. What free pages remember is not covered.
        """
        self.write(lambda writer: writer.set_revision(writer.revision()))

    def rows(self, table: str) -> Iterator[tuple[bytes, bytes]]:
        """Read every row of a table as it lies on disk, in its order; for verification."""
        with self.reading() as reader:
            yield from reader.rows(table)

    def _open(self) -> None:
        try:
            # Rows are named at random, so what lies beside a page is of no use: reading it ahead makes a batch from a
            # cold disk take forty times as long, and pushes out of memory what is.
            env = lmdb.open(
                str(self.folder), map_size=self._map_bytes, max_dbs=len(TABLES), max_readers=512, readahead=False
            )
            env.reader_check()
            tables = {name: env.open_db(name.encode(), **_MANY.get(name, {})) for name in TABLES}  # type: ignore[arg-type]
            file = (self.folder / _DATA).stat().st_ino
            _check_format(env, tables["state"])
            epoch = _epoch(env, tables["state"], self._new_epoch, self.at_rest.oldest.name)
        except (lmdb.Error, OSError) as error:
            raise IndexCorrupt(f"{self.folder}: not a usable index ({type(error).__name__}); rebuild it") from None
        (key,) = self.at_rest.named([epoch])
        self._sealer = Sealer(key.secret)
        self._env, self._tables, self._file, self.epoch = env, tables, file, epoch

    def _follow(self, *, at_once: bool) -> None:
        """Open the folder again when another index stands there. The old one closes with its last reader.

        Who reads may learn of it a moment later: until then the old index says truly which revision it stands at.
        """
        now = time.monotonic()
        if not at_once and now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        if self._is_replaced():
            with self._gate.closed():
                if self._is_replaced():
                    self._open()

    def _is_replaced(self) -> bool:
        try:
            return (self.folder / _DATA).stat().st_ino != self._file
        except FileNotFoundError:
            return False  # taken away, not replaced: what is open goes on

    def begin(self, *, write: bool) -> Any:
        """Begin a transaction of LMDB; whoever ends it calls `end` then."""
        self._follow(at_once=write)
        if write and time.monotonic() - self._cleared > DEAD_SECONDS:
            self._cleared = time.monotonic()
            self._env.reader_check()
        while True:
            self._gate.enter()
            try:
                return self._env.begin(write=write)
            except lmdb.MapResizedError:
                self._gate.leave()
            except BaseException:
                self._gate.leave()
                raise
            # Another process has reserved more address space; 0 takes over what the file says.
            with self._gate.closed():
                self._env.set_mapsize(0)

    def end(self) -> None:
        """A transaction has ended."""
        self._gate.leave()

    def read(self, kind: type[View], transaction: Any) -> View:
        """What a transaction may be used for."""
        return kind(self._sealer, self._tables, transaction)


View = TypeVar("View", bound="IndexReader")


class _Transaction(Generic[View]):
    """One transaction from the beginning of a block to its end; a generator would take three times as long."""

    __slots__ = ("_index", "_kind", "_transaction")

    def __init__(self, index: Index, kind: type[View]) -> None:
        self._index = index
        self._kind = kind

    def __enter__(self) -> View:
        self._transaction = self._index.begin(write=issubclass(self._kind, IndexWriter))
        return self._index.read(self._kind, self._transaction)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._transaction.__exit__(kind, error, trace)
        finally:
            self._index.end()


def _check_format(env: Any, state: Any) -> None:
    """Mark a new index with the format of its rows; refuse one of another format."""
    with env.begin() as transaction:
        is_new = not transaction.stat(state)["entries"]
        held = transaction.get(_FORMAT, db=state)
    if is_new:
        with env.begin(write=True) as transaction:
            transaction.put(_FORMAT, FORMAT, db=state)
    elif held != FORMAT:
        raise lmdb.InvalidError("another format")


def _epoch(env: Any, state: Any, new: str, oldest: str) -> str:
    """Name of the key at rest that an index is sealed with, which is marked with it where it is not yet.

    Args:
        env: the open files.
        state: table of what is known of the index.
        new: the name for one without rows.
        oldest: the name for one from before epochs had names, when there was one key only.
    """
    with env.begin() as transaction:
        held = transaction.get(_EPOCH, db=state)
        is_new = transaction.get(_REVISION, db=state) is None
    if held is None:
        held = (new if is_new else oldest).encode()
        with env.begin(write=True) as transaction:
            transaction.put(_EPOCH, held, db=state)
    return str(bytes(held), "ascii", "replace")


def put_in_place(fresh: Path, current: Path) -> None:
    """Put an index, closed and whole, in the place of another one in one step; whoever has that one open follows.

    Raises:
        IndexCorrupt: the file system cannot exchange two folders.
    """
    if not current.exists():
        fresh.rename(current)
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_HERE, os.fsencode(fresh), _HERE, os.fsencode(current), _EXCHANGE):
        problem = os.strerror(ctypes.get_errno())
        raise IndexCorrupt(f"{fresh} cannot take the place of {current}: {problem}")
    shutil.rmtree(fresh)


class _Gate:
    """Lets any number of threads pass, or one alone."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0

    def enter(self) -> None:
        """Pass, and be inside until `leave`."""
        with self._changed:
            self._inside += 1

    def leave(self) -> None:
        """Be inside no longer."""
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Wait until nobody is inside, and keep everybody out; the caller must not be inside itself."""
        with self._changed:
            self._changed.wait_for(lambda: not self._inside)
            yield


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
        value = self._transaction.get(_REVISION, db=self._tables["state"])
        return 0 if value is None else int(_U64.unpack(value)[0])

    def turn(self) -> int:
        """Turn up to which this snapshot knows when facilities registered, see `LastRegistration`."""
        value = self._transaction.get(_TURN, db=self._tables["state"])
        return 0 if value is None else int(_U64.unpack(value)[0])

    def last_registrations(self, facilities: Iterable[str]) -> dict[str, bytes]:
        """When facilities registered last, see `mpi.index.ready`; those that never did are left out."""
        names = {self._sealer.name("facilities", code.encode()): code for code in facilities}
        with self._transaction.cursor(self._tables["facilities"]) as cursor:
            rows = cursor.getmulti(sorted(names))
        return {names[key]: _registered(self._sealer, key, sealed) for key, sealed in rows}

    def lineage(self) -> str:
        """Name of the history that the revision is one of; "" before the index has followed any."""
        return bytes(self._transaction.get(_LINEAGE, db=self._tables["state"]) or b"").decode("ascii", "replace")

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
            if not cursor.set_key(_location_name(self._sealer, key)):
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
            if self._transaction.stat(self._tables[table])["entries"]:
                for subject in {subject for member in members for subject in subjects(member)}:
                    found += self.said(subject)
        return found

    def said(self, subject: Subject) -> list[Consent]:
        """What holds of what was said under one number, or of one record."""
        table = _table_of(subject)
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
        own = self._sealer.look_up_names(list(map(_label, tokens)), [token.value for token in tokens])
        with self._transaction.cursor(self._tables["locations"]) as cursor:
            rows = cursor.getmulti(sorted(set(own)), dupdata=True, dupfixed_bytes=BLOCK, keyfixed=True)
        table = np.frombuffer(rows, np.uint8).reshape(-1, _LOCATION)
        ids = self._sealer.record_value.open(table[:, NAME_BYTES:].tobytes())
        return own, blocks_of(table[:, :NAME_BYTES].tobytes()), blocks_of(ids)

    def is_silent(self) -> bool:
        """Say whether nobody ever said anything about consent."""
        if self._silent is None:
            said = (self._transaction.stat(self._tables[table])["entries"] for table in ("consents", "objections"))
            self._silent = not any(said)
        return self._silent

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
        target, *parts = (packed[at : at + _EID_BYTES] for at in range(0, len(packed), _EID_BYTES))
        return ("" if target == bytes(_EID_BYTES) else eid_text(target)), [eid_text(part) for part in parts]


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
            self._transaction.put(_REVISION, _U64.pack(revision), db=self._tables["state"])

    def set_lineage(self, lineage: str) -> None:
        """Say which history the index follows."""
        self._transaction.put(_LINEAGE, lineage.encode(), db=self._tables["state"])

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
            self._transaction.put(_TURN, _U64.pack(turn), db=self._tables["state"])

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
        table = _table_of(said.subject)
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
                    added.update((_location_name(self._sealer, key), block) for key in member.look_up_keys())
                if self._stale:
                    for look_up in member.look_up_keys():
                        self._stale.get(look_up, set()).discard(eid)
        for name, block in sorted(added):
            self._transaction.put(name, block, dupdata=True, db=locations)
        for look_up, eids in self._stale.items():
            for eid in eids:
                name, block = _location_name(self._sealer, look_up), self._sealer.record_value.seal_eid(eid)
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
            for subject, table in zip(subjects, map(_table_of, subjects), strict=True)
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
            packed = b"".join(eid_bytes(each) if each else bytes(_EID_BYTES) for each in (target, *parts))
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


def _table_of(subject: Subject) -> str:
    return "consents" if isinstance(subject, IdentifierToken) else "objections"


def _location_name(sealer: Sealer, key: TokenKey) -> bytes:
    return sealer.look_up_name(_label(key), key.value)


@lru_cache(maxsize=_IDENTITIES_AT_HAND)
def _opened(sealer: Sealer, key: bytes, sealed: bytes) -> tuple[Member, ...]:
    return tuple(unpack_members(sealer.open(key, sealed)))


@lru_cache(maxsize=_FACILITIES_AT_HAND)
def _registered(sealer: Sealer, key: bytes, sealed: bytes) -> bytes:
    """When a facility registered last; it says nothing of anybody, so it may be remembered."""
    return sealer.open(key, sealed)


_LABELS = {kind: kind.value.encode().ljust(BLOCK, b"\0") for kind in IdentifierKind}
_LOCAL_ID = b"local_id".ljust(BLOCK, b"\0")


def _label(key: TokenKey) -> bytes:
    return _LABELS[key.kind] if isinstance(key, IdentifierToken) else _LOCAL_ID
