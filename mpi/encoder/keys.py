"""Key rings: the facilities' shared linkage key by epoch, and the pointer key that one facility alone holds.

A key ring is a folder::

    linkage.json   secret of every epoch, the same at every facility; mode 0600
    pointer.json   this facility's own pointer secret; mode 0600
    epochs.json    names of the epochs, public: the index is told to accept them

Every key in use is derived from a secret for one purpose, so that a party can be given the key of one purpose and
no other. An epoch's name ends in a fingerprint of its secret: two rings with different secrets can never be taken
for one.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from mpi.errors import KeyRingUnusable
from mpi.keyfiles import KEY_BYTES, derive, read_key_file, secret_bytes, secret_text, write_key_file

POINTER_SECRET_BYTES = 64
LINKAGE, POINTER, EPOCHS = "linkage.json", "pointer.json", "epochs.json"


@dataclass(frozen=True, slots=True, repr=False)
class Epoch:
    """One generation of the facilities' shared key."""

    name: str
    secret: bytes

    def derive(self, purpose: str) -> bytes:
        """Derive the 32-byte key of a purpose, such as "token/national_id" or "bucket/A"."""
        return derive(self.secret, purpose)

    def __repr__(self) -> str:
        return f"Epoch({self.name})"


@dataclass(frozen=True, slots=True, repr=False)
class KeyRing:
    """The keys of one facility: epochs from the oldest to the newest, and its own pointer secret."""

    epochs: tuple[Epoch, ...]
    pointer_secret: bytes

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
        KeyRingUnusable: the folder holds a key ring already, or `join` has none.
    """
    for name in (LINKAGE, POINTER):
        if (folder / name).exists():
            raise KeyRingUnusable(folder / name, "is there already; keys are never overwritten")
    if join is None:
        secret = secrets.token_bytes(KEY_BYTES)
        epochs = [Epoch(_epoch_name(1, secret), secret)]
    else:
        epochs = _read_epochs(join / LINKAGE)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    written = [{"name": epoch.name, "secret": secret_text(epoch.secret)} for epoch in epochs]
    write_key_file(folder / LINKAGE, {"epochs": written})
    pointer_secret = secrets.token_bytes(POINTER_SECRET_BYTES)
    write_key_file(folder / POINTER, {"secret": secret_text(pointer_secret)})
    public = json.dumps({"epochs": [epoch.name for epoch in epochs]}, indent=1)
    (folder / EPOCHS).write_text(public + "\n", encoding="utf-8")
    return KeyRing(tuple(epochs), pointer_secret)


def load_key_ring(folder: Path) -> KeyRing:
    """Read a key ring, refusing files that others than their owner may read.

    Raises:
        KeyRingUnusable: a file is missing, malformed, or open to others.
    """
    epochs = _read_epochs(folder / LINKAGE)
    path = folder / POINTER
    return KeyRing(tuple(epochs), secret_bytes(path, read_key_file(path).get("secret"), POINTER_SECRET_BYTES))


def _epoch_name(number: int, secret: bytes) -> str:
    return f"{number}-{derive(secret, 'epoch-name', 4).hex()}"


def _read_epochs(path: Path) -> list[Epoch]:
    entries = read_key_file(path).get("epochs")
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise KeyRingUnusable(path, "holds no epochs")
    epochs = []
    for entry in entries:
        secret = secret_bytes(path, entry.get("secret"), KEY_BYTES)
        name = entry.get("name")
        number = name.partition("-")[0] if isinstance(name, str) else ""
        if not number.isdecimal() or name != _epoch_name(int(number), secret):
            raise KeyRingUnusable(path, "an epoch's name does not fit its secret; the file was changed or damaged")
        epochs.append(Epoch(name, secret))
    return epochs
