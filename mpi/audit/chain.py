"""One chain on disk: entries appended in groups, segments sealed when they are full, the tail mended after a crash."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import logging
import os
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

from mpi.audit import lines
from mpi.audit.heads import HeadFile, read_head
from mpi.audit.keys import JournalKeys, fingerprint
from mpi.audit.lines import Fields
from mpi.audit.segments import chains_of, files_of, is_stub, read_lines, segment_name
from mpi.errors import AuditUnusable
from mpi.keyfiles import sync

_log = logging.getLogger(__name__)

_SHOWN_BYTES = 1024
"""Most of what was cut off that the entry about it shows; of the rest it holds the hash."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When a segment is sealed, and how often the journal signs.

    Attributes:
        segment_bytes: a segment that is longer is sealed before the next group.
        segment_seconds: so is one that is older.
        checkpoint_entries: after so many entries a signed checkpoint follows.
        checkpoint_seconds: or at the first group after this time.
    """

    segment_bytes: int = 64 << 20
    segment_seconds: float = 86_400.0
    checkpoint_entries: int = 1000
    checkpoint_seconds: float = 10.0


LIMITS = Limits()


@dataclass(slots=True)
class _Place:
    """Where a chain ends: the last line that counts."""

    sequence: int = 0
    digest: str = lines.BEGINNING


class Chain:
    """The writing end of a chain. One process holds it, and one thread calls it.

    What a group of entries changes is taken over only when the entries and the head are written: after an error
    everything stands as before, and the next group is written in the same place.
    """

    def __init__(self, folder: Path, lock: int, head: HeadFile, keys: JournalKeys, limits: Limits) -> None:
        self._folder = folder
        self._lock = lock
        self._head = head
        self._keys = keys
        self._limits = limits
        self._end = _Place()
        self._segment = 0
        self._file = -1
        self._size = 0
        self._sealed = True
        self._opened, self._signed = time.time(), time.monotonic()
        self._unsigned = 0

    @classmethod
    def open(cls, journal: Path, heads: Path, keys: JournalKeys, limits: Limits = LIMITS) -> Self:
        """Go on with a chain that no other process holds, or begin one.

        A tail that a crash left torn is cut off; a signed entry says what was cut. Entries that were answered for
        are never cut: where they are missing or altered, nothing is mended.

        Raises:
            AuditUnusable: the folder cannot be written, or a chain lacks what its head says it held.
        """
        try:
            journal.mkdir(parents=True, exist_ok=True, mode=0o700)
            for folder in (*chains_of(journal), journal / secrets.token_hex(8)):
                fresh = not folder.exists()
                folder.mkdir(exist_ok=True, mode=0o700)
                lock = _locked(folder)
                if lock is None:
                    continue
                head = None
                try:
                    before = None if fresh else _head_of(heads / folder.name, keys)
                    head = HeadFile.open(heads / folder.name)
                    chain = cls(folder, lock, head, keys, limits)
                    chain._resume(before)
                except BaseException:
                    if head is not None:
                        head.close()
                    os.close(lock)
                    raise
                return chain
        except OSError as error:
            raise AuditUnusable(f"{journal}: {error.strerror or 'cannot be written'}") from None
        raise AssertionError("a new folder is always free")

    @property
    def name(self) -> str:
        """Name of the chain: that of its folder."""
        return self._folder.name

    @property
    def sequence(self) -> int:
        """Number of the last line that is on disk."""
        return self._end.sequence

    def append(self, entries: Sequence[Fields]) -> None:
        """Write entries; they are on disk, and the head stands behind them, when this returns.

        Raises:
            OSError: nothing was taken over; the same entries may be given again.
        """
        self._mend()
        full = self._size >= self._limits.segment_bytes
        if not self._sealed and (full or time.time() - self._opened >= self._limits.segment_seconds):
            self._seal()
        if self._sealed:
            self._begin_segment()
        elapsed = time.monotonic()
        due = elapsed - self._signed >= self._limits.checkpoint_seconds
        due = due or self._unsigned + len(entries) >= self._limits.checkpoint_entries
        self._write([*entries, *([{"kind": "checkpoint"}] if due else [])])
        if due:
            self._signed, self._unsigned = elapsed, 0
        else:
            self._unsigned += len(entries)

    def close(self) -> None:
        """Say that the journal was closed in order, and let the chain go."""
        try:
            with suppress(OSError):
                self._mend()
                if not self._sealed:
                    self._write([{"kind": "stop"}])
        finally:
            self._release()

    def _release(self) -> None:
        with suppress(OSError):
            self._head.close()
        if self._file >= 0:
            os.close(self._file)
        os.close(self._lock)

    def _write(self, entries: Sequence[Fields]) -> None:
        end, size = _Place(self._end.sequence, self._end.digest), self._size
        at, written = lines.now(), []
        for each in entries:
            end.sequence += 1
            if each["kind"] == "access":
                line = lines.access_line(at, end.digest, end.sequence, each)
            else:
                fields = {"at": at, "previous": end.digest, "sequence": end.sequence, **each}
                signs = each["kind"] in lines.SIGNED
                line = lines.signed(fields, self._keys.signing) if signs else lines.canonical(fields)
            end.digest = lines.digest(line)
            written.append(line)
        content = memoryview(b"\n".join(written) + b"\n")
        while content:
            done = os.pwrite(self._file, content, size)
            size, content = size + done, content[done:]
        os.fdatasync(self._file)
        self._head.write(self.name, end.sequence, end.digest, self._keys.signing)
        self._end, self._size = end, size

    def _mend(self) -> None:
        """Cut off what a failed group may have left behind."""
        if self._file >= 0 and os.fstat(self._file).st_size != self._size:
            os.ftruncate(self._file, self._size)
            os.fdatasync(self._file)

    def _seal(self) -> None:
        self._write([{"kind": "seal", "segment": self._segment, "next": segment_name(self._segment + 1)}])
        self._sealed = True

    def _begin_segment(self, first: Sequence[Fields] = ()) -> None:
        number = self._segment + 1
        # A file that an attempt before this one left is begun anew: none of it was answered for.
        file = os.open(self._folder / segment_name(number), os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        before = (self._file, self._segment, self._size)
        self._file, self._segment, self._size = file, number, 0
        try:
            sync(self._folder)
            opening = {
                "kind": "open",
                "format": lines.FORMAT,
                "chain": self.name,
                "segment": number,
                "key": fingerprint(self._keys.signing.public_key()),
            }
            self._write([opening, *first])
        except BaseException:
            os.close(file)
            self._file, self._segment, self._size = before
            raise
        if before[0] >= 0:
            os.close(before[0])
        self._sealed, self._opened = False, time.time()

    def _resume(self, head: Fields | None) -> None:
        """Find the end of the chain, cut off what is torn, and write the entry of the start."""
        files = files_of(self._folder)
        if not files:
            if head is not None:
                raise self._damaged("all of its segments are missing")
            self._start(b"", 0, clean=True)
            return
        kind, cut = self._read_end(*files[-1], head)
        if self._end.sequence == 0 and len(files) > 1:
            # The newest file was begun by a group that never came to its end: the chain ends in the one before.
            kind, torn = self._read_end(*files[-2], head)
            if torn:
                raise self._damaged(f"{files[-2][1].name} was altered after it was sealed")
        held = head["sequence"] if head else 0
        if head is None and (self._end.sequence > 2 or len(files) > 1):
            raise self._damaged("its head is missing; put the folder of heads back")
        if held > self._end.sequence:
            raise self._damaged(f"it ends at entry {self._end.sequence}, but entry {held} was on disk")
        self._start(cut, self._end.sequence - held, clean=kind == "stop")

    def _read_end(self, number: int, path: Path, head: Fields | None) -> tuple[str, bytes]:
        """Take the last whole line of a file as the end; give its kind, and what follows it."""
        if is_stub(path):
            stub = lines.parsed(path.read_bytes().strip()) or {}
            self._segment, self._end = number, _Place(_number(stub, "last"), str(stub.get("hash")))
            return "expired", b""
        kind, size, place = "", 0, _Place()
        with path.open("rb") as file:
            for line, whole in read_lines(file):
                fields = lines.parsed(line) if whole else None
                if fields is None or not _follows(fields, place):
                    break
                place = _Place(_number(fields, "sequence"), lines.digest(line))
                if head and head["sequence"] == place.sequence and head["hash"] != place.digest:
                    raise self._damaged(f"entry {place.sequence} was altered")
                if size == 0:
                    if not lines.is_signed(fields, self._keys.signing.public_key()):
                        raise self._damaged(f"{path.name} was not begun by this journal's key")
                    self._opened = datetime.fromisoformat(str(fields["at"])).timestamp()
                kind, size = str(fields.get("kind")), size + len(line) + 1
            file.seek(size)
            torn = file.read()
        if size:
            self._file, self._segment, self._size = os.open(path, os.O_RDWR), number, size
            self._end, self._sealed = place, kind == "seal"
        return kind, torn

    def _start(self, cut: bytes, unconfirmed: int, *, clean: bool) -> None:
        entry: Fields = {"kind": "start", "clean": clean, "unconfirmed": unconfirmed}
        if not clean:
            _log.warning("the audit journal was not closed in order: %d torn bytes are cut off its end", len(cut))
        if cut:
            entry["cut"] = {
                "bytes": len(cut),
                "sha256": hashlib.sha256(cut).hexdigest(),
                "content": base64.b64encode(cut[:_SHOWN_BYTES]).decode(),
            }
        if self._sealed:
            self._begin_segment([entry])
        else:
            self._mend()
            self._write([entry])

    def _damaged(self, what: str) -> AuditUnusable:
        return AuditUnusable(
            f"{self._folder}: {what}; find out with `mpi audit verify`, then move this folder away, as evidence, "
            "to begin another chain"
        )


def _follows(fields: Fields, place: _Place) -> bool:
    """Say whether a line follows a place; the first of a file does if it opens a segment."""
    if place.sequence == 0:
        return fields.get("kind") == "open" and _number(fields, "sequence") > 0
    return fields.get("sequence") == place.sequence + 1 and fields.get("previous") == place.digest


def _number(fields: Fields, name: str) -> int:
    value = fields.get(name)
    return value if isinstance(value, int) else 0


def _head_of(path: Path, keys: JournalKeys) -> Fields | None:
    try:
        return read_head(path, keys.signing.public_key())
    except ValueError:
        raise AuditUnusable(f"{path}: is not a head that this journal's key has signed") from None


def _locked(folder: Path) -> int | None:
    """Take the lock of a chain; None where another process holds it."""
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock
