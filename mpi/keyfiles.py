"""Files that hold secrets, and the keys derived from them; shared by the facility side and the centre.

The two sides never share a secret: what they share is how such a file is written (mode 0600, never overwritten),
read (refused when others may read it) and used (one HKDF-SHA256 key for each purpose, RFC 5869).
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from mpi.errors import KeyRingUnusable

KEY_BYTES = 32
PRIVATE, PUBLIC = 0o600, 0o644
"""Modes of files with secrets and without."""
_MOST_BYTES = 1 << 20
_FRESH = ".new"


def derive(secret: bytes, purpose: str, length: int = KEY_BYTES) -> bytes:
    """Derive the key of a purpose, such as "token/national_id".

    The secrets are uniformly random, so HKDF's extract step is left out (RFC 5869, section 3.3).
    """
    return HKDFExpand(algorithm=hashes.SHA256(), length=length, info=f"mpi/v1/{purpose}".encode()).derive(secret)


def epoch_name(number: int, secret: bytes) -> str:
    """Name a generation of a secret: it ends in a fingerprint, so that two secrets are never taken for one."""
    return f"{number}-{derive(secret, 'epoch-name', 4).hex()}"


def epoch_number(name: str) -> int:
    """The number in an epoch's name, 0 where it has none."""
    number = name.partition("-")[0]
    return int(number) if number.isdecimal() else 0


class Keyed:
    """HMAC-SHA256 (RFC 2104) under one key, which is taken in once: for short messages that is most of the work."""

    def __init__(self, key: bytes) -> None:
        self._ready = HMAC(key, hashes.SHA256())

    def digest(self, message: bytes) -> bytes:
        """The 32 bytes of a message's code."""
        state = self._ready.copy()
        state.update(message)
        return state.finalize()


def write_key_file(path: Path, content: dict[str, Any]) -> None:
    """Write a new key file with mode 0600, on disk before this returns; after an error nothing is left of it.

    Raises:
        KeyRingUnusable: there is a file already, as keys are never overwritten; or it cannot be written.
    """
    try:
        _write(path, content, PRIVATE)
    except FileExistsError:
        raise KeyRingUnusable(path, "is there already; keys are never overwritten") from None
    except OSError as error:
        raise KeyRingUnusable(path, error.strerror or "cannot be written") from None


def replace_key_files(files: Sequence[tuple[Path, dict[str, Any], int]]) -> None:
    """Put new contents in the place of files' old ones, once all of them are whole on disk; the first one first.

    Args:
        files: files of one folder, each with its content and mode.

    Raises:
        KeyRingUnusable: the folder cannot be written.
    """
    fresh = []
    path = files[0][0]
    try:
        for path, content, mode in files:
            for left in path.parent.glob(f".{path.name}.*{_FRESH}"):
                left.unlink()  # by a run that was killed; it may hold a secret
            fresh.append(path.with_name(f".{path.name}.{secrets.token_hex(4)}{_FRESH}"))
            _write(fresh[-1], content, mode)
        for each, (path, _, _) in zip(fresh, files, strict=True):
            each.replace(path)
        sync(path.parent)
    except OSError as error:
        raise KeyRingUnusable(path, error.strerror or "cannot be written") from None
    finally:
        for each in fresh:
            each.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Make what a file or a folder holds durable; raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(path: Path, content: dict[str, Any], mode: int) -> None:
    # O_EXCL and the mode at creation: at no moment can another user open the file.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink()
        raise


def read_key_file(path: Path) -> dict[str, Any]:
    """Read a key file.

    Raises:
        KeyRingUnusable: it is missing, no key file, or open to others than its owner.
    """
    try:
        # Without waiting: what bears the name may be a pipe that nobody writes to.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise KeyRingUnusable(path, "is not a key file")
            if mode & 0o077:
                raise KeyRingUnusable(path, "others than its owner may read it; run `chmod 600` on it")
            content = json.loads(file.read(_MOST_BYTES))
    except FileNotFoundError:
        raise KeyRingUnusable(path, "no such key file") from None
    except OSError as error:
        raise KeyRingUnusable(path, error.strerror or "cannot be read") from None
    except (ValueError, RecursionError):
        raise KeyRingUnusable(path, "is not a key file") from None
    if not isinstance(content, dict):
        raise KeyRingUnusable(path, "is not a key file")
    return content


def secret_text(secret: bytes) -> str:
    """Write a secret as it stands in a key file: base64."""
    return base64.b64encode(secret).decode()


def secret_bytes(path: Path, text: Any, length: int) -> bytes:
    """Read a secret as it stands in a key file; `path` is for the error alone.

    Raises:
        KeyRingUnusable: it is not base64 of the expected length.
    """
    try:
        value = base64.b64decode(text, validate=True)
    except (TypeError, binascii.Error, ValueError):
        raise KeyRingUnusable(path, "is not a key file") from None
    if len(value) != length:
        raise KeyRingUnusable(path, "holds a secret of the wrong length")
    return value
