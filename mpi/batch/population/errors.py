"""What goes wrong when a clerk types a name, a number or a date: one slip a call, by the kinds of the model."""

from __future__ import annotations

from mpi.batch.population.model import Dice, Table
from mpi.batch.population.persons import check_digit

_VOWELS_ABOVE_BELOW = frozenset("ัิีึืุู็")
_NIKHAHIT = "ํ"
_SARA_AM = "ำ"


class Slips:
    """Makes single slips in Thai and Latin text."""

    def __init__(self, model: Table) -> None:
        letters: Table = model["letters"]
        self._mix = model["clerical"]["mix"]
        self._shares: Table = model["clerical"]
        self._words = [tuple(pair) for pair in letters["homophone_words"]]
        self._words += [(second, first) for first, second in self._words]
        self._homophones = _neighbours(letters["homophones"])
        self._lengths = _neighbours(letters["lengths"])
        self._keys = _neighbours(letters["keys"])
        self._marks = frozenset(letters["tones"] + letters["silencer"])
        self._tones: str = letters["tones"]
        self._added: str = letters["added"]
        self._invisible: list[str] = letters["invisible"]
        self._latin_keys = _neighbours(
            [row[place : place + 2] for row in letters["latin_keys"] for place in range(len(row) - 1)]
        )

    def thai(self, text: str, dice: Dice) -> str:
        """Make one slip in a Thai word; a kind that the word offers no place for becomes a letter lost or added."""
        kind = dice.weighted(self._mix)
        slipped = text
        if kind == "homophone":
            slipped = self._homophone(text, dice)
        elif kind == "tone":
            slipped = self._tone(text, dice)
        elif kind == "length":
            slipped = _exchange(text, self._lengths, dice)
        elif kind == "key":
            slipped = _exchange(text, self._keys, dice)
        elif kind == "order":
            slipped = self._order(text, dice)
        return slipped if slipped != text else self._letter(text, dice)

    def latin(self, text: str, dice: Dice) -> str:
        """Make one slip in a Latin word: a letter lost, doubled, exchanged with the next, or a neighbouring key."""
        if len(text) < 3:
            return text
        place = dice.between(1, len(text) - 2)
        kind = dice.below(4)
        if kind == 0:
            return text[:place] + text[place + 1 :]
        if kind == 1:
            return text[:place] + text[place] + text[place:]
        if kind == 2:
            return text[:place] + text[place + 1] + text[place] + text[place + 2 :]
        near = self._latin_keys.get(text[place])
        return text[:place] + dice.pick(near) + text[place + 1 :] if near else text[:place] + text[place + 1 :]

    def _homophone(self, text: str, dice: Dice) -> str:
        words = [pair for pair in self._words if pair[0] in text]
        if words and dice.chance(self._shares["homophone_word"]):
            written, instead = dice.pick(words)
            return text.replace(written, instead, 1)
        return _exchange(text, self._homophones, dice)

    def _tone(self, text: str, dice: Dice) -> str:
        marked = [place for place, letter in enumerate(text) if letter in self._marks]
        if marked and dice.chance(self._shares["mark_lost"]):
            place = dice.pick(marked)
            return text[:place] + text[place + 1 :]
        bare = [
            place
            for place in range(1, len(text) + 1)
            if ("ก" <= text[place - 1] <= "ฮ" or text[place - 1] in _VOWELS_ABOVE_BELOW)
            and (place == len(text) or (text[place] not in self._marks and text[place] not in _VOWELS_ABOVE_BELOW))
        ]
        if not bare:
            return text
        place = dice.pick(bare)
        return text[:place] + dice.pick(self._tones) + text[place:]

    def _letter(self, text: str, dice: Dice) -> str:
        place = dice.between(1, max(1, len(text) - 1))
        if len(text) > 2 and dice.chance(self._shares["letter_lost"]):
            return text[:place] + text[place + 1 :]
        return text[:place] + dice.pick(self._added) + text[place:]

    def _order(self, text: str, dice: Dice) -> str:
        """Write the same visible word in other code points."""
        if _SARA_AM in text and dice.chance(self._shares["seen_unchanged"]):
            return text.replace(_SARA_AM, _NIKHAHIT + "า", 1)
        if "แ" in text and dice.chance(self._shares["seen_unchanged"]):
            return text.replace("แ", "เเ", 1)
        for place in range(1, len(text)):
            if (
                text[place] in self._marks
                and text[place - 1] in _VOWELS_ABOVE_BELOW
                and dice.chance(self._shares["seen_unchanged"])
            ):
                return text[: place - 1] + text[place] + text[place - 1] + text[place + 1 :]
        place = dice.below(len(text) + 1)
        return text[:place] + dice.pick(self._invisible) + text[place:]


def mistyped_valid(number: str, dice: Dice) -> str:
    """Change the third digit of a national id, whose weight of 11 hides it from the check digit."""
    return number[:2] + _other_digit(number[2], dice) + number[3:]


def mistyped_invalid(number: str, dice: Dice) -> str:
    """Change one digit so that the check digit tells."""
    while True:
        place = dice.below(13)
        typed = number[:place] + _other_digit(number[place], dice) + number[place + 1 :]
        if check_digit(typed[:12]) != typed[12]:
            return typed


def _other_digit(digit: str, dice: Dice) -> str:
    return str((int(digit) + dice.between(1, 9)) % 10)


def _neighbours(groups: list[str]) -> dict[str, str]:
    """Map each letter to the letters that it is exchanged with."""
    found: dict[str, str] = {}
    for group in groups:
        for letter in group:
            found[letter] = found.get(letter, "") + group.replace(letter, "")
    return found


def _exchange(text: str, neighbours: dict[str, str], dice: Dice) -> str:
    places = [place for place, letter in enumerate(text) if letter in neighbours]
    if not places:
        return text
    place = dice.pick(places)
    return text[:place] + dice.pick(neighbours[text[place]]) + text[place + 1 :]
