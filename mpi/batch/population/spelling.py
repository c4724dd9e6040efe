"""How Thais spell their own names in Latin letters: not by the Royal Institute's rules but each as the family likes.

A transcription is cut into consonants and vowels, and each takes one of its personal forms. Which forms and how often
stands in the model, `[spelling]`; they know nothing of the encoder's fold, which they are there to test.
"""

from __future__ import annotations

import re

from mpi.batch.population.model import Dice, Table
from mpi.encoder.romanise import romanise

_UNITS = re.compile("kh|ph|th|ch|ng|uea|oei|ue|ua|ia|ae|ao|ai|oe|oi|[a-z]")
_VOWELS = frozenset("uea oei ue ua ia ae ao ai oe oi a e i o u".split())
_SECOND = frozenset("rlw")
_FINALS = ("k", "t", "p", "n", "m", "ng")
_LONG_ENOUGH = 4
"""Units of a name that can be misread and still be taken for the same name."""


class Speller:
    """Spells Thai names as their bearers would."""

    def __init__(self, model: Table) -> None:
        self._rules: Table = model["spelling"]

    def spell(self, thai: str, dice: Dice) -> str:
        """Draw a personal spelling of one Thai name in lower-case letters."""
        rules = self._rules
        units: list[str] = _UNITS.findall(romanise(thai.replace(" ", "")))
        if len(units) >= _LONG_ENOUGH and dice.chance(rules["misread"]):
            self._misread(units, dice)
        last = len(units) - 1
        spelled = []
        for place, unit in enumerate(units):
            before = units[place - 1] if place else ""
            after = units[place + 1] if place < last else ""
            if unit in _VOWELS:
                if unit == "a" and before and after and after not in _VOWELS and dice.chance(rules["vowel_dropped"]):
                    continue
                forms = rules["last_vowel" if place == last else "vowel"].get(unit)
                if forms is None and place == last:
                    forms = rules["vowel"].get(unit)
            elif after in _VOWELS or (after in _SECOND and place + 2 <= last and units[place + 2] in _VOWELS):
                second = unit in _SECOND and bool(before) and before not in _VOWELS
                forms = rules["after_consonant" if second else "onset"].get(unit)
                if unit == "s" and before in _VOWELS and dice.chance(rules["doubled_s"]):
                    spelled.append("s")
            else:
                forms = rules["last" if place == last else "coda"].get(unit)
                if place == last and unit == "n" and thai.rstrip("์")[-1:] == "ล":
                    forms = rules["last_l"]["n"]
            if unit == "h" and dice.chance(rules["h_dropped"]):
                continue
            spelled.append(dice.weighted(forms) if forms else unit)
            if unit not in _VOWELS and after and after not in _VOWELS and dice.chance(rules["vowel_added"]):
                spelled.append("a")
        return "".join(spelled)

    def _misread(self, units: list[str], dice: Dice) -> None:
        """Change how the name is read: Thai writes neither all vowels nor the borders of syllables."""
        kind = dice.weighted(self._rules["misreadings"])
        inner = range(1, len(units) - 1)
        if kind == "vowel":
            places = [place for place in inner if units[place] in "ao"]
            if places:
                place = dice.pick(places)
                units[place] = "o" if units[place] == "a" else "a"
            return
        places = [place for place in inner if units[place] not in _VOWELS]
        if not places:
            return
        place = dice.pick(places)
        if kind == "consonant":
            units[place] = dice.pick(_FINALS)
        elif kind == "lost":
            del units[place]
        else:
            del units[place : place + 2]
