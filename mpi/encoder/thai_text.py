"""Thai text as facilities' systems hold it, brought to one canonical sequence of code points.

The same visible word arrives in many code point orders, with invisible characters, legacy glyphs or the wrong
decoding. Everything here keeps the word and changes only how it is written. Unicode normalisation alone does not
do it: NFKC takes sara am apart, NFC leaves the order of Thai vowel signs and tone marks alone.
"""

from __future__ import annotations

import os
import re
import unicodedata

os.environ.setdefault("PYTHAINLP_OFFLINE", "1")  # no call home
os.environ.setdefault("PYTHAINLP_READ_ONLY", "1")  # no folder in the user's home

from pythainlp.util import remove_repeat_vowels, reorder_vowels, thai_digit_to_arabic_digit

MOST_CHARACTERS = 400
"""Longer values are cut: no name is this long, and every step's work stays bounded."""

_PRIVATE_GLYPHS = str.maketrans(
    {
        0xF700: "ฐ", 0xF701: "\u0e34", 0xF702: "\u0e35", 0xF703: "\u0e36", 0xF704: "\u0e37",
        0xF705: "\u0e48", 0xF706: "\u0e49", 0xF707: "\u0e4a", 0xF708: "\u0e4b", 0xF709: "\u0e4c",
        0xF70A: "\u0e48", 0xF70B: "\u0e49", 0xF70C: "\u0e4a", 0xF70D: "\u0e4b", 0xF70E: "\u0e4c",
        0xF70F: "ญ", 0xF710: "\u0e31", 0xF711: "\u0e4d", 0xF712: "\u0e47", 0xF713: "\u0e48",
        0xF714: "\u0e49", 0xF715: "\u0e4a", 0xF716: "\u0e4b", 0xF717: "\u0e4c", 0xF718: "\u0e38",
        0xF719: "\u0e39", 0xF71A: "\u0e3a",
    }
)  # fmt: skip
"""Positioned glyphs that Windows and Mac printing wrote into the private use area."""

_TONES = "\u0e48-\u0e4b"
_ABOVE_BELOW = "\u0e31\u0e34-\u0e3a\u0e47"
_MARKS = f"{_ABOVE_BELOW}\u0e48-\u0e4e"
_NOT_PLAIN = re.compile(r"[^\u0e01-\u0e3a\u0e40-\u0e4cA-Za-z0-9 .,()'/\-]")
_SUSPECT = re.compile(
    f"[{_TONES}\u0e4c][{_ABOVE_BELOW}\u0e4d]|\u0e33[{_MARKS}]|[\u0e4d\u0e45\u0e4e]|\u0e40 ?\u0e40| [{_MARKS}]"
    f"|^[{_MARKS}]|[{_MARKS}][{_ABOVE_BELOW}]|[{_TONES}\u0e4c]{{2}}|[\u0e24\u0e26]\u0e32|([\u0e30\u0e32\u0e33\u0e40-\u0e44])\\1"
    f"|[A-Za-z0-9 .,()][{_MARKS}]"
)
_STEPS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (f" +([{_MARKS}])", r"\1"),
        ("(?<![\u0e24\u0e26])\u0e45", "\u0e32"),
        ("([\u0e24\u0e26])\u0e32", "\\1\u0e45"),
        (f"([{_TONES}])\u0e4d\u0e32", "\\1\u0e33"),
        (f"\u0e4d([{_TONES}]?)\u0e32", "\\1\u0e33"),
        (f"\u0e33([{_TONES}])", "\\1\u0e33"),
        (f"([{_TONES}\u0e4c])([{_ABOVE_BELOW}])", r"\2\1"),
        (f"[{_TONES}\u0e4c]+([{_TONES}\u0e4c])", r"\1"),
        (f"([{_ABOVE_BELOW}])\\1+", r"\1"),
        ("([\u0e30\u0e32\u0e33\u0e45\u0e40-\u0e44])\\1+", r"\1"),
        (f"(^|[^\u0e01-\u0e4e])[{_MARKS}]+", r"\1"),
        ("\u0e4e", ""),
    )
)
_TWO_SARA_E = re.compile("\u0e40 *\u0e40")
_MOST_ROUNDS = 12


def decode_bytes(data: bytes) -> str:
    """Decode what a facility's system wrote: UTF-8 if it is that, else Windows-874 (TIS-620 with its extensions).

    Raises:
        UnicodeDecodeError: it is neither.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp874")


def clean_text(text: str) -> str:
    """Bring text to its canonical sequence of code points; cleaning what is clean changes nothing.

    Thai digits become ASCII digits, invisible characters go, spaces of all kinds become one space, marks stand in
    the order consonant, vowel sign, tone or silencer. Letters are never exchanged for others that sound alike.
    """
    text = text[:MOST_CHARACTERS]
    if _NOT_PLAIN.search(text):
        text = _plain(text)
    text = " ".join(text.split())
    if _SUSPECT.search(text):
        text = _ordered(text)
    return text


def is_thai(text: str) -> bool:
    """Say whether text holds a Thai letter."""
    return any("\u0e01" <= character <= "\u0e2e" for character in text)


def _plain(text: str) -> str:
    text = _unmangled(text).translate(_PRIVATE_GLYPHS)
    text = thai_digit_to_arabic_digit(text)
    characters = []
    for character in text:
        if "\u0e01" <= character <= "\u0e4e":
            characters.append(character)
            continue
        category = unicodedata.category(character)
        if category == "Cf":
            continue
        if category in ("Cc", "Zs", "Zl", "Zp"):
            characters.append(" ")
        else:
            characters.append(unicodedata.normalize("NFKC", character))
    return unicodedata.normalize("NFC", "".join(characters))[:MOST_CHARACTERS]


def _unmangled(text: str) -> str:
    """Undo Thai bytes that were read as Latin-1, when that is plainly what happened."""
    odd = sum("\u00a1" <= character <= "\u00fb" for character in text)
    if odd <= 0.6 * len(text.replace(" ", "")):
        return text
    try:
        repaired = text.encode("latin-1").decode("cp874")
    except UnicodeError:
        return text
    return repaired if is_thai(repaired) else text


def _ordered(text: str) -> str:
    # One repair can expose the next, so the steps run until nothing changes.
    for _ in range(_MOST_ROUNDS):
        before = text
        # Two sara e are a sara ae, even with a space between; pythainlp would drop one of them.
        text = remove_repeat_vowels(reorder_vowels(_TWO_SARA_E.sub("\u0e41", text)))
        for pattern, replacement in _STEPS:
            text = pattern.sub(replacement, text)
        text = " ".join(text.split())
        if text == before:
            return text
    # Not a word any more; what remains without any mark is at least stable.
    return " ".join(re.sub(f"[{_MARKS}]", "", text).split())
