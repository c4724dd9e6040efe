"""Canonical code points of Thai text."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pythainlp.corpus import thai_family_names, thai_female_names, thai_male_names
from pythainlp.util import normalize

from mpi.encoder.thai_text import MAX_LENGTH, TextFlag, clean_text

THAI = "".join(map(chr, range(0x0E01, 0x0E3B))) + "".join(map(chr, range(0x0E40, 0x0E4F)))
AWKWARD = st.text("กนมฤฦสอ ะาำๅัิีืฺุู็่้๊๋์ํ๎เแไๆฯ.-aé\u0301\u200b\uf70a๑ÊÁà¸ªÿ\ufffd", max_size=20)

REPAIRS = [
    ("\u0e19\u0e4d\u0e49\u0e32ฝน", "น้ำฝน", "nikhahit, tone, sara aa"),
    ("\u0e19\u0e49\u0e4d\u0e32ฝน", "น้ำฝน", "tone, nikhahit, sara aa"),
    ("\u0e19\u0e33\u0e49ฝน", "น้ำฝน", "sara am, tone"),
    ("\u0e14\u0e4d\u0e32", "ดำ", "nikhahit, sara aa"),
    ("\u0e40\u0e40ดง", "แดง", "two sara e"),
    ("\u0e40 \u0e40ดง", "แดง", "two sara e parted by a space"),
    ("สมช\u0e45ย", "สมชาย", "lakkhangyao for sara aa"),
    ("\u0e24\u0e32ชา", "\u0e24\u0e45ชา", "sara aa for lakkhangyao behind ru"),
    ("\u0e26\u0e32ชา", "\u0e26\u0e45ชา", "sara aa for lakkhangyao behind lu"),
    ("สิทธ\u0e4c\u0e34", "สิทธิ์", "thanthakhat before its vowel"),
    ("พันธ\u0e4c\u0e38", "พันธุ์", "thanthakhat before a lower vowel"),
    ("ก\u0e48\u0e38น", "กุ่น", "tone before a lower vowel"),
    ("ก\u0e48\u0e34ง", "กิ่ง", "tone before an upper vowel"),
    ("น\u0e49\u0e49อย", "น้อย", "tone twice"),
    ("น\u0e48\u0e49อย", "น้อย", "two tones, the last counts"),
    ("ก\u0e34\u0e35", "กี", "two vowels in one place, the last counts"),
    ("สมชา\u0e32ย", "สมชาย", "sara aa twice"),
    ("อนุสรณ\u0e4c\u0e4c", "อนุสรณ์", "thanthakhat twice"),
    ("\u0e49สมชาย", "สมชาย", "mark without a consonant"),
    ("า\u0e32สมชาย", "สมชาย", "vowel sign without a word before it"),
    ("สมชาย\u0e40 ใจดี", "สมชาย ใจดี", "leading vowel without a consonant"),
    ("a\u0e34b", "ab", "mark on a Latin letter"),
    ("สม\u0e4eชาย", "สมชาย", "yamakkan"),
    ("ก\uf70aอ", "ก่อ", "private-use tone"),
    ("ป\uf701น", "ปิน", "private-use vowel"),
    ("\uf70fา", "ญา", "private-use yo ying without its foot"),
    ("\uf700าน", "ฐาน", "private-use tho than without its foot"),
    ("ÊÁªÒÂ", "สมชาย", "Windows-874 read as Latin-1"),
    ("à¸ªà¸¡à¸Šà¸²à¸¢", "สมชาย", "UTF-8 read as Windows-1252"),
    ("สม\ufffdชาย", "สมชาย", "a character that was lost in decoding"),
]

TIDYING = [
    ("\ufeffนาย\u200bสมชาย\u00a0ใจดี ", "นายสมชาย ใจดี", "BOM, zero-width space, NBSP"),
    ("สม\u200cชาย\u200d", "สมชาย", "joiners"),
    ("สม\u00adชาย\u2060", "สมชาย", "soft hyphen, word joiner"),
    ("\u200eสมชาย\u200f", "สมชาย", "direction marks"),
    ("สมชาย\t\r\n ใจดี\u3000", "สมชาย ใจดี", "white space of every kind"),
    ("๑๒๓ ๙", "123 9", "Thai digits"),
    ("ＳＯＭＣＨＡＩ", "SOMCHAI", "fullwidth Latin"),
    ("O\u2019Brien", "O'Brien", "typographic apostrophe"),
    ("Jai\u2013Dee", "Jai-Dee", "typographic dash"),
    ("Jose\u0301", "José", "combining accent"),
    ("\u0e41 ดง", "แดง", "space behind a leading vowel"),
    ("พ ุ่ม", "พุ่ม", "space within a syllable"),
    ("\ud800สมชาย\ue000", "สมชาย", "lone surrogate and private use"),
]

UNCHANGED = [
    "สมชาย ใจดี",
    "น้ำฝน ก้อนคำ",
    "ฤๅชา ฤทธิ์",
    "พันธุ์ทิพย์ กาญจนะจิตรา สายสุนทร",
    "เกาะแก้ว เสาวลักษณ์",
    "ฐานวุฑฺโฒ พุทฺธํ",
    "Müller García",
    "François",
    "น.ส. สมศรี (ศรี) ฯ",
    "",
]


@pytest.mark.parametrize(("text", "expected", "why"), REPAIRS, ids=[case[2] for case in REPAIRS])
def test_wrong_code_points_are_repaired(text: str, expected: str, why: str) -> None:
    """Text that was stored wrong comes out right and says that it was repaired."""
    assert clean_text(text) == (expected, {TextFlag.REPAIRED}), why


@pytest.mark.parametrize(("text", "expected", "why"), TIDYING, ids=[case[2] for case in TIDYING])
def test_tidying_is_no_repair(text: str, expected: str, why: str) -> None:
    """Spaces, invisible characters and compatibility forms are tidied without a flag."""
    assert clean_text(text) == (expected, frozenset()), why


@pytest.mark.parametrize("text", UNCHANGED)
def test_clean_text_stays(text: str) -> None:
    """Well-formed text comes out as it is."""
    assert clean_text(text) == (text, frozenset())


def test_a_stray_mark_does_not_join_two_words() -> None:
    """A mark behind a space is dropped, not moved to a word that is complete without it."""
    assert clean_text("สมชาย \u0e34ใจดี")[0] == "สมชาย ใจดี"


def test_long_text_is_cut() -> None:
    """Text over the limit is cut and flagged, however long it is."""
    text, flags = clean_text("ก" * 1_000_000)
    assert len(text) == MAX_LENGTH
    assert flags == {TextFlag.TRUNCATED}


def test_text_that_grows_is_held_to_the_limit() -> None:
    """Compatibility forms that unfold into many characters do not pass the limit."""
    assert len(clean_text("\ufdfa" * MAX_LENGTH)[0]) <= MAX_LENGTH


def test_names_of_the_corpora_agree_with_pythainlp() -> None:
    """On real names the result is pythainlp's normalize, but for the long vowel of ru and lu, which it leaves."""
    for name in thai_female_names() | thai_male_names() | thai_family_names():
        expected = normalize(name).replace("ฤา", "ฤๅ").replace("ฦา", "ฦๅ")
        assert clean_text(name)[0] == expected


@given(st.one_of(AWKWARD, st.text(THAI + " ", max_size=30), st.text(max_size=60)))
def test_cleaning_twice_changes_nothing(text: str) -> None:
    """Canonical text is canonical: cleaning it again gives the same text and no flags."""
    cleaned, _ = clean_text(text)
    assert clean_text(cleaned) == (cleaned, frozenset())


@given(st.text(THAI + " ", max_size=60))
def test_thai_never_grows(text: str) -> None:
    """Thai text comes out no longer than it was, with single inner spaces only."""
    cleaned, _ = clean_text(text)
    assert len(cleaned) <= len(text)
    assert cleaned == " ".join(cleaned.split())


STACKS = st.tuples(
    st.sampled_from("กนพสอ"),
    st.sampled_from(["", "\u0e34", "\u0e35", "\u0e38", "\u0e39", "\u0e31"]),
    st.sampled_from(["", "\u0e48", "\u0e49", "\u0e4b"]),
    st.sampled_from(["", "\u0e4c", "\u0e3a"]),
).map(lambda stack: (stack[0], [mark for mark in stack[1:] if mark]))


@settings(max_examples=250, deadline=None)
@given(st.lists(STACKS, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_marks_in_any_order(stacks: list[tuple[str, list[str]]], random: Random) -> None:
    """However the marks of a consonant were typed one after the other, one text comes out."""
    shuffled = "".join(letter + "".join(random.sample(marks, len(marks))) for letter, marks in stacks)
    assert clean_text(shuffled)[0] == clean_text("".join(letter + "".join(marks) for letter, marks in stacks))[0]


@pytest.mark.parametrize("tone", ["", "\u0e48", "\u0e49", "\u0e4a", "\u0e4b"])
@pytest.mark.parametrize("letter", "กนสรฟ")
def test_sara_am_in_any_spelling(letter: str, tone: str) -> None:
    """Sara am is one sign, or nikhahit and sara aa, with its tone before, between or behind them."""
    spellings = [f"{tone}\u0e33", f"\u0e33{tone}", f"{tone}\u0e4d\u0e32", f"\u0e4d{tone}\u0e32", f"\u0e4d\u0e32{tone}"]
    assert {clean_text(f"{letter}{spelling}น")[0] for spelling in spellings} == {f"{letter}{tone}\u0e33น"}
