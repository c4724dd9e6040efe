"""Names of persons as Thai facilities write them, in canonical parts.

Nothing is corrected: พงษ์ and พงศ์ sound alike and are usually two people. Only what is not part of the name goes
(titles, placeholders, digits, punctuation), and what is written in several ways comes out in one (ณ อยุธยา and
ณ.อยุธยา, แซ่ ลิ้ม and แซ่ลิ้ม, JAI-DEE and Jaidee, Thai typed with the keyboard left in English).

The given and family names of pythainlp (CC BY-SA 4.0, read through its API) decide where a word can be read in two
ways. Parsing is deterministic: the same text gives the same parts at every facility that runs the same version.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache, partial

from mpi.encoder.thai_text import TextFlag, clean_text
from mpi.encoder.titles import is_title, runs_on, strip_titles, title_of_prefix


class NameFlag(StrEnum):
    """What was met on the way to the canonical parts."""

    REPAIRED = TextFlag.REPAIRED.value
    """Code points were wrong and were put right."""
    TRUNCATED = TextFlag.TRUNCATED.value
    """A field was longer than any name and was cut."""
    TITLE_AMBIGUOUS = "TITLE_AMBIGUOUS"
    """A word could be a title or the beginning of the name."""
    MONASTIC = "MONASTIC"
    """A title of the religious: the family name may be a monastic name."""
    DIGITS_DROPPED = "DIGITS_DROPPED"
    """There were digits among the letters."""
    WRONG_KEYBOARD = "WRONG_KEYBOARD"
    """Thai had been typed with the keyboard switched to English."""
    NEWBORN = "NEWBORN"
    """A child without a name yet: `given` is empty, `family` is the mother's."""
    NULL_NAME = "NULL_NAME"
    """No name at all, or a placeholder for one."""
    SINGLE_NAME = "SINGLE_NAME"
    """A given name without a family name."""
    NAME_IN_WRONG_FIELD = "NAME_IN_WRONG_FIELD"
    """The whole name stood in one of two fields, or in both."""


@dataclass(frozen=True, slots=True, repr=False)
class PersonName:
    """A name in canonical parts, each "" when absent; Latin letters are lower case without accents.

    Attributes:
        given: given name (ชื่อตัว).
        middle: middle names (ชื่อรอง), one space between them.
        family: family name (ชื่อสกุล), particles joined (ณอยุธยา, แซ่ลิ้ม).
        aliases: names in parentheses: nicknames, former names.
        others: the names that the aliases stand for, nicknames excepted; "" for the part that an alias does not tell.
        script: "thai", "latin", "mixed", or "" when there is no letter of either.
        sex_hint: "1" male or "2" female by the title; "" when it does not tell.
        flags: what was met on the way.
    """

    given: str = ""
    middle: str = ""
    family: str = ""
    aliases: tuple[str, ...] = ()
    others: tuple[PersonName, ...] = ()
    script: str = ""
    sex_hint: str = ""
    flags: frozenset[NameFlag] = frozenset()

    def __repr__(self) -> str:
        return "PersonName(***)"


# One match tells that a text holds nothing but Thai words, so that most steps can be left out.
_PLAIN_THAI = re.compile("[ก-ฮะ-ฺเ-ๅ็-ํ ]*+")

_PARENTHESES = re.compile(r" ?[(\[{]([^()\[\]{}]*)[)\]}]")
_RANK_NOTES = {"ญ": "หญิง"}
"""Short for what is said of a rank."""
# Remarks that no name holds, so that they are found wherever they stand, fused with the name as well: that the patient
# has died, and that nobody knows who it is.
_DEATH = r"(?<![เ-ไ])(?:เสียชีวิต(?:แล้ว)?|ถึงแก่(?:อนิจ)?กรรม(?:แล้ว)?|ถึงแก่ความตาย|มรณภาพ(?:แล้ว)?)(?![ะ-ฺๅ-๎])"
_NOBODY = (
    "(?<![ก-๎A-Za-z])(?:(?:ผู้ป่วย|คนไข้|บุคคล|ศพ|เด็ก|ชาย|หญิง)(?:ไทย|ต่างด้าว)? ?)*"
    "(?:ไม่(?:ทราบ|ปรากฏ|รู้|บอก) ?ชื่อ|นิรนาม)(?:[ -]*(?:และ)?(?:นาม)?สกุล)?"
    "(?: ?(?:เพศ)?(?:ชาย|หญิง)(?:ไทย|ต่างด้าว)?)?(?: ?อายุ.*)?(?![ก-๎A-Za-z])"
)
_NO_PART_OF_A_NAME = re.compile(f"(?P<death>{_DEATH})|{_NOBODY}")
_REMARK_SIGNS = ("เสียชีวิต", "ถึงแก่", "มรณภาพ", "ชื่อ", "นิรนาม")
_NICKNAME = re.compile(" *(?:ชื่อเล่น|nick ?name)[ :]*", re.IGNORECASE)
_ALIAS_LABEL = re.compile(r" *(?:(?:ชื่อ(?:เดิม|เก่า)|เดิมชื่อ|เดิม)|(?:formerly|aka|a\.k\.a\.)(?![a-z]))[ :]*", re.IGNORECASE)
_FORMER_FAMILY = re.compile(
    r"(?:^| )(?:(?:ชื่อ)?(?:นาม)?สกุล ?(?:เดิม|เก่า)|เดิม ?(?:นาม)?สกุล|n[eé]e(?=[ :]+[^ :]))[ :]*", re.IGNORECASE
)
# What registrars note of the patient, not of the name.
_REMARK = re.compile(
    "(?:แฝด|คนที่|ต่างด้าว|ต่างชาติ|ตาย|ซ้ำ|คนไข้|ผู้ป่วย|ญาติ|มารดา|บิดา|บุตร|twin|dead|deceased|vip|hn)"
    "(?![ะ-ฺๅ-๎a-z])|(?:พม่า|ลาว|กัมพูชา|เขมร|ไทย|ชาย|หญิง|ช|ญ|พิเศษ|new|old)$",
    re.IGNORECASE,
)
_NOT_THAI_RUN = re.compile("[^\u0e00-\u0e7f]+")
_ACCENTS = re.compile("[\u0300-\u036f]+")
# Letters with a stroke and ligatures have no decomposition in Unicode; passports spell them so.
_STROKE_LETTERS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "ħ": "h", "ŧ": "t"}
)


class _NameCharacters(dict[int, int | str | None]):
    """`str.translate` table: letters and their marks stay, digits go, everything else parts words."""

    def __missing__(self, code_point: int) -> int | str | None:
        category = unicodedata.category(chr(code_point))[0]
        if category in "LM":
            return code_point
        return None if category == "N" else " "


# Dots and ฯ are part of titles until these are off.
_NAME_CHARACTERS = _NameCharacters(
    {ord("."): ".", ord("ฯ"): "ฯ", ord("ๆ"): " ", ord("'"): None, ord("`"): None, ord("-"): None}
)
_DOTS = str.maketrans(".ฯ", "  ")

_TEST_WORDS = frozenset(("ทดสอบ", "ทดสอบระบบ", "test", "testing"))
_NULL_WORDS = _TEST_WORDS | frozenset(
    (
        *("ไม่มี", "ไม่มีชื่อ", "ไม่มีสกุล", "ไม่มีนามสกุล", "ไม่มีชื่อสกุล", "ไม่ทราบ", "ไม่ทราบชื่อ", "ไม่ทราบสกุล", "ไม่ทราบนามสกุล"),
        *("ไม่ทราบชื่อสกุล", "ไม่ระบุ", "ไม่ระบุชื่อ", "ไม่ระบุสกุล", "ไม่ระบุนามสกุล", "ไม่ปรากฏ", "ไม่ปรากฏชื่อ", "นิรนาม"),
        # What is written for somebody unidentified.
        *(f"{who}{nation}ไม่ทราบ" for who in ("ชาย", "หญิง", "บุคคล", "ผู้ป่วย") for nation in ("", "ไทย", "ต่างด้าว")),
        *("ชื่อไม่ทราบ", "สกุลไม่ทราบ", "นามสกุลไม่ทราบ", "ชื่อสกุลไม่ทราบ"),
        *("unknown", "unidentified", "anonymous", "unk", "none", "null", "fnu", "lnu", "xxx", "xxxx"),
        "ไม่ประสงค์ออกนาม",
        # What is noted of a patient who has a name.
        *("แฝด", "แฝดพี่", "แฝดน้อง", "ต่างด้าว", "พม่า", "เมียนมา", "เมียนมาร์", "กัมพูชา", "myanmar"),
        *("ซ้ำ", "ยกเลิก", "ห้ามใช้", "deceased"),
    )
)
_NULL_PHRASE = re.compile(r"\b(?:n/a|no[ _-]?(?:(?:sur|last|family|first)[ _-]?)?name)\b", re.IGNORECASE)
_AFTER_NULL = frozenset(
    (
        *("ชื่อ", "สกุล", "นามสกุล", "ชาย", "หญิง", "male", "female", "man", "woman", "boy", "girl", "person", "patient"),
        *("a", "b", "ก", "ข"),
    )
)
"""What a placeholder says is not known, and of whom; which of two twins."""
_NOBODYS = frozenset((("john", "doe"), ("doe", "john"), ("jane", "doe"), ("doe", "jane")))
"""Names that are given to people without one."""

_BABY_OF = re.compile(r"\bb/o\b", re.IGNORECASE)
_NEWBORN = re.compile(
    "(?:(?P<infant>ทารก|เด็กแรกเกิด|แรกเกิด|ยังไม่(?:ได้)?(?:ตั้ง|มี)ชื่อ)|(?P<child>บุตร|แฝด(?:พี่|น้อง)?)|ลูก|บ(?=[.]))"
    "(?:แรกเกิด)?(?: ?แฝด(?:พี่|น้อง)?)?(?: ?(?:เพศ)?(?P<sex>ชาย|หญิง|สาว))?(?: ?คนที่)?[a-d]?(?: ?(?P<of>ของ))?(?![ะ-ฺๅ-๎])"
)
_WHICH_CHILD = re.compile("(?:คู่)?แฝด(?:คนที่|พี่|น้อง)?|คนที่|คนโต|คนเล็ก|twin|[a-dก-ง]")
"""Which of several children, behind the mother's name; its number is gone by then."""
_BEHIND_NAMES = frozenset(
    ("jr", "sr", "ii", "iii", "iv", "mr", "mrs", "ms", "miss", "mstr", "dr", "md", "phd", "hn", "vip", "ตาย")
)
"""What follows a family name and is none: generations, titles and degrees, and notes of the patient."""
_NEWBORN_LATIN = re.compile(
    r"(?:(?P<infant>(?:infant|new ?born|babyof|b\.?b|twin(?= [a-d]\b| of\b))\b)|baby(?=\b|boy\b|girl\b))[ .]*"
    r"(?P<sex>boy|girl|male|female)?\b[ .]*(?:twin\b[ .]*)?(?:[a-d]\b[ .]*)?(?P<of>of)?\b"
)
_NEWBORN_STARTS = frozenset(("ทา", "แร", "เด", "ยั", "บุ", "บ.", "ลู", "แฝ", "in", "ne", "ba", "bb", "b.", "tw"))
_NEWBORN_SEX = {"ชาย": "1", "boy": "1", "male": "1", "หญิง": "2", "สาว": "2", "girl": "2", "female": "2"}

_CLAN = frozenset(("แซ่", "sae"))
_NA = frozenset(("ณ", "na"))
_TORN_OFF = _CLAN | {"ณ"}
"""Beginnings of a family name that may be left at the end of the given field; na ends given names of others."""
# Places that kings granted behind ณ. Fused, the particle is told by its place: ณรงค์ begins with ณ as well.
_NA_PLACES = frozenset(
    (
        *("อยุธยา", "เชียงใหม่", "ระนอง", "ถลาง", "สงขลา", "ลำปาง", "ลำพูน", "น่าน", "นคร", "พัทลุง", "ตะกั่วทุ่ง", "ตะกั่วป่า"),
        *("ป้อมเพชร", "ป้อมเพชร์", "บางช้าง", "มหาไชย", "มหาชัย", "ราชสีมา", "วิเชียร", "ศรีโคตร", "หนองคาย", "อุบล", "กาฬสินธุ์"),
        *("จำปาศักดิ์", "จัตุรัส", "พิศณุโลก", "มโนรม", "สุโขทัย", "ร้อยเอ็ด"),
    )
)

_KEYBOARD_SIGN = re.compile(r"[;\[\],.'/=]")
_LATIN_WITHOUT_VOWELS = re.compile("(?: *[b-df-hj-np-tv-z]){4,} *")
_THAI_WORDS = re.compile(r"(?:[ก-ฮ][ัิ-ู็]?[่-๋]?์?(?:าะ|[ะาำๅ])?|[เ-ไ](?=[ก-ฮ])|[ .])+")
# Thai Kedmanee (TIS 820-2538) by the keys of a US keyboard: the letter rows plain, the digit row plain, then shifted.
_KEDMANEE = str.maketrans(
    "qwertyuiop[]asdfghjkl;'zxcvbnm,./1234567890-=QWERTYUIOP{}ASDFGHJKL:\"ZXCVBNM<>?!@#$%^&*()_+",
    'ๆไำพะัีรนยบลฟหกดเ้่าสวงผปแอิืทมใฝๅ/-ภถุึคตจขช๐"ฎฑธํ๊ณฯญฐ,ฤฆฏโฌ็๋ษศซ.()ฉฮฺ์?ฒฬฦ+๑๒๓๔ู฿๕๖๗๘๙',
)
_NO_THAI_WORD = re.compile("[^ก-ฺเ-ํ .]|(?:^| )[ะ-ฺๅ-ํ]|[เ-ไ](?![ก-ฮเ])")
_SHORTEST_SLIP = 2

_THAI_LETTER = re.compile("[ก-ฮ]")
_LATIN_LETTER = re.compile("[a-z]")


def parse_full_name(text: str) -> PersonName:
    """Parts of a name that stands in one field: titles, given name, middle names, family name last.

    Total: any text gives a `PersonName`, with `NameFlag.NULL_NAME` when no name is in it. Parsing the parts again
    with `parse_name_parts` gives the same parts.
    """
    cleaned, flags = clean_text(text)
    name = _Reader(flags).full(cleaned)
    return _without_vowels(name) or name


def parse_name_parts(given: str, family: str, middle: str = "", prefix: str = "") -> PersonName:
    """Parts of a name that stands in two or three fields, as NAME, LNAME and PRENAME of the 43-file standard do.

    Args:
        given: the given name; may hold titles, and the whole name when `family` is empty or a placeholder.
        family: the family name; several words are middle names and the family name.
        middle: the middle name, where there is a field for it.
        prefix: PRENAME as a DOPA code ("003") or as text ("นาย"); only its hint of sex and of orders is used, and where
            a title was cut in two (นาง and สาววรรณา) its beginning.

    A family name that repeats the given field is no family name: people with one name are entered so.
    Total, as `parse_full_name` is.
    """
    cleaned_given, flags = clean_text(given)
    cleaned_family, family_flags = clean_text(family)
    reader = _Reader(flags | family_flags)
    cleaned_middle = cleaned_prefix = ""
    if middle:
        cleaned_middle, middle_flags = clean_text(middle)
        reader.flags |= {NameFlag(flag) for flag in middle_flags}
    if prefix:
        cleaned_prefix, _ = clean_text(prefix)
    name = reader.parts(cleaned_given, cleaned_middle, cleaned_family, cleaned_prefix)
    return _without_vowels(name) or name


def completed(name: PersonName, present: PersonName) -> PersonName:
    """A further name of a person, with the part that it lacks as in the present name.

    A former given name is told without the family name, and a maiden name without the given name. The family name of
    an unnamed newborn is the mother's, so it completes nothing and is not completed.
    """
    if bool(name.given) == bool(name.family) or NameFlag.NEWBORN in name.flags | present.flags:
        return name
    given, family = name.given or present.given, name.family or present.family
    if not (given and family):
        return name
    script = _script(f"{given}{name.middle}{family}")
    return replace(name, given=given, family=family, script=script, flags=name.flags - {NameFlag.SINGLE_NAME})


@cache
def given_names() -> frozenset[str]:
    """Thai given names of the pythainlp corpora, canonical; read once, about 12,000."""
    from pythainlp.corpus import thai_female_names, thai_male_names

    return frozenset(clean_text(name)[0] for name in thai_female_names() | thai_male_names())


@cache
def family_names() -> frozenset[str]:
    """Thai family names of the pythainlp corpora, canonical and with particles joined; read once, about 10,000."""
    from pythainlp.corpus import thai_family_names

    return frozenset(clean_text(name)[0].replace(" ", "") for name in thai_family_names())


def _is_given_name(word: str) -> bool:
    return word in given_names()


def _script(letters: str) -> str:
    thai = _THAI_LETTER.search(letters)
    latin = _LATIN_LETTER.search(letters)
    return ("mixed" if latin else "thai") if thai else "latin" if latin else ""


class _Reader:
    """One reading of one name; gathers flags, aliases and hints on the way."""

    __slots__ = ("aliases", "flags", "given_unknown", "of_mother", "others", "sexes")

    def __init__(self, flags: frozenset[TextFlag]) -> None:
        self.flags = {NameFlag(flag) for flag in flags}
        self.aliases: list[str] = []
        self.others: list[PersonName] = []
        self.sexes: set[str] = set()
        self.given_unknown = False
        self.of_mother = False

    def full(self, text: str) -> PersonName:
        if slip := _undo_keyboard_slip((text,)):
            self.flags.add(NameFlag.WRONG_KEYBOARD)
            (text,) = slip
        text = _without_remarks(text)
        words = _joined(self._leading_words(text), before_na=2)
        if NameFlag.NEWBORN in self.flags:
            return self._newborn(words)
        return self._arranged(words)

    def parts(self, given: str, middle: str, family: str, prefix: str) -> PersonName:
        if slip := _undo_keyboard_slip((given, middle, family)):
            self.flags.add(NameFlag.WRONG_KEYBOARD)
            given, middle, family = slip
        given, middle, family = map(_without_remarks, (given, middle, family))
        if prefix and (title := title_of_prefix(prefix)):
            self._hint(title.sex, monastic=title.monastic)
        family_apart = family not in _NULL_WORDS and any(map(str.isalpha, family))
        if prefix and given.startswith(runs_on(prefix)):
            given = self._behind_prefix(prefix, given, family_apart=family_apart)
        first_words = self._leading_words(given, family_apart=family_apart)
        given_words = _joined(first_words, before_na=2)
        if NameFlag.NEWBORN in self.flags:
            family_text = self._letters_and_dots(family)
            mother = strip_titles(family_text, _is_given_name)
            self.of_mother |= bool(mother.titles)
            family_words = _joined(_without_nulls(mother.rest.translate(_DOTS).split()), before_na=1)
            return self._name("", "", family_words[-1]) if family_words else self._newborn(given_words)
        if NameFlag.NULL_NAME in self.flags:
            return self._name("", "", "")
        middle_words = self._following_words(middle)
        family_words = self._following_words(family, family=True)
        if self.given_unknown:
            family_words = [word for word in family_words if word not in _AFTER_NULL]
        elif len(family_words) > 1:
            whole = not given_words or (len(_joined(family_words, before_na=1)) > 1 and is_title(given))
            if whole and not middle_words:
                self.flags.add(NameFlag.NAME_IN_WRONG_FIELD)
                return self.full(f"{given} {family}".lstrip())
            family_words = self._behind_given(first_words, family_words)
        before = [*first_words, *middle_words]
        if first_words and family_words and len(before) > 1 and before[-1] in _TORN_OFF:
            return self._arranged(_joined([*before, *family_words], before_na=2))
        family_words = _joined(family_words, before_na=1)
        if len(family_words) > 1 and _is_note(family_words[-1], given_words):
            family_words.pop()
        repeated = len(family_words)
        if repeated and not middle_words and family_words in (given_words[-repeated:], given_words[:1]):
            # The given field holds the whole name, or the only name was copied into both fields.
            self.flags.add(NameFlag.NAME_IN_WRONG_FIELD)
            return self._arranged(given_words)
        if not family_words and not middle_words:
            if len(given_words) > 1:
                self.flags.add(NameFlag.NAME_IN_WRONG_FIELD)
            return self._arranged(given_words)
        before = [*given_words, *middle_words, *family_words[:-1]]
        known = before.pop(0) if given_words and not self.given_unknown else ""
        return self._name(known, " ".join(before), family_words[-1] if family_words else "")

    def _arranged(self, words: list[str]) -> PersonName:
        """Given name first, family name last; a whole name written twice counts once."""
        words = _once(words)
        if self.given_unknown:
            return self._name("", " ".join(words[:-1]), words[-1] if words else "")
        if len(words) > 2 and _is_note(words[-1], words):
            words = _once(words[:-1])
        if len(words) > 1:
            return self._name(words[0], " ".join(words[1:-1]), words[-1])
        return self._name(words[0] if words else "", "", "")

    def _newborn(self, words: list[str]) -> PersonName:
        words = [word for word in words if not _WHICH_CHILD.fullmatch(word)]
        # Behind "บุตร น.ส." the mother's given name comes first; a lone word behind "ทารก" is the family name.
        if not words and self.others:
            # The mother stands in parentheses.
            return self._name("", "", self.others[0].family)
        return self._name("", "", words[-1] if len(words) > self.of_mother else "")

    def _name(self, given: str, middle: str, family: str) -> PersonName:
        if family in _TORN_OFF:
            family = ""
        if NameFlag.NEWBORN in self.flags:
            # A name in parentheses is the mother's.
            self.aliases, self.others = [], []
        else:
            if (given, family) in _NOBODYS and not middle:
                given = family = ""
            if not (given or middle or family):
                self.flags.add(NameFlag.NULL_NAME)
            elif given and not family:
                self.flags.add(NameFlag.SINGLE_NAME)
        return PersonName(
            given,
            middle,
            family,
            tuple(dict.fromkeys(self.aliases)),
            tuple(self.others),
            _script(f"{given}{middle}{family}"),
            self.sexes.pop() if len(self.sexes) == 1 else "",
            frozenset(self.flags),
        )

    def _hint(self, sex: str, *, monastic: bool) -> None:
        if sex:
            self.sexes.add(sex)
        if monastic:
            self.flags.add(NameFlag.MONASTIC)

    def _behind_given(self, given: list[str], words: list[str]) -> list[str]:
        """Words of the family field without titles and the given name, when they stand there as well."""
        if (stripped := strip_titles(" ".join(words), _is_given_name)).titles:
            self._hint(stripped.sex_hint, monastic=stripped.monastic)
            words = _without_nulls(_without_remarks(stripped.rest).translate(_DOTS).split())
        if given and len(words) > len(given) and words[: len(given)] == given:
            self.flags.add(NameFlag.NAME_IN_WRONG_FIELD)
            return words[len(given) :]
        return words

    def _behind_prefix(self, prefix: str, given: str, *, family_apart: bool) -> str:
        """The given field without what a title in the field before it runs on with: นาง and สาววรรณา, เด็ก and หญิง."""
        alone = strip_titles(given, _is_given_name, family_apart=family_apart).rest
        stripped = strip_titles(f"{prefix} {given}", _is_given_name, family_apart=family_apart)
        if len(stripped.rest) >= len(alone):
            return given
        self._hint(stripped.sex_hint, monastic=stripped.monastic)
        return stripped.rest

    def _leading_words(self, text: str, *, family_apart: bool = False) -> list[str]:
        """Words of the field that a title or a placeholder for an unnamed child may begin."""
        plain = bool(_PLAIN_THAI.fullmatch(text))
        if not plain:
            text = self._letters_and_dots(text)
        while True:
            stripped = strip_titles(text, _is_given_name, family_apart=family_apart)
            if stripped.ambiguous:
                self.flags.add(NameFlag.TITLE_AMBIGUOUS)
            if stripped.titles:
                self._hint(stripped.sex_hint, monastic=stripped.monastic)
            rest = _without_remarks(stripped.rest) if stripped.titles else stripped.rest
            if rest[:2] in _NEWBORN_STARTS and (mother := self._behind_placeholder(rest)) is not None:
                return self._leading(mother)
            if plain:
                return self._leading(rest)
            # A dot or a rank note gone from the front can lay a title bare.
            undotted = " ".join(rest.translate(_DOTS).split())
            if undotted == text:
                return self._leading(undotted)
            text = undotted

    def _behind_placeholder(self, text: str) -> str | None:
        """What follows a placeholder for an unnamed child (บุตร น.ส. …, ทารก …, baby of …); None without one."""
        latin = text[0].isascii()
        found = (_NEWBORN_LATIN if latin else _NEWBORN).match(text)
        if not found:
            return None
        behind = text[found.end() :]
        mother = strip_titles(behind.lstrip(" .ฯ"), _is_given_name)
        of_mother = bool(found["of"] or mother.titles)
        if latin:
            certain = found["infant"] or found["of"] or found["sex"]
        else:
            parted = behind[:1] in " .ฯ" or text[found.end("child") :][:1] in " .ฯ"
            # บุตรี and ลูกน้ำ are given names; บุตร standing alone is not.
            certain = found["infant"] or of_mother or (found["child"] and parted)
        if not certain:
            return None
        self.flags.add(NameFlag.NEWBORN)
        self.of_mother = of_mother
        if found["sex"]:
            self.sexes.add(_NEWBORN_SEX[found["sex"]])
        return mother.rest

    def _letters_and_dots(self, text: str, *, family: bool = False) -> str:
        """Letters, dots and spaces of a field; what stands in parentheses goes to the aliases."""
        if _PLAIN_THAI.fullmatch(text):
            return text
        text = _NULL_PHRASE.sub(" unknown ", _BABY_OF.sub("baby of ", text))
        text = _PARENTHESES.sub(partial(self._take_alias, family=family), text)
        if any(map(str.isdigit, text)):
            self.flags.add(NameFlag.DIGITS_DROPPED)
        # Without what stood between them, letters can come to make a remark.
        return _without_remarks(_letters(text)).lstrip(" .ฯ")

    def _take_alias(self, parentheses: re.Match[str], *, family: bool) -> str:
        """Take what stands in parentheses for an alias; gives what stays of it in the name.

        An alias of one word is a given name, behind a family name or a label of its own a family name.
        """
        inside = parentheses[1].strip()
        before = parentheses.string[: parentheses.start()].strip()
        note = _RANK_NOTES.get(inside, inside)
        if is_title(before) and is_title(f"{before}({note})"):
            # What is said of a rank or a chair is part of it.
            return f"{note} "
        if _REMARK.match(inside) or is_title(inside):
            return " "
        nickname = _NICKNAME.match(inside)
        known, *former = _FORMER_FAMILY.split(inside[nickname.end() :] if nickname else inside, maxsplit=1)
        words, family_words = _alias_words(known, before_na=2), _alias_words("".join(former), before_na=1)
        if not words and not family_words:
            return " "
        self.aliases.append(" ".join((*words, *family_words)))
        if nickname:
            return " "
        if not family_words and (family or len(words) > 1):
            family_words = [words.pop()]
        first, middle = words[:1], [*words[1:], *family_words[:-1]]
        name = PersonName("".join(first), " ".join(middle), "".join(family_words[-1:]))
        self.others.append(replace(name, script=_script("".join((*first, *middle, *family_words)))))
        return " "

    def _following_words(self, text: str, *, family: bool = False) -> list[str]:
        return _without_nulls(self._letters_and_dots(text, family=family).translate(_DOTS).split()) if text else []

    def _leading(self, text: str) -> list[str]:
        """Words of the field that the given name is in; notes when a placeholder stands in its place."""
        words = text.translate(_DOTS).split()
        if words and words[0] in _NULL_WORDS:
            self.given_unknown = True
            if words[0] in _TEST_WORDS:
                self.flags.add(NameFlag.NULL_NAME)
                return []
        return _without_nulls(words)


def _without_remarks(text: str) -> str:
    """Canonical text without what is no part of a name wherever it stands."""
    # Hardly any text holds one, so looking for them must cost little.
    while any(map(text.__contains__, _REMARK_SIGNS)):
        before = text
        text = clean_text(_NO_PART_OF_A_NAME.sub(lambda found: " " if found["death"] else " ไม่ทราบชื่อ ", text))[0]
        if text == before:
            break
    return text


def _once(words: list[str]) -> list[str]:
    """Words of a name that may be written twice."""
    while (half := len(words) // 2) and words[:half] == words[half:]:
        words = words[:half]
    return words


def _is_note(word: str, names: list[str]) -> bool:
    """Whether the last word is no family name; ตาย may be one beside a name that is not Thai."""
    return word in _BEHIND_NAMES and (word != "ตาย" or any(map(_is_given_name, names[:1])))


def _alias_words(text: str, *, before_na: int) -> list[str]:
    """Words of an alias, without its title and without the label that tells what it is."""
    letters = strip_titles(_letters(_ALIAS_LABEL.sub("", text, count=1)).strip(" .ฯ"), _is_given_name).rest
    return _joined(_without_nulls(letters.translate(_DOTS).split()), before_na=before_na)


def _without_nulls(words: list[str]) -> list[str]:
    """Words of a name without the placeholders for "none" among them."""
    if _NULL_WORDS.isdisjoint(words):
        return words
    return [
        word
        for before, word in zip(["", *words], words, strict=False)
        if word not in _NULL_WORDS and not (before in _NULL_WORDS and word in _AFTER_NULL)
    ]


def _letters(text: str) -> str:
    """Letters, dots and spaces; Latin ones folded to lower case without accents."""
    text = text.lower() if text.isascii() else _NOT_THAI_RUN.sub(_folded, text)
    # Two signs that a hyphen or digit kept apart may now belong to one syllable.
    return clean_text(text.translate(_NAME_CHARACTERS))[0]


def _folded(run: re.Match[str]) -> str:
    decomposed = unicodedata.normalize("NFKD", run[0].casefold()).casefold()
    return unicodedata.normalize("NFC", _ACCENTS.sub("", decomposed).translate(_STROKE_LETTERS))


def _joined(words: list[str], *, before_na: int) -> list[str]:
    """Words with particles joined: แซ่ ลิ้ม, ณ อยุธยา, and เสนีวงศ์ ณ อยุธยา when `before_na` words stand before ณ."""
    joined: list[str] = []
    queue = iter(words)
    for word in queue:
        place = ""
        if word in _CLAN:
            word += next(queue, "")
        elif word in _NA and (joined or word == "ณ" or before_na == 1):
            place = word + next(queue, "")
        elif word[0] == "ณ" and word[1:] in _NA_PLACES:
            place = word
        if place and len(joined) >= before_na:
            joined[-1] += place
        else:
            joined.append(place or word)
    return joined


def _undo_keyboard_slip(fields: tuple[str, ...]) -> tuple[str, ...] | None:
    """Fields typed for Thai with the keyboard in English ("l,=kp .0fu" for สมชาย ใจดี), converted; None if they are not.

    They are taken for that when there are signs among the letters, every word comes out well formed, and one of them
    is a known Thai name.
    """
    if not all(map(str.isascii, fields)) or not any(map(_KEYBOARD_SIGN.search, fields)):
        return None
    return _in_thai_keys(fields)


def _without_vowels(name: PersonName) -> PersonName | None:
    """A name of Latin letters without a vowel, read as Thai keys; None if it has vowels or comes out unknown.

    It looks at the canonical parts, so that parsing them again comes to the same. Short names without a vowel (Ly, Vy)
    are somebody's.
    """
    if name.script != "latin" or not _LATIN_WITHOUT_VOWELS.fullmatch(f"{name.given} {name.middle} {name.family}"):
        return None
    slip = _in_thai_keys((name.given, name.middle, name.family))
    if slip is None:
        return None
    thai = parse_name_parts(slip[0], slip[2], slip[1])
    flags = (name.flags | thai.flags | {NameFlag.WRONG_KEYBOARD}) - ({NameFlag.SINGLE_NAME} - thai.flags)
    return replace(thai, aliases=name.aliases, others=name.others, sex_hint=thai.sex_hint or name.sex_hint, flags=flags)


def _in_thai_keys(fields: tuple[str, ...]) -> tuple[str, ...] | None:
    # A lone sign is a placeholder in any layout.
    thai = [field if len(field) < _SHORTEST_SLIP else field.translate(_KEDMANEE) for field in fields]
    typed = [field for field in thai if len(field) >= _SHORTEST_SLIP]
    if not typed or any(map(_NO_THAI_WORD.search, typed)):
        return None
    thai = [clean_text(field)[0] for field in thai]
    if not all(_THAI_WORDS.fullmatch(field) for field in thai if len(field) >= _SHORTEST_SLIP):
        return None
    words = [word for field in thai for word in strip_titles(field, _is_given_name).rest.split()]
    known = any(word in given_names() or word in family_names() for word in words)
    return tuple(thai) if known else None
