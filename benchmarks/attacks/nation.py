"""A slice of the nation as the structure of its buckets: nothing but codes of fields, for millions of people."""

from __future__ import annotations

import datetime

import numpy as np
import numpy.typing as npt

from mpi.batch.population.model import Dice, load_model
from mpi.batch.population.persons import People
from mpi.encoder.romanise import fold, romanise, skeleton
from mpi.rules import Profile

from .people import CHUNK
from .structure import Channel

Numbers = npt.NDArray[np.int64]
Codes = dict[str, Numbers]
"""Field by name, as a number for each person."""

_FACILITIES = 50
_PEOPLE = 1


def people(count: int, seed: int, years: int = 0) -> Codes:
    """Draw people with the population's own names.

    Args:
        count: how many.
        seed: of the dice.
        years: where given, all are born in so many years, evenly: a slice as dense as a nation that many times
            smaller; else at all ages.
    """
    model = load_model()
    makers = People(model, seed, _FACILITIES)
    names: dict[str, int] = {}
    given, family, sex, born = [], [], [], []
    for number in range(-(-count // CHUNK)):
        for person in makers.chunk(number * CHUNK, min(CHUNK, count - number * CHUNK), Dice(seed, _PEOPLE, number)):
            given.append(_code(person.given or person.tokens[0][0][0], names))
            family.append(_code(person.family or (person.tokens[-1][0][0] if len(person.tokens) > 1 else ""), names))
            sex.append(int(person.sex))
            born.append(person.birth.toordinal())
    ordinals = np.array(born)
    if years:
        first = datetime.date(1980, 1, 1).toordinal()
        ordinals = first + np.random.default_rng((seed, 9)).integers(0, round(365.25 * years), count)
    dates = (ordinals - datetime.date(1970, 1, 1).toordinal()).astype("datetime64[D]")
    year, month = dates.astype("datetime64[Y]").astype(int), dates.astype("datetime64[M]").astype(int)
    day = (dates - dates.astype("datetime64[M]")).astype(int)
    return {
        "given_skeleton": np.array(given),
        "family_skeleton": np.array(family),
        "sex": np.array(sex),
        "birth_date": ordinals,
        "birth_year": year,
        "birth_month_of_year": month,
        "birth_day_of_year": month % 12 * 32 + day,
    }


def indexed(register: Codes, overlap: float, noise: float, seed: int) -> tuple[Codes, Numbers]:
    """The people who are in the index, some with a wrong given name, family name or birth date; and who they are."""
    dice = np.random.default_rng((seed, 10))
    count = len(register["sex"])
    truth = dice.permutation(count)[: round(count * overlap)]
    records = {field: codes[truth] for field, codes in register.items()}
    kind = np.where(dice.random(len(truth)) < noise, dice.integers(1, 4, len(truth)), 0)
    other = dice.integers(0, count, len(truth))
    for number, prefix in ((1, "given"), (2, "family"), (3, "birth")):
        for field in records:
            if field.startswith(prefix):
                records[field] = np.where(kind == number, register[field][other], records[field])
    return records, truth


def channels(profile: Profile, codes: Codes) -> list[tuple[str, Channel]]:
    """Buckets of every channel of a profile that these fields can fill, numbered from 0 within this side alone."""
    first_of_january = codes["birth_day_of_year"] == 0
    made = []
    for channel in profile.channels:
        if channel.only or not set(channel.bucket) <= codes.keys():
            continue
        fits = np.ones(len(first_of_january), bool)
        if channel.days != "any":
            fits = first_of_january == (channel.days == "default")
        for field in channel.bucket:
            fits &= codes[field] >= 0
        owners = np.flatnonzero(fits)
        key = np.zeros(len(owners), np.int64)
        for field in channel.bucket:
            values = codes[field][owners]
            key = key * (int(values.max(initial=0)) + 1) + values
        made.append((channel.name, Channel(owners, np.unique(key, return_inverse=True)[1])))
    return made


def _code(name: str, names: dict[str, int]) -> int:
    if name not in names:
        folded = fold(romanise(name)) if name else ""
        consonants = skeleton(folded) or folded
        names[name] = names.setdefault("\x00" + consonants, len(names)) if consonants else -1
    return names[name]
