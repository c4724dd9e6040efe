"""Titles before a name (คำนำหน้า): found, taken off, and kept only as a hint of sex.

A title changes with age, marriage, rank and ordination, and one facility writes it where the next does not, so it must
never reach a name that is compared. Undotted abbreviations are also the beginnings of given names (นพ of นพดล, คุณ of
คุณากร), so what counts as a title depends on how it is set off:

- full forms of life and rank (นาย, นางสาว, เด็กชาย, หม่อมหลวง, ร้อยตรี, แพทย์หญิง, พระมหา) may be fused with the
  name, unless the whole word is a known given name (นายณัฐ);
- พระ may be fused with a known given name;
- everything else needs a dot or a space behind it (น.ส., นส วรรณา, คุณ พลอย);
- a full form torn apart by a space (นาง สาว, เด็ก หญิง), and what is said of a rank or a chair (ร.ต. หญิง,
  ศ.เกียรติคุณ), may be a name too, so a whole name must stand behind it.

The table of 504 titles in `data/dopa_prefix.tsv` (code, abbreviation, full form) is CS_DOPA_NamePrefix of the Thai
terminology guide of SIL-TH, after the Department of Provincial Administration; it is CC0-1.0. What that table lacks
(academic, medical, monastic and Latin forms in use at hospitals) stands below.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Title:
    """One title.

    Attributes:
        full: the full form, for instance "นางสาว".
        sex: "1" male, "2" female, "" when the title is used for both.
        monastic: whether it is borne by monks, novices, nuns and other religious.
    """

    full: str
    sex: str = ""
    monastic: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class StrippedName:
    """A name without its titles.

    Attributes:
        rest: the text behind the titles; never empty unless the input was.
        titles: what was taken off, from left to right.
        ambiguous: the text could be read with a title or without one, and the likelier reading was taken.
    """

    rest: str
    titles: tuple[Title, ...]
    ambiguous: bool

    def __repr__(self) -> str:
        return "StrippedName(***)"

    @property
    def sex_hint(self) -> str:
        """Sex that the titles tell: "1" or "2", "" when they tell nothing or contradict each other."""
        hints = {title.sex for title in self.titles if title.sex}
        return hints.pop() if len(hints) == 1 else ""

    @property
    def monastic(self) -> bool:
        """Whether a title of the religious was among them."""
        return any(title.monastic for title in self.titles)


# What the DOPA table lacks or spells otherwise; abbreviations without their dots.
_MORE_ABBREVIATIONS = {
    "ทนพ": Title("นักเทคนิคการแพทย์ชาย", "1"),
    "ทนพญ": Title("นักเทคนิคการแพทย์หญิง", "2"),
    "กภ": Title("นักกายภาพบำบัด"),
    "พว": Title("พยาบาลวิชาชีพ"),
    "ภญ": Title("เภสัชกรหญิง", "2"),
    "สพญ": Title("สัตวแพทย์หญิง", "2"),
    "นสพ": Title("นายสัตวแพทย์", "1"),
    "นศพ": Title("นักศึกษาแพทย์"),
    "ศ": Title("ศาสตราจารย์"),
    "อ": Title("อาจารย์"),
    "อจ": Title("อาจารย์"),
    "น": Title("นายหรือนาง"),
    "ผตข": Title("ผู้ต้องขัง"),
    "ขช": Title("ผู้ต้องขังชาย", "1"),
    "ขญ": Title("ผู้ต้องขังหญิง", "2"),
}
_MORE_FULL_FORMS = (
    Title("สามเณรี", "2", monastic=True),
    Title("สามเณร", "1", monastic=True),
    Title("เณร", "1", monastic=True),
    Title("พระภิกษุ", "1", monastic=True),
    Title("ภิกษุณี", "2", monastic=True),
    Title("หลวงพ่อ", "1", monastic=True),
    Title("หลวงปู่", "1", monastic=True),
    Title("หลวงพี่", "1", monastic=True),
    Title("หลวงตา", "1", monastic=True),
    Title("ทันตแพทย์หญิง", "2"),
    Title("นายสัตวแพทย์", "1"),
    Title("เภสัชกร"),
    Title("พยาบาลวิชาชีพ"),
    Title("พยาบาล"),
    Title("ด็อกเตอร์"),
    Title("อาจารย์"),
    Title("ว่าที่"),
    Title("ดาบตำรวจหญิง", "2"),
    Title("ดาบตำรวจ"),
    Title("ผู้ต้องขังหญิง", "2"),
    Title("ผู้ต้องขังชาย", "1"),
    Title("ผู้ต้องขัง"),
)

_LATIN_SPACED = {
    "mr": Title("Mr", "1"),
    "mister": Title("Mr", "1"),
    "mrs": Title("Mrs", "2"),
    "ms": Title("Ms", "2"),
    "miss": Title("Miss", "2"),
    "madam": Title("Madam", "2"),
    "mdm": Title("Madam", "2"),
    "master": Title("Master", "1"),
    "mstr": Title("Master", "1"),
    "dr": Title("Dr"),
    "prof": Title("Professor"),
    "professor": Title("Professor"),
}
# Ranks are given names of foreigners too (Gen, Col), so they need their dot.
_LATIN_DOTTED = {
    **_LATIN_SPACED,
    **{word: Title(word.title()) for word in ("acting", "adm", "assoc", "asst", "capt", "cdr", "col", "cpl", "gen")},
    **{word: Title(word.title()) for word in ("lt", "maj", "pol", "pvt", "sgt", "sub")},
    **{word: Title(word.title(), monastic=True) for word in ("rev", "ven")},
}
_LATIN_WORD = re.compile(r"([A-Za-z]{2,9})(?:(\.) ?| )")
_LATIN_ROYAL = re.compile(r"[Mm]\. ?([LRClrc])\. ?")

# Full forms that may stand fused with the name; their codes are ranges of the DOPA table.
_FUSED_CODES = (range(1, 13), range(120, 123), range(130, 146), range(147, 148), range(150, 151), range(200, 734))
_FUSED_MONASTIC = frozenset(
    (
        *("พระมหา", "พระครู", "พระครูปลัด", "พระครูสมุห์", "พระครูใบฎีกา", "พระครูธรรมธร", "พระครูสังฆรักษ์", "พระครูวินัยธร"),
        *("พระปลัด", "พระสมุห์", "พระอธิการ", "พระภิกษุ", "สามเณร", "สามเณรี", "แม่ชี"),
    )
)
_RANK_CODES = (range(120, 123), range(163, 164), range(200, 734))
_MONASTIC_CODES = range(606, 607), range(800, 960)
# Karen and Burmese names are spelled like these ranks and students' abbreviations, and พลอ begins พลอย.
_NEVER_UNDOTTED = re.compile("[ก-ฮ]อ|พลอ")

# ณ is left out of the undotted pieces: it begins a family name (ณ อยุธยา).
_PIECES = re.compile(r"(?:[ก-ฮ]{1,4}[.ฯ]+ ?|[ก-ฒด-ฮ] (?=[ก-ฒด-ฮ][ .]))+(?:[ก-ฒด-ฮ](?= ))?")
_PIECE = re.compile("([ก-ฮ]+)[.ฯ ]*")
# What is said of a rank and of a chair.
_RANK_NOTE = re.compile(r"(\(?)(พิเศษ|หญิง)(?![ะ-ฺๅ-๎])\)?[. ]*")
_CHAIR_NOTE = re.compile(r"(\(?)((?:คลินิก)?(?:เกียรติคุณ|กิตติคุณ|วุฒิคุณ)(?![ะ-ฺๅ-๎])|(?:คลินิก|พิเศษ)(?![ก-๎]))\)?[. ]*")
_NOTED = ("พิเศษ", "หญิง", "คลินิก", "เกียรติคุณ", "กิตติคุณ", "วุฒิคุณ")
_CHAIRS = frozenset(("ศาสตราจารย์", "รองศาสตราจารย์", "ผู้ช่วยศาสตราจารย์", "อาจารย์"))
_DEPENDENT_SIGN = re.compile("[ะ-ฺๅ็-๎]")
_SHORTEST_NAME = 2
_WHOLE_NAME = 2
"""Words of a given and a family name."""
_PARTICLES = frozenset(("ณ", "แซ่"))
"""Words that are half a family name."""
_LENT_NAME = "นาม สกุล"


@dataclass(frozen=True, slots=True)
class _Form:
    """A way to write a title, and what may surround it."""

    title: Title
    note: re.Pattern[str] | None = None
    """What may be said of it behind it."""
    fused: bool = False


@dataclass(frozen=True, slots=True)
class _Tables:
    by_code: dict[str, Title]
    abbreviations: dict[str, _Form]
    full_forms: dict[str, tuple[tuple[str, _Form], ...]]
    """By their first three code points, longest form first."""
    torn: dict[str, tuple[tuple[str, _Form], ...]]
    """Ends of full forms by what a space can part from them, longest first."""


@dataclass(frozen=True, slots=True)
class _Found:
    titles: tuple[Title, ...]
    rest: str
    ambiguous: bool = False


class _Names(NamedTuple):
    """What decides where a word can be read both ways."""

    is_given: Callable[[str], bool]
    family_apart: bool

    def whole(self, rest: str) -> bool:
        """Whether a whole name is left when `rest` is what stands behind a title."""
        return sum(word not in _PARTICLES for word in rest.split()) + self.family_apart >= _WHOLE_NAME


def strip_titles(text: str, is_given_name: Callable[[str], bool], *, family_apart: bool = False) -> StrippedName:
    """Take every stacked title off the front of `text` (ผศ.ดร., ว่าที่ ร.ต.หญิง, พล.ต.ต.ม.ร.ว.).

    Args:
        text: a name that `clean_text` has passed.
        is_given_name: whether a word is a known given name; asked only where a word can be read both ways.
        family_apart: whether the family name stands in a field of its own.

    The last word always stays: a title alone is somebody's name until the record says otherwise.
    """
    names = _Names(is_given_name, family_apart)
    titles: list[Title] = []
    ambiguous = False
    while True:
        found = _first_title(text, names)
        if found is None:
            break
        ambiguous |= found.ambiguous
        if not found.titles:
            break
        titles += found.titles
        text = found.rest
    return StrippedName(text, tuple(titles), ambiguous)


def is_title(text: str) -> bool:
    """Say whether `text`, which `clean_text` has passed, is titles and nothing else."""
    return strip_titles(f"{text} {_LENT_NAME}", lambda _: False).rest == _LENT_NAME


@lru_cache(maxsize=1 << 10)
def title_of_prefix(prefix: str) -> Title | None:
    """Title behind a PRENAME value: a DOPA code ("003", also "3") or free text ("น.ส.", "ผศ.ดร."); None if neither.

    `prefix` is text that `clean_text` has passed. Stacked titles come back as one.
    """
    if prefix.isdecimal():
        return _tables().by_code.get(prefix.zfill(3))
    stripped = strip_titles(f"{prefix} {_LENT_NAME}", lambda _: False)
    if not stripped.titles:
        return None
    return Title(" ".join(title.full for title in stripped.titles), stripped.sex_hint, stripped.monastic)


@lru_cache(maxsize=1 << 10)
def runs_on(prefix: str) -> tuple[str, ...]:
    """What the field behind `prefix` may begin with when a title was cut in two: สาว behind นาง, ส behind น."""
    tables = _tables()
    word = prefix.rpartition(" ")[2]
    letters = word.replace(".", "")
    ends = [end for end, _ in tables.torn.get(word, ())]
    ends += {key[len(letters)] for key in tables.abbreviations if key.startswith(letters) and key != letters}
    return (*ends, *_NOTED)


def _first_title(text: str, names: _Names) -> _Found | None:
    """The title at the front of `text`; None when there is none, no titles when the word was kept for a name."""
    if text[:1].isascii():
        return _latin_title(text)
    tables = _tables()
    word, _, rest = text.partition(" ")
    ends = tables.torn.get(word)
    if ends and (found := _torn_title(word, ends, rest, names)):
        return found
    forms = tables.full_forms.get(text[:3])
    if forms and (found := _full_title(text, forms, names)):
        return found
    pieces = _PIECES.match(text)
    if pieces and (found := _dotted_title(text, pieces.end(), names)):
        return found
    form = tables.abbreviations.get(word)
    if not form or len(word) < _SHORTEST_NAME or not _names_somebody(rest) or _NEVER_UNDOTTED.fullmatch(word):
        return None
    return _spaced_title(word, form, rest, names)


def _names_somebody(rest: str) -> bool:
    return any(map(str.isalpha, rest))


def _latin_title(text: str) -> _Found | None:
    if royal := _LATIN_ROYAL.match(text):
        title, rest = Title(f"M.{royal[1].upper()}."), text[royal.end() :]
    elif word := _LATIN_WORD.match(text):
        known = (_LATIN_DOTTED if word[2] else _LATIN_SPACED).get(word[1].lower())
        if not known:
            return None
        title, rest = known, text[word.end() :]
    else:
        return None
    return _Found((title,), rest) if _names_somebody(rest) else None


def _torn_title(word: str, ends: tuple[tuple[str, _Form], ...], text: str, names: _Names) -> _Found | None:
    """A full form that a space behind `word` tears apart: นาง สาว วรรณา, เด็ก หญิงศิริพร."""
    for end, form in ends:
        if not text.startswith(end):
            continue
        rest = text[len(end) :].lstrip(" .")
        if text[len(end) : len(end) + 1] in (" ", "."):
            torn = names.whole(rest) or (names.is_given(rest) and not names.is_given(word))
        else:
            known = names.is_given(word) or names.is_given(text.partition(" ")[0])
            torn = form.fused and not known and names.is_given(rest.partition(" ")[0]) and names.whole(rest)
        if torn and _names_somebody(rest):
            return _with_note(form, rest, names, spaced=True)
    return None


def _dotted_title(text: str, end: int, names: _Names) -> _Found | None:
    """The longest abbreviation that the pieces in `text[:end]` begin with: น.ส. of น.ส., พ.ต.ท. of พ.ต.ท.ม.ล."""
    abbreviations = _tables().abbreviations
    key, longest = "", None
    for piece in _PIECE.finditer(text, 0, end):
        key += piece[1]
        form = abbreviations.get(key)
        if form:
            longest = form, piece.end()
    if not longest:
        return None
    form, end = longest
    if not _names_somebody(text[end:]):
        return None
    return _with_note(form, text[end:], names, spaced=text[end - 1] == " ")


def _spaced_title(word: str, form: _Form, rest: str, names: _Names) -> _Found:
    """A title set off by a space only: where it is a given name too, a whole name behind it makes it a title."""
    twofold = form.title.full != "นาย" and names.is_given(word)
    if twofold and not names.whole(rest):
        return _Found((), "", ambiguous=True)
    found = _with_note(form, rest, names, spaced=True)
    return _Found(found.titles, found.rest, ambiguous=twofold or found.ambiguous)


def _with_note(form: _Form, rest: str, names: _Names, *, spaced: bool = False) -> _Found:
    """The title with the word said of it behind it (พิเศษ, หญิง, เกียรติคุณ); หญิง tells that its bearer is a woman."""
    note = form.note.match(rest) if form.note else None
    behind = rest[note.end() :] if note else ""
    if not note or not _names_somebody(behind):
        return _Found((form.title,), rest.lstrip(" ."))
    # Unless it stands in parentheses or is fused with a rank, it may be the name itself.
    if note[1] or (form.note is _RANK_NOTE and not spaced):
        noted = True
    elif note[0][-1] in " .":
        noted = names.whole(behind) or bool(strip_titles(behind, names.is_given).titles)
    else:
        noted = note[2] != "พิเศษ" and names.is_given(behind.partition(" ")[0])
    if not noted:
        return _Found((form.title,), rest.lstrip(" ."), ambiguous=True)
    titles = (form.title, Title("หญิง", "2")) if note[2] == "หญิง" else (form.title,)
    return _Found(titles, behind)


def _full_title(text: str, forms: tuple[tuple[str, _Form], ...], names: _Names) -> _Found | None:
    for written, form in forms:
        if not text.startswith(written):
            continue
        rest = text[len(written) :]
        if not _names_somebody(rest):
            continue
        if rest[0] == " ":
            return _spaced_title(written, form, rest[1:], names)
        if rest[0] in ".(":
            return _with_note(form, rest.lstrip("."), names)
        word = text.partition(" ")[0]
        remainder = word[len(written) :]
        if len(remainder) < _SHORTEST_NAME or _DEPENDENT_SIGN.match(remainder):
            continue
        if form.fused:
            if names.is_given(word):
                return _Found((), "", ambiguous=True)
            return _with_note(form, rest, names)
        if written == "พระ" and names.is_given(remainder) and not names.is_given(word):
            return _Found((form.title,), rest, ambiguous=True)
    return None


@cache
def _tables() -> _Tables:
    by_code: dict[str, Title] = {}
    abbreviations: dict[str, _Form] = {}
    forms: dict[str, _Form] = {}
    table = resources.files("mpi.encoder").joinpath("data/dopa_prefix.tsv").read_text(encoding="utf-8")
    for row in table.splitlines():
        code, abbreviation, full = row.split("\t")
        number = int(code)
        monastic = any(number in codes for codes in _MONASTIC_CODES)
        title = Title(full, _sex_of_form(full, monastic=monastic), monastic)
        by_code[code] = title
        rank = any(number in codes for codes in _RANK_CODES)
        fused = full in _FUSED_MONASTIC if monastic else rank or any(number in codes for codes in _FUSED_CODES)
        note = _note(title, rank=rank)
        form = _Form(title, note, fused)
        # Where ranks of two services share an abbreviation, the first of the table stands for both.
        forms.setdefault(full, form)
        key = abbreviation.replace(".", "").replace("ฯ", "").replace(" ", "")
        if _PIECE.fullmatch(key):
            abbreviations.setdefault(key, form)
        elif "." not in abbreviation:
            forms.setdefault(abbreviation, _Form(title, note))
    for title in _MORE_FULL_FORMS:
        fused = not title.monastic or title.full in _FUSED_MONASTIC
        forms.setdefault(title.full, _Form(title, _note(title), fused))
    for key, title in _MORE_ABBREVIATIONS.items():
        abbreviations.setdefault(key, _Form(title, _note(title)))
    by_start: dict[str, list[tuple[str, _Form]]] = {}
    torn: dict[str, list[tuple[str, _Form]]] = {}
    for written in sorted(forms, key=len, reverse=True):
        form = forms[written]
        by_start.setdefault(written[:3], []).append((written, form))
        for end in range(_SHORTEST_NAME, len(written)):
            torn.setdefault(written[:end], []).append((written[end:].lstrip(), form))
    return _Tables(by_code, abbreviations, _frozen(by_start), _frozen(torn))


def _frozen(groups: dict[str, list[tuple[str, _Form]]]) -> dict[str, tuple[tuple[str, _Form], ...]]:
    return {key: tuple(group) for key, group in groups.items()}


def _note(title: Title, *, rank: bool = False) -> re.Pattern[str] | None:
    return _RANK_NOTE if rank else _CHAIR_NOTE if title.full in _CHAIRS else None


def _sex_of_form(full: str, *, monastic: bool) -> str:
    """Sex that a full form tells; a rank without หญิง tells nothing, because the note is often left out."""
    if "หญิง" in full or full.startswith(("นางสาว", "แม่ชี", "ซิสเตอร์", "เจ้านาง")) or full == "นาง":
        return "2"
    if "ชาย" in full or "นายแพทย์" in full or full == "นาย" or (monastic and full != "นักบวช"):
        return "1"
    return ""
