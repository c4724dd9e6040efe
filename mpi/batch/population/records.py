"""Records: what a facility wrote down of a person, with its own errors, and the stratum that tells how hard it is."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from functools import partial

from mpi.batch.population.errors import Slips, mistyped_invalid, mistyped_valid
from mpi.batch.population.model import Dice, Table, Weighted
from mpi.batch.population.names import FEMALE, MALE
from mpi.batch.population.persons import Address, People, Person

STRATA = (
    "newborn",
    "twin",
    "changed_name",
    "migrant",
    "latin",
    "elderly_default",
    "thai_no_id",
    "thai_id",
)
"""Strata of records; a record has the first that fits.

newborn: written before the naming. twin: of a same-sex twin. changed_name: of a Thai whose records hold more than one
legal name. migrant: of a non-Thai. latin: the name is in Latin letters only. elderly_default: day and month are the
default of 1 January (or missing), mostly elderly. thai_no_id: without the person's own number. thai_id: all others.
"""

_ADULT = 15
ERA = 543
"""Years that the Buddhist era is ahead."""
_LAST_OLD_MONTH = 3
"""The old year ended with March."""
_MALE_TITLE, _MISS, _MRS, _BOY, _GIRL = "นาย", "นางสาว", "นาง", "ด.ช.", "ด.ญ."


@dataclass(frozen=True, slots=True)
class Facility:
    """A facility that gives an extract.

    Attributes:
        code: `[A-Z0-9]{5,9}`.
        platform: whom the extract is for.
        format: "person43", "fhir" or "csv".
        encoding: of the extract.
        private: a private hospital, which asks for passports more than for identity cards.
    """

    code: str
    platform: str
    format: str
    encoding: str
    private: bool

    @property
    def fhir(self) -> bool:
        """Whether the extract holds TH Core Patients."""
        return self.format == "fhir"

    @property
    def buddhist(self) -> bool:
        """Whether the years of the extract are of the Buddhist era, as on the papers."""
        return self.platform == "sso"


@dataclass(slots=True)
class Record:
    """One entry of one facility's register, before it is written in the facility's format.

    Attributes:
        place: of the facility in the list of facilities.
        name: title, given, middle, family; of an unnamed newborn the given name is "บุตร" and the mother.
        other_name: the same in Latin letters, where both are held; else None.
        birth: year, month, day as typed; month and day 0 where only the year is known, the year BE by a slip of era.
        version: which legal names were used (former given, former family).
    """

    place: int
    person: Person
    name: tuple[str, str, str, str]
    other_name: tuple[str, str, str, str] | None
    latin: bool
    unnamed: bool
    sex: str
    birth: tuple[int, int, int]
    default_day: bool
    number: str
    own_number: bool
    passport: str
    phone: str
    address: Address
    mother_number: str
    version: tuple[bool, bool]
    stratum: str = ""


class Clerks:
    """Make the records of a person at all facilities."""

    def __init__(self, model: Table, people: People, facilities: list[Facility]) -> None:
        self._model = model
        self._people = people
        self._facilities = facilities
        self._slips = Slips(model)
        self._made_up = 0

    def records(self, person: Person, dice: Dice) -> list[Record]:
        """Make all records of one person, the first one (of a newborn, the unnamed one) first."""
        rules = self._model["facilities"]
        found: list[Record] = []
        for place in self._places(person, dice):
            found.append(self._record(person, place, person.unnamed and not found, dice))
            if dice.chance(rules["duplicate"]) or (person.unnamed and len(self._facilities) == 1):
                found.append(self._record(person, place, False, dice))
        if person.unnamed and len(found) == 1:
            # the placeholder is still there because a later visit opened another record
            found.append(self._record(person, found[0].place, False, dice))
        changed = len({record.version for record in found}) > 1
        for record in found:
            record.stratum = _stratum(record, changed)
        return found

    def _places(self, person: Person, dice: Dice) -> list[int]:
        rules = self._model["facilities"]
        count = len(self._facilities)
        if count <= 2:
            drawn = dice.uniform()
            if count == 1 or drawn < rules["first_only"]:
                return [0]
            return [0, 1] if drawn < rules["first_only"] + rules["both"] else [1]
        wanted = min(count, 1 + dice.poisson(rules["further_mean"]))
        home = person.household.home
        places = [home]
        while len(places) < wanted:
            if dice.chance(rules["nearby"]) and len(places) <= 2 * rules["nearby_within"]:
                within = rules["nearby_within"]
                place = (home + dice.between(-within, within)) % count
            else:
                place = dice.below(count)
            if place not in places:
                places.append(place)
        return places

    def _record(self, person: Person, place: int, unnamed: bool, dice: Dice) -> Record:
        rules = self._model["clerical"]
        facility = self._facilities[place]
        birth, default_day = self._birth(person, facility, dice)
        number, own, passport = self._numbers(person, facility, unnamed, dice)
        version = (False, False)
        other = None
        latin = False
        if unnamed:
            name = self._unnamed(person, dice)
        elif person.nation is not None:
            latin = dice.chance(self._model["migrants"]["latin"])
            name = self._migrant_name(person, latin, dice)
        else:
            names = self._model["names"]
            version = (
                bool(person.former_given) and dice.chance(names["former_given_recorded"]),
                bool(person.former_family) and dice.chance(names["former_family_recorded"]),
            )
            latin = dice.chance(rules["latin_private" if facility.private else "latin_public"])
            name = self._thai_name(person, version, latin, dice)
            if not latin and facility.fhir and dice.chance(rules["both_scripts"]):
                other = self._thai_name(person, version, True, dice)
        sex = person.sex
        if dice.chance(rules["sex_wrong"]):
            sex = dice.pick(("", MALE if sex == FEMALE else FEMALE))
        address = person.household.address
        if dice.chance(rules["address_changed"]):
            address = self._people.address(self._people.residence(person.household.origin, dice), dice)
        phone = person.phone
        if dice.chance(rules["phone_missing"]):
            phone = ""
        elif dice.chance(rules["phone_changed"]):
            phone = self._people.phone(dice)
        if phone:
            phone = dice.weighted(rules["phone_written"]).format(phone[:3], phone[3:6], phone[6:])
        mother = person.mother
        known = mother is not None and person.age < _ADULT and dice.chance(rules["mother_known"])
        return Record(
            place, person, name, other, latin, unnamed, sex, birth, default_day, number, own, passport, phone, address,
            mother.numbers[0] if known and mother and mother.numbers else "", version,
        )  # fmt: skip

    def _title(self, person: Person, dice: Dice) -> str:
        if person.age < _ADULT:
            return _BOY if person.sex == MALE else _GIRL
        if person.sex == MALE:
            return _MALE_TITLE
        # since 2008 married women may keep either title
        return _MRS if person.married and dice.chance(self._model["clerical"]["married_title"]) else _MISS

    def _written_title(self, title: str, latin: bool, dice: Dice) -> str:
        if latin:
            return str(self._model["titles_latin"][title])
        forms: Weighted = self._model["titles"][title]
        if not dice.chance(self._model["clerical"]["title_differs"]):
            return str(forms.values[0])
        if title in (_MISS, _MRS) and dice.chance(self._model["clerical"]["other_title"]):
            forms = self._model["titles"][_MRS if title == _MISS else _MISS]
        return str(dice.weighted(forms))

    def _thai_name(
        self, person: Person, version: tuple[bool, bool], latin: bool, dice: Dice
    ) -> tuple[str, str, str, str]:
        rules = self._model["clerical"]
        given = person.former_given if version[0] else person.given
        family = person.former_family if version[1] else person.family
        middle = person.middle if person.middle and dice.chance(self._model["names"]["middle_name_recorded"]) else ""
        if latin:
            anew = dice.chance(rules["spelled_anew"])
            spell = self._people.speller.spell if anew else partial(self._people.latin, person)
            given, middle, family = (spell(word, dice) if word else "" for word in (given, middle, family))
        return self._typed(self._title(person, dice), given, middle, family, latin, dice)

    def _typed(
        self, title: str, given: str, middle: str, family: str, latin: bool, dice: Dice
    ) -> tuple[str, str, str, str]:
        """Type the parts of a name into the fields of a form."""
        rules = self._model["clerical"]
        slip = self._slips.latin if latin else self._slips.thai
        if given and dice.chance(rules["given_error"]):
            given = slip(given, dice)
        if family and dice.chance(rules["family_error"]):
            family = slip(family, dice)
        if latin:
            upper = dice.weighted(self._model["spelling"]["capitals"]) == "upper"
            given, middle, family = (word.upper() if upper else word.title() for word in (given, middle, family))
        written = self._written_title(title, latin, dice)
        if family and dice.chance(rules["names_swapped"]):
            given, family = family, given
        if family and dice.chance(rules["both_in_given"]):
            given, family = f"{given} {family}", ""
        if dice.chance(rules["title_in_name"]) and not written.isdigit():
            joint = "" if written.endswith(".") else " "
            given, written = f"{written}{joint}{given}", ""
        return written, given, middle, family

    def _unnamed(self, person: Person, dice: Dice) -> tuple[str, str, str, str]:
        mother = person.mother
        title = _BOY if person.sex == MALE else _GIRL
        if mother is None:
            return title, "บุตร", "", person.family
        called = dice.pick(("น.ส.", "นาง"))
        return title, dice.pick((f"บุตร {called} {mother.given}", f"บุตร{called}{mother.given}")), "", mother.family

    def _migrant_name(self, person: Person, latin: bool, dice: Dice) -> tuple[str, str, str, str]:
        rules = self._model["migrants"]
        if latin:
            tokens = ["".join(part for part, _ in token).lower() for token in person.tokens]
        else:
            anew = dice.chance(rules["respelled"])
            tokens = ["".join(self._heard(thai, anew, dice) for _, thai in token) for token in person.tokens]
        title = self._title(person, dice)
        family = tokens[1] if len(tokens) > 1 else ""
        written, given, _, family = self._typed(title, tokens[0], "", family, latin, dice)
        if family and dice.chance(rules["tokens_moved"]):
            given, family = f"{given} {family}", ""
        if not family:
            family = dice.weighted(rules["no_family"])
            if family == "=":
                family = given
        return written, given, "", family

    def _heard(self, thai: list[str], anew: bool, dice: Dice) -> str:
        """Write one part of a migrant's name in Thai letters: as usual, or as this clerk hears it."""
        if anew and not dice.chance(self._model["migrants"]["commonest_thai"]):
            return dice.pick(thai)
        return thai[0]

    def _numbers(self, person: Person, facility: Facility, unnamed: bool, dice: Dice) -> tuple[str, bool, str]:
        """Draw the 13-digit number, whether it is the person's own and right, and the passport."""
        if person.nation is not None:
            return self._migrant_numbers(person, facility, dice)
        if unnamed:
            mother = person.mother
            lent = mother is not None and dice.chance(self._model["births"]["newborn_mothers_id"])
            return (mother.numbers[0] if lent and mother and mother.numbers else ""), False, ""
        passport = person.passports[0] if facility.private and person.passports else ""
        rates = self._model["numbers"]["private" if facility.private else "public"]
        number = person.numbers[0]
        drawn = dice.uniform() - rates["missing"]
        if drawn < 0:
            return "", False, passport
        drawn -= rates["dummy"]
        if drawn < 0:
            return dice.pick(self._model["numbers"]["dummies"]), False, passport
        drawn -= rates["typo_valid"]
        if drawn < 0:
            return mistyped_valid(number, dice), False, passport
        drawn -= rates["typo_invalid"]
        if drawn < 0:
            return mistyped_invalid(number, dice), False, passport
        drawn -= rates["relative"]
        if drawn < 0 and person.mother is not None and person.mother.numbers:
            return person.mother.numbers[0], False, passport
        if facility.fhir and dice.chance(self._model["numbers"]["dashes"]):
            number = f"{number[0]}-{number[1:5]}-{number[5:10]}-{number[10:12]}-{number[12]}"
        return number, True, passport

    def _migrant_numbers(self, person: Person, facility: Facility, dice: Dice) -> tuple[str, bool, str]:
        rules = self._model["migrants"]
        number = ""
        if person.numbers and not dice.chance(rules["number_missing"]):
            number = dice.pick(person.numbers)
        own = bool(number)
        if not number and facility.code.isdigit() and dice.chance(rules["local_number"]):
            self._made_up += 1
            number = f"0{facility.code[:5]}{self._made_up:07d}"
        passport = ""
        if person.passports and dice.chance(rules["passport_recorded"]):
            passport = dice.pick(person.passports)
            if dice.chance(rules["passport_cut"]):
                passport = passport[:8]
        return number, own, passport

    def _birth(self, person: Person, facility: Facility, dice: Dice) -> tuple[tuple[int, int, int], bool]:
        """Draw the birth date as typed, and whether it is the default for an unknown day."""
        rules, births = self._model["clerical"], self._model["births"]
        year, month, day = person.birth.year, person.birth.month, person.birth.day
        if person.nation is not None:
            default = births["default_day_migrant"]
        else:
            default = births["default_day_from_70" if person.age >= 70 else "default_day"]
        unknown = person.default_day or dice.chance(default * (1 - births["default_registered"]))
        if unknown:
            month, day = 1, 1
            if facility.fhir and dice.chance(rules["date_partial"]):
                month, day = 0, 0
        elif dice.chance(rules["date_swap"]):
            # a form that takes only true dates refuses a 13th month; text files do not
            if day <= 12 or not facility.fhir:
                month, day = day, month
        elif dice.chance(rules["date_other"]):
            year, month, day = self._other_date(person.birth, dice)
        elderly = person.birth.year < births["calendar_changed"]
        if elderly and not unknown and person.birth.month <= _LAST_OLD_MONTH:
            # who copies the year of the papers need not convert it
            year -= facility.buddhist or dice.chance(rules["new_year_shift"])
        if dice.chance(rules["date_era_elderly" if elderly else "date_era"]):
            year += ERA
        return (year, month, day), unknown

    def _other_date(self, birth: datetime.date, dice: Dice) -> tuple[int, int, int]:
        """Mistype the day, the month or the year of a date so that it stays a date that has been."""
        today: datetime.date = self._model["model"]["reference_date"]
        while True:
            part = dice.below(3)
            year, month, day = birth.year, birth.month, birth.day
            if part == 0:
                year += dice.pick((-10, -2, -1, 1, 2, 10))
            elif part == 1:
                month = dice.between(1, 12)
            else:
                day = dice.between(1, 28)
            other = datetime.date(year, month, min(day, 28))
            if other != birth and other <= today:
                return year, month, min(day, 28)


def _stratum(record: Record, changed: bool) -> str:
    person = record.person
    if record.unnamed:
        return "newborn"
    if person.twin:
        return "twin"
    if changed and person.nation is None and not record.unnamed:
        return "changed_name"
    if person.nation is not None:
        return "migrant"
    if record.latin:
        return "latin"
    if record.default_day:
        return "elderly_default"
    return "thai_id" if record.own_number else "thai_no_id"
