"""Birth dates: two eras, Thai digits and months, unknown parts, impossible ones."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpi.encoder.dates import OLDEST, BirthDate, DateFlag, DateRejected, iso, parse_birth_date

TODAY = datetime.date(2026, 6, 30)
VECTORS = [
    json.loads(line)
    for line in (Path(__file__).parent.parent / "vectors/birth_dates.jsonl").read_text("utf-8").splitlines()
]


def parse(text: str) -> BirthDate:
    return parse_birth_date(text, TODAY)


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["birth_date"] for vector in VECTORS])
def test_vectors(vector: dict[str, str]) -> None:
    """Every vector comes out as the standard says: date, alternative and flag, or rejected."""
    if vector["expected"] is None:
        with pytest.raises(DateRejected):
            parse(vector["birth_date"])
        return
    found = parse(vector["birth_date"])
    assert found.iso == vector["expected"]
    assert [iso(*other) for other in found.alternatives] == ([vector["alternative"]] if "alternative" in vector else [])
    if "flag" in vector:
        assert vector["flag"] in found.flags


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("19871231", "1987-12-31"),
        ("25301231", "1987-12-31"),
        ("15012530", "1987-01-15"),
        ("15011987", "1987-01-15"),
        ("20022530", "1987-02-20"),
        ("20122001", "2001-12-20"),
        ("20101201", "2010-12-01"),
        ("19870115083000", "1987-01-15"),
        ("1987-01-15", "1987-01-15"),
        ("1987-01-15T00:00:00+07:00", "1987-01-15"),
        ("2530-01-15 00:00:00", "1987-01-15"),
        ("15/1/2530 0:00:00", "1987-01-15"),
        ("15.01.2530", "1987-01-15"),
        ("15-01-30", "1987-01-15"),
        ("30/06/69", "2026-06-30"),
        ("01/07/69", "1926-07-01"),
        ("31/12/69", "1926-12-31"),
        ("15 มค 30", "1987-01-15"),
        ("15มค2530", "1987-01-15"),
        ("15 ก.ย. 2530", "1987-09-15"),
        ("15 พ.ย. ๒๕๓๐", "1987-11-15"),
        ("วันที่ 15 เดือน มกราคม ปี พ.ศ. 2530", "1987-01-15"),
        ("15 มกราคม พุทธศักราช 2530", "1987-01-15"),
        ("15 มกราคม ค.ศ. 1987", "1987-01-15"),
        ("15 September 1987", "1987-09-15"),
        ("15-Oct-1987", "1987-10-15"),
        ("December 5, 1987", "1987-12-05"),
        ("1987", "1987"),
        ("2530", "1987"),
        ("-- -- 2500", "1957"),
        ("??/??/2500", "1957"),
        ("x/x/2500", "1957"),
        ("--/03/2500", "1957-03"),
        ("-- มี.ค. 2500", "1957-03"),
        ("'25300115", "1987-01-15"),
        ("25300000", "1987"),
        ("1987-03", "1987-03"),
        ("00/03/2530", "1987-03"),
        ("15/00/2530", "1987"),
        ("มีนาคม 2530", "1987-03"),
        ("15-JAN-87", "1987-01-15"),
        ("15 Jan 87", "1987-01-15"),
        ("15-JAN-87 00:00:00", "1987-01-15"),
        ("January 15, 87", "1987-01-15"),
        ("30 Jun 26", "2026-06-30"),
        ("01-JUL-26", "1926-07-01"),
        ("15 JAN BE 30", "1987-01-15"),
        ("15 Jan 2530", "1987-01-15"),
        ("Jan 87", "1987-01"),
        ("15 มกราคม ค.ศ. 87", "1987-01-15"),
        ("1/2530", "1987-01"),
        ("05/2530", "1987-05"),
        ("๐๕/๒๕๓๐", "1987-05"),
        ("05-1987", "1987-05"),
        ("00/2530", "1987"),
        ("ม.ค. 2530", "1987-01"),
        ("ม.ค. ๒๕๓๐", "1987-01"),
        ("มกราคม ๒๕๓๐", "1987-01"),
        ("Jan 1987", "1987-01"),
        ("Jan 15 1987 12:00AM", "1987-01-15"),
        ("15-ม.ค.-2530 00:00", "1987-01-15"),
        ("January 15th, 1987", "1987-01-15"),
        ("3rd Feb 1990", "1990-02-03"),
        ("วันพฤหัสบดีที่ 15 มกราคม พ.ศ. 2530", "1987-01-15"),
        ("Thursday, January 15, 1987", "1987-01-15"),
        ("15 กุมภาพันธุ์ 2530", "1987-02-15"),
        ("__/__/2530", "1987"),
        ("  /  /2530", "1987"),
        ("  /05/2530", "1987-05"),
    ],
)
def test_ways_of_writing(text: str, expected: str) -> None:
    """Each way in which systems write a date is read to the same ISO date."""
    assert parse(text).iso == expected


@pytest.mark.parametrize(
    ("text", "flag"),
    [
        ("", DateFlag.NOT_A_DATE),
        ("0", DateFlag.NOT_A_DATE),
        ("-", DateFlag.NOT_A_DATE),
        ("00000000", DateFlag.NOT_A_DATE),
        ("00/00/00", DateFlag.NOT_A_DATE),
        ("ไม่ทราบ", DateFlag.NOT_A_DATE),
        ("15 มกรา 1 2530", DateFlag.NOT_A_DATE),
        ("1987-01-15 hello", DateFlag.NOT_A_DATE),
        ("1/30", DateFlag.NOT_A_DATE),
        ("15th 2530", DateFlag.NOT_A_DATE),
        ("13/2530", DateFlag.IMPOSSIBLE),
        ("1899-12-30", DateFlag.TOO_OLD),
        ("1900-01-01", DateFlag.TOO_OLD),
        ("30/02/2530", DateFlag.IMPOSSIBLE),
        ("29/02/2480", DateFlag.IMPOSSIBLE),
        ("13/13/2530", DateFlag.IMPOSSIBLE),
        ("01/07/2569", DateFlag.FUTURE),
        ("2026-07", DateFlag.FUTURE),
        ("2027", DateFlag.FUTURE),
        ("31/12/1895", DateFlag.TOO_OLD),
        ("15/01/2400", DateFlag.TOO_OLD),
    ],
)
def test_rejected(text: str, flag: DateFlag) -> None:
    """What is no birth date of a living person is rejected with the reason."""
    with pytest.raises(DateRejected) as rejected:
        parse(text)
    assert rejected.value.flag is flag


@pytest.mark.parametrize("text", ["1/2530", "05/2530", "Jan 87"])
def test_a_month_without_a_day_is_flagged(text: str) -> None:
    """A month and a year are a date whose day is unknown."""
    assert DateFlag.UNKNOWN_DAY_MONTH in parse(text).flags


def test_old_new_year_keeps_both() -> None:
    """January to March before BE 2484 stand for two years, other months and CE years for one."""
    assert parse("31/03/2483").alternatives == ((1940, 3, 31),)
    assert parse("มกราคม 2480").alternatives == ((1937, 1, 0),)
    assert not parse("01/04/2483").alternatives
    assert not parse("31/03/2484").alternatives
    assert not parse("31/03/1940").alternatives


def test_leap_day_settles_the_year() -> None:
    """29 February exists in only one of the two years, so there is no doubt."""
    found = parse("29/02/2479")
    assert (found.iso, found.alternatives, found.flags) == ("1936-02-29", (), frozenset())


def test_repr_hides_the_date() -> None:
    """A representation tells what is remarkable, never the date."""
    assert repr(parse("01/01/2500")) == "BirthDate(flags=[<DateFlag.MAYBE_DEFAULT: 'maybe_default'>])"


@given(
    st.one_of(
        st.text(max_size=30),
        st.text(st.sampled_from("0123456789๐๑๒๓/-. TZ:พศคมกราJan,"), max_size=20),
        st.from_regex(r"\d{1,8}([/. -]\d{1,4}){0,2}", fullmatch=True),
    )
)
def test_total(text: str) -> None:
    """Any text gives a date that exists and is not in the future, or a rejection that does not repeat it."""
    try:
        found = parse(text)
    except DateRejected as rejected:
        reason = str(rejected)
    else:
        check(found)
        return
    assert reason in set(DateFlag)


@given(st.dates(TODAY.replace(year=TODAY.year - 99), TODAY))
def test_two_digits_beside_an_english_month(date: datetime.date) -> None:
    """An English month makes two digits those of the common era, a Thai one of the Buddhist era."""
    thai = "มค กพ มีค เมย พค มิย กค สค กย ตค พย ธค".split()[date.month - 1]
    year = (date.year + 543) % 100
    assert parse(f"{date:%d-%b-%y}").iso == date.isoformat()
    if date.year > 1940:
        assert parse(f"{date.day} {thai} {year:02d}").iso == date.isoformat()


def check(found: BirthDate) -> None:
    for year, month, day in ((found.year, found.month, found.day), *found.alternatives):
        assert datetime.date(year, month or 1, day or 1) <= TODAY
        assert month or not day
    assert 0 <= TODAY.year - found.year <= OLDEST


@given(st.dates(datetime.date(1941, 1, 1), TODAY))
def test_eras_agree(date: datetime.date) -> None:
    """A date from 1941 on is the same in both eras and in every common order."""
    year = date.year + 543
    written = (
        f"{date:%Y%m%d}", f"{year}{date:%m%d}", f"{date:%d/%m}/{year}", f"{date:%d/%m/%Y}", date.isoformat(),
    )  # fmt: skip
    assert {parse(text).iso for text in written} == {date.isoformat()}
