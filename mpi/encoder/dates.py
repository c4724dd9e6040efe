"""Birth dates as Thai systems write them: two eras, two-digit years, Thai digits and month names, unknown parts.

Years are of the Buddhist era (BE = CE + 543) where they are 2400 or more: for living people the eras never overlap.
Two-digit years are BE by custom, but CE beside an English month name (`15-JAN-87`), and stand for the last such year
that is not to come. Until 1940 the year began on 1 April, so a date from January to March of a BE year before 2484 may
stand for either of two CE years; both are kept. 1 January is what the 43-file standard writes for an unknown day and
month, so it is marked as low information.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from mpi.encoder.thai_text import clean_text

OLDEST = 120
"""Years of age beyond which a birth date is a mistake, often the zero of a database (1899-12-30, 1900-01-01)."""
_BE_OFFSET = 543
_FIRST_BE_YEAR = 2400
_LAST_OLD_BE_YEAR = 2483
_BE, _CE = "BE", "CE"


class DateFlag(StrEnum):
    """What is remarkable about a birth date, or why it was rejected."""

    UNKNOWN_DAY_MONTH = "unknown_day_month"
    MAYBE_DEFAULT = "maybe_default"
    DAY_MONTH_SWAPPED = "day_month_swapped"
    OLD_NEW_YEAR = "old_new_year"
    NOT_A_DATE = "not_a_date"
    IMPOSSIBLE = "impossible"
    FUTURE = "future"
    TOO_OLD = "too_old"


class DateRejected(ValueError):
    """A value is no birth date; `flag` says why, and nothing says what it was."""

    def __init__(self, flag: DateFlag) -> None:
        super().__init__(flag.value)
        self.flag = flag


@dataclass(frozen=True, slots=True, repr=False)
class BirthDate:
    """A birth date in the common era; `month` and `day` are 0 when unknown.

    Attributes:
        alternatives: other dates that the same value may stand for, as (year, month, day).
        flags: what is remarkable.
    """

    year: int
    month: int
    day: int
    alternatives: tuple[tuple[int, int, int], ...] = ()
    flags: frozenset[DateFlag] = frozenset()

    @property
    def iso(self) -> str:
        """ISO 8601, as far as it is known: "1987-01-15", "1987-01" or "1987"."""
        return iso(self.year, self.month, self.day)

    def __repr__(self) -> str:
        return f"BirthDate(flags={sorted(self.flags)})"


def iso(year: int, month: int, day: int) -> str:
    """Write a date that may lack its day, or its day and month, in ISO 8601."""
    return f"{year:04d}" + (f"-{month:02d}" if month else "") + (f"-{day:02d}" if day else "")


_MONTHS: dict[str, int] = {}
for _number, _names in enumerate(
    (
        "มกราคม มกรา มค january jan", "กุมภาพันธ์ กุมภาพันธุ์ กุมภา กพ february feb", "มีนาคม มีนา มีค march mar",
        "เมษายน เมษา เมย april apr", "พฤษภาคม พฤษภา พค may", "มิถุนายน มิถุนา มิย june jun",
        "กรกฎาคม กรกฏาคม กรกฎา กรกฏา กค july jul", "สิงหาคม สิงหา สค august aug", "กันยายน กันยา กย september sept sep",
        "ตุลาคม ตุลา ตค october oct", "พฤศจิกายน พฤษจิกายน พฤศจิกา พย november nov", "ธันวาคม ธันวา ธค december dec",
    ),
    start=1,
):  # fmt: skip
    _MONTHS.update(dict.fromkeys(_names.split(), _number))

_TIME = r"(?:[T ]\s*\d{1,2}:\d{2}[\d:.]*\s*(?:Z|[+-]\d{2}:?\d{2}|[AaPp][Mm])?)?"
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})(?:\d{6})?")
_DAY_FIRST = re.compile(r"(\d{1,2})[-/. ]+(\d{1,2})[-/. ]+(\d{4}|\d{2})" + _TIME)
_YEAR_FIRST = re.compile(r"(\d{4})[-/.](\d{1,2})(?:[-/.](\d{1,2})" + _TIME + ")?")
_MONTH_AND_YEAR = re.compile(r"(\d{1,2})[-/. ]+(\d{4})")
_YEAR_ALONE = re.compile(r"(\d{4})")
# A part that is not known, as cards and forms show it: "-- -- 2500", "??/07/2500", "x/x/2500", "__/__/2500".
_UNKNOWN_PART = re.compile(r"(?<![^/. ])(?:-{1,2}|_{1,2}|\?{1,2}|[xX]{1,2})(?=[-/. ])(?=.*\d{4}$)")
_NAMED_MONTH = re.compile(r"(\d{0,2})(?:(?<=\d)(?:st|nd|rd|th))?([^\d]+)(\d{4}|\d{2})" + _TIME)
_MONTH_FIRST = re.compile(r"([A-Za-z]+)\.? *(\d{1,2})(?:st|nd|rd|th)?[, ]+(\d{4}|\d{2})" + _TIME)
_ERA = re.compile(
    r"(พ\.? ?ศ\.?|พุทธศักราช|\bB\.?E\b\.?)|(ค\.? ?ศ\.?|คริสต์ศักราช|\bA\.?D\b\.?|\bC\.?E\b\.?)|วันที่|เดือน|ปี"
    r"|(?:วัน)?(?:จันทร์|อังคาร|พุธ|พฤหัส(?:บดี)?|ศุกร์|เสาร์|อาทิตย์)(?:ที่)?|\b(?:mon|tues|wednes|thurs|fri|satur|sun)day\b",
    re.IGNORECASE,
)
"""Era, the first group BE and the second CE, or a word that may go: what a number is, the day of the week."""
_THAI_DIGITS = str.maketrans("๐๑๒๓๔๕๖๗๘๙", "0123456789")
_BETWEEN = re.compile(r"[\s.,/-]+")


class _Written(NamedTuple):
    """A date as it is written: year, month and day in that order, the number of digits that the year has."""

    year: int
    month: int
    day: int
    digits: int
    era: str = ""


def parse_birth_date(text: str, today: datetime.date) -> BirthDate:
    """Parse a birth date.

    Args:
        text: the value as the source holds it.
        today: the day that nobody is born after.

    Raises:
        DateRejected: it is no date, impossible, in the future, or too long ago.
    """
    written = _read(text)
    flags: set[DateFlag] = set()
    month, day = written.month, written.day
    if month > 12 and 1 <= day <= 12:
        month, day = day, month
        flags.add(DateFlag.DAY_MONTH_SWAPPED)
    if month == 0:
        day = 0
    if day == 0:
        flags.add(DateFlag.UNKNOWN_DAY_MONTH)
    years = _years(written, month, day, today)
    possible = [(year, month, day) for year in years if _exists(year, month, day)]
    if not possible:
        raise DateRejected(DateFlag.IMPOSSIBLE)
    if len(possible) > 1:
        flags.add(DateFlag.OLD_NEW_YEAR)
    year = possible[0][0]
    if year < today.year - OLDEST:
        raise DateRejected(DateFlag.TOO_OLD)
    if (year, month, day) > (today.year, today.month, today.day):
        raise DateRejected(DateFlag.FUTURE)
    if (month, day) == (1, 1):
        flags.add(DateFlag.MAYBE_DEFAULT)
    return BirthDate(year, month, day, tuple(possible[1:]), frozenset(flags))


def _years(written: _Written, month: int, day: int, today: datetime.date) -> tuple[int, ...]:
    """CE years that a written year may stand for, the likelier first."""
    year = written.year
    if written.digits == 2:
        offset = 0 if written.era == _CE else _BE_OFFSET
        # The last year with these digits in which the date is not to come.
        year += (today.year + offset - year) // 100 * 100
        if (year - offset, month, day) > (today.year, today.month, today.day):
            year -= 100
    if written.era == _CE or (not written.era and year < _FIRST_BE_YEAR):
        return (year,)
    year -= _BE_OFFSET
    if year + _BE_OFFSET <= _LAST_OLD_BE_YEAR and 1 <= month <= 3:
        # Counted through to the end of a year that began on 1 April, January to March fall one year later.
        return year + 1, year
    return (year,)


def _read(text: str) -> _Written:
    found = _COMPACT.fullmatch(text)
    era = ""
    if found is None:
        text, _ = clean_text(text.translate(_THAI_DIGITS))
        stated = [match for match in _ERA.finditer(text) if match[1] or match[2]]
        if stated:
            era = _BE if stated[0][1] else _CE
        # Spreadsheets put an apostrophe before a number that is to stay a text.
        text = _UNKNOWN_PART.sub("0", _ERA.sub(" ", text).strip(" .,'/-"))
        found = _COMPACT.fullmatch(text)
    if found:
        written = _compact(found[0][:8])
    elif found := _DAY_FIRST.fullmatch(text):
        written = _Written(int(found[3]), int(found[2]), int(found[1]), len(found[3]))
    elif found := _YEAR_FIRST.fullmatch(text):
        written = _Written(int(found[1]), int(found[2]), int(found[3] or 0), 4)
    elif found := _MONTH_AND_YEAR.fullmatch(text):
        written = _Written(int(found[2]), int(found[1]), 0, 4)
    elif found := _YEAR_ALONE.fullmatch(text):
        written = _Written(int(found[1]), 0, 0, 4)
    else:
        written = _with_month_name(text)
    if not written.year and not written.month and not written.day:
        raise DateRejected(DateFlag.NOT_A_DATE)  # nothing but zeros: a way to leave the field empty
    return written._replace(era=era) if era else written


def _with_month_name(text: str) -> _Written:
    if found := _NAMED_MONTH.fullmatch(text):
        name, day = _BETWEEN.sub("", found[2]).lower(), found[1] or "0"
    elif found := _MONTH_FIRST.fullmatch(text):
        name, day = found[1].lower(), found[2]
    else:
        raise DateRejected(DateFlag.NOT_A_DATE)
    month, digits = _MONTHS.get(name), len(found[3])
    if month:
        return _Written(int(found[3]), month, int(day), digits, _CE if digits == 2 and name.isascii() else "")
    raise DateRejected(DateFlag.NOT_A_DATE)


def _compact(digits: str) -> _Written:
    """Read eight digits: year first as the standards have it, day first only where that alone makes a date."""
    year_first = _Written(int(digits[:4]), int(digits[4:6]), int(digits[6:]), 4)
    if _plausible(year_first):
        return year_first
    day_first = _Written(int(digits[4:]), int(digits[2:4]), int(digits[:2]), 4)
    return day_first if _plausible(day_first) else year_first


def _plausible(written: _Written) -> bool:
    year = written.year
    return (1850 <= year <= 2100 or 2393 <= year <= 2643) and written.month <= 12 and written.day <= 31


def _exists(year: int, month: int, day: int) -> bool:
    try:
        datetime.date(year, month or 1, day or 1)
    except ValueError:
        return False
    return True
