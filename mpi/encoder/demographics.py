"""Demographics: as a source gives them, and normalised."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass, field

from mpi.encoder.dates import BirthDate, DateRejected, parse_birth_date
from mpi.encoder.identifiers import Identifier, IdentifierRejected, parse_national_id, parse_passport, parse_phone
from mpi.encoder.thai_names import NameFlag, PersonName, parse_full_name, parse_name_parts
from mpi.encoder.thai_text import clean_text

MALE, FEMALE = "1", "2"
_SEX = {
    "1": MALE, "m": MALE, "male": MALE, "ชาย": MALE, "ช": MALE,
    "2": FEMALE, "f": FEMALE, "female": FEMALE, "หญิง": FEMALE, "ญ": FEMALE,
}  # fmt: skip


@dataclass(frozen=True, slots=True, repr=False)
class RawName:
    """One name as a source gives it: in one field (`full`), or in fields of their own."""

    full: str = ""
    prefix: str = ""
    given: str = ""
    middle: str = ""
    family: str = ""

    def __repr__(self) -> str:
        return "RawName(***)"


@dataclass(frozen=True, slots=True, repr=False)
class RawDemographics:
    """What a source says of one person, every value as text and "" where it says nothing."""

    local_id: str = ""
    names: tuple[RawName, ...] = ()
    birth_date: str = ""
    sex: str = ""
    national_id: str = ""
    passport: str = ""
    passport_country: str = ""
    phone: str = ""
    house: str = ""
    subdistrict: str = ""

    def __repr__(self) -> str:
        return "RawDemographics(***)"


@dataclass(frozen=True, slots=True, repr=False)
class Demographics:
    """What is known of one person, in canonical form.

    Attributes:
        names: the present name first, then other spellings and earlier names; empty when none is usable.
        birth_date: None when missing or rejected.
        sex: "1" male, "2" female, "" unknown.
        identifiers: the numbers that can identify, and the phone.
        subdistrict: six-digit code, or the name in canonical form, or "".
        house: house number within the subdistrict, or "".
        flags: `field:word` for everything remarkable, never with a value.
    """

    names: tuple[PersonName, ...]
    birth_date: BirthDate | None
    sex: str
    identifiers: tuple[Identifier, ...]
    subdistrict: str
    house: str
    flags: frozenset[str] = field(default_factory=frozenset)

    @property
    def newborn(self) -> bool:
        """Whether the record stands for a newborn without a name yet."""
        return any(NameFlag.NEWBORN in name.flags for name in self.names)

    def __repr__(self) -> str:
        return f"Demographics(flags={sorted(self.flags)})"


def normalize(raw: RawDemographics, today: datetime.date) -> Demographics:
    """Bring what a source says to canonical form. Never fails: what cannot be used is left out and flagged."""
    flags: set[str] = set()
    names = []
    for raw_name in raw.names:
        name = (
            parse_full_name(raw_name.full)
            if raw_name.full
            else parse_name_parts(raw_name.given, raw_name.family, raw_name.middle, raw_name.prefix)
        )
        flags.update(f"name:{flag.value.lower()}" for flag in name.flags)
        if (name.given or name.family) and name not in names:
            names.append(name)
    birth_date = _birth_date(raw.birth_date, today, flags)
    identifiers = [
        found
        for found in (
            _identifier("national_id", raw.national_id, parse_national_id, flags),
            _identifier("passport", raw.passport, lambda text: parse_passport(text, raw.passport_country), flags),
            _identifier("phone", raw.phone, parse_phone, flags),
        )
        if found
    ]
    sex = _SEX.get(clean_text(raw.sex)[0].lower(), "")
    if not sex:
        sex = next((name.sex_hint for name in names if name.sex_hint), "")
    return Demographics(
        tuple(names),
        birth_date,
        sex,
        tuple(identifiers),
        clean_text(raw.subdistrict)[0].removeprefix("ต.").removeprefix("ตำบล").removeprefix("แขวง").strip(),
        clean_text(raw.house)[0],
        frozenset(flags),
    )


def _birth_date(text: str, today: datetime.date, flags: set[str]) -> BirthDate | None:
    if not text.strip():
        return None
    try:
        found = parse_birth_date(text, today)
    except DateRejected as rejected:
        flags.add(f"birth_date:{rejected.flag.value}")
        return None
    flags.update(f"birth_date:{flag.value}" for flag in found.flags)
    return found


def _identifier(name: str, text: str, parse: Callable[[str], Identifier], flags: set[str]) -> Identifier | None:
    if not text.strip():
        return None
    try:
        return parse(text)
    except IdentifierRejected as rejected:
        flags.add(f"{name}:{rejected.flag.value}")
        return None
