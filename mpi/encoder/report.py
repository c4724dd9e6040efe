"""Quality report of one extract: counts and row numbers, never a value.

Workers count what they see of each row in `ReportCounts`, whose parts are merged; `finish` turns the whole into a
`Report` and compares it with the one before. To find duplicates without keeping values, 64-bit keyed hashes are kept,
under a key made anew for each run: 28 bytes a row. Among five million values two share a hash by chance in about one
run of a million.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from bisect import insort
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from pathlib import PureWindowsPath
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from mpi.domain.identifiers import IdentifierKind
from mpi.encoder.demographics import Demographics
from mpi.encoder.findings import FINDINGS, Level, finding
from mpi.errors import InputRejected

EXAMPLES = 20
"""Row numbers, or groups of rows, that a finding names at most."""
GROUP_EXAMPLES = 5
"""Rows that are named of one group of duplicates."""
SMALLEST_CELL = 5
"""Counts of birth days and decades beneath this are suppressed."""
ALARM_POINTS = 3.0
"""Change of a share, in percentage points, that is an alarm..."""
ALARM_RECORDS = 20
"""...where it concerns at least so many records."""
FEW_CHANNELS = 1
"""A record with no more channels than this is easily missed."""
FIFTY = 50
"""Characters that the 43-file standard holds of a name; longer ones are cut there."""

KEY_BYTES = 16
_HASH_BYTES = 8
_ABSENT = bytes(_HASH_BYTES)
_ROW_BYTES = 4
_FORMAT = 1
_DIGITS = re.compile(r"\d+")
_MOST = 1 << 53
"""No count is higher: beyond it shares would be rounded, and in the end be no number at all."""
_SEPARATOR = "\x1f"
_DAYS = 31
_DAYS_A_YEAR = 364.25
"""Without 1 January."""
_SPIKES = {"birth_date:first_of_month": (1, 11), "birth_date:fifteenth": (15, 12)}
"""Day of the month, and how often a year has it without 1 January."""
_SPIKE = 1.5
"""Times the expected share that make a spike."""
_PERSONAL = (IdentifierKind.NATIONAL_ID, IdentifierKind.ALIEN_ID)
_REJECTED_ID = frozenset(f"national_id:{word}" for word in ("dummy", "checksum", "length", "characters"))
_REJECTED_DATE = frozenset(f"birth_date:{word}" for word in ("not_a_date", "impossible", "future", "too_old"))

Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Header:
    """What a report is about.

    Attributes:
        facility: facility code.
        profile: name of the encoding profile.
        channels: names of the profile's channels, in its order.
        key_epochs: names of the key epochs that were used.
        source: format of the extract.
        extract: base name of the extract; folders in front of it are taken off.
        made: when, in ISO 8601.
        version: version of this program.
        normaliser: version of the normaliser that the profile asks for.
    """

    facility: str
    profile: str
    channels: tuple[str, ...]
    key_epochs: tuple[str, ...]
    source: str
    extract: str
    made: str
    version: str
    normaliser: str

    def __post_init__(self) -> None:
        # A Windows path reads both kinds of slashes.
        object.__setattr__(self, "extract", PureWindowsPath(self.extract).name)

    def continues(self, earlier: Header) -> bool:
        """Say whether the two are of one series: of one facility and format, their extracts alike but for digits.

        Extracts are named for the day or month they were made, as in person_202606.txt; one of another name is
        another table, whose shares say nothing about this one.
        """
        return (self.facility, self.source, _series(self.extract)) == (
            earlier.facility,
            earlier.source,
            _series(earlier.extract),
        )


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure.

    Attributes:
        key: which finding (mpi.encoder.findings).
        level: how much it asks of the facility, when it is not zero.
        count: rows concerned.
        base: rows of which they are a part.
        rows: the first of their numbers, ascending, at most `EXAMPLES`.
        groups: for duplicates, how many groups they form.
        examples: the first of these groups, each with the first of its rows.
        before: share of the run before; None when there is none to compare with.
        alarm: the share changed suddenly.
    """

    key: str
    level: Level
    count: int
    base: int
    rows: tuple[int, ...] = ()
    groups: int = 0
    examples: tuple[tuple[int, ...], ...] = ()
    before: float | None = None
    alarm: bool = False

    @property
    def share(self) -> float:
        """Part of the base, 0 to 1."""
        return self.count / self.base if self.base else 0.0

    @property
    def change(self) -> float | None:
        """Change of the share since the run before, in percentage points."""
        return None if self.before is None else 100 * (self.share - self.before)


@dataclass(frozen=True, slots=True)
class Report:
    """The quality report of one extract.

    Attributes:
        header: what it is about.
        rows: rows of the extract.
        records: rows that were encoded; the others were set aside.
        figures: every figure, in the order of the report, zeros included.
        birth_days: birth dates by day of the month, 1 to 31, without 1 January; None is suppressed.
        birth_decades: birth dates by (first year of the decade, count); None is suppressed.
        before: when the run that this one is compared with was made; "" when there is none.
        records_before: its records.
    """

    header: Header
    rows: int
    records: int
    figures: tuple[Figure, ...]
    birth_days: tuple[int | None, ...] = ()
    birth_decades: tuple[tuple[int, int | None], ...] = ()
    before: str = ""
    records_before: int | None = None

    @property
    def alarms(self) -> tuple[Figure, ...]:
        """Figures that changed suddenly."""
        return tuple(figure for figure in self.figures if figure.alarm)

    @property
    def records_alarm(self) -> bool:
        """Whether the number of records itself changed suddenly, by more than a tenth."""
        if self.records_before is None:
            return False
        change = abs(self.records - self.records_before)
        return change >= ALARM_RECORDS and 10 * change > self.records_before

    def figure(self, key: str) -> Figure:
        """Return the figure of that key; KeyError when there is none."""
        for figure in self.figures:
            if figure.key == key:
                return figure
        raise KeyError(key)

    def to_json(self) -> str:
        """Write the report as JSON, with the words of each finding; `from_json` reads it back."""
        content = asdict(self)
        for entry in content["figures"]:
            words = finding(entry["key"])
            entry["share"] = round(entry["count"] / entry["base"], 6) if entry["base"] else 0.0
            entry |= {"section": words.section.value, "title": words.title}
            entry |= {"meaning": words.meaning, "action": words.action}
        return json.dumps({"format": _FORMAT, **content}, ensure_ascii=False, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a report that `to_json` wrote.

        Raises:
            InputRejected: it is none.
        """
        try:
            content = json.loads(text)
            if content["format"] != _FORMAT:
                raise ValueError
            return cls(
                _header(content["header"]),
                _count(content["rows"]),
                _count(content["records"]),
                tuple(_figure(entry) for entry in content["figures"]),
                tuple(_cell(count) for count in content["birth_days"]),
                tuple((_count(decade), _cell(count)) for decade, count in content["birth_decades"]),
                _text(content["before"]),
                _cell(content["records_before"]),
            )
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise InputRejected("not a quality report of this program, or a damaged one") from None


class _Tally:
    """How many rows, and the lowest of their numbers; the same in whatever order rows come."""

    __slots__ = ("count", "rows")

    def __init__(self, count: int = 0, rows: Sequence[int] = ()) -> None:
        self.count = count
        self.rows = list(rows)

    def add(self, row: int) -> None:
        self.count += 1
        self._name(row)

    def merge(self, other: _Tally) -> None:
        self.count += other.count
        for row in other.rows:
            self._name(row)

    def _name(self, row: int) -> None:
        rows = self.rows
        if len(rows) < EXAMPLES:
            insort(rows, row)
        elif row < rows[-1]:
            rows.pop()
            insort(rows, row)


class _Tallies(dict[str, _Tally]):
    """Tallies by key."""

    def __missing__(self, key: str) -> _Tally:
        tally = self[key] = _Tally()
        return tally


class ReportCounts:
    """What was seen of the rows of an extract, or of a part of them.

    Holds numbers of rows, counts, and keyed hashes; never a value, and the key goes into no output of it. Objects of
    one run share a key and can be merged in any order.
    """

    def __init__(self, hashing_key: bytes) -> None:
        """Begin to count.

        Args:
            hashing_key: 16 random bytes that all parts of a run share and no other run does.
        """
        if len(hashing_key) != KEY_BYTES:
            raise ValueError(f"a hashing key has {KEY_BYTES} bytes")
        self._key = hashing_key
        self._run = blake2b(key=hashing_key, digest_size=_HASH_BYTES, person=b"run").hexdigest()
        self._records = 0
        self._aside = _Tallies()
        self._flags = _Tallies()
        self._seen = _Tallies()
        self._counters: dict[str, Counter[str]] = {name: Counter() for name in ("with", "channel", "day", "decade")}
        self._rows = bytearray()
        self._local_ids, self._numbers, self._people = bytearray(), bytearray(), bytearray()

    def __repr__(self) -> str:
        return f"ReportCounts(records={self._records}, aside={self.aside.total()})"

    @property
    def aside(self) -> Counter[str]:
        """Rows set aside, by reason."""
        return Counter({reason: tally.count for reason, tally in self._aside.items()})

    @property
    def flags(self) -> Counter[str]:
        """How often each remark of the normaliser was made on the rows that were encoded."""
        return Counter({flag: tally.count for flag, tally in self._flags.items()})

    def set_aside(self, row: int, reason: str) -> None:
        """Count a row that was set aside."""
        self._aside[str(reason)].add(row)

    def add(self, row: int, local_id: str, person: Demographics, channels: Sequence[str]) -> None:
        """Count a row that was encoded.

        Args:
            row: its number in the extract.
            local_id: the facility's own number of the person; only its hash is kept.
            person: its demographics; of them only hashes are kept.
            channels: names of the channels of its encodings; names may come twice.
        """
        if not self._key:
            raise ValueError("counts that were read without their key take no further rows")
        self._records += 1
        for flag in person.flags:
            self._flags[flag].add(row)
        for word in self._words(person, channels):
            self._seen[word].add(row)
        self._count_birth_date(row, person)
        self._counters["channel"].update(set(channels))
        self._rows += row.to_bytes(_ROW_BYTES, "little")
        self._local_ids += self._hash(b"local_id", local_id)
        number = next((each.value for each in person.identifiers if each.kind in _PERSONAL), "")
        self._numbers += self._hash(b"number", number) if number else _ABSENT
        self._people += self._hash(b"person", who) if (who := _who(person)) else _ABSENT

    def merge(self, other: ReportCounts) -> None:
        """Add what another part of the run counted.

        Raises:
            InputRejected: the other one belongs to another run.
        """
        if other._run != self._run:
            raise InputRejected("counts of another run cannot be merged")
        self._records += other._records
        for mine, theirs in zip(self._tallies().values(), other._tallies().values(), strict=True):
            for key, tally in theirs.items():
                mine[key].merge(tally)
        for name, counter in other._counters.items():
            self._counters[name].update(counter)
        for column, theirs_bytes in zip(self._columns().values(), other._columns().values(), strict=True):
            column += theirs_bytes

    def to_bytes(self) -> bytes:
        """Write the counts, without their key; `from_bytes` reads them back."""
        told = {
            "format": _FORMAT,
            "run": self._run,
            "records": self._records,
            "tallies": {
                name: {key: [tally.count, tally.rows] for key, tally in tallies.items()}
                for name, tallies in self._tallies().items()
            },
            "counters": self._counters,
        }
        columns: dict[str, Any] = {name: np.frombuffer(column, np.uint8) for name, column in self._columns().items()}
        out = io.BytesIO()
        np.savez(out, told=np.frombuffer(json.dumps(told).encode(), np.uint8), **columns)
        return out.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, hashing_key: bytes | None = None) -> Self:
        """Read counts that `to_bytes` wrote.

        Args:
            data: what it wrote.
            hashing_key: the run's key, if more rows are to be added; without it counts can be merged and finished.

        Raises:
            InputRejected: the data are none of that, damaged, or were made with another key.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                read = {name: np.ascontiguousarray(arrays[name], np.uint8).tobytes() for name in arrays.files}
            told = json.loads(read.pop("told"))
            counts = cls(hashing_key or bytes(KEY_BYTES))
            if told["format"] != _FORMAT or (hashing_key and told["run"] != counts._run):
                raise ValueError
            counts._run, counts._records = _text(told["run"]), _count(told["records"])
            for name, tallies in counts._tallies().items():
                for key, (count, rows) in told["tallies"][name].items():
                    tallies[key] = _Tally(_count(count), [_count(row) for row in rows])
            for name, counter in counts._counters.items():
                counter.update({key: _count(count) for key, count in told["counters"][name].items()})
            for name, column in counts._columns().items():
                column += read[name]
                if len(column) != counts._records * (_ROW_BYTES if name == "rows" else _HASH_BYTES):
                    raise ValueError
        except (ValueError, TypeError, KeyError, AttributeError, OSError, EOFError, zipfile.BadZipFile, RecursionError):
            raise InputRejected("not the counts of this run, or damaged ones") from None
        if not hashing_key:
            counts._key = b""
        return counts

    def _tallies(self) -> dict[str, _Tallies]:
        return {"aside": self._aside, "flags": self._flags, "seen": self._seen}

    def _columns(self) -> dict[str, bytearray]:
        return {"rows": self._rows, "local_ids": self._local_ids, "numbers": self._numbers, "people": self._people}

    def _hash(self, what: bytes, value: str) -> bytes:
        data = value.encode("utf-8", "surrogatepass")
        return blake2b(data, digest_size=_HASH_BYTES, key=self._key, person=what).digest()

    def _words(self, person: Demographics, channels: Sequence[str]) -> Iterator[str]:
        """What is remarkable about a person beside the normaliser's own remarks."""
        kinds = {identifier.kind for identifier in person.identifiers}
        self._counters["with"].update(kinds)
        if not kinds - {IdentifierKind.PHONE}:
            yield "identifier:none"
        if kinds.isdisjoint(_PERSONAL) and _REJECTED_ID.isdisjoint(person.flags):
            yield "national_id:missing"
        names = person.names
        if not person.newborn and not any(name.given for name in names):
            yield "name:given_missing" if names else "name:missing"
        if any(len(name.given) == FIFTY or len(name.family) == FIFTY for name in names):
            yield "name:fifty"
        if names and all(name.script == "latin" for name in names):
            yield "name:latin_only"
        if not person.sex:
            yield "sex:missing"
        elif any(name.sex_hint not in ("", person.sex) for name in names):
            yield "sex:contradicts_title"
        if not channels:
            yield "encoding:none"
        elif len(set(channels)) <= FEW_CHANNELS:
            yield "encoding:few"

    def _count_birth_date(self, row: int, person: Demographics) -> None:
        date = person.birth_date
        if date is None:
            if _REJECTED_DATE.isdisjoint(person.flags):
                self._seen["birth_date:missing"].add(row)
            return
        self._counters["decade"][str(date.year // 10 * 10)] += 1
        if date.day and (date.month, date.day) != (1, 1):
            self._counters["day"][str(date.day)] += 1


def finish(counts: ReportCounts, header: Header, previous: Report | None = None) -> Report:
    """Make the report of a whole extract.

    Args:
        counts: of all its parts.
        header: what it is about.
        previous: the report of the run before; one that this one does not continue is not compared with.
    """
    if previous is not None and not header.continues(previous.header):
        previous = None
    shares = {figure.key: figure.share for figure in previous.figures} if previous else {}
    days = _days(counts)
    return Report(
        header,
        counts._records + counts.aside.total(),
        counts._records,
        tuple(_compared(figure, shares.get(figure.key)) for figure in _figures(counts, header, days)),
        days,
        _decades(counts._counters["decade"]),
        previous.header.made if previous else "",
        previous.records if previous else None,
    )


def _figures(counts: ReportCounts, header: Header, days: tuple[int | None, ...]) -> Iterator[Figure]:
    records = counts._records
    rows = records + counts.aside.total()
    tallies = {**counts._flags, **counts._seen}
    tallies |= {f"aside:{reason}": tally for reason, tally in counts._aside.items()}
    tallies |= {f"with:{kind}": _Tally(count) for kind, count in counts._counters["with"].items()}
    duplicates = _duplicates(counts)
    for key in (*FINDINGS, *sorted(tallies.keys() - FINDINGS.keys())):
        tally = tallies.get(key) or _Tally()
        if key in duplicates:
            yield replace(duplicates[key], base=records)
        elif key in _SPIKES:
            day, often = _SPIKES[key]
            count, dates = days[day - 1], counts._counters["day"].total()
            if count is not None:
                spike = count >= ALARM_RECORDS and count > _SPIKE * dates * often / _DAYS_A_YEAR
                yield Figure(key, Level.LOOK if spike else Level.NOTE, count, dates)
        else:
            base = rows if key.startswith("aside:") else records
            yield Figure(key, finding(key).level, tally.count, base, tuple(tally.rows))
    fill = counts._counters["channel"]
    for name in (*header.channels, *sorted(fill.keys() - set(header.channels))):
        key = f"channel:{name}"
        yield Figure(key, finding(key).level, fill[name], records)


def _compared(figure: Figure, before: float | None) -> Figure:
    if before is None:
        return figure
    moved = abs(figure.share - before)
    # Rounding keeps a change of exactly so many points from falling on either side by the binary digits.
    alarm = round(100 * moved, 6) >= ALARM_POINTS and round(moved * figure.base, 6) >= ALARM_RECORDS
    return replace(figure, before=before, alarm=alarm)


def _duplicates(counts: ReportCounts) -> dict[str, Figure]:
    """Duplicates of each kind, found by sorting the hashes."""
    rows = np.frombuffer(counts._rows, "<u4")
    local_ids, numbers, people = (
        np.frombuffer(column, "<u8") for column in (counts._local_ids, counts._numbers, counts._people)
    )
    return {
        "duplicate:local_id": _grouped("duplicate:local_id", rows, local_ids, None),
        "duplicate:national_id": _grouped("duplicate:national_id", rows, numbers, local_ids),
        "duplicate:person": _grouped("duplicate:person", rows, people, local_ids),
    }


def _grouped(key: str, rows: npt.NDArray[np.uint32], hashes: Hashes, local_ids: Hashes | None) -> Figure:
    """Rows of one hash, in groups of two and more; with `local_ids` only groups of several of them."""
    level = finding(key).level
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    # Whether a row has the hash of the row before it, and of the row behind it.
    before = np.zeros(len(ordered) + 1, bool)
    before[1:-1] = (ordered[1:] == ordered[:-1]) & (ordered[1:] != 0)
    before, behind = before[:-1], before[1:]
    member = before | behind
    places = order[member]
    starts = np.flatnonzero(~before[member])
    if not len(starts):
        return Figure(key, level, 0, 0)
    ends = np.append(starts[1:], len(places))
    if local_ids is not None:
        theirs = local_ids[places]
        several = np.minimum.reduceat(theirs, starts) != np.maximum.reduceat(theirs, starts)
    else:
        several = np.ones(len(starts), bool)
    lowest = np.minimum.reduceat(rows[places], starts)
    kept = np.flatnonzero(several)
    shown = kept[np.argsort(lowest[kept], kind="stable")[:EXAMPLES]]
    examples = tuple(
        tuple(int(row) for row in np.sort(rows[places[starts[at] : ends[at]]])[:GROUP_EXAMPLES]) for at in shown
    )
    return Figure(key, level, int((ends - starts)[kept].sum()), 0, groups=len(kept), examples=examples)


def _who(person: Demographics) -> str:
    """What two registrations of one patient have in common; "" where too little is known to tell people apart."""
    date, name = person.birth_date, person.names[0] if person.names else None
    if name is None or not (name.given and name.family and person.sex) or date is None or not date.day:
        return ""
    return _SEPARATOR.join((name.given, name.middle, name.family, date.iso, person.sex))


def _suppressed(cells: Sequence[int]) -> tuple[int | None, ...]:
    """Cells without the small ones, and without as many others as it takes that no subtraction gives those back."""
    hidden = {at for at, count in enumerate(cells) if 0 < count < SMALLEST_CELL}
    others = sorted((count, at) for at, count in enumerate(cells) if count >= SMALLEST_CELL)
    if hidden and others and (len(hidden) == 1 or sum(cells[at] for at in hidden) < SMALLEST_CELL):
        hidden.add(others[0][1])
    return tuple(None if at in hidden else count for at, count in enumerate(cells))


def _days(counts: ReportCounts) -> tuple[int | None, ...]:
    counter = counts._counters["day"]
    return _suppressed([counter[str(day)] for day in range(1, _DAYS + 1)])


def _decades(counter: Counter[str]) -> tuple[tuple[int, int | None], ...]:
    if not counter:
        return ()
    decades = range(min(map(int, counter)), max(map(int, counter)) + 1, 10)
    return tuple(zip(decades, _suppressed([counter[str(decade)] for decade in decades]), strict=True))


def _series(extract: str) -> str:
    return _DIGITS.sub("0", extract).casefold()


def _header(entry: dict[str, Any]) -> Header:
    return Header(
        facility=_text(entry["facility"]),
        profile=_text(entry["profile"]),
        channels=tuple(_text(name) for name in entry["channels"]),
        key_epochs=tuple(_text(name) for name in entry["key_epochs"]),
        source=_text(entry["source"]),
        extract=_text(entry["extract"]),
        made=_text(entry["made"]),
        version=_text(entry["version"]),
        normaliser=_text(entry["normaliser"]),
    )


def _figure(entry: dict[str, Any]) -> Figure:
    before = entry["before"]
    if not (before is None or (isinstance(before, float | int) and 0 <= before <= 1)):
        raise ValueError
    count, base = _count(entry["count"]), _count(entry["base"])
    if count > base:
        raise ValueError
    return Figure(
        _text(entry["key"]),
        Level(entry["level"]),
        count,
        base,
        tuple(_count(row) for row in entry["rows"]),
        _count(entry["groups"]),
        tuple(tuple(_count(row) for row in group) for group in entry["examples"]),
        None if before is None else float(before),
        entry["alarm"] is True,
    )


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MOST:
        raise ValueError
    return value


def _cell(value: object) -> int | None:
    return None if value is None else _count(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    value.encode()  # a lone surrogate, escaped, is valid JSON but no text
    return value
