"""Keys of the journal: one signs it, one makes the pseudonyms of identities. Neither lies beside the journal."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from mpi.errors import KeyRingUnusable
from mpi.keyfiles import KEY_BYTES, Keyed, read_key_file, secret_bytes, secret_text, write_key_file

_PSEUDONYM_BYTES, _PSEUDONYM_TEXT = 12, 16
"""96 bits: among a hundred million identities no two share a pseudonym."""

_NO_KEY = "is not an Ed25519 public key in PEM"


@dataclass(frozen=True, repr=False)
class JournalKeys:
    """The key that signs, and the secret of the pseudonyms."""

    signing: Ed25519PrivateKey
    pseudonyms: bytes

    def __repr__(self) -> str:
        return "JournalKeys(***)"

    @cached_property
    def _marks(self) -> Keyed:
        return Keyed(self.pseudonyms)

    def pseudonym(self, eid: str) -> str:
        """Name an identity as entries do: only who holds this key can tell which identity it is."""
        return self.all_pseudonyms([eid])[0]

    def all_pseudonyms(self, eids: Sequence[str]) -> list[str]:
        """Name identities, in their order."""
        digest = self._marks.digest
        marks = b"".join([digest(eid.encode())[:_PSEUDONYM_BYTES] for eid in eids])
        # Each mark is whole groups of three bytes, so that what they are written as lies one after the other, too.
        text = base64.urlsafe_b64encode(marks).decode()
        return [text[at : at + _PSEUDONYM_TEXT] for at in range(0, len(text), _PSEUDONYM_TEXT)]


def open_journal_keys(path: Path) -> JournalKeys:
    """Read the journal's key file, making it (mode 0600) and the public key beside it at the very first start.

    Raises:
        KeyRingUnusable: a file is damaged or open to others, or cannot be written.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = {name: secret_text(secrets.token_bytes(KEY_BYTES)) for name in ("signing", "pseudonyms")}
        write_key_file(path, fresh)
    keys = read_journal_keys(path)
    if not public_key_file(path).exists():
        try:
            public_key_file(path).write_bytes(public_pem(keys.signing.public_key()))
        except OSError as error:
            raise KeyRingUnusable(public_key_file(path), error.strerror or "cannot be written") from None
    return keys


def read_journal_keys(path: Path) -> JournalKeys:
    """Read the journal's key file.

    Raises:
        KeyRingUnusable: the file is missing, damaged or open to others.
    """
    content = read_key_file(path)
    signing = Ed25519PrivateKey.from_private_bytes(secret_bytes(path, content.get("signing"), KEY_BYTES))
    return JournalKeys(signing, secret_bytes(path, content.get("pseudonyms"), KEY_BYTES))


def public_key_file(path: Path) -> Path:
    """Where the public key of a journal's key file is written: beside it, as PEM."""
    return path.with_suffix(".pub.pem")


def public_pem(key: Ed25519PublicKey) -> bytes:
    """Write a public key as PEM."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def read_public_key(path: Path) -> Ed25519PublicKey:
    """Read a journal's public key.

    Raises:
        KeyRingUnusable: the file holds no such key.
    """
    try:
        key = load_pem_public_key(path.read_bytes())
    except OSError as error:
        raise KeyRingUnusable(path, error.strerror or "cannot be read") from None
    except (ValueError, UnsupportedAlgorithm):
        raise KeyRingUnusable(path, _NO_KEY) from None
    if not isinstance(key, Ed25519PublicKey):
        raise KeyRingUnusable(path, _NO_KEY)
    return key


def fingerprint(key: Ed25519PublicKey) -> str:
    """Name a public key: the SHA-256 of its 32 bytes, hex."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()
