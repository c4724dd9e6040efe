"""Demographics: as a source gives them, and normalised."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial
from itertools import zip_longest
from operator import attrgetter
from typing import Any

from mpi.encoder.dates import BirthDate, DateRejected, parse_birth_date
from mpi.encoder.identifiers import Identifier, IdentifierRejected, parse_national_id, parse_passport, parse_phone
from mpi.encoder.thai_names import NameFlag, PersonName, completed, parse_full_name, parse_name_parts
from mpi.encoder.thai_text import clean_text

MAX_NAMES = 6
"""Names of one person that are kept: each is encoded, and more of them make a person look like everybody."""
OTHER_NAME_FIELDS = "previous_name previous_given previous_family latin_name latin_given latin_family alias".split()
"""Fields for further names; see `other_names`."""

MALE, FEMALE = "1", "2"
_SEX = {
    "1": MALE, "m": MALE, "male": MALE, "ชาย": MALE, "ช": MALE,
    "2": FEMALE, "f": FEMALE, "female": FEMALE, "หญิง": FEMALE, "ญ": FEMALE,
}  # fmt: skip


_SEX_UNKNOWN = frozenset(("0", "3", "9", "u", "unknown", "ไม่ทราบ", "ไม่ระบุ"))

_SUBDISTRICT_CODE = re.compile(r"([1-9]\d{5})(?:\d{2})?", re.ASCII)
_CODE_PART = re.compile(r"\d{2}", re.ASCII)
_PLACE_WORD = re.compile(r"(?:ตำบล|แขวง|ต\.|กิ่งอำเภอ|อำเภอ|เขต|อ\.|จังหวัด|จ\.) *(?=.)")
_UNKNOWN_PLACES = frozenset(("00", "99", "000000", "999999", "unknown", "ไม่ทราบ", "ไม่ระบุ"))
_BANGKOK = frozenset(("กรุงเทพ", "กรุงเทพฯ", "กทม", "กทม.", "กรุงเทพมหานครฯ"))
_NAME_FLAGS = {flag: f"name:{flag.value.lower()}" for flag in NameFlag}
_BETWEEN_ALIASES = re.compile("[,;/|]")
_POSTCODE = re.compile(r"(?!0+$|9+$)\d{4,5}", re.ASCII)
_HOUSE = re.compile(r"(?:(?:บ้าน)?เลขที่|no\b\.?)? *0*([1-9]\d{0,4}(?:/\d{1,5})?)(?!\d)", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True, repr=False)
class RawName:
    """One name as a source gives it: in one field (`full`), or in fields of their own."""

    full: str = ""
    prefix: str = ""
    given: str = ""
    middle: str = ""
    family: str = ""

    def __reduce__(self) -> tuple[type[RawName], tuple[str, ...]]:
        # Rows go from the reading process to the encoding ones: this is half the work of the default way.
        return RawName, (self.full, self.prefix, self.given, self.middle, self.family)

    def __repr__(self) -> str:
        return "RawName(***)"


@dataclass(frozen=True, slots=True, repr=False)
class RawDemographics:
    """What a source says of one person, every value as text and "" where it says nothing.

    Attributes:
        local_id: the source's own number of the person.
        names: the present name first, then names in another script, earlier ones and aliases; of these a given or
            family name that is missing is as in the present name.
        national_id: the present number.
        other_national_ids: earlier numbers, as people without citizenship hold several over time.
        passport_country: ISO 3166 alpha-3 code of the country that issued the passport.
        other_passports: further passports, as (number, country).
        house: house number, or an address that begins with it.
        subdistrict: name or DOPA code; two-digit codes together with those of district and province.
    """

    local_id: str = ""
    names: tuple[RawName, ...] = ()
    birth_date: str = ""
    sex: str = ""
    national_id: str = ""
    other_national_ids: tuple[str, ...] = ()
    passport: str = ""
    passport_country: str = ""
    other_passports: tuple[tuple[str, str], ...] = ()
    phone: str = ""
    house: str = ""
    subdistrict: str = ""
    district: str = ""
    province: str = ""
    postcode: str = ""

    def __reduce__(self) -> tuple[type[RawDemographics], tuple[Any, ...]]:
        return RawDemographics, _RAW_FIELDS(self)

    def __repr__(self) -> str:
        return "RawDemographics(***)"


_RAW_FIELDS = attrgetter(*(field.name for field in fields(RawDemographics)))


@dataclass(frozen=True, slots=True, repr=False)
class Demographics:
    """What is known of one person, in canonical form.

    Attributes:
        names: the present name first, then other spellings, earlier names and aliases, no two equal, at most
            `MAX_NAMES`; empty when none is usable.
        birth_date: None when missing or rejected.
        sex: "1" male, "2" female, "" unknown.
        identifiers: the numbers that can identify, and the phone; no two equal.
        subdistrict: six-digit DOPA code, or the name in canonical form, or "".
        house: house number such as "99/1", or "".
        street: what follows the house number, letters and digits only in lower case, or "".
        postcode: four or five digits, or "".
        district: name without the word for district, or its code, or "".
        province: likewise.
        flags: `field:word` for everything remarkable, never with a value.
    """

    names: tuple[PersonName, ...]
    birth_date: BirthDate | None
    sex: str
    identifiers: tuple[Identifier, ...]
    subdistrict: str
    house: str
    street: str = ""
    postcode: str = ""
    district: str = ""
    province: str = ""
    flags: frozenset[str] = frozenset()

    @property
    def newborn(self) -> bool:
        """Whether the record stands for a newborn without a name yet."""
        return any(NameFlag.NEWBORN in name.flags for name in self.names)

    def __repr__(self) -> str:
        return f"Demographics(flags={sorted(self.flags)})"


def normalize(raw: RawDemographics, today: datetime.date) -> Demographics:
    """Bring what a source says to canonical form. Never fails: what cannot be used is left out and flagged.

    Args:
        raw: the source's values.
        today: the day that nobody is born after.
    """
    flags: set[str] = set()
    names = _names(raw.names, flags)
    subdistrict, district, province = _places(raw)
    return Demographics(
        names,
        _birth_date(raw.birth_date, today, flags),
        _sex(raw.sex, names, flags),
        tuple(dict.fromkeys(_identifiers(raw, flags))),
        subdistrict,
        *_address(raw.house),
        _postcode(raw.postcode),
        district,
        province,
        frozenset(flags),
    )


def other_names(values: Callable[[str], Sequence[str]]) -> Iterator[RawName]:
    """Further names of a person from `OTHER_NAME_FIELDS`, as tables and lines of JSON have them.

    `previous_name` and `latin_name` hold whole names; `previous_given` and `previous_family`, `latin_given` and
    `latin_family` hold parts, of which the first given goes with the first family name and so on; `alias` holds given
    or whole names, parted by commas, semicolons or slashes.

    Args:
        values: the values of a field, in order.
    """
    for kind in ("latin", "previous"):
        for full in values(f"{kind}_name"):
            if full:
                yield RawName(full=full)
        for given, family in zip_longest(values(f"{kind}_given"), values(f"{kind}_family"), fillvalue=""):
            if given or family:
                yield RawName(given=given, family=family)
    for aliases in values("alias"):
        for alias in _BETWEEN_ALIASES.split(aliases):
            if alias.strip():
                yield RawName(full=alias)


def _names(raw_names: tuple[RawName, ...], flags: set[str]) -> tuple[PersonName, ...]:
    names = [_name(raw) for raw in raw_names]
    if len(names) > 1:
        names[1:] = [completed(name, names[0]) for name in names[1:]]
    # Aliases come last: where there are too many names, they tell the least.
    names += [completed(other, name) for name in names for other in name.others]
    if names and NameFlag.NEWBORN in names[0].flags:
        # Half a name beside an unnamed newborn's could be anybody's.
        names = [names[0], *(name for name in names[1:] if name.given and name.family)]
    usable: dict[tuple[str, str, str], PersonName] = {}
    for place, name in enumerate(names):
        known = name.given or name.family
        if known or not place:
            # That there is no earlier name or alias is nothing to remark.
            for flag in name.flags:
                flags.add(_NAME_FLAGS[flag])
        if known:
            usable.setdefault((name.given, name.middle, name.family), name)
    if len(usable) > MAX_NAMES:
        flags.add("name:too_many")
    return tuple(usable.values())[:MAX_NAMES]


def _name(raw: RawName) -> PersonName:
    if raw.full:
        return parse_full_name(raw.full)
    return parse_name_parts(raw.given, raw.family, raw.middle, raw.prefix)


def _birth_date(text: str, today: datetime.date, flags: set[str]) -> BirthDate | None:
    if _is_blank(text):
        return None
    try:
        found = parse_birth_date(text, today)
    except DateRejected as rejected:
        flags.add(f"birth_date:{rejected.flag.value}")
        return None
    for flag in found.flags:
        flags.add(f"birth_date:{flag.value}")
    return found


def _sex(text: str, names: tuple[PersonName, ...], flags: set[str]) -> str:
    """Sex by its own field; only where that tells none, by the title."""
    sex = _SEX.get(text)
    if sex:
        return sex
    text = clean_text(text)[0].lower()
    sex = _SEX.get(text)
    if sex:
        return sex
    if text not in _SEX_UNKNOWN and not _is_blank(text):
        flags.add("sex:unrecognised")
    return next((name.sex_hint for name in names if name.sex_hint), "")


def _identifiers(raw: RawDemographics, flags: set[str]) -> Iterator[Identifier]:
    for number in (raw.national_id, *raw.other_national_ids):
        if found := _identifier("national_id", number, parse_national_id, flags):
            yield found
    passports = ((raw.passport, raw.passport_country), *raw.other_passports)
    for number, country in passports:
        if found := _identifier("passport", number, partial(parse_passport, country=country), flags):
            yield found
    if found := _identifier("phone", raw.phone, parse_phone, flags):
        yield found


def _identifier(name: str, text: str, parse: Callable[[str], Identifier], flags: set[str]) -> Identifier | None:
    if _is_blank(text):
        return None
    try:
        found = parse(text)
    except IdentifierRejected as rejected:
        flags.add(f"{name}:{rejected.flag.value}")
        return None
    for flag in found.flags:
        flags.add(f"{name}:{flag.value}")
    return found


def _places(raw: RawDemographics) -> tuple[str, str, str]:
    """Subdistrict, district and province; as DOPA codes of six, four and two digits where the source gives codes."""
    if not (raw.subdistrict or raw.district or raw.province):
        return "", "", ""
    subdistrict, district, province = _place(raw.subdistrict), _place(raw.district), _place(raw.province)
    code = _SUBDISTRICT_CODE.fullmatch(subdistrict)
    if code:
        subdistrict = code[1]
    elif all(map(_CODE_PART.fullmatch, (subdistrict, district, province))):
        # The 43-file standard keeps the three levels in columns of two digits each.
        subdistrict, district = province + district + subdistrict, province + district
    return subdistrict, district, "กรุงเทพมหานคร" if province in _BANGKOK else province


def _place(text: str) -> str:
    place = clean_text(text)[0].lower()
    if place in _UNKNOWN_PLACES or _is_blank(place):
        return ""
    word = _PLACE_WORD.match(place)
    return place[word.end() :] if word else place


def _address(text: str) -> tuple[str, str]:
    """House number and street."""
    text = clean_text(text)[0] if text else ""
    found = _HOUSE.match(text)
    street = "".join(filter(str.isalnum, text[found.end() if found else 0 :])).lower()
    return found[1] if found else "", street


def _postcode(text: str) -> str:
    found = _POSTCODE.fullmatch(clean_text(text)[0]) if text else None
    return found[0] if found else ""


def _is_blank(text: str) -> bool:
    """Whether a field is empty, or only punctuated, as "-" and "." stand for empty ones."""
    return not text or not any(map(str.isalnum, text))
