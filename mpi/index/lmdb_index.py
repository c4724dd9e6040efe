"""The index: LMDB tables shared by all processes of a host (see `tables`), rebuilt from the store at any time."""

from __future__ import annotations

import ctypes
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar

import lmdb

from mpi.at_rest import AtRest
from mpi.errors import IndexCorrupt
from mpi.index.reader import IndexReader
from mpi.index.sealing import Sealer
from mpi.index.tables import EPOCH, FORMAT, FORMAT_KEY, MANY, REVISION, TABLES
from mpi.index.writer import IndexWriter

MAP_BYTES = 1 << 38
"""Address space that LMDB reserves at first (256 GiB); the file itself grows as it is filled, and then the space."""

LOOK_SECONDS = 0.02
"""How often readers look whether another index has taken this one's place."""

DEAD_SECONDS = 60.0
"""How often whoever writes looks for processes that died while they read: LMDB keeps every page that was there then."""

_DATA = "data.mdb"
_HERE, _EXCHANGE = -100, 2
"""Linux's AT_FDCWD and RENAME_EXCHANGE."""

Result = TypeVar("Result")


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
            tables = {name: env.open_db(name.encode(), **MANY.get(name, {})) for name in TABLES}  # type: ignore[arg-type]
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
        held = transaction.get(FORMAT_KEY, db=state)
    if is_new:
        with env.begin(write=True) as transaction:
            transaction.put(FORMAT_KEY, FORMAT, db=state)
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
        held = transaction.get(EPOCH, db=state)
        is_new = transaction.get(REVISION, db=state) is None
    if held is None:
        held = (new if is_new else oldest).encode()
        with env.begin(write=True) as transaction:
            transaction.put(EPOCH, held, db=state)
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
