"""Numbers of people: national ids, passports, telephones. Only a number that can identify is let through."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from mpi.domain.identifiers import IdentifierKind
from mpi.encoder.thai_text import clean_text

NATIONAL_ID_DIGITS = 13
_ALIEN_CLASSES = frozenset("067")
_SAMPLES = frozenset(("1111111111119", "9999999999994", "0000000000001", "1234567890121"))
"""Sample numbers that systems are filled with; they pass the check digit."""

_SEPARATORS = re.compile(r"[\s\-–_./]+")
_G_CODE = re.compile(r"G\d{12}", re.ASCII)
_PASSPORT = re.compile(r"[A-Z0-9]{6,15}", re.ASCII)
_COUNTRY = re.compile(r"[A-Z]{3}", re.ASCII)
_PHONE = re.compile(r"0[2-9]\d{7,8}", re.ASCII)


class IdentifierFlag(StrEnum):
    """Why a number was rejected."""

    LENGTH = "length"
    CHARACTERS = "characters"
    CHECKSUM = "checksum"
    DUMMY = "dummy"


class IdentifierRejected(ValueError):
    """A value is no usable number; `flag` says why, and nothing says what it was."""

    def __init__(self, flag: IdentifierFlag) -> None:
        super().__init__(flag.value)
        self.flag = flag


@dataclass(frozen=True, slots=True, repr=False)
class Identifier:
    """A number in canonical form, ready to be made a token."""

    kind: IdentifierKind
    value: str

    def __repr__(self) -> str:
        return f"Identifier({self.kind.value})"


def parse_national_id(text: str) -> Identifier:
    """Parse a 13-digit number or a G code.

    The kind follows from the first digit: 1-5 and 8 are held for life by citizens and those naturalised, 0, 6, 7 and
    G codes by others, who may hold several over time; 9 is reserved and taken as the former.

    Raises:
        IdentifierRejected: wrong length or characters, wrong check digit, or a known dummy.
    """
    value = text if text.isascii() and text.isdigit() else _SEPARATORS.sub("", clean_text(text)[0]).upper()
    if _G_CODE.fullmatch(value):
        return Identifier(IdentifierKind.ALIEN_ID, value)
    if not (value.isascii() and value.isdigit()):
        raise IdentifierRejected(IdentifierFlag.CHARACTERS)
    if len(value) != NATIONAL_ID_DIGITS:
        raise IdentifierRejected(IdentifierFlag.LENGTH)
    if value in _SAMPLES or len(set(value)) == 1:
        raise IdentifierRejected(IdentifierFlag.DUMMY)
    if check_digit(value) != value[-1]:
        raise IdentifierRejected(IdentifierFlag.CHECKSUM)
    kind = IdentifierKind.ALIEN_ID if value[0] in _ALIEN_CLASSES else IdentifierKind.NATIONAL_ID
    return Identifier(kind, value)


def check_digit(digits: str) -> str:
    """Check digit of the first twelve digits of a national id: (11 - sum of (13 - i) * digit i mod 11) mod 10.

    The third digit has the weight 11, so no mistake in it is ever noticed.
    """
    total = sum((NATIONAL_ID_DIGITS - place) * int(digits[place]) for place in range(NATIONAL_ID_DIGITS - 1))
    return str((11 - total % 11) % 10)


def parse_passport(text: str, country: str) -> Identifier:
    """Parse a passport number; it counts only together with the ISO 3166 alpha-3 code of the issuing country.

    Raises:
        IdentifierRejected: not 6 to 15 letters and digits, or no country.
    """
    value = _SEPARATORS.sub("", clean_text(text)[0]).upper()
    issuer = country.strip().upper()
    if not _PASSPORT.fullmatch(value) or not _COUNTRY.fullmatch(issuer):
        raise IdentifierRejected(IdentifierFlag.CHARACTERS)
    if not any(character.isdigit() for character in value) or len(set(value)) == 1:
        raise IdentifierRejected(IdentifierFlag.DUMMY)
    return Identifier(IdentifierKind.PASSPORT, f"{issuer}:{value}")


def parse_phone(text: str) -> Identifier:
    """Parse a Thai telephone number into its national form, 9 or 10 digits from 0.

    Raises:
        IdentifierRejected: it is none, or plainly filled in.
    """
    digits = _SEPARATORS.sub("", clean_text(text)[0]).replace("(", "").replace(")", "").replace("+", "")
    for prefix in ("0066", "66"):
        if digits.startswith(prefix) and len(digits) >= len(prefix) + 8:
            digits = "0" + digits[len(prefix) :].lstrip("0")
            break
    if not _PHONE.fullmatch(digits):
        raise IdentifierRejected(IdentifierFlag.LENGTH)
    if len(set(digits[2:])) == 1:
        raise IdentifierRejected(IdentifierFlag.DUMMY)
    return Identifier(IdentifierKind.PHONE, digits)
