"""People: households, their members, names, numbers, and the truth about them before any facility records it."""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass, field

from mpi.batch.population.model import Dice, Table, Weighted
from mpi.batch.population.names import FEMALE, MALE, NamePools
from mpi.batch.population.spelling import Speller

_DAYS_A_YEAR = 365.25
_SPIKES = (1, 15)
"""Days of the month that more people have as their birthday than were born on it."""
_BOOKS = 10**7
"""Running numbers of one registration office: digits 6 to 12 of a national id."""
_FIRST_BIRTH_WITH_NUMBER = 1984
_PASSPORTS = 26 * 26 * 10**6


@dataclass(slots=True)
class Address:
    """Where a household lives.

    Attributes:
        house: house number and village.
        subdistrict: six digits in DOPA's shape.
    """

    house: str
    subdistrict: str


@dataclass(slots=True)
class Household:
    """People under one roof.

    Attributes:
        number: unique in the population.
        origin: province that the family comes from, by its place in the order of codes; decides on its names.
        home: place of the nearest facility in the list of facilities.
        phone: the family's.
        births: birth dates of its members so far.
    """

    number: int
    origin: int
    home: int
    address: Address
    phone: str
    births: set[datetime.date] = field(default_factory=set)


@dataclass(slots=True)
class Nation:
    """Citizenship of a migrant: ISO 3166 alpha-3 code, code of the 43-file standard, and the names of its people."""

    iso: str
    code: str
    words: tuple[int, int]
    single: tuple[int, int]
    parts: list[tuple[str, list[str]]]


@dataclass(slots=True)
class Person:
    """One person as they truly are.

    Attributes:
        serial: unique in the population, from 0.
        age: in full years; where all are born in few days, as of a person of the whole country.
        default_day: the register itself knows only the year.
        former_given, former_family: names before a legal change, "" without one.
        married: a woman who may be called นาง.
        numbers: 13-digit numbers over time, the present one first; of a Thai exactly one.
        passports: over time, the present one first.
        unnamed: a first record from before the naming is still in use.
        nation: None for Thais.
        tokens: of a migrant, the parts of each token of the name: (Latin, Thai spellings).
        latin: personal spelling by Thai word, filled when first needed.
    """

    serial: int
    sex: str
    birth: datetime.date
    age: int
    household: Household
    given: str = ""
    family: str = ""
    middle: str = ""
    default_day: bool = False
    former_given: str = ""
    former_family: str = ""
    married: bool = False
    twin: bool = False
    unnamed: bool = False
    phone: str = ""
    numbers: list[str] = field(default_factory=list)
    passports: list[str] = field(default_factory=list)
    mother: Person | None = None
    nation: Nation | None = None
    tokens: list[list[tuple[str, list[str]]]] = field(default_factory=list)
    latin: dict[str, str] = field(default_factory=dict)


class NumberOffice:
    """Issues national ids and passports: unique by construction, in no order that could be guessed from the file.

    A serial is mapped one-to-one onto the space of numbers by multiplication modulo its size, so nothing need be
    remembered however large the population grows.
    """

    def __init__(self, model: Table, dice: Dice) -> None:
        provinces = sorted(model["places"]["provinces"])
        self._offices = [
            f"{province}{district:02d}"
            for province in provinces
            for district in range(1, model["numbers"]["district_offices"] + 1)
        ]
        self._space = len(self._offices) * _BOOKS
        self._national = self._mapping(self._space, dice)
        self._passport = self._mapping(_PASSPORTS, dice)

    def national(self, slot: int, first: str) -> str:
        """Issue the number of a slot, with the class digit `first` and a true check digit."""
        factor, shift = self._national
        book, office = divmod((slot * factor + shift) % self._space, len(self._offices))
        twelve = f"{first}{self._offices[office]}{book:07d}"
        return twelve + check_digit(twelve)

    def passport(self, slot: int) -> str:
        """Issue the passport of a slot: two letters and six digits."""
        factor, shift = self._passport
        letters, digits = divmod((slot * factor + shift) % _PASSPORTS, 10**6)
        return f"{chr(65 + letters // 26)}{chr(65 + letters % 26)}{digits:06d}"

    @staticmethod
    def _mapping(space: int, dice: Dice) -> tuple[int, int]:
        factor = dice.between(space // 3, space // 2)
        while math.gcd(factor, space) != 1:
            factor += 1
        return factor, dice.below(space)


def check_digit(twelve: str) -> str:
    """Compute the 13th digit of a national id: (11 - sum of digit times 13, 12 .. 2 modulo 11) modulo 10."""
    total = sum((13 - place) * int(digit) for place, digit in enumerate(twelve))
    return str((11 - total % 11) % 10)


class Window:
    """Consecutive days that all people are born in, so that a small population is as dense as a nation on each of them.

    The 1st and the 15th of a month hold more than other days, as in the whole country.
    """

    def __init__(self, model: Table, days: int) -> None:
        self.first: datetime.date = model["births"]["window_first"]
        self._days: list[datetime.date] = [self.first + datetime.timedelta(days=day) for day in range(days)]
        self._spikes = [day for day in self._days if day.day in _SPIKES]
        self._spiked: float = model["births"]["spike_days"]

    @staticmethod
    def longest(model: Table) -> int:
        """Days that a window can have: nobody is born after the reference date."""
        first: datetime.date = model["births"]["window_first"]
        today: datetime.date = model["model"]["reference_date"]
        return (today - first).days + 1

    def day(self, taken: set[datetime.date], dice: Dice) -> datetime.date:
        """Draw a birth date that is not taken, while there is one: nationally only twins of a house share theirs."""
        while True:
            spiked = bool(self._spikes) and dice.chance(self._spiked)
            day = dice.pick(self._spikes if spiked else self._days)
            if day not in taken or len(taken) >= len(self._days):
                return day


class People:
    """Makes households and their members.

    Args:
        facilities: how many there are to live near to.
        window: days that all are born in; None for a whole life's span.
    """

    def __init__(self, model: Table, seed: int, facilities: int, window: Window | None = None) -> None:
        self._model = model
        self.pools = NamePools(model)
        self.speller = Speller(model)
        self._office = NumberOffice(model, Dice(seed, 0))
        self._facilities = facilities
        self._window = window
        self._today: datetime.date = model["model"]["reference_date"]
        self._provinces = sorted(model["places"]["provinces"])
        self._nations = Weighted(
            [
                Nation(
                    nation["iso"],
                    nation["code"],
                    (nation["words"][0], nation["words"][1]),
                    (nation["single"][0], nation["single"][1]),
                    list(model["migrants"]["parts"][nation["parts"]].items()),
                )
                for nation in model["migrants"]["nation"]
            ],
            [nation["share"] for nation in model["migrants"]["nation"]],
        )
        share = model["migrants"]["share"]
        mean, migrants = _mean(model["households"]["size"]), _mean(model["migrants"]["household_sizes"])
        self._migrant_households = share * mean / (share * mean + (1 - share) * migrants)
        twins = model["households"]["twins"]
        sizes: Weighted = model["households"]["size"]
        couples = model["households"]["spouse"] * (1 - sizes.shares[sizes.values.index(1)])
        # only relatives of the couple are born as twins here, so their share is scaled up to all persons
        self._twin_births = twins / (2 - twins) / (1 - share) * mean / (mean - 1 - couples)

    def chunk(self, first: int, count: int, dice: Dice) -> list[Person]:
        """Make `count` persons with serials from `first`."""
        people: list[Person] = []
        while len(people) < count:
            household = self._household(first + len(people), dice)
            if dice.chance(self._migrant_households):
                members = self._migrants(household, dice)
            else:
                members = self._thais(household, dice)
            people += members[: count - len(people)]
        for place, person in enumerate(people):
            person.serial = first + place
            self._issue(person, dice)
        return people

    def residence(self, origin: int, dice: Dice) -> int:
        """Draw the province that a family lives in: mostly the one that it comes from."""
        return origin if dice.chance(self._model["households"]["local"]) else dice.below(len(self._provinces))

    def address(self, province: int, dice: Dice) -> Address:
        """Draw an address in a province, given by its place in the order of codes."""
        places = self._model["places"]
        district = dice.between(1, places["districts"])
        subdistrict = dice.between(1, places["subdistricts"])
        house = f"{dice.between(1, 499)}"
        if dice.chance(self._model["households"]["house_divided"]):
            house += f"/{dice.between(1, 60)}"
        return Address(house, f"{self._provinces[province]}{district:02d}{subdistrict:02d}")

    def phone(self, dice: Dice) -> str:
        """Draw a mobile number."""
        return f"0{dice.pick('689')}{dice.below(10**8):08d}"

    def latin(self, person: Person, thai: str, dice: Dice) -> str:
        """Give the person's own Latin spelling of one of their names."""
        spelled = person.latin.get(thai)
        if spelled is None:
            spelled = person.latin[thai] = self.speller.spell(thai, dice)
        return spelled

    def _household(self, number: int, dice: Dice) -> Household:
        origin = dice.below(len(self._provinces))
        province = self.residence(origin, dice)
        # provinces and facilities stand along one line
        home = int((province + dice.uniform()) / len(self._provinces) * self._facilities)
        return Household(number, origin, home, self.address(province, dice), self.phone(dice))

    def _person(self, household: Household, sex: str, age: int, dice: Dice) -> Person:
        birth = self._window.day(household.births, dice) if self._window else self._birth(age, dice)
        household.births.add(birth)
        return Person(0, sex, birth, age, household)

    def _birth(self, age: int, dice: Dice) -> datetime.date:
        days = int((age + dice.uniform()) * _DAYS_A_YEAR)
        birth = self._today - datetime.timedelta(days=min(days, int((age + 1) * _DAYS_A_YEAR) - 1))
        if dice.chance(self._model["births"]["spike_days"]):
            birth = birth.replace(day=dice.pick(_SPIKES))
        return min(birth, self._today)

    def _thais(self, household: Household, dice: Dice) -> list[Person]:
        rules = self._model["households"]
        size = dice.weighted(rules["size"])
        youngest, oldest = dice.weighted(rules["head_age"])
        age = dice.between(youngest, oldest)
        head = self._thai(household, FEMALE if dice.chance(rules["female_head"]) else MALE, age, "", None, dice)
        members = [head]
        father, mother = (head, None) if head.sex == MALE else (None, head)
        if size > 1 and dice.chance(rules["spouse"]):
            low, high = rules["wife_age_gap"]
            gap = dice.between(low, high)
            if head.sex == MALE:
                mother = self._thai(household, FEMALE, max(18, age + gap), "", None, dice)
                self._marry(head, mother)
            else:
                father = self._thai(household, MALE, max(18, age - gap), "", None, dice)
                self._marry(father, head)
            members.append(mother if head.sex == MALE else father)  # type: ignore[arg-type]
        family = father.family if father else head.family
        while len(members) < size:
            members += self._relative(head, family, mother, dice)
        return members

    def _relative(self, head: Person, family: str, mother: Person | None, dice: Dice) -> list[Person]:
        """Make another member of the household: a child, grandchild or aged parent; with a twin, two."""
        rules = self._model["households"]
        low, high = rules["mother_age"]
        sex = dice.pick((MALE, FEMALE))
        gap = dice.between(low, high)
        parent = mother
        if head.age < 56:
            if dice.chance(rules["child_of_young"]):
                age = min(head.age, mother.age if mother else head.age) - gap
                if age < 0:
                    # too young for a child at that distance: a brother or sister lives with them instead
                    age, parent = max(15, head.age + dice.between(*rules["sibling_gap"])), None
            else:
                age, parent = min(96, head.age + gap), None
        elif dice.chance(rules["grandchild_of_old"]):
            age, parent = head.age - gap - dice.between(low, high), None
            age = age if age >= 0 else dice.between(0, head.age - 2 * low)
        else:
            age = max(18, min(head.age, mother.age if mother else head.age) - gap)
        person = self._thai(head.household, sex, age, family, parent, dice)
        if dice.chance(self._twin_births):
            return [person, self._twin(person, dice)]
        return [person]

    def _thai(self, household: Household, sex: str, age: int, family: str, mother: Person | None, dice: Dice) -> Person:
        names, births = self._model["names"], self._model["births"]
        person = self._person(household, sex, age, dice)
        year, origin = person.birth.year, household.origin
        person.given = self.pools.given(sex, year, dice, origin)
        person.family = family or self.pools.family(dice, origin)
        person.mother = mother
        if dice.chance(names["middle_name"]):
            person.middle = self.pools.given(sex, year, dice, origin)
        female = sex == FEMALE
        changed = names["given_changed_female" if female else "given_changed_male"]
        if age >= names["given_changed_from_age"] and dice.chance(changed):
            person.former_given = self.pools.given(sex, year, dice, origin)
        changed = names["family_changed_female" if female else "family_changed_male"]
        if age >= names["family_changed_from_age"] and dice.chance(changed):
            person.former_family = person.family
            person.family = self.pools.family(dice, origin)
            person.married = female
        default = births["default_day_from_70" if age >= 70 else "default_day"]
        person.default_day = dice.chance(default * births["default_registered"])
        person.unnamed = age < births["newborn_age"] and dice.chance(births["newborn_unnamed"] * births["newborn_kept"])
        self._give_phone(person, dice)
        return person

    def _twin(self, first: Person, dice: Dice) -> Person:
        """Make the twin: the same in everything but given name and numbers."""
        first.twin = True
        first.former_given = ""
        return Person(
            0, first.sex, first.birth, first.age, first.household,
            given=self.pools.rhyming(first.given, first.sex, dice), family=first.family, twin=True,
            default_day=first.default_day, former_family=first.former_family, married=first.married,
            unnamed=first.unnamed, phone=first.phone, mother=first.mother,
        )  # fmt: skip

    @staticmethod
    def _marry(husband: Person, wife: Person) -> None:
        """Give the wife her husband's family name, if she is among the women who took another."""
        if wife.married:
            wife.family = husband.family

    def _migrants(self, household: Household, dice: Dice) -> list[Person]:
        rules = self._model["migrants"]
        nation: Nation = dice.weighted(self._nations)
        members = []
        for _ in range(dice.weighted(rules["household_sizes"])):
            youngest, oldest = dice.weighted(rules["ages"])
            sex = dice.pick((MALE, FEMALE))
            person = self._person(household, sex, dice.between(youngest, oldest), dice)
            person.nation = nation
            births = self._model["births"]
            person.default_day = dice.chance(births["default_day_migrant"] * births["default_registered"])
            if dice.chance(rules["one_token"]):
                person.tokens = [self._parts(nation, dice.between(*nation.single), dice)]
            else:
                parts = self._parts(nation, dice.between(*nation.words), dice)
                cut = dice.between(1, len(parts) - 1)
                person.tokens = [parts[:cut], parts[cut:]]
            self._give_phone(person, dice)
            members.append(person)
        return members

    @staticmethod
    def _parts(nation: Nation, count: int, dice: Dice) -> list[tuple[str, list[str]]]:
        return [dice.pick(nation.parts) for _ in range(count)]

    def _give_phone(self, person: Person, dice: Dice) -> None:
        rules = self._model["clerical"]
        shared = dice.chance(rules["phone_shared"]) or person.age < rules["phone_children"]
        person.phone = person.household.phone if shared else self.phone(dice)

    def _issue(self, person: Person, dice: Dice) -> None:
        """Issue the person's numbers; two slots a person, because migrants may get another number and passport."""
        slot = 2 * person.serial
        rules, migrants = self._model["numbers"], self._model["migrants"]
        if person.nation is None:
            if person.birth.year >= _FIRST_BIRTH_WITH_NUMBER:
                first = "2" if dice.chance(rules["late_registration"]) else "1"
            else:
                first = dice.weighted(rules["old_classes"])
            person.numbers = [self._office.national(slot, first)]
            if dice.chance(rules["thai_passport"]):
                person.passports = [self._office.passport(slot)]
            return
        if not dice.chance(migrants["without_number"]):
            first = dice.weighted(migrants["number_classes"])
            person.numbers = [self._office.national(slot, first)]
            if dice.chance(migrants["several_numbers"]):
                person.numbers.append(self._office.national(slot + 1, first))
        if dice.chance(migrants["passport"]):
            person.passports = [self._office.passport(slot)]
            if dice.chance(migrants["passport_renewed"]):
                person.passports.append(self._office.passport(slot + 1))


def _mean(sizes: Weighted) -> float:
    return math.fsum(size * share for size, share in zip(sizes.values, sizes.shares, strict=True))
