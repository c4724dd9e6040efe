"""Numbers of people: what is let through, what is not, and why."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpi.domain.identifiers import IdentifierKind
from mpi.encoder.identifiers import (
    Identifier,
    IdentifierFlag,
    IdentifierRejected,
    check_digit,
    parse_national_id,
    parse_passport,
    parse_phone,
)

VECTORS = [
    json.loads(line)
    for line in (Path(__file__).parent.parent / "vectors/national_ids.jsonl").read_text("utf-8").splitlines()
]


def outcome(parse: Callable[..., Identifier], *arguments: str) -> str:
    try:
        return parse(*arguments).value
    except IdentifierRejected as rejected:
        return f"rejected: {rejected}"


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["national_id"] for vector in VECTORS])
def test_national_id_vectors(vector: dict[str, str]) -> None:
    """Every vector comes out as the standard says: 13 digits, or the reason of its rejection."""
    expected = vector["expected"] or f"rejected: {vector['rejected']}"
    assert outcome(parse_national_id, vector["national_id"]) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" 1 1037 02488 99 2 ", "1103702488992"),
        ("1110370248899222", "rejected: length"),
        ("'1103702488992", "1103702488992"),
        ("1103702488992.0", "1103702488992"),
        ("1.103702E+12", "rejected: characters"),
        ("1103702488-X92", "rejected: characters"),
        ("", "rejected: characters"),
        ("5555555555555", "rejected: dummy"),
        ("g-1234-56789-01-2", "G123456789012"),
        ("G12345678901", "rejected: characters"),
        ("G000000000000", "rejected: dummy"),
    ],
)
def test_national_id(text: str, expected: str) -> None:
    """Separators and case do not matter; anything else that is wrong has its reason."""
    assert outcome(parse_national_id, text) == expected


@pytest.mark.parametrize(
    ("first", "kind"), [*((digit, "national_id") for digit in "123458"), *((d, "alien_id") for d in "067")]
)
def test_class_of_the_first_digit(first: str, kind: str) -> None:
    """Numbers that are held for life and numbers that change are told apart by the first digit."""
    digits = first + "10370248899"
    assert parse_national_id(digits + check_digit(digits)).kind == IdentifierKind(kind)


@given(st.from_regex(r"[1-8][0-9]{11}", fullmatch=True), st.integers(0, 11), st.integers(1, 9))
def test_check_digit_notices_slips(digits: str, place: int, step: int) -> None:
    """Most single wrong digits are noticed; never one in the third place, whose weight is eleven."""
    slip = digits[:place] + str((int(digits[place]) + step) % 10) + digits[place + 1 :]
    if place == 2:
        assert check_digit(slip) == check_digit(digits)
    total = sum((13 - i) * int(d) for i, d in enumerate(digits))
    assert check_digit(digits) == str((11 - total % 11) % 10)


@pytest.mark.parametrize(
    ("text", "country", "expected"),
    [
        ("aa 1234567", "tha", "THA:AA1234567"),
        ("MB-123456", "MMR", "MMR:MB123456"),
        ("AA1234567", "", "THA:AA1234567"),
        ("MB123456", "", "rejected: country"),
        ("MB123456", "Myanmar", "rejected: country"),
        ("12345", "MMR", "rejected: length"),
        ("1234567890123456", "MMR", "rejected: length"),
        ("พ1234567", "THA", "rejected: characters"),
        ("PASSPORT", "THA", "rejected: dummy"),
        ("000000000", "MMR", "rejected: dummy"),
    ],
)
def test_passport(text: str, country: str, expected: str) -> None:
    """A passport counts with its country only, which is assumed for the Thai form alone."""
    assert outcome(parse_passport, text, country) == expected


def test_passport_flags() -> None:
    """An assumed country and a number that may have been cut to eight characters are flagged."""
    assert parse_passport("AA1234567", "").flags == {IdentifierFlag.COUNTRY_ASSUMED}
    assert parse_passport("AA123456", "THA").flags == {IdentifierFlag.MAYBE_TRUNCATED}
    assert not parse_passport("AA1234567", "THA").flags


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((text, "0812345678") for text in (
            "0812345678", "081-234-5678", "(081) 234 5678", "+66 81 234 5678", "66812345678", "0066812345678",
            "+66(0)81-234-5678", "812345678", "๐๘๑-๒๓๔-๕๖๗๘", "0812345678, 0899999991", "0812345678/0899999991",
            "โทร 0812345678", "0812345678 ต่อ 12",
        )),
        ("02-123-4567 ext. 12", "021234567"),
        ("053 123456", "053123456"),
        ("'0812345678", "0812345678"),
        ("812345678.0", "0812345678"),
        ("+6621234567", "021234567"),
        ("0000000000", "rejected: dummy"),
        ("0888888888", "rejected: dummy"),
        ("0810000000", "rejected: dummy"),
        ("08123", "rejected: length"),
        ("0123456789", "rejected: length"),
        ("+18005550100", "rejected: characters"),
        ("ไม่มี", "rejected: characters"),
    ],
)  # fmt: skip
def test_phone(text: str, expected: str) -> None:
    """A Thai number comes out in national form, whichever way it is written; others are rejected."""
    assert outcome(parse_phone, text) == expected


def test_repr_hides_the_number() -> None:
    """A representation names the kind of number only."""
    assert repr(parse_national_id("1103702488992")) == "Identifier(national_id)"


@given(
    st.one_of(st.text(max_size=30), st.text(st.sampled_from("0123456789๐๖G+-/() .aA"), max_size=20)),
    st.sampled_from(["", "THA", "x", "\ud800"]),
)
def test_total(text: str, country: str) -> None:
    """Any text gives a canonical number that parses to itself, or a rejection that does not repeat it."""
    for parse, arguments in ((parse_national_id, ()), (parse_passport, (country,)), (parse_phone, ())):
        found = outcome(parse, text, *arguments)
        if found.startswith("rejected: "):
            assert found.removeprefix("rejected: ") in set(IdentifierFlag)
        else:
            assert found.isascii()
            assert outcome(parse, found.rpartition(":")[2], *arguments) == found
