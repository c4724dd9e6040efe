"""Given and family names with the frequencies of the model.

The words come from the corpora of PyThaiNLP (CC BY-SA 4.0) through its interface; none is copied here. The corpora
have no frequencies and too few family names: frequencies follow a Zipf-Mandelbrot law, further family names join the
beginning of one with the ending of another. A family name is at home in one province, and regions like different given
names; both leave the frequencies in the whole country as they are.
"""

from __future__ import annotations

import math
import os
from collections import Counter

os.environ.setdefault("PYTHAINLP_OFFLINE", "1")  # no call home
os.environ.setdefault("PYTHAINLP_READ_ONLY", "1")  # no folder in the user's home

from pythainlp.corpus import thai_family_names, thai_female_names, thai_male_names

from mpi.batch.population.model import Dice, Table, Weighted

MALE, FEMALE = "1", "2"
_OPENS = frozenset("กขฃคฅฆงจฉชซฌญฎฏฐฑฒณดตถทธนบปผฝพฟภมยรลวศษสหฬอฮเแโใไ")
_LEADS = frozenset("เแโใไ")
_SIGNS = frozenset("ะัาำิีึืฺุู็่้๊๋์ํ")
_REGIONS = 9
_RHYME = 3
"""Letters that twins' names have in common, at the least."""


class NamePools:
    """Draws names; which names are frequent is fixed by the model's own seed."""

    def __init__(self, model: Table) -> None:
        self._rules: Table = model["names"]
        dice = Dice(model["model"]["names_seed"])
        # the first digit of a province's code is its region
        self._regions = [int(code[0]) - 1 for code in sorted(model["places"]["provinces"])]
        female, male = _words(thai_female_names()), _words(thai_male_names())
        self._given: dict[str, list[list[str]]] = {
            sex: [self._ranked(words, cohort, sex, dice) for cohort in range(3)]
            for sex, words in ((MALE, male), (FEMALE, female))
        }
        self._alike: dict[tuple[str, str], list[str]] = {}
        for sex, words in ((MALE, male), (FEMALE, female)):
            for word in words:
                self._alike.setdefault((sex, word[:_RHYME]), []).append(word)
        self._families = _words(thai_family_names())
        dice.shuffle(self._families)
        self._beginnings, self._endings = _parts(self._families, self._rules["family_part_uses"])
        self._joined = len(self._beginnings) * len(self._endings)
        self._stride = _coprime(dice.between(self._joined // 3, self._joined // 2), self._joined)
        clans = self._rules["chinese_families"]
        exponent = self._rules["chinese_exponent"]
        self._clans = Weighted(clans, [(rank + 1) ** -exponent for rank in range(len(clans))])

    def given(self, sex: str, birth_year: int, dice: Dice, origin: int | None = None) -> str:
        """Draw a given name of a sex and a year of birth (CE).

        Args:
            origin: province that the family comes from, by its place in the order of codes; None for any.
        """
        rules = self._rules
        old, young = rules["cohorts"]
        names: list[str] = self._given[sex][(birth_year >= old) + (birth_year >= young)]
        rank = self._rank("given", len(names), dice)
        if origin is not None and rank >= rules["given_everywhere"] and dice.chance(rules["given_regional"]):
            rank = min(len(names) - 1, _at_home(rank, self._regions[origin], _REGIONS))
        return names[rank]

    def rhyming(self, name: str, sex: str, dice: Dice) -> str:
        """Draw a name that begins like another, as parents name twins (ธนพล, ธนพร)."""
        alike = [other for other in self._alike.get((sex, name[:_RHYME]), ()) if other != name]
        if alike:
            return dice.pick(alike)
        half = max(2, len(name) // 2)
        while half > 2 and (name[half] in _SIGNS or name[half - 1] in _LEADS):
            half -= 1
        endings = [ending for ending in self._rules["twin_endings"] if not name.endswith(ending)]
        ending: str = dice.pick(endings)
        return name[:half] + ending

    def family(self, dice: Dice, origin: int | None = None) -> str:
        """Draw a family name.

        Args:
            origin: as of `given`.
        """
        rules = self._rules
        if dice.chance(rules["chinese_family"]):
            return f"แซ่{dice.weighted(self._clans)}"
        rank = self._rank("family", rules["family_names"], dice)
        if origin is not None and dice.chance(rules["family_local"]):
            rank = _at_home(rank, origin, len(self._regions))
        if rank < len(self._families):
            name = self._families[rank]
        else:
            number = rank * self._stride % self._joined
            name = self._beginnings[number // len(self._endings)] + self._endings[number % len(self._endings)]
        if dice.chance(rules["na_family"]):
            place: str = dice.pick(rules["na_places"])
            return f"{name} {place}"
        return name

    def _rank(self, kind: str, count: int, dice: Dice) -> int:
        """Draw a rank from 0 by p(rank) ~ (rank + 1 + shift) ** -exponent, through the integral of that curve."""
        shift, power = self._rules[f"{kind}_shift"], 1 - self._rules[f"{kind}_exponent"]
        low = (shift + 0.5) ** power
        high = (shift + 0.5 + count) ** power
        drawn: float = (low + dice.uniform() * (high - low)) ** (1 / power)
        return min(count - 1, int(drawn - shift - 0.5))

    def _ranked(self, words: list[str], cohort: int, sex: str, dice: Dice) -> list[str]:
        """Order names by popularity in a cohort: names in its style tend to stand first."""
        rules = self._rules
        keyed = sorted((dice.uniform() / self._fit(word, cohort), word) for word in words)
        names = [word for _, word in keyed]
        if cohort == 0:
            first = rules["commonest_old_male" if sex == MALE else "commonest_old_female"]
            names = list(first) + [name for name in names if name not in first]
        return names

    def _fit(self, word: str, cohort: int) -> float:
        rules = self._rules
        old = word.startswith(tuple(rules["old_style"])) and len(word) < rules["young_letters"]
        young = word.startswith(tuple(rules["young_style"])) or len(word) >= rules["young_letters"]
        liked = (old, not young, young)[cohort]
        fit: float = rules["affinity"] if liked else 1.0
        return fit


def _at_home(rank: int, place: int, places: int) -> int:
    """Exchange a rank for the one near it that is at home in a place, so that the frequencies of ranks stay."""
    return rank - rank % places + place


def _words(corpus: frozenset[str]) -> list[str]:
    """Sort a corpus, so that no order of a set is ever relied on; leave out what is not one Thai word."""
    return sorted(word for word in corpus if 1 < len(word) <= 24 and all("ก" <= letter <= "์" for letter in word))


def _parts(families: list[str], uses: int) -> tuple[list[str], list[str]]:
    """Find beginnings and endings that several family names share and that can be joined."""
    beginnings: Counter[str] = Counter()
    endings: Counter[str] = Counter()
    for name in families:
        for cut in range(3, len(name) - 2):
            if name[cut] in _OPENS and name[cut - 1] not in _LEADS and name[cut - 1] != "ั" and name[cut + 1] != "์":
                beginnings[name[:cut]] += 1
                endings[name[cut:]] += 1
    return (
        sorted(part for part, count in beginnings.items() if count >= uses and len(part) <= 8),
        sorted(part for part, count in endings.items() if count >= uses and len(part) <= 9),
    )


def _coprime(start: int, modulus: int) -> int:
    while math.gcd(start, modulus) != 1:
        start += 1
    return start
