"""Names of facilities, numbers of people (as tokens only) and enterprise ids."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

TOKEN_BYTES = 32
"""Length of every keyed token: HMAC-SHA256."""

_FACILITY = re.compile(r"[A-Z0-9]{5,9}", re.ASCII)


def is_facility_code(text: str) -> bool:
    """Say whether `text` has the shape of a facility code (hcode): 5 to 9 upper-case letters and digits.

    Codes are opaque: leading zeros count and the 9-character codes of 2024 hold letters.
    """
    return _FACILITY.fullmatch(text) is not None


def new_eid() -> str:
    """Make an enterprise id: a random UUID in text form, which tells nothing of person, place or time."""
    return str(uuid.uuid4())


def is_eid(text: str) -> bool:
    """Say whether `text` is an enterprise id in its one canonical spelling."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


class IdentifierKind(StrEnum):
    """Which number a token was made from; each kind has a key of its own, so kinds never compare equal."""

    NATIONAL_ID = "national_id"
    """13 digits of the citizen classes (first digit 1-5, 8): one for life."""
    ALIEN_ID = "alien_id"
    """13 digits of the other classes (0, 6, 7) or a G code: a person may hold several over time."""
    PASSPORT = "passport"
    """Passport number with its issuing country."""
    PHONE = "phone"
    """Telephone number; families share them."""


class IdentifierToken(NamedTuple):
    """A keyed hash of one number."""

    kind: IdentifierKind
    value: bytes

    def __repr__(self) -> str:
        return f"IdentifierToken({self.kind.value})"


class LocalIdToken(NamedTuple):
    """A keyed hash of a facility code and a local id: finds one facility's record."""

    value: bytes

    def __repr__(self) -> str:
        return "LocalIdToken(***)"


@dataclass(frozen=True, slots=True)
class EnterpriseId:
    """An enterprise id used as a look-up key."""

    value: str


LocateKey = IdentifierToken | LocalIdToken | EnterpriseId
"""What a person can be looked up by."""
