"""Names of people in Thailand: titles off, particles joined, given and family name told apart.

Works on Thai and Latin script. Nothing is corrected: two spellings that sound alike are usually two people, so all
that is done here is to write one name one way.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from pythainlp.corpus import thai_family_names, thai_female_names, thai_male_names
from pythainlp.util import eng_to_thai

from mpi.encoder.thai_text import MOST_CHARACTERS, clean_text, is_thai
from mpi.encoder.titles import FEMALE, MALE, known_code, sex_of_title, take_titles


class NameFlag(StrEnum):
    """What a data officer may want to know of a name; none of it holds any part of the name."""

    REPAIRED = "repaired"
    TITLE_AMBIGUOUS = "title_ambiguous"
    MONASTIC = "monastic"
    DIGITS_DROPPED = "digits_dropped"
    WRONG_KEYBOARD = "wrong_keyboard"
    NEWBORN = "newborn"
    NULL_NAME = "null_name"
    SINGLE_NAME = "single_name"
    CUT = "cut"


@dataclass(frozen=True, slots=True, repr=False)
class PersonName:
    """A name in canonical form; an absent part is "".

    Attributes:
        given: given name (ชื่อตัว).
        middle: middle name (ชื่อรอง), several joined by a space.
        family: family name (ชื่อสกุล), particles joined to it.
        aliases: names in parentheses.
        script: "thai", "latin", "mixed" or "".
        sex_hint: "1" or "2" from the title, "" when it tells none.
        flags: what was found on the way.
    """

    given: str
    middle: str
    family: str
    aliases: tuple[str, ...]
    script: str
    sex_hint: str
    flags: frozenset[NameFlag]

    def __repr__(self) -> str:
        return f"PersonName(script={self.script!r}, flags={sorted(self.flags)})"


_NULL = frozenset(
    "- . -- .. ไม่มี ไม่ทราบ ไม่ระบุ ไม่มีนามสกุล ไม่มีสกุล ไม่มีชื่อ ไม่ทราบชื่อ ไม่ทราบนามสกุล ทดสอบ ยังไม่มีชื่อ ยังไม่ตั้งชื่อ "
    "unknown none null test nil na n/a noname unnamed".split()
)
_NEWBORN = re.compile(
    r"^(?:บุตรสาว|บุตรชาย|บุตร|ทารกเพศชาย|ทารกเพศหญิง|ทารก|ลูก|baby (?:boy |girl )?of|baby (?:boy|girl)"
    r"|baby)(?:ของ)?"
    r"(?:\s+(?:of|นาง|นางสาว|น\.ส\.|mrs|ms|miss)\.?)?(?:\s|$)",
    re.IGNORECASE,
)
_PARENTHESES = re.compile(r"[(\[{]([^()\[\]{}]*)[)\]}]?")
_NOT_NAME = re.compile(r"[ฯๆ,/.;:_*\"“”?!+=|\\<>@#$%^&~`]+")
_JOINED_IN_LATIN = re.compile(r"(?<=[A-Za-z])[-'’‘](?=[A-Za-z])")
_NOT_LETTERS = re.compile(r"[^\u0e01-\u0e4ea-z ]+")
_PARTICLES = frozenset(("แซ่", "ณ"))
_WRONG_KEYBOARD = re.compile(r"[;\[\],.'/=]|^[^aeiouyAEIOUY ]+( |$)")


def parse_full_name(text: str) -> PersonName:
    """Parse a name written in one field, titles and all."""
    return _parse(text, None)


def parse_name_parts(given: str, family: str, middle: str = "", prefix: str = "") -> PersonName:
    """Parse a name held in fields of its own, as the 43-file standard and FHIR do.

    `prefix` is a title or its DOPA code. A family name that says "none" or repeats the given name is absent. When
    all of the name stands in the given field, it is told apart as `parse_full_name` does.
    """
    own = _parse(given if not middle else f"{given} {middle}", family)
    if own.sex_hint or not prefix:
        return own
    title = clean_text(prefix)
    sex = sex_of_title(title) if known_code(title) else take_titles(f"{title} ก")[0].sex or sex_of_title(title)
    return PersonName(own.given, own.middle, own.family, own.aliases, own.script, sex, own.flags)


def _parse(text: str, family_field: str | None) -> PersonName:
    flags = set()
    if len(text) > MOST_CHARACTERS:
        flags.add(NameFlag.CUT)
    cleaned = clean_text(text)
    if cleaned != text.strip():
        flags.add(NameFlag.REPAIRED)
    repaired = _from_wrong_keyboard(cleaned)
    if repaired:
        flags.add(NameFlag.WRONG_KEYBOARD)
        cleaned = repaired
    aliases = tuple(alias for found in _PARENTHESES.findall(cleaned) if (alias := " ".join(_words(found, set()))))
    titles, rest = take_titles(cleaned)
    rest = _PARENTHESES.sub(" ", rest).strip()
    sex = titles.sex
    if titles.monastic:
        flags.add(NameFlag.MONASTIC)
    newborn = _NEWBORN.match(rest)
    if newborn:
        flags.add(NameFlag.NEWBORN)
        rest = rest[newborn.end() :]
        _, rest = take_titles(rest)
    rest, fused_sex, ambiguous = _without_fused_title(rest)
    sex = sex or fused_sex
    if ambiguous:
        flags.add(NameFlag.TITLE_AMBIGUOUS)
    words = _particles_joined(_words(rest, flags))
    family_words = [] if family_field is None else _family_words(family_field, flags)
    if family_words and words == family_words:
        # The single name of a person was copied into both fields.
        family_words = []
    if family_field is None or (not family_words and len(words) > 1):
        given_words, family_words = words[:-1] or words, words[-1:] if len(words) > 1 else []
    else:
        given_words = words
    if newborn:
        # The words are the mother's name: only the family name says something of the child.
        family_words = family_words or (given_words if family_field is None and len(words) == 1 else [])
        given_words = []
    if not given_words and not newborn:
        given_words, family_words = family_words, []
    family = "".join(family_words)
    given, middle = (given_words[0] if given_words else ""), " ".join(given_words[1:])
    if not given and not family:
        flags.add(NameFlag.NULL_NAME)
    elif not family and not newborn:
        flags.add(NameFlag.SINGLE_NAME)
    return PersonName(given, middle, family, aliases, _script(given + family), sex, frozenset(flags))


def _words(text: str, flags: set[NameFlag]) -> list[str]:
    """Words of a name: letters only, Latin in lower case without accents, placeholders for "none" left out."""
    if text.lower().strip() in _NULL:
        return []
    text = _JOINED_IN_LATIN.sub("", text)
    text = _NOT_NAME.sub(" ", text)
    if any(character.isdigit() for character in text):
        flags.add(NameFlag.DIGITS_DROPPED)
    if not text.isascii():
        text = "".join(_plain_latin(character) for character in text)
    text = _NOT_LETTERS.sub("", text.lower())
    return [word for word in text.split() if word not in _NULL]


def _plain_latin(character: str) -> str:
    if "\u0e01" <= character <= "\u0e4e" or character.isascii():
        return character
    plain = unicodedata.normalize("NFKD", character)
    return "".join(c for c in plain if c.isascii())


def _particles_joined(words: list[str]) -> list[str]:
    """Join แซ่ and ณ to the word behind them, and "X ณ Y" to one family name."""
    joined: list[str] = []
    index = 0
    while index < len(words):
        word, following = words[index], words[index + 1 : index + 2]
        index += 1
        if word in _PARTICLES and following:
            word += following[0]
            index += 1
            # "เสนีวงศ์ ณ อยุธยา" is one family name; right after the given name ณ begins it.
            if word.startswith("ณ") and len(joined) >= 2:
                joined[-1] += word
                continue
        joined.append(word)
    return joined


def _family_words(field: str, flags: set[NameFlag]) -> list[str]:
    cleaned = clean_text(field)
    if cleaned != field.strip():
        flags.add(NameFlag.REPAIRED)
    repaired = _from_wrong_keyboard(cleaned)
    if repaired:
        flags.add(NameFlag.WRONG_KEYBOARD)
        cleaned = repaired
    return _words(_PARENTHESES.sub(" ", cleaned), flags)


def _without_fused_title(text: str) -> tuple[str, str, bool]:
    """Take นาย or นาง off a name that it is written against, unless the whole is itself a given name.

    Returns:
        The text, the sex that the title tells of, and whether the word could be read both ways.
    """
    word, _, rest = text.partition(" ")
    for title, sex in (("นาย", MALE), ("นาง", FEMALE)):
        remainder = word[len(title) :]
        if word.startswith(title) and len(remainder) >= 2:
            if word in given_names():
                return text, "", True
            if "\u0e01" <= remainder[0] <= "\u0e44":
                return f"{remainder} {rest}".strip(), sex, False
    return text, "", False


def _from_wrong_keyboard(text: str) -> str:
    """Read text as typed on the Thai layout with the keyboard left in English; "" when it does not look like that."""
    if not text or not text.isascii() or not _WRONG_KEYBOARD.search(text):
        return ""
    thai = clean_text(eng_to_thai(text))
    words = thai.split()
    known = words and all(is_thai(word) for word in words) and words[0] in given_names() | family_names()
    return thai if known else ""


def _script(letters: str) -> str:
    thai = is_thai(letters)
    latin = any("a" <= character <= "z" for character in letters)
    return "mixed" if thai and latin else "thai" if thai else "latin" if latin else ""


@cache
def given_names() -> frozenset[str]:
    """Given names of pythainlp's corpora, in canonical form."""
    return frozenset(clean_text(name) for name in thai_female_names() | thai_male_names())


@cache
def family_names() -> frozenset[str]:
    """Family names of pythainlp's corpus, in canonical form."""
    return frozenset(clean_text(name) for name in thai_family_names())
