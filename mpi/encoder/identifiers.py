"""Numbers of people: national ids, passports, telephones. Only a number that can identify is let through."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from operator import mul

from mpi.domain.identifiers import IdentifierKind
from mpi.encoder.thai_text import clean_text

NATIONAL_ID_DIGITS = 13
_WEIGHTS = range(NATIONAL_ID_DIGITS, 1, -1)
_ALIEN_CLASSES = frozenset("067")
_SAMPLES = frozenset(("1111111111119", "9999999999994", "0000000000001", "1234567890121"))
"""Sample numbers that systems are filled with; they pass the check digit."""
_TRUNCATED_PASSPORT = 8
"""Characters that PASSPORT had in the 2015 tables of the 43-file standard: longer numbers were cut there."""

# A spreadsheet's apostrophe before a number that is to stay a text, and the fraction behind one that did not.
_SEPARATORS = re.compile(r"(?<=\d{9})\.0\Z|[\s\-–_./']+", re.ASCII)
_G_CODE = re.compile(r"G\d{12}", re.ASCII)
_PASSPORT = re.compile(r"[A-Z0-9]{6,15}", re.ASCII)
_THAI_PASSPORT = re.compile(r"[A-Z]{2}\d{7}", re.ASCII)
_COUNTRY = re.compile(r"[A-Z]{3}", re.ASCII)
_NOT_PHONE = re.compile(r"[^0-9+]+")
_FURTHER_PHONE = re.compile(r"[,;/#]|ต่อ|หรือ|ext|\bor\b|\bto\b", re.IGNORECASE)
_COUNTRY_PREFIX = re.compile(r"(?:\+|00)?66(?=\d{8})0?")
_LOST_ZERO = re.compile(r"[689]\d{8}")
_PHONE = re.compile(r"0[689]\d{8}|0[2-57]\d{7}")
_FILLED_IN = re.compile(r"(\d)\1{6}\Z")


class IdentifierFlag(StrEnum):
    """Why a number was rejected, or what is remarkable about one that was not."""

    LENGTH = "length"
    CHARACTERS = "characters"
    CHECKSUM = "checksum"
    DUMMY = "dummy"
    COUNTRY = "country"
    """Rejected: nothing says who issued the passport."""
    COUNTRY_ASSUMED = "country_assumed"
    """Nothing says who issued the passport, but it has the form of Thai ones."""
    MAYBE_TRUNCATED = "maybe_truncated"
    """The passport fills the eight characters that an older layout had for it."""


class IdentifierRejected(ValueError):
    """A value is no usable number; `flag` says why, and nothing says what it was."""

    def __init__(self, flag: IdentifierFlag) -> None:
        super().__init__(flag.value)
        self.flag = flag


@dataclass(frozen=True, slots=True, repr=False)
class Identifier:
    """A number in canonical form, ready to be made a token.

    Attributes:
        kind: which number it is.
        value: the number; a passport's follows its issuing country and a colon.
        flags: what is remarkable.
    """

    kind: IdentifierKind
    value: str
    flags: frozenset[IdentifierFlag] = frozenset()

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
        if len(set(value[1:])) == 1:
            raise IdentifierRejected(IdentifierFlag.DUMMY)
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
    total = sum(map(mul, _WEIGHTS, map(int, digits)))
    return str((11 - total % 11) % 10)


def parse_passport(text: str, country: str) -> Identifier:
    """Parse a passport number; it counts only together with the ISO 3166 alpha-3 code of the issuing country.

    A number without a country is taken for Thai when it has the form of Thai passports, two letters and seven digits.

    Raises:
        IdentifierRejected: not 6 to 15 letters and digits, filled in, or without a country.
    """
    value = _SEPARATORS.sub("", clean_text(text)[0]).upper()
    issuer = country.strip().upper()
    if not (value.isascii() and value.isalnum()):
        raise IdentifierRejected(IdentifierFlag.CHARACTERS)
    if not _PASSPORT.fullmatch(value):
        raise IdentifierRejected(IdentifierFlag.LENGTH)
    if value.isalpha() or len(set(value)) == 1:
        raise IdentifierRejected(IdentifierFlag.DUMMY)
    flags = set()
    if not issuer and _THAI_PASSPORT.fullmatch(value):
        issuer = "THA"
        flags.add(IdentifierFlag.COUNTRY_ASSUMED)
    if not _COUNTRY.fullmatch(issuer):
        raise IdentifierRejected(IdentifierFlag.COUNTRY)
    if len(value) == _TRUNCATED_PASSPORT:
        flags.add(IdentifierFlag.MAYBE_TRUNCATED)
    return Identifier(IdentifierKind.PASSPORT, f"{issuer}:{value}", frozenset(flags))


def parse_phone(text: str) -> Identifier:
    """Parse a Thai telephone number into its national form: 10 digits of a mobile, 9 of a landline, from 0.

    Of several numbers the first counts, extensions are dropped, and a zero that a spreadsheet lost in front of a
    mobile number is put back.

    Raises:
        IdentifierRejected: it is none, or plainly filled in.
    """
    if not (text.isascii() and text.isdigit()):
        text = _NOT_PHONE.sub("", _FURTHER_PHONE.split(clean_text(text)[0].removesuffix(".0"), maxsplit=1)[0])
    digits = text
    if not digits.startswith("0") or digits.startswith("0066"):
        digits = _COUNTRY_PREFIX.sub("0", digits, count=1)
        if _LOST_ZERO.fullmatch(digits):
            digits = "0" + digits
    if not digits.isdigit():
        raise IdentifierRejected(IdentifierFlag.CHARACTERS)
    if _FILLED_IN.search(digits):
        raise IdentifierRejected(IdentifierFlag.DUMMY)
    if not _PHONE.fullmatch(digits):
        raise IdentifierRejected(IdentifierFlag.LENGTH)
    return Identifier(IdentifierKind.PHONE, digits)
