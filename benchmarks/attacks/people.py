"""Whom the attacks are about: synthetic people, the register that the thief holds, and the records in the index."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mpi.batch.population.errors import Slips
from mpi.batch.population.model import Dice, Table, load_model
from mpi.batch.population.persons import People, Person
from mpi.encoder.demographics import RawDemographics, RawName, normalize
from mpi.encoder.encoder import field_views

Fields = dict[str, str]
"""Derived fields of one person, as the encoder makes them."""
Numbers = npt.NDArray[np.int64]

CHUNK = 2000
NOISE, TWICE = 0.1, 0.1
"""Share of records with a slip, and of people with a second record, unless told otherwise."""
_FACILITIES = 50
_PEOPLE, _CLERKS = 1, 2


@dataclass(frozen=True)
class Scene:
    """What an attack on one bucket starts from.

    Attributes:
        register: everybody who can be in the bucket, known to the attacker in clear.
        records: what facilities wrote down of those who are in the index.
        truth: for each record, its person's place in the register; for scoring only.
    """

    register: list[Fields]
    records: list[Fields]
    truth: Numbers


def thais(count: int, seed: int, keep: Callable[[Person], bool] = lambda person: True) -> tuple[list[Person], Table]:
    """Draw Thai people, one of each household, because those who share a bucket rarely share a house."""
    model = load_model()
    people = People(model, seed, _FACILITIES)
    found: list[Person] = []
    for number in range(1_000_000):
        houses: set[int] = set()
        for person in people.chunk(number * CHUNK, CHUNK, Dice(seed, _PEOPLE, number)):
            if person.nation is None and keep(person) and person.household.number not in houses:
                houses.add(person.household.number)
                found.append(person)
        if len(found) >= count:
            break
    return found[:count], model


def raw(person: Person, given: str = "", family: str = "") -> RawDemographics:
    """What a facility writes down of a person; other names may be given."""
    return RawDemographics(
        names=(RawName(given=given or person.given, family=family or person.family),),
        birth_date=person.birth.isoformat(),
        sex=person.sex,
        house=person.household.address.house,
        subdistrict=person.household.address.subdistrict,
    )


def derived(person: Person, today: datetime.date, given: str = "", family: str = "") -> Fields:
    """Pass a person through the encoder's own normalisation."""
    return dict(next(iter(field_views(normalize(raw(person, given, family), today), today))).fields)


def scene(
    size: int,
    seed: int,
    shared: Sequence[str],
    overlap: float = 1.0,
    noise: float = NOISE,
    twice: float = TWICE,
) -> Scene:
    """Make one bucket.

    Args:
        size: people of the register who belong to the bucket.
        shared: fields that all of them have in common; with the sex among them, so are the names' fashions.
        overlap: share of them who are in the index.
        noise: share of records with one slip in a name, or with the house number missing.
        twice: share of people in the index who have a second record.
    """

    def fits(person: Person) -> bool:
        if "birth_date" not in shared:
            return True
        suits = "sex" not in shared or person.sex == "2"
        return suits and 1970 <= person.birth.year < 1995

    alike = [name for name in ("given", "family") if f"{name}_skeleton" in shared]
    people, model = thais(max(size, CHUNK) if alike else size, seed, fits)
    today = model["model"]["reference_date"]
    dice, slips = Dice(seed, _CLERKS), Slips(model)
    for name in alike:
        _of_one_skeleton(people, name, [derived(person, today)[f"{name}_skeleton"] for person in people], dice)
    people = people[:size]
    register = [derived(person, today) for person in people]
    common = {field: register[0][field] for field in shared}
    if "given_skeleton" in shared:
        common["sex"] = "2"  # of one given name, nearly all are of one sex
    chosen = sorted(range(len(people)), key=lambda _: dice.uniform())[: round(size * overlap)]
    records, truth = [], []
    for place in chosen:
        for _ in range(2 if dice.chance(twice) else 1):
            fields = register[place]
            if dice.chance(noise):
                written = derived(people[place], today, *slipped(people[place], dice, slips))
                readable = written.keys() >= {"given", "family"}  # of some slips nothing is left that is a name
                fields = {name: value for name, value in (written if readable else fields).items() if name != "house"}
            records.append({**fields, **common})
            truth.append(place)
    order = sorted(range(len(records)), key=lambda _: dice.uniform())
    return Scene(
        [{**fields, **common} for fields in register],
        [records[place] for place in order],
        np.array([truth[place] for place in order], np.int64),
    )


def _of_one_skeleton(people: Sequence[Person], name: str, skeletons: Sequence[str], dice: Dice) -> None:
    """Give everybody a name of the commonest skeleton, the names as common as they are among those who have it."""
    most = max(sorted(set(skeletons)), key=skeletons.count)
    names = [getattr(person, name) for person, skeleton in zip(people, skeletons, strict=True) if skeleton == most]
    for person in people:
        setattr(person, name, names[dice.below(len(names))])


def slipped(person: Person, dice: Dice, slips: Slips) -> tuple[str, str]:
    """Given and family name of a person with one slip of a clerk in one of them."""
    if dice.chance(0.5):
        return slips.thai(person.given, dice), person.family
    return person.given, slips.thai(person.family, dice)
