"""Sealed views: what a data steward may see of a record, encrypted so that the centre holds ciphertext alone.

The facility masks the fields by a rule (`Masking`) and encrypts them with HPKE (RFC 9180, base mode, one shot) to the
stewards' public key. The suite is DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM: a browser opens it with
WebCrypto alone. A view is::

    version      1 byte, 1
    masking      1 byte: 1 initials, 2 partial, 3 full
    fingerprint  8 bytes of the SHA-256 of the stewards' public key (uncompressed point): whose key opens the view
    enc          65 bytes, HPKE's ephemeral public key
    ciphertext   256 bytes (initials, partial) or 512 bytes (full) of text, 16 bytes of tag

    text         JSON object of the fields in UTF-8, keys sorted, padded at its end with spaces, which JSON permits
    info         "mpi/v1/sealed-view" | the 10 bytes before enc | 1 byte: length of facility | facility | pointer

Every view of one masking has the same length, so a length tells nothing. A view opens beside its own facility code and
pointer only, which stops it from being moved to another record; they stand in `info` and not in the associated data,
as RFC 9180 advises for one-shot use (section 8.1).

Base mode does not say who sealed a view: everybody with the public key can. That a record and its view come from
their facility is known from the registration, not from here.

Sealing is random, so one record sealed twice gives two ciphertexts. The first `HEADER_BYTES` stay the same while key
and masking do; whoever asks whether a record has changed compares these and leaves out the rest.

Key files are JSON Web Keys (RFC 7517), which WebCrypto imports as they stand.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from enum import StrEnum
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mpi.domain.identifiers import IdentifierKind, is_facility_code
from mpi.encoder.dates import BirthDate, iso
from mpi.encoder.demographics import Demographics
from mpi.errors import InputRejected, KeyRingUnusable
from mpi.keyfiles import read_key_file, write_key_file

FINGERPRINT_BYTES = 8
HEADER_BYTES = 2 + FINGERPRINT_BYTES
"""Version, masking and fingerprint, in the clear."""

_VERSION = 1
_PURPOSE = b"mpi/v1/sealed-view"
_SUITE = Suite(KEM.P256, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_CURVE = ec.SECP256R1()
_NUMBER_BYTES = 32
_NUMBER = re.compile(r"[A-Za-z0-9_-]{43}")
_MOST_FILE_BYTES = 1 << 16

_MASK = "***"
_CUT = "…"
_LONGEST = 64
"""Characters of a value that are shown at most; fewer when the view would not fit."""
_LAST_DIGITS = 3
_LEADING_VOWELS = "เแโใไ"
_NATIONAL_IDS = frozenset((IdentifierKind.NATIONAL_ID, IdentifierKind.ALIEN_ID))


class Masking(StrEnum):
    """How much of a record its sealed view shows. The mask is always ``***``, however long what it hides.

    ::

        field        initials  partial  full
        given        ส***      สมชาย    สมชาย
        family       จ***      จ***     ใจดี
        birth_date   1987      1987-01  1987-01-15
        sex          1         1        1
        national_id  -         ***992   1103702488992
        passport     -         -        THA:AA1234567
        phone        -         -        0812345678
        subdistrict  -         -        920103

    An initial is a name's first consonant or letter: a Thai vowel that is written before its consonant is passed over.
    Names are those of the present, dates as far as they are known, several passports are joined by a comma.
    """

    INITIALS = "initials"
    PARTIAL = "partial"
    FULL = "full"


_CODES = {Masking.INITIALS: 1, Masking.PARTIAL: 2, Masking.FULL: 3}
_TEXT_BYTES = {Masking.INITIALS: 256, Masking.PARTIAL: 256, Masking.FULL: 512}


class SealedViews:
    """Seals the views of one facility's records for the holders of one key, which `load_public_key` reads.

    Raises:
        InputRejected: no facility code.
    """

    def __init__(self, public_key: ec.EllipticCurvePublicKey, masking: Masking, facility: str) -> None:
        self._public_key = public_key
        self._masking = masking
        self._facility = facility
        self._header = bytes((_VERSION, _CODES[masking])) + fingerprint(public_key)
        _info(self._header, facility, b"")

    def seal(self, person: Demographics, pointer: bytes) -> bytes:
        """Seal what may be seen of a person, for the record with this pointer; 347 or 603 bytes."""
        text = _text(masked(person, self._masking), _TEXT_BYTES[self._masking])
        return self._header + _SUITE.encrypt(text, self._public_key, _info(self._header, self._facility, pointer))


def open_view(private_key: ec.EllipticCurvePrivateKey, facility: str, pointer: bytes, sealed: bytes) -> dict[str, str]:
    """Open the view of a facility's record, and give its fields by name.

    Raises:
        InputRejected: a view of another key, facility or record, of an unknown form, or one that was changed.
    """
    header = sealed[:HEADER_BYTES]
    if len(header) < HEADER_BYTES:
        raise InputRejected("sealed_view: was cut short")
    if header[0] != _VERSION or header[1] not in _CODES.values():
        raise InputRejected("sealed_view: of a version that is not known here")
    if header[2:] != fingerprint(private_key.public_key()):
        raise InputRejected("sealed_view: sealed for another key")
    try:
        fields = json.loads(_SUITE.decrypt(sealed[HEADER_BYTES:], private_key, _info(header, facility, pointer)))
    except InvalidTag:
        raise InputRejected("sealed_view: was changed, or belongs to another facility or record") from None
    except (ValueError, RecursionError):
        raise InputRejected("sealed_view: does not hold fields") from None
    if not isinstance(fields, dict) or not all(isinstance(value, str) for value in fields.values()):
        raise InputRejected("sealed_view: does not hold fields")
    return fields


def masked(person: Demographics, masking: Masking) -> dict[str, str]:
    """Fields that a view shows, by name; what is unknown or not to be seen is left out."""
    name = person.names[0] if person.names else None
    given, family = (name.given, name.family) if name else ("", "")
    national_id = next((found.value for found in person.identifiers if found.kind in _NATIONAL_IDS), "")
    fields = {"birth_date": _birth_date(person.birth_date, masking), "sex": person.sex}
    if masking is Masking.INITIALS:
        fields |= {"given": _initial(given), "family": _initial(family)}
    elif masking is Masking.PARTIAL:
        ending = national_id and _MASK + national_id[-_LAST_DIGITS:]
        fields |= {"given": given, "family": _initial(family), "national_id": ending}
    else:
        fields |= {
            "given": given,
            "family": family,
            "national_id": national_id,
            "passport": _numbers(person, IdentifierKind.PASSPORT),
            "phone": _numbers(person, IdentifierKind.PHONE),
            "subdistrict": person.subdistrict,
        }
    return {field: value for field, value in fields.items() if value}


def new_steward_key(private_path: Path, public_path: Path) -> ec.EllipticCurvePublicKey:
    """Make the stewards' key pair: a private file with mode 0600, and a public one for the facilities.

    Raises:
        KeyRingUnusable: one of the files is there already, or cannot be written.
    """
    if public_path.exists():
        raise KeyRingUnusable(public_path, "is there already; keys are never overwritten")
    private_key = ec.generate_private_key(_CURVE)
    public_key = private_key.public_key()
    public = _public_jwk(public_key)
    write_key_file(private_path, {**public, "d": _number_text(private_key.private_numbers().private_value)})
    try:
        with public_path.open("x", encoding="utf-8") as file:
            file.write(json.dumps(public, indent=1) + "\n")
    except OSError as error:
        # A private key whose public half nobody has is of no use, and would be in the way of the next attempt.
        private_path.unlink()
        raise KeyRingUnusable(public_path, error.strerror or "cannot be written") from None
    return public_key


def load_public_key(path: Path) -> ec.EllipticCurvePublicKey:
    """Read the stewards' public key.

    Raises:
        KeyRingUnusable: the file is missing or malformed, or holds the private key.
    """
    try:
        with path.open("rb") as file:
            content = json.loads(file.read(_MOST_FILE_BYTES))
    except FileNotFoundError:
        raise KeyRingUnusable(path, "no such key file") from None
    except OSError as error:
        raise KeyRingUnusable(path, error.strerror or "cannot be read") from None
    except (ValueError, RecursionError):
        raise KeyRingUnusable(path, "is not a key file") from None
    if not isinstance(content, dict):
        raise KeyRingUnusable(path, "is not a key file")
    if "d" in content:
        raise KeyRingUnusable(path, "holds the private key, which must not leave the stewards; give the public file")
    return _public_key(path, content)


def load_private_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Read the stewards' private key.

    Raises:
        KeyRingUnusable: the file is missing, malformed, or open to others than its owner.
    """
    content = read_key_file(path)
    public_key = _public_key(path, content)
    try:
        private_key = ec.derive_private_key(_number(path, content.get("d")), _CURVE)
    except ValueError:
        raise KeyRingUnusable(path, "is not a steward's key") from None
    if private_key.public_key() != public_key:
        raise KeyRingUnusable(path, "its private and public parts do not fit; the file was changed or damaged")
    return private_key


def fingerprint(public_key: ec.EllipticCurvePublicKey) -> bytes:
    """Give the 8 bytes that a view names its key by; key files hold them in hexadecimal as `kid`."""
    point = public_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return hashlib.sha256(point).digest()[:FINGERPRINT_BYTES]


def _info(header: bytes, facility: str, pointer: bytes) -> bytes:
    if not is_facility_code(facility):
        raise InputRejected("facility: a code has 5 to 9 upper-case letters and digits")
    return _PURPOSE + header + bytes([len(facility)]) + facility.encode() + pointer


def _text(fields: dict[str, str], size: int) -> bytes:
    """Fields as padded JSON; the longest values are cut as far as it takes to fit."""
    for longest in range(_LONGEST, 0, -1):
        cut = {
            field: value if len(value) <= longest else value[: longest - 1] + _CUT for field, value in fields.items()
        }
        text = json.dumps(cut, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
        if len(text) <= size:
            break
    return text.ljust(size)


def _initial(name: str) -> str:
    letter = next((each for each in name if each.isalpha() and each not in _LEADING_VOWELS), "")
    return letter + _MASK if name else ""


def _birth_date(date: BirthDate | None, masking: Masking) -> str:
    if date is None:
        return ""
    if masking is Masking.INITIALS:
        return iso(date.year, 0, 0)
    return iso(date.year, date.month, 0) if masking is Masking.PARTIAL else date.iso


def _numbers(person: Demographics, kind: IdentifierKind) -> str:
    return ", ".join(found.value for found in person.identifiers if found.kind is kind)


def _public_jwk(public_key: ec.EllipticCurvePublicKey) -> dict[str, str]:
    point = public_key.public_numbers()
    return {
        "kty": "EC",
        "crv": "P-256",
        "x": _number_text(point.x),
        "y": _number_text(point.y),
        "kid": fingerprint(public_key).hex(),
    }


def _public_key(path: Path, jwk: dict[str, Any]) -> ec.EllipticCurvePublicKey:
    if (jwk.get("kty"), jwk.get("crv")) != ("EC", "P-256"):
        raise KeyRingUnusable(path, "is not a steward's key")
    point = ec.EllipticCurvePublicNumbers(_number(path, jwk.get("x")), _number(path, jwk.get("y")), _CURVE)
    try:
        public_key = point.public_key()
    except ValueError:
        raise KeyRingUnusable(path, "is not a steward's key") from None
    if jwk.get("kid") != fingerprint(public_key).hex():
        raise KeyRingUnusable(path, "its fingerprint does not fit its key; the file was changed or damaged")
    return public_key


def _number(path: Path, text: Any) -> int:
    """Read a number of a JSON Web Key: base64url of 32 bytes, without padding."""
    if not isinstance(text, str) or not _NUMBER.fullmatch(text):
        raise KeyRingUnusable(path, "is not a steward's key")
    return int.from_bytes(base64.urlsafe_b64decode(text + "="))


def _number_text(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes(_NUMBER_BYTES)).decode().rstrip("=")
