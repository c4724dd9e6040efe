"""Birth dates as Thai systems write them: two eras, two-digit years, Thai digits and month names, unknown parts.

Years are of the Buddhist era (BE = CE + 543) where they are 2400 or more: for living people the eras never overlap.
Two-digit years are BE by custom. Until 1940 the year began on 1 April, so a date from January to March of a BE year
before 2484 may stand for either of two CE years; both are kept. 1 January is what the 43-file standard writes for an
unknown day and month, so it is marked as low information.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from enum import StrEnum

from mpi.encoder.thai_text import clean_text

OLDEST = 130
"""Years of age beyond which a birth date is taken for a mistake."""
_ERA = 543
_FIRST_BE_YEAR = 2400
_LAST_OLD_BE_YEAR = 2483


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
        "มกราคม มค jan january", "กุมภาพันธ์ กพ feb february", "มีนาคม มีค mar march", "เมษายน เมย apr april",
        "พฤษภาคม พค may", "มิถุนายน มิย jun june", "กรกฎาคม กค jul july", "สิงหาคม สค aug august",
        "กันยายน กย sep sept september", "ตุลาคม ตค oct october", "พฤศจิกายน พย nov november", "ธันวาคม ธค dec december",
    ),
    start=1,
):  # fmt: skip
    _MONTHS.update(dict.fromkeys(_names.split(), _number))

_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})(?:\d{6})?")
_DAY_FIRST = re.compile(r"(\d{1,2})[-/. ](\d{1,2})[-/. ](\d{4}|\d{2})")
_YEAR_FIRST = re.compile(r"(\d{4})[-/.](\d{1,2})(?:[-/.](\d{1,2}))?(?:[T ].*)?")
_YEAR_ALONE = re.compile(r"(?:(?:--?[-/. ]*){0,2})(\d{4})")
_NAMED_MONTH = re.compile(r"(\d{1,2})?([^\d]+?)(\d{4}|\d{2})")
_ERA_WORDS = re.compile(r"(?:พ\.?ศ\.?|ค\.?ศ\.?|วันที่|เดือน|ปี|b\.?e\.?|a\.?d\.?)", re.IGNORECASE)


def parse_birth_date(text: str, today: datetime.date) -> BirthDate:
    """Parse a birth date.

    Args:
        text: the value as the source holds it.
        today: the day that nobody is born after.

    Raises:
        DateRejected: it is no date, impossible, in the future, or too long ago.
    """
    year, month, day, long_year = _parts(text)
    common_era = False
    if not long_year:
        year = _FIRST_BE_YEAR + 100 + year
        if year - _ERA > today.year:
            year -= 100
    if year < _FIRST_BE_YEAR:
        common_era = True
    else:
        year -= _ERA
    flags: set[DateFlag] = set()
    if month > 12 and 1 <= day <= 12:
        month, day = day, month
        flags.add(DateFlag.DAY_MONTH_SWAPPED)
    if month == 0:
        day = 0
    if day == 0:
        flags.add(DateFlag.UNKNOWN_DAY_MONTH)
    years = [year]
    if not common_era and year + _ERA <= _LAST_OLD_BE_YEAR and 1 <= month <= 3:
        # Counted through to the end of a year that began on 1 April, January to March fall one year later.
        years = [year + 1, year]
    possible = [(y, month, day) for y in years if _exists(y, month, day)]
    if not possible:
        raise DateRejected(DateFlag.IMPOSSIBLE)
    if len(possible) > 1:
        flags.add(DateFlag.OLD_NEW_YEAR)
    year = possible[0][0]
    if year < today.year - OLDEST:
        raise DateRejected(DateFlag.TOO_OLD)
    if datetime.date(year, month or 1, day or 1) > today:
        raise DateRejected(DateFlag.FUTURE)
    if (month, day) == (1, 1):
        flags.add(DateFlag.MAYBE_DEFAULT)
    return BirthDate(year, month, day, tuple(possible[1:]), frozenset(flags))


def _parts(text: str) -> tuple[int, int, int, bool]:
    """Year, month, day as written, and whether the year has four digits."""
    text = text.strip()
    found = _COMPACT.fullmatch(text)
    if found is None:
        text = _ERA_WORDS.sub(" ", clean_text(text)[0]).strip().strip(".")
        found = _COMPACT.fullmatch(text)
    if found:
        return _compact(found)
    if found := _DAY_FIRST.fullmatch(text):
        return int(found[3]), int(found[2]), int(found[1]), len(found[3]) == 4
    if found := _YEAR_FIRST.fullmatch(text):
        return int(found[1]), int(found[2]), int(found[3] or 0), True
    if found := _YEAR_ALONE.fullmatch(text):
        return int(found[1]), 0, 0, True
    if found := _NAMED_MONTH.fullmatch(text):
        month = _MONTHS.get(re.sub(r"[\s.,/-]", "", found[2]).lower())
        if month:
            return int(found[3]), month, int(found[1] or 0), len(found[3]) == 4
    raise DateRejected(DateFlag.NOT_A_DATE)


def _compact(found: re.Match[str]) -> tuple[int, int, int, bool]:
    year, month, day = int(found[1]), int(found[2]), int(found[3])
    if not (1850 <= year <= 2100 or 2393 <= year <= 2643):
        # Not year first: 15012530 is the 15th of January.
        digits = found[0][:8]
        year, month, day = int(digits[4:]), int(digits[2:4]), int(digits[:2])
    return year, month, day, True


def _exists(year: int, month: int, day: int) -> bool:
    try:
        datetime.date(year, month or 1, day or 1)
    except ValueError:
        return False
    return True
