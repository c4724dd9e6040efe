"""Titles (คำนำหน้าชื่อ) before names: recognised to be dropped, because they change with age, marriage and office.

The list of the Department of Provincial Administration (504 codes with abbreviation and full form, CC0-1.0, as
published by SIL-TH in CS_DOPA_NamePrefix) stands in `data/dopa_prefix.tsv`; medical, academic, monastic and Latin
titles are added here.

A title is taken off only where it cannot be the beginning of a name: as a word of its own, when it is written with a
full stop, or from a short list of full forms that no given name begins with. So นพดล, คุณากร and พลอย stay whole.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources

MALE, FEMALE = "1", "2"
MOST_TITLES = 4

_MALE = (
    "นาย ด.ช. ดช. เด็กชาย น.ช. mr mister master สามเณร ส.ณ. พระ พระมหา พระครู พระภิกษุ นพ. นพ ทพ. ภก. พลฯ พลทหาร สมณะ"
).split()
_FEMALE = (
    "นาง นางสาว น.ส. นส. นส ด.ญ. ดญ. เด็กหญิง น.ญ. mrs ms miss คุณหญิง ท่านผู้หญิง แม่ชี พญ. พญ ทพญ. ภญ. ภกญ. สพญ. สพ.ญ. "
    "แพทย์หญิง ทันตแพทย์หญิง เภสัชกรหญิง"
).split()
_OTHER = (
    "คุณ ดร. ดร ผศ. รศ. ศ. ศจ. อ. อาจารย์ พว. สพ. น.สพ. นสพ. สัตวแพทย์ ทันตแพทย์ เภสัชกร นายแพทย์ ว่าที่ หม่อม dr prof รต. ว่าที่ร.ต. "
    "(พิเศษ) พิเศษ บาทหลวง ซิสเตอร์ หญิง"
).split()
_FUSED = (
    "นางสาว",
    "เด็กชาย",
    "เด็กหญิง",
    "หม่อมราชวงศ์",
    "หม่อมหลวง",
    "หม่อมเจ้า",
    "พระมหา",
    "พระครู",
    "ว่าที่ร้อยตรี",
    "น.ส.",
    "ด.ช.",
    "ด.ญ.",
)
"""Full forms that may stand against a name without a space."""
_MONASTIC = frozenset("พระ พระมหา พระครู พระภิกษุ สามเณร ส.ณ. แม่ชี".split())

_DOTTED = re.compile(r"(?:[ก-ฮ]{1,3}[ะ-๎]?\.){1,4}(?:หญิง)?|(?:ว่าที่) ?(?:[ก-ฮ]{1,2}\.){1,3}(?:หญิง)?")
_SPACE_AFTER_STOP = re.compile(r"(?<=[ก-ฮ]\.) +(?=[ก-ฮ]{1,2}\.)")
_LATIN = re.compile(r"(mr|mrs|ms|miss|mister|master|dr|prof)\b\.?\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Titles:
    """What stood before a name: the sex that it tells of ("" for none) and whether it is a monk's or a nun's."""

    sex: str
    monastic: bool


def take_titles(text: str) -> tuple[Titles, str]:
    """Take up to `MOST_TITLES` stacked titles off the front of cleaned text; return them and what remains.

    นาย and นาง fused with a name are left for the caller, who knows which given names begin like that.
    """
    sex, monastic, taken = "", False, 0
    while taken < MOST_TITLES:
        length = _title_length(text)
        if not length:
            break
        title = text[:length].strip()
        known = _known().get(title.lower().replace(" ", "")) or _known().get(title.rstrip(".").lower())
        sex = sex or (known or "").strip("?")
        if title.endswith("หญิง"):
            sex = FEMALE
        monastic = monastic or title in _MONASTIC
        text = text[length:].lstrip(" .")
        taken += 1
    return Titles(sex, monastic), text


def sex_of_title(title: str) -> str:
    """Sex that a title or its DOPA code tells of: "1", "2" or ""."""
    known = _codes().get(title.strip()) or _known().get(title.strip().lower().replace(" ", "")) or ""
    return known.strip("?")


def _title_length(text: str) -> int:
    """Length of the title that text begins with, with the space behind it; 0 for none."""
    first, space, rest = text.partition(" ")
    if not first:
        return 0
    latin = _LATIN.match(text)
    if latin and latin.end() < len(text):
        return latin.end()
    joined = _SPACE_AFTER_STOP.sub("", text[:24])
    dotted = _DOTTED.match(joined)
    if dotted and dotted.end() < len(joined) and _is_abbreviation(dotted.group()):
        # Count the characters of the original that the joined form was made of.
        stop, need = 0, dotted.end()
        kept = 0
        while kept < need:
            if text[stop] == joined[kept]:
                kept += 1
            stop += 1
        return stop + (len(text[stop:]) - len(text[stop:].lstrip(" ")))
    for fused in _FUSED:
        if text.startswith(fused) and len(text) > len(fused):
            return len(fused) + (text[len(fused)] == " ")
    if space and rest and first.lower() in _known():
        return len(first) + 1
    return 0


def _is_abbreviation(text: str) -> bool:
    """Say whether a dotted head is a title: anything but the particle ณ., which belongs to a family name."""
    return text != "ณ."


@cache
def _known() -> dict[str, str]:
    """Every title without spaces, in lower case, to the sex it tells of; "?" where it tells none."""
    known = {}
    for _, short, full in _rows():
        sex = _sex_of_words(full)
        known[short.replace(" ", "").lower()] = known[full.replace(" ", "").lower()] = sex or "?"
    for words, sex in ((_OTHER, "?"), (_MALE, MALE), (_FEMALE, FEMALE)):
        known.update(dict.fromkeys((word.lower() for word in words), sex))
    return known


@cache
def _codes() -> dict[str, str]:
    return {code: _sex_of_words(full) for code, _, full in _rows()}


@cache
def _rows() -> list[tuple[str, str, str]]:
    text = resources.files("mpi.encoder").joinpath("data/dopa_prefix.tsv").read_text(encoding="utf-8")
    rows = []
    for line in text.splitlines():
        code, short, full = line.split("\t")[:3]
        rows.append((code, short.strip(), full.strip()))
    return rows


def _sex_of_words(full: str) -> str:
    if full.endswith("หญิง") or full.startswith(("นางสาว", "นาง", "เด็กหญิง", "แม่ชี", "คุณหญิง", "นักโทษหญิง")):
        return FEMALE
    if full.startswith(("นาย", "เด็กชาย", "พระ", "สามเณร", "นักโทษชาย")):
        return MALE
    return ""


def known_code(prefix: str) -> bool:
    """Say whether a prefix is a DOPA code such as 003."""
    return prefix in _codes()
