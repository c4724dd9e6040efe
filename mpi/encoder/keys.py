"""Key rings: the facilities' shared linkage key by epoch, and the pointer key that one facility alone holds.

A key ring is a folder::

    linkage.json   secret of every epoch, the same at every facility; mode 0600
    pointer.json   this facility's own pointer secret; mode 0600
    epochs.json    names of the epochs, public: the index is told to accept them

Every key in use is derived from an epoch's secret with HKDF-SHA256 (RFC 5869), one for each purpose, so that a
party can be given the key of one purpose and no other. An epoch's name ends in a fingerprint of its secret: two
rings with different secrets can never be taken for one.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from mpi.errors import KeyRingUnusable

SECRET_BYTES = 32
POINTER_SECRET_BYTES = 64
LINKAGE, POINTER, EPOCHS = "linkage.json", "pointer.json", "epochs.json"


def _derive(secret: bytes, purpose: str, length: int = SECRET_BYTES) -> bytes:
    # The secrets are uniformly random, so HKDF's extract step may be left out (RFC 5869, section 3.3).
    return HKDFExpand(algorithm=hashes.SHA256(), length=length, info=f"mpi/v1/{purpose}".encode()).derive(secret)


@dataclass(frozen=True, slots=True, repr=False)
class Epoch:
    """One generation of the facilities' shared key."""

    name: str
    secret: bytes

    def derive(self, purpose: str) -> bytes:
        """Derive the 32-byte key of a purpose, such as "token/national_id" or "bucket/A"."""
        return _derive(self.secret, purpose)

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
        KeyRingUnusable: the folder holds a key ring already (keys are never overwritten), or `join` has none.
    """
    for name in (LINKAGE, POINTER):
        if (folder / name).exists():
            raise KeyRingUnusable(folder / name, "is there already; keys are never overwritten")
    if join is None:
        secret = secrets.token_bytes(SECRET_BYTES)
        epochs = [Epoch(_epoch_name(1, secret), secret)]
    else:
        epochs = _read_epochs(join / LINKAGE)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    written = [{"name": epoch.name, "secret": _text(epoch.secret)} for epoch in epochs]
    _write_secret(folder / LINKAGE, {"epochs": written})
    pointer_secret = secrets.token_bytes(POINTER_SECRET_BYTES)
    _write_secret(folder / POINTER, {"secret": _text(pointer_secret)})
    public = json.dumps({"epochs": [epoch.name for epoch in epochs]}, indent=1)
    (folder / EPOCHS).write_text(public + "\n", encoding="utf-8")
    return KeyRing(tuple(epochs), pointer_secret)


def load_key_ring(folder: Path) -> KeyRing:
    """Read a key ring, refusing files that others than their owner may read.

    Raises:
        KeyRingUnusable: a file is missing, malformed, or open to others.
    """
    epochs = _read_epochs(folder / LINKAGE)
    content = _read_secret(folder / POINTER)
    pointer_secret = _bytes(folder / POINTER, content, POINTER_SECRET_BYTES)
    return KeyRing(tuple(epochs), pointer_secret)


def _epoch_name(number: int, secret: bytes) -> str:
    return f"{number}-{_derive(secret, 'epoch-name', 4).hex()}"


def _read_epochs(path: Path) -> list[Epoch]:
    content = _read_secret(path)
    entries = content.get("epochs")
    if not isinstance(entries, list) or not entries:
        raise KeyRingUnusable(path, "holds no epochs")
    epochs = []
    for entry in entries:
        secret = _bytes(path, entry, SECRET_BYTES)
        name = entry.get("name")
        number = name.partition("-")[0] if isinstance(name, str) else ""
        if not number.isdigit() or name != _epoch_name(int(number), secret):
            raise KeyRingUnusable(path, "an epoch's name does not fit its secret; the file was changed or damaged")
        epochs.append(Epoch(name, secret))
    return epochs


def _read_secret(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise KeyRingUnusable(path, "others than its owner may read it; run: chmod 600 on the file")
            content = json.loads(file.read(1 << 20))
    except FileNotFoundError:
        raise KeyRingUnusable(path, "no such key file; make one with `mpi keys new`") from None
    except OSError as error:
        raise KeyRingUnusable(path, error.strerror or "cannot be read") from None
    except ValueError:
        raise KeyRingUnusable(path, "is not a key file") from None
    if not isinstance(content, dict):
        raise KeyRingUnusable(path, "is not a key file")
    return content


def _bytes(path: Path, holder: Any, length: int) -> bytes:
    try:
        value = base64.b64decode(holder["secret"], validate=True)
    except (KeyError, TypeError, binascii.Error, ValueError):
        raise KeyRingUnusable(path, "is not a key file") from None
    if len(value) != length:
        raise KeyRingUnusable(path, "holds a secret of the wrong length")
    return value


def _text(secret: bytes) -> str:
    return base64.b64encode(secret).decode()


def _write_secret(path: Path, content: dict[str, Any]) -> None:
    # O_EXCL and the mode at creation: at no moment can another user open the file.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
