"""Parts of a job: the folder beside an output where finished work waits until the whole can take its place.

Only its owner can read the folder, and it holds no key. Each file begins with its digest, so what a stopped machine or
a failing disk left half done is noticed and done again. One run at a time has the folder.
"""

from __future__ import annotations

import datetime
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mpi.errors import InputRejected
from mpi.keyfiles import sync

KINDS = ("csv", "counts", "arrow")
"""Files of a part, in the order in which they are written: rows set aside, counts for the report, encoded rows."""
_BEGUN, _LOCK = "job.json", "lock"
_PARTIAL, _EARLIER = ".partial", ".earlier"
_PRIVATE = 0o600
_NUMBER = re.compile("[0-9]{6,9}")
_NONCE_BYTES = 16
_DIGEST = hashlib.sha256
_DIGEST_BYTES = _DIGEST().digest_size
_MOST_BYTES = 1 << 20
"""Of the file that says which job the parts are of."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Finished parts of one job.

    Attributes:
        folder: where they lie.
        nonce: random bytes of this job; keys that are derived with it are of no other.
        today: day on which the job was begun: all its parts reckon ages from it.
    """

    folder: Path
    nonce: bytes
    today: datetime.date

    def save(self, number: int, contents: Mapping[str, bytes | memoryview]) -> None:
        """Keep the files of a part, one of each of `KINDS`."""
        for kind in KINDS:
            path = self._path(number, kind)
            # Not forced to the disk: its digest tells whether it got there.
            partial = _fresh(path.with_name(f".{path.name}.{os.getpid()}{_PARTIAL}"))
            with partial.open("wb") as file:
                file.write(self._digest(path, contents[kind]))
                file.write(contents[kind])
            partial.replace(path)

    def read(self, number: int, kind: str) -> memoryview:
        """Give the content of one file of a part.

        Raises:
            InputRejected: the file is missing or damaged.
        """
        path = self._path(number, kind)
        try:
            content = memoryview(path.read_bytes())
        except OSError:
            content = memoryview(b"")
        digest, content = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        if digest != self._digest(path, content):
            raise InputRejected(
                f"{path} is damaged; run the command again, and delete {self.folder} if that does not help"
            )
        return content

    def done(self) -> set[int]:
        """Numbers of the parts whose files are there and whole."""
        return {number for number in self._numbers() if self._is_whole(number)}

    def any(self) -> bool:
        """Say whether a later run may find a part that is done."""
        return next(self._numbers(), None) is not None

    def prepare(self, name: str) -> Path:
        """Make an empty file that can later take its place outside of the folder."""
        return _fresh(self.folder / f"{name}{_PARTIAL}")

    def _numbers(self) -> Iterator[int]:
        stems = (path.stem for path in self.folder.glob(f"*.{KINDS[-1]}"))
        return (int(stem) for stem in stems if _NUMBER.fullmatch(stem))

    def _is_whole(self, number: int) -> bool:
        try:
            for kind in KINDS:
                self.read(number, kind)
        except InputRejected:
            return False
        return True

    def _path(self, number: int, kind: str) -> Path:
        return self.folder / f"{number:06d}.{kind}"

    def _digest(self, path: Path, content: bytes | memoryview) -> bytes:
        digest = _DIGEST(self.nonce + path.name.encode())
        digest.update(content)
        return digest.digest()


@contextmanager
def open_parts(out: Path, asked: Mapping[str, object]) -> Iterator[Parts]:
    """Open the folder of an interrupted job, or begin a new one; no other run can open it meanwhile.

    The folder stays for a later run when the block ends with an error and a part is done.

    Args:
        out: the output.
        asked: what makes a job the same; parts of another one are deleted.

    Raises:
        InputRejected: another run has the folder, or it is no folder of ours.
        OSError: it cannot be written.
    """
    folder = out.with_name(f".{out.name}.parts")
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise InputRejected(f"--out: {folder} is no folder of this user's own; delete it")
    folder.chmod(0o700)
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, _PRIVATE)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputRejected(f"--out: another run is writing {out}") from None
        os.fchmod(lock, _PRIVATE)
        parts = _begun(folder, asked)
        _clear(folder, everything=parts is None)
        parts = parts or _begin(folder, asked)
        finished = False
        try:
            yield parts
            finished = True
        finally:
            if finished or not parts.any():
                shutil.rmtree(folder, ignore_errors=True)
            else:
                _clear(folder, everything=False)
    finally:
        os.close(lock)


def forget(parts: Parts) -> None:
    """Delete finished parts that can serve no later run."""
    _clear(parts.folder, everything=True)


def publish(files: Sequence[tuple[Path, Path]]) -> None:
    """Let prepared files take their places, the last one last; where one cannot, all places are as they were.

    Args:
        files: each prepared file, and its place in the same file system.

    Raises:
        OSError: a file cannot be written to disk, or take its place.
    """
    mask = os.umask(0o077)  # it can only be read by being set
    os.umask(mask)
    for prepared, _ in files:
        prepared.chmod(0o666 & ~mask)
        sync(prepared)
    *others, (last, _) = files
    for prepared, place in others:
        if place.exists():
            shutil.copy2(place, prepared.with_suffix(_EARLIER))
    try:
        for prepared, place in files:
            prepared.replace(place)
    except BaseException:
        if last.exists():
            for prepared, place in others:
                if not prepared.exists():
                    _restore(prepared.with_suffix(_EARLIER), place)
        raise
    for folder in {place.parent for _, place in files}:
        sync(folder)


def _restore(earlier: Path, place: Path) -> None:
    if earlier.exists():
        earlier.replace(place)
    else:
        place.unlink()


def _begun(folder: Path, asked: Mapping[str, object]) -> Parts | None:
    """The parts in the folder; None when they are of another job, or it does not say of which."""
    try:
        with (folder / _BEGUN).open("rb") as file:
            told = json.loads(file.read(_MOST_BYTES))
        if told["asked"] != asked:
            return None
        nonce, today = bytes.fromhex(told["nonce"]), datetime.date.fromisoformat(told["today"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return Parts(folder, nonce, today) if len(nonce) == _NONCE_BYTES else None


def _begin(folder: Path, asked: Mapping[str, object]) -> Parts:
    parts = Parts(folder, secrets.token_bytes(_NONCE_BYTES), datetime.datetime.now(datetime.UTC).date())
    told = {"asked": asked, "today": parts.today.isoformat(), "nonce": parts.nonce.hex()}
    partial = _fresh(folder / f".{_BEGUN}{_PARTIAL}")
    partial.write_text(json.dumps(told), encoding="utf-8")
    partial.replace(folder / _BEGUN)
    return parts


def _clear(folder: Path, *, everything: bool) -> None:
    """Delete what runs that are dead left half done, or all but the lock."""
    for path in folder.iterdir():
        if not path.is_file():
            raise InputRejected(f"--out: {path} is no file of ours; delete {folder}")
        if path.name != _LOCK and (everything or path.suffix in (_PARTIAL, _EARLIER)):
            path.unlink()


def _fresh(path: Path) -> Path:
    """Make an empty file that only its owner can read."""
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE))
    return path
