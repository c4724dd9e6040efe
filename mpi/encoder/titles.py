"""Titles before a name (คำนำหน้า): found, taken off, and kept only as a hint of sex.

A title changes with age, marriage, rank and ordination, and one facility writes it where the next does not, so it must
never reach a name that is compared. Undotted abbreviations are also the beginnings of given names (นพ of นพดล, คุณ of
คุณากร), so what counts as a title depends on how it is set off:

- full forms of life and rank (นาย, นางสาว, เด็กชาย, หม่อมหลวง, ร้อยตรี, แพทย์หญิง, พระมหา) may be fused with the
  name, unless the whole word is a known given name (นายณัฐ);
- พระ may be fused with a known given name;
- everything else needs a dot or a space behind it (น.ส., นส วรรณา, คุณ พลอย).

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
    Title("ศาสตราจารย์เกียรติคุณ"),
    Title("ศาสตราจารย์คลินิก"),
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
_RANK_CODES = (range(120, 121), range(163, 164), range(200, 734))
_MONASTIC_CODES = range(606, 607), range(800, 960)
# Karen and Burmese names are spelled like these ranks and students' abbreviations, and พลอ begins พลอย.
_NEVER_UNDOTTED = re.compile("[ก-ฮ]อ|พลอ")

# ณ is left out of the undotted pieces: it begins a family name (ณ อยุธยา).
_PIECES = re.compile(r"(?:[ก-ฮ]{1,4}[.ฯ] ?|[ก-ฒด-ฮ] (?=[ก-ฒด-ฮ][ .]))+(?:[ก-ฒด-ฮ](?= ))?")
_PIECE = re.compile("([ก-ฮ]+)[.ฯ ]*")
_RANK_NOTE = re.compile(r"(\(?)(พิเศษ|หญิง)(?![ะ-ฺๅ-๎])\)?[. ]*")
_DEPENDENT_SIGN = re.compile("[ะ-ฺๅ็-๎]")
_SHORTEST_NAME = 2
_LENT_NAME = "นาม สกุล"


@dataclass(frozen=True, slots=True)
class _Form:
    """A way to write a title, and what may surround it."""

    title: Title
    rank: bool = False
    fused: bool = False


@dataclass(frozen=True, slots=True)
class _Tables:
    by_code: dict[str, Title]
    abbreviations: dict[str, _Form]
    full_forms: dict[str, tuple[tuple[str, _Form], ...]]
    """By their first three code points, longest form first."""


@dataclass(frozen=True, slots=True)
class _Found:
    titles: tuple[Title, ...]
    rest: str
    ambiguous: bool = False


def strip_titles(text: str, is_given_name: Callable[[str], bool]) -> StrippedName:
    """Take every stacked title off the front of `text` (ผศ.ดร., ว่าที่ ร.ต.หญิง, พล.ต.ต.ม.ร.ว.).

    Args:
        text: a name that `clean_text` has passed.
        is_given_name: whether a word is a known given name; asked only where a word can be read both ways.

    The last word always stays: a title alone is somebody's name until the record says otherwise.
    """
    titles: list[Title] = []
    ambiguous = False
    while True:
        found = _first_title(text, is_given_name)
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


def _first_title(text: str, is_given_name: Callable[[str], bool]) -> _Found | None:
    """The title at the front of `text`; None when there is none, no titles when the word was kept for a name."""
    if text[:1].isascii():
        return _latin_title(text)
    tables = _tables()
    forms = tables.full_forms.get(text[:3])
    if forms and (found := _full_title(text, forms, is_given_name)):
        return found
    pieces = _PIECES.match(text)
    if pieces and (found := _dotted_title(text, pieces.end())):
        return found
    word, _, rest = text.partition(" ")
    form = tables.abbreviations.get(word)
    if not form or len(word) < _SHORTEST_NAME or not _names_somebody(rest) or _NEVER_UNDOTTED.fullmatch(word):
        return None
    return _spaced_title(word, form, rest, is_given_name)


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


def _dotted_title(text: str, end: int) -> _Found | None:
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
    return _with_rank_note(form, text[end:], spaced=text[end - 1] == " ")


def _spaced_title(word: str, form: _Form, rest: str, is_given_name: Callable[[str], bool]) -> _Found:
    """A title set off by a space only: where it is a given name too, it needs two more words to be a title."""
    twofold = form.title.full != "นาย" and is_given_name(word)
    if twofold and " " not in rest.strip():
        return _Found((), "", ambiguous=True)
    found = _with_rank_note(form, rest, spaced=True)
    return _Found(found.titles, found.rest, ambiguous=twofold)


def _with_rank_note(form: _Form, rest: str, *, spaced: bool = False) -> _Found:
    """The title with the word said of a rank behind it, พิเศษ or หญิง; the latter tells that its bearer is a woman."""
    note = _RANK_NOTE.match(rest) if form.rank else None
    # หญิง after a space may be the name itself, unless two words follow.
    if not note or not _names_somebody(rest[note.end() :]) or (spaced and not note[1] and rest.count(" ") <= 1):
        return _Found((form.title,), rest.lstrip(" ."))
    titles = (form.title, Title("หญิง", "2")) if note[2] == "หญิง" else (form.title,)
    return _Found(titles, rest[note.end() :])


def _full_title(text: str, forms: tuple[tuple[str, _Form], ...], is_given_name: Callable[[str], bool]) -> _Found | None:
    for written, form in forms:
        if not text.startswith(written):
            continue
        rest = text[len(written) :]
        if not _names_somebody(rest):
            continue
        if rest[0] == " ":
            return _spaced_title(written, form, rest[1:], is_given_name)
        if rest[0] in ".(":
            return _with_rank_note(form, rest.lstrip("."))
        word = text.partition(" ")[0]
        remainder = word[len(written) :]
        if len(remainder) < _SHORTEST_NAME or _DEPENDENT_SIGN.match(remainder):
            continue
        if form.fused:
            if is_given_name(word):
                return _Found((), "", ambiguous=True)
            return _with_rank_note(form, rest)
        if written == "พระ" and is_given_name(remainder) and not is_given_name(word):
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
        form = _Form(title, rank, fused)
        # Where ranks of two services share an abbreviation, the first of the table stands for both.
        forms.setdefault(full, form)
        key = abbreviation.replace(".", "").replace("ฯ", "").replace(" ", "")
        if _PIECE.fullmatch(key):
            abbreviations.setdefault(key, form)
        elif "." not in abbreviation:
            forms.setdefault(abbreviation, _Form(title, rank))
    for title in _MORE_FULL_FORMS:
        forms.setdefault(title.full, _Form(title, fused=not title.monastic or title.full in _FUSED_MONASTIC))
    for key, title in _MORE_ABBREVIATIONS.items():
        abbreviations.setdefault(key, _Form(title))
    by_start: dict[str, list[tuple[str, _Form]]] = {}
    for written in sorted(forms, key=len, reverse=True):
        by_start.setdefault(written[:3], []).append((written, forms[written]))
    return _Tables(by_code, abbreviations, {start: tuple(group) for start, group in by_start.items()})


def _sex_of_form(full: str, *, monastic: bool) -> str:
    """Sex that a full form tells; a rank without หญิง tells nothing, because the note is often left out."""
    if "หญิง" in full or full.startswith(("นางสาว", "แม่ชี", "ซิสเตอร์", "เจ้านาง")) or full == "นาง":
        return "2"
    if "ชาย" in full or "นายแพทย์" in full or full == "นาย" or (monastic and full != "นักบวช"):
        return "1"
    return ""
