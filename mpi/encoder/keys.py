"""Key rings: the facilities' shared linkage key by epoch, and the pointer key that one facility alone holds.

A key ring is a folder::

    linkage.json   secret of every epoch, the same at every facility; mode 0600
    pointer.json   this facility's own pointer secret; mode 0600
    epochs.json    names of the epochs, public: the index is told to accept them

Every key in use is derived from a secret for one purpose, so that a party can be given the key of one purpose and
no other: `export_lookup_keys` writes those that numbers are looked up with. An epoch's name ends in a fingerprint of
its secret: two rings with different secrets can never be taken for one.

An epoch is changed in a window: `rotate` begins a new epoch beside the old one, records are encoded under both until
every facility has the new one, and `retire` ends the old one. Pointers are this facility's own affair and stay, until
`renew_pointers` makes a fresh secret for them.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Protocol, TypeGuard

from mpi.domain.identifiers import IdentifierKind
from mpi.errors import KeyRingUnusable
from mpi.keyfiles import (
    KEY_BYTES,
    PRIVATE,
    PUBLIC,
    derive,
    epoch_name,
    epoch_number,
    read_key_file,
    replace_key_files,
    secret_bytes,
    secret_text,
    write_key_file,
)

POINTER_SECRET_BYTES = 64
LINKAGE, POINTER, EPOCHS = "linkage.json", "pointer.json", "epochs.json"
MOST_EPOCHS = 2
_EPOCH_NAME = re.compile("[1-9][0-9]{0,5}-[0-9a-f]{8}")
LOOKUP_PURPOSES = (
    *(f"token/{kind.value}" for kind in IdentifierKind if kind is not IdentifierKind.PHONE),
    "token/local_id",
)
"""What a consumer has to hash for a lookup; no number can be looked up by phone."""


class Keys(Protocol):
    """Keys of one epoch by purpose."""

    @property
    def name(self) -> str:
        """Name of the epoch."""

    def derive(self, purpose: str) -> bytes:
        """Give the 32-byte key of a purpose, such as "token/national_id" or "channel/A"."""


@dataclass(frozen=True, slots=True, repr=False)
class Epoch:
    """One generation of the facilities' shared key."""

    name: str
    secret: bytes

    def derive(self, purpose: str) -> bytes:
        """Derive the 32-byte key of a purpose, such as "token/national_id" or "channel/A"."""
        return derive(self.secret, purpose)

    def __repr__(self) -> str:
        return f"Epoch({self.name})"


@dataclass(frozen=True, slots=True, repr=False)
class LookupKeys:
    """The keys of one epoch that lookups need, and no other."""

    name: str
    keys: Mapping[str, bytes]

    def derive(self, purpose: str) -> bytes:
        """Give the key of a purpose.

        Raises:
            KeyRingUnusable: these keys are not for that purpose.
        """
        try:
            return self.keys[purpose]
        except KeyError:
            raise KeyRingUnusable(Path(), f"holds look-up keys only, none for {purpose}") from None

    def __repr__(self) -> str:
        return f"LookupKeys({self.name})"


@dataclass(frozen=True, slots=True, repr=False)
class KeyRing:
    """The keys of one facility.

    Attributes:
        epochs: from the oldest to the newest.
        pointer_secret: its own, which seals local ids into pointers.
        earlier_pointer_secret: the one before, which opens pointers that still are in the index; None for none.
    """

    epochs: tuple[Epoch, ...]
    pointer_secret: bytes
    earlier_pointer_secret: bytes | None = None

    @property
    def pointer_secrets(self) -> list[bytes]:
        """Every secret that opens pointers, the newest first."""
        return [self.pointer_secret, *([self.earlier_pointer_secret] if self.earlier_pointer_secret else [])]

    @property
    def current(self) -> Epoch:
        """The epoch that new records are encoded under."""
        return self.epochs[-1]

    def __repr__(self) -> str:
        return f"KeyRing(epochs={[epoch.name for epoch in self.epochs]})"


def new_key_ring(folder: Path, join: Path | None = None) -> KeyRing:
    """Make a key ring in a folder that has none, and return it.

    Args:
        folder: made with mode 0700 where it is missing.
        join: the key ring of a facility that is already part of the network, whose linkage key is taken over;
            without it a new network begins.

    Raises:
        KeyRingUnusable: the folder holds a key ring already or cannot be written, or `join` has none.
    """
    for name in (LINKAGE, POINTER):
        if (folder / name).exists():
            raise KeyRingUnusable(folder / name, "is there already; keys are never overwritten")
    if join is None:
        secret = secrets.token_bytes(KEY_BYTES)
        epochs = [Epoch(epoch_name(1, secret), secret)]
    else:
        epochs = _read_epochs(join / LINKAGE)
    is_new = not folder.exists()
    pointer_secret = secrets.token_bytes(POINTER_SECRET_BYTES)
    pointer: dict[str, object] = {"secret": secret_text(pointer_secret)}
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path, content in ((folder / LINKAGE, _linkage(epochs)), (folder / POINTER, pointer)):
            write_key_file(path, content)
            written.append(path)
        replace_key_files([_public(folder, epochs)])
    except (OSError, KeyRingUnusable) as error:
        # Half a ring would be in the way of the next attempt.
        for path in written:
            path.unlink()
        if is_new:
            with suppress(OSError):
                folder.rmdir()
        if isinstance(error, OSError):
            raise KeyRingUnusable(folder, error.strerror or "cannot be made") from None
        raise
    return KeyRing(tuple(epochs), pointer_secret)


def rotate(folder: Path, join: Path | None = None) -> KeyRing:
    """Begin a new epoch beside the present one.

    Args:
        folder: the key ring.
        join: the key ring of a facility that has the new epoch already, which is taken over; without it this is the
            facility that begins it.

    Raises:
        KeyRingUnusable: the ring is unusable or has two epochs already, or `join` does not continue it.
    """
    ring = load_key_ring(folder)
    if len(ring.epochs) == MOST_EPOCHS:
        raise KeyRingUnusable(folder, "is changing epochs already; end that with `mpi keys retire` first")
    if join is None:
        secret = secrets.token_bytes(KEY_BYTES)
        fresh = Epoch(epoch_name(epoch_number(ring.current.name) + 1, secret), secret)
    else:
        theirs = _read_epochs(join / LINKAGE)
        fresh = theirs[-1]
        if epoch_number(fresh.name) != epoch_number(ring.current.name) + 1 or theirs[0] != ring.current:
            raise KeyRingUnusable(join, f"has epoch {fresh.name}, which does not follow {ring.current.name}")
    return _replace(folder, replace(ring, epochs=(*ring.epochs, fresh)))


def retire(folder: Path) -> KeyRing:
    """End the earlier of two epochs: its secret is deleted, and records are encoded under the newer one alone.

    Raises:
        KeyRingUnusable: the ring is unusable or has one epoch only.
    """
    ring = load_key_ring(folder)
    if len(ring.epochs) < MOST_EPOCHS:
        raise KeyRingUnusable(folder, "has one epoch only; a new one is begun with `mpi keys rotate`")
    return _replace(folder, replace(ring, epochs=(ring.current,)))


def renew_pointers(folder: Path) -> KeyRing:
    """Make a fresh pointer secret, as after the old one was stolen; that one opens pointers until `end_pointers`.

    Raises:
        KeyRingUnusable: the ring is unusable, or an earlier secret has not ended yet.
    """
    ring = load_key_ring(folder)
    if ring.earlier_pointer_secret:
        raise KeyRingUnusable(folder, "holds an earlier pointer key already; end that with --end first")
    fresh = secrets.token_bytes(POINTER_SECRET_BYTES)
    return _replace_pointers(folder, replace(ring, pointer_secret=fresh, earlier_pointer_secret=ring.pointer_secret))


def end_pointers(folder: Path) -> KeyRing:
    """Delete the earlier pointer secret: what was sealed with it is not opened any longer.

    Raises:
        KeyRingUnusable: the ring is unusable, or has no earlier secret.
    """
    ring = load_key_ring(folder)
    if not ring.earlier_pointer_secret:
        raise KeyRingUnusable(folder, "has one pointer key only; a fresh one is made with `mpi keys pointers`")
    return _replace_pointers(folder, replace(ring, earlier_pointer_secret=None))


def export_lookup_keys(folder: Path, out: Path) -> tuple[LookupKeys, ...]:
    """Write the keys that a consumer needs to look numbers up, and no key that encodes or opens anything.

    Raises:
        KeyRingUnusable: the ring is unusable, or `out` is there already.
    """
    epochs = _read_epochs(folder / LINKAGE)
    exported = tuple(
        LookupKeys(epoch.name, {purpose: epoch.derive(purpose) for purpose in LOOKUP_PURPOSES}) for epoch in epochs
    )
    written = [
        {"name": epoch.name, "keys": {purpose: secret_text(key) for purpose, key in epoch.keys.items()}}
        for epoch in exported
    ]
    write_key_file(out, {"lookup_epochs": written})
    return exported


def load_lookup_keys(path: Path) -> tuple[Keys, ...]:
    """Read the keys for lookups, from the oldest epoch on: a key ring's folder, or a file of `export_lookup_keys`.

    Raises:
        KeyRingUnusable: missing, malformed, or open to others.
    """
    if path.is_dir():
        return tuple(_read_epochs(path / LINKAGE))
    entries = read_key_file(path).get("lookup_epochs")
    if not isinstance(entries, list) or not entries:
        raise KeyRingUnusable(path, "holds no look-up keys")
    found: list[LookupKeys] = []
    for entry in entries:
        name, keys = (entry.get("name"), entry.get("keys")) if isinstance(entry, dict) else (None, None)
        if not _is_epoch_name(name) or not isinstance(keys, dict) or name in {each.name for each in found}:
            raise KeyRingUnusable(path, "holds no look-up keys, or damaged ones")
        found.append(LookupKeys(name, {each: secret_bytes(path, key, KEY_BYTES) for each, key in keys.items()}))
    return tuple(found)


def load_key_ring(folder: Path) -> KeyRing:
    """Read a key ring, refusing files that others than their owner may read.

    Raises:
        KeyRingUnusable: a file is missing, malformed, or open to others.
    """
    epochs = _read_epochs(folder / LINKAGE)
    path = folder / POINTER
    held = read_key_file(path)
    secret = secret_bytes(path, held.get("secret"), POINTER_SECRET_BYTES)
    earlier = None if "earlier" not in held else secret_bytes(path, held["earlier"], POINTER_SECRET_BYTES)
    return KeyRing(tuple(epochs), secret, earlier)


def _replace(folder: Path, ring: KeyRing) -> KeyRing:
    replace_key_files([(folder / LINKAGE, _linkage(ring.epochs), PRIVATE), _public(folder, ring.epochs)])
    return ring


def _replace_pointers(folder: Path, ring: KeyRing) -> KeyRing:
    written = dict(zip(("secret", "earlier"), map(secret_text, ring.pointer_secrets), strict=False))
    replace_key_files([(folder / POINTER, written, PRIVATE)])
    return ring


def _linkage(epochs: Sequence[Epoch]) -> dict[str, object]:
    return {"epochs": [{"name": epoch.name, "secret": secret_text(epoch.secret)} for epoch in epochs]}


def _public(folder: Path, epochs: Sequence[Epoch]) -> tuple[Path, dict[str, object], int]:
    return folder / EPOCHS, {"epochs": [epoch.name for epoch in epochs]}, PUBLIC


def _is_epoch_name(name: object) -> TypeGuard[str]:
    return isinstance(name, str) and _EPOCH_NAME.fullmatch(name) is not None


def _read_epochs(path: Path) -> list[Epoch]:
    entries = read_key_file(path).get("epochs")
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise KeyRingUnusable(path, "holds no epochs")
    if len(entries) > MOST_EPOCHS:
        raise KeyRingUnusable(path, f"holds more than {MOST_EPOCHS} epochs")
    epochs = []
    for entry in entries:
        secret = secret_bytes(path, entry.get("secret"), KEY_BYTES)
        name = entry.get("name")
        if not _is_epoch_name(name) or name != epoch_name(epoch_number(name), secret):
            raise KeyRingUnusable(path, "an epoch's name does not fit its secret; the file was changed or damaged")
        epochs.append(Epoch(name, secret))
    if any(epoch_number(newer.name) != epoch_number(older.name) + 1 for older, newer in pairwise(epochs)):
        raise KeyRingUnusable(path, "its epochs do not follow each other; the file was changed or damaged")
    return epochs
