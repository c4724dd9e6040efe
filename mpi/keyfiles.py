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
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from mpi.errors import KeyRingUnusable

KEY_BYTES = 32
_MOST_BYTES = 1 << 20


def derive(secret: bytes, purpose: str, length: int = KEY_BYTES) -> bytes:
    """Derive the key of a purpose, such as "token/national_id".

    The secrets are uniformly random, so HKDF's extract step is left out (RFC 5869, section 3.3).
    """
    return HKDFExpand(algorithm=hashes.SHA256(), length=length, info=f"mpi/v1/{purpose}".encode()).derive(secret)


def write_key_file(path: Path, content: dict[str, Any]) -> None:
    """Write a new key file with mode 0600, on disk before this returns.

    Raises:
        KeyRingUnusable: there is a file already; keys are never overwritten.
    """
    try:
        # O_EXCL and the mode at creation: at no moment can another user open the file.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise KeyRingUnusable(path, "is there already; keys are never overwritten") from None
    except OSError as error:
        raise KeyRingUnusable(path, error.strerror or "cannot be written") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())


def replace_key_file(path: Path, content: dict[str, Any]) -> None:
    """Put a new content in the place of a key file's old one; at every moment one of the two is whole on disk.

    Raises:
        KeyRingUnusable: the folder cannot be written.
    """
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    write_key_file(fresh, content)
    try:
        fresh.replace(path)
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise KeyRingUnusable(path, error.strerror or "cannot be written") from None


def read_key_file(path: Path) -> dict[str, Any]:
    """Read a key file.

    Raises:
        KeyRingUnusable: it is missing, no key file, or open to others than its owner.
    """
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise KeyRingUnusable(path, "others than its owner may read it; run `chmod 600` on it")
            content = json.loads(file.read(_MOST_BYTES))
    except FileNotFoundError:
        raise KeyRingUnusable(path, "no such key file") from None
    except OSError as error:
        raise KeyRingUnusable(path, error.strerror or "cannot be read") from None
    except ValueError:
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
