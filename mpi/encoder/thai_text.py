"""Thai text as facilities hold it, brought into one canonical code point order.

Two hospitals can store one name in different code points that look the same on screen: sara am typed as nikhahit and
sara aa, a tone mark before its vowel, two sara e for sara ae, private-use glyphs of old Windows fonts, invisible
characters of a spreadsheet. An encoding compares code points, so all of them must come out alike.

Unicode normalisation alone does not do it, and one form of it does harm: NFKC takes sara am apart. So Thai characters
get NFC and the rules here, and only the other characters get NFKC.
"""

from __future__ import annotations

import os
import re
import unicodedata
from enum import StrEnum

# Normalising text needs no corpus, and a facility's machine must neither call out nor grow folders in a home directory.
os.environ.setdefault("PYTHAINLP_OFFLINE", "1")
os.environ.setdefault("PYTHAINLP_READ_ONLY", "1")

from pythainlp.util import remove_repeat_vowels

MAX_LENGTH = 400
"""Code points that a field may have; more is not a name, and is cut off."""


class TextFlag(StrEnum):
    """What `clean_text` had to do beyond tidying spaces."""

    REPAIRED = "REPAIRED"
    """Code points were wrong (encoding, private-use glyphs, order or doubling of marks) and were put right."""
    TRUNCATED = "TRUNCATED"
    """The text was longer than `MAX_LENGTH` and was cut."""


_NO_FLAGS: frozenset[TextFlag] = frozenset()

# Words of ASCII and of well-formed Thai syllables, one space between them: the common case, left alone at the cost of
# one match. It may refuse text that is clean, never accept text that is not.
_CLEAN = re.compile(
    r"(?:(?:[!-~ฯๆ]|[ก-รลว-ฮ][ัิ-ู็]?[่-๋]?์?(?:าะ|[ะาำ])?|[เ-ไ](?=[ก-ฮ])|[ฤฦ]ๅ?(?!า))++(?: (?!$))?+)*+",
)

# Glyph variants (lowered, shifted left, without their foot) that Windows-874 fonts kept in the private use area.
_PRIVATE_GLYPHS = dict(
    zip(
        range(0xF700, 0xF71B),
        (
            *(0x0E10, 0x0E34, 0x0E35, 0x0E36, 0x0E37),
            *(0x0E48, 0x0E49, 0x0E4A, 0x0E4B, 0x0E4C),
            *(0x0E48, 0x0E49, 0x0E4A, 0x0E4B, 0x0E4C),
            *(0x0E0D, 0x0E31, 0x0E4D, 0x0E47),
            *(0x0E48, 0x0E49, 0x0E4A, 0x0E4B, 0x0E4C),
            *(0x0E38, 0x0E39, 0x0E3A),
        ),
        strict=True,
    )
)
_DAMAGE = re.compile("[\u0e4e\uf700-\uf71a\ufffd]")


class _Characters(dict[int, int | str | None]):
    """`str.translate` table that decides by general category for code points that it does not list."""

    def __missing__(self, code_point: int) -> int | str | None:
        category = unicodedata.category(chr(code_point))
        if category[0] == "Z" or category == "Cc":
            return " "
        # Format characters are invisible; surrogates, unassigned and private-use code points mean nothing to anybody
        # else, and a lone surrogate cannot even be encoded.
        return None if category[0] == "C" else code_point


_CHARACTERS = _Characters(
    {
        **{code_point: code_point for code_point in range(0x20, 0x7F)},
        **{code_point: code_point for code_point in range(0x0E01, 0x0E3B)},
        **{code_point: code_point for code_point in range(0x0E40, 0x0E4E)},
        **_PRIVATE_GLYPHS,
        **{0x0E50 + digit: 0x30 + digit for digit in range(10)},
        0x0E4E: None,  # yamakkan has no place in a modern name and is typed by accident
        0xFFFD: None,
        **dict.fromkeys(map(ord, "\u00b4\u2018\u2019\u02bc\u02b9\u2032\uff07"), "'"),
        **dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe63\uff0d"), "-"),
    }
)

_FOREIGN = re.compile("[^\x00-\x7f\u0e00-\u0e7f]")
_FOREIGN_RUN = re.compile("[^\u0e00-\u0e7f]+")

_MARKS = "ัิ-ฺ็-ํ"
_SPLIT_SARA_AE = re.compile("เ ?เ")
# Only after a consonant that still lacks its vowel: "พ ุ่ม" is one word, the mark after "ชาย " is a stray.
_SPACE_IN_SYLLABLE = re.compile(f"(?<![ะ-ฺๅ็-ํเ-ไ][ก-ฮ])(?<=[ก-ฮ]) (?=[{_MARKS}ะาำๅ])")
_SPACE_BEHIND_LEADING_VOWEL = re.compile("(?<=[เ-ไ]) (?=[ก-ฮ])")
_LONG_RU = re.compile("([ฤฦ])[าๅ]+")
_STRAY_SIGNS = re.compile(f"(?<![ก-ฮ{_MARKS}])[{_MARKS}]+|(?<![ก-ฮะ-ฺเ-ๅ{_MARKS}])[ะาำๅ]+|[เ-ไ]+(?![ก-ฮเ-ไ])")
_MARK_RUN = re.compile(f"[{_MARKS}]{{2,}}")
_MARK_CLASS = {
    "ฺ": 0,
    **dict.fromkeys("ัิีึืุู็", 1),
    "ํ": 2,
    **dict.fromkeys("่้๊๋", 3),
    "์": 4,
}

_MOJIBAKE_LETTER = re.compile("[\u00a1-\u00fb]")
_THAI_LETTER = re.compile("[ก-ฮ]")
_MOJIBAKE_SHARE = 0.6


def _western_bytes() -> dict[str, int]:
    """Byte that a Windows-1252 reader took each character from; the five holes of that table pass as Latin-1."""
    table = {chr(byte): byte for byte in range(256)}
    for byte in range(0x80, 0xA0):
        table[bytes([byte]).decode("cp1252", "replace")] = byte
    table.pop("\ufffd", None)
    return table


_WESTERN_BYTES = _western_bytes()


def clean_text(text: str) -> tuple[str, frozenset[TextFlag]]:
    """Canonical code points of `text`, and what had to be done to it.

    Repairs mojibake and private-use glyphs, turns Thai digits into ASCII ones, drops invisible characters, squeezes
    white space into single spaces, and orders Thai vowels and marks as the Unicode Standard describes for Thai
    (chapter 16.1: consonant, vowel, tone, then sara am or another following vowel). Doubled marks count once, of two
    different ones in one place the last counts, marks and vowel signs without their
    consonant are dropped.

    Total and idempotent: any string comes out, at most `MAX_LENGTH` code points long, and comes out again unchanged.
    """
    if len(text) <= MAX_LENGTH and _CLEAN.fullmatch(text):
        return text, _NO_FLAGS
    flags: set[TextFlag] = set()
    if len(text) > MAX_LENGTH:
        flags.add(TextFlag.TRUNCATED)
        text = text[:MAX_LENGTH]
    if _DAMAGE.search(text):
        flags.add(TextFlag.REPAIRED)
    # One rule can uncover work for another. Each pass that changes something repairs, shortens or sorts, so few are
    # needed; the bound holds whatever the input.
    for _ in range(MAX_LENGTH):
        before = text
        unspoilt = _undo_mojibake(text)
        folded = _fold_characters(unspoilt)
        text = _order_thai(folded)
        if unspoilt != before or text.replace(" ", "") != folded.replace(" ", ""):
            flags.add(TextFlag.REPAIRED)
        if text == before:
            break
    return text, frozenset(flags) if flags else _NO_FLAGS


def _undo_mojibake(text: str) -> str:
    """Thai bytes that were read as Western ones, read again as UTF-8 or Windows-874; any other text as it is."""
    western = len(_MOJIBAKE_LETTER.findall(text))
    if not western or western <= _MOJIBAKE_SHARE * len(text.replace(" ", "")):
        return text
    try:
        data = bytes(map(_WESTERN_BYTES.__getitem__, text))
    except KeyError:
        return text
    for encoding in ("utf-8", "cp874"):
        try:
            repaired = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if _THAI_LETTER.search(repaired):
            return repaired
    return text


def _fold_characters(text: str) -> str:
    """Characters one by one: glyph variants, digits, spaces, invisible ones; NFKC for all but Thai."""
    text = text.translate(_CHARACTERS)
    if _FOREIGN.search(text):
        text = _FOREIGN_RUN.sub(_compatibility_form, text).translate(_CHARACTERS)
    return " ".join(text[:MAX_LENGTH].split())


def _compatibility_form(run: re.Match[str]) -> str:
    return unicodedata.normalize("NFKC", run[0])


def _order_thai(text: str) -> str:
    """One pass of the rules for the order of Thai code points."""
    # Sara ae goes first: remove_repeat_vowels would take the two halves of a split one for a doubled sara e.
    text = _SPLIT_SARA_AE.sub("แ", text)
    text = _SPACE_IN_SYLLABLE.sub("", text)
    text = _SPACE_BEHIND_LEADING_VOWEL.sub("", text)
    text = remove_repeat_vowels(text)
    text = _LONG_RU.sub(r"\1ๅ", text)
    text = _MARK_RUN.sub(_sort_marks, text)
    return _STRAY_SIGNS.sub("", unicodedata.normalize("NFC", text))


def _sort_marks(run: re.Match[str]) -> str:
    """Marks of one syllable: phinthu, vowel, nikhahit, tone, thanthakhat; the last one of each kind."""
    last = {_MARK_CLASS[mark]: mark for mark in run[0]}
    return "".join(last[kind] for kind in sorted(last))
