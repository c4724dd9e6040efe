"""Tables of any layout, CSV or Excel, read through a mapping file that names their columns.

The mapping is TOML, one `canonical field = "source column"` a line; `delimiter = ";"` overrides what is found out from
the header. Fields that a person may have several of take a list of columns, the present one first. Every system keeps
its patients under column names of its own: a mapping, not a program, adapts to it.

::

    local_id = "hn"
    prefix = "pname"
    given = "fname"
    family = "lname"
    birth_date = "birthday"
    national_id = ["cid", "old_cid"]
    previous_family = "maiden_name"
    alias = "other_name"
"""

from __future__ import annotations

import csv
import datetime
import importlib
import re
import tomllib
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import IO, Any

from mpi.encoder.demographics import OTHER_NAME_FIELDS, RawDemographics, RawName, other_names
from mpi.encoder.sources import (
    REPLACEMENT,
    RejectedRow,
    RowReason,
    SourceRow,
    checked,
    row_width,
    text_lines,
)
from mpi.encoder.thai_text import clean_text
from mpi.errors import ExtractUnreadable

FIELDS = (
    "local_id name prefix given middle family birth_date sex national_id passport passport_country phone address house "
    "subdistrict district province postcode"
).split() + OTHER_NAME_FIELDS
"""Canonical fields that a mapping may name; `name` is a whole name in one column, `address` begins with the house.

For names beside the present one see `mpi.encoder.demographics.other_names`.
"""
SEVERAL = frozenset((*OTHER_NAME_FIELDS, "national_id", "passport", "passport_country"))
"""Fields that take several columns; countries go with the passports in their order, one country with all of them."""
EXTRA = "xlsx"
"""Optional dependency that reads Excel workbooks."""
LARGEST_WORKBOOK = 1 << 30
"""Bytes of a workbook unpacked; it has to fit into memory, as text need not."""
LARGEST_SHEET = 1 << 26
"""Cells of a sheet, blank ones between the others counted: a stray cell in the last corner makes 17,000 million."""

_DELIMITERS = ",;\t|"
_OTHER_NAMES = frozenset(OTHER_NAME_FIELDS)
_SHARED_TEXTS = "xl/sharedStrings.xml"
_BLOCK_BYTES = 1 << 20
_LONGEST_REFERENCE = 80
_REFERENCE = re.compile(
    rb"""(?:\sr\s*=\s*["']|<dimension\s+ref\s*=\s*["'][A-Z]{1,9}\d{1,20}:)([A-Za-z]{0,9})(\d{1,20})"""
)
_MATCHED_FIELDS = frozenset(("name", "given", "family", "national_id", "passport"))


@dataclass(frozen=True, slots=True)
class Mapping:
    """Which column of a table holds which field.

    Attributes:
        columns: source columns by canonical field.
        delimiter: the one character between cells; "" to find it out.
    """

    columns: dict[str, tuple[str, ...]]
    delimiter: str = ""


def load_mapping(path: Path) -> Mapping:
    """Read a mapping file.

    Raises:
        ExtractUnreadable: missing, not TOML, or not a mapping; the message lists everything that is wrong.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ExtractUnreadable(path, error.strerror or "cannot be read") from None
    except UnicodeDecodeError:
        raise ExtractUnreadable(path, "not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ExtractUnreadable(path, f"not TOML: {error}") from None
    except (ValueError, RecursionError):
        raise ExtractUnreadable(path, "not TOML: a number or a nesting without end") from None
    delimiter = table.pop("delimiter", "")
    problems = [f"{field}: no such field, the fields are {', '.join(FIELDS)}" for field in table if field not in FIELDS]
    columns = {field: tuple(named) if isinstance(named, list) else (named,) for field, named in table.items()}
    for field, named in columns.items():
        if not named or not all(map(_is_name, named)):
            problems.append(f"{field}: the column's name is a text")
        elif field not in SEVERAL and len(named) > 1:
            problems.append(f"{field}: one column; several are for {', '.join(sorted(SEVERAL))}")
    countries = len(columns.get("passport_country", ()))
    if countries > 1 and countries != len(columns.get("passport", ())):
        problems.append("passport_country: one column, or as many as passport has")
    if not isinstance(delimiter, str) or len(delimiter) > 1 or delimiter in ("\r", "\n", '"'):
        problems.append("delimiter: one character")
    if "local_id" not in table:
        problems.append("local_id: is needed, a lookup points at it")
    if not table.keys() & _MATCHED_FIELDS:
        problems.append(f"one of {', '.join(sorted(_MATCHED_FIELDS))} is needed, people are matched by it")
    if problems:
        raise ExtractUnreadable(path, "; ".join(problems))
    return Mapping(columns, delimiter)


def read(path: Path, mapping: Mapping) -> Iterator[SourceRow | RejectedRow]:
    """Read a table row by row; its first row names the columns.

    Args:
        path: a text file, or an Excel workbook by its ending .xlsx, of which the first sheet is read.
        mapping: which column holds what.

    Raises:
        ExtractUnreadable: missing, not a table, without a column that the mapping names, cut short, or a workbook
            while the extra `xlsx` is not installed.
    """
    if path.suffix.lower() == ".xlsx":
        yield from _read_workbook(path, mapping)
    else:
        yield from _read_text(path, mapping)


class _Lines:
    """Lines as the csv module takes them, and whether the last of them had its line end."""

    def __init__(self, path: Path) -> None:
        self._lines = text_lines(path)
        self.line = ""
        self.ended = False

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = next(self._lines, None)
        if line is None:
            self.ended = True
            raise StopIteration
        self.line = line
        return line


def _read_text(path: Path, mapping: Mapping) -> Iterator[SourceRow | RejectedRow]:
    lines = _Lines(path)
    header = next(lines)
    try:
        delimiter = mapping.delimiter or _delimiter(header, mapping)
        names = next(csv.reader([header], delimiter=delimiter))
    except csv.Error:
        raise ExtractUnreadable(path, "not a table with the columns' names in its first row", 1) from None
    places = _places(path, names, mapping)
    width = 0
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    end = 1
    while True:
        begin, cells = end + 1, None
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error:
            if lines.ended:
                raise ExtractUnreadable(path, "truncated: ends inside quotation marks", begin) from None
        end = 1 + rows.line_num
        if cells:
            width = width or row_width(names, cells)
        if cells is None or len(cells) != width:
            if end > begin:
                # Rows behind an open quotation mark were taken into one cell: not one of them can be trusted.
                raise ExtractUnreadable(path, "a quotation mark is not closed", begin)
            if cells and len(cells) < width and not lines.line.endswith(("\n", "\r")):
                raise ExtractUnreadable(path, "truncated: the last row lacks columns; export the file again", begin)
            if cells != []:
                yield RejectedRow(begin, RowReason.QUOTING if cells is None else RowReason.COLUMN_COUNT)
        elif any(cells):
            yield _row(begin, cells, places)


def _delimiter(header: str, mapping: Mapping) -> str:
    """Find the character that parts the header into the most columns that the mapping names."""
    wanted = {_folded(column) for columns in mapping.columns.values() for column in columns}

    def found(delimiter: str) -> int:
        return len(wanted & set(map(_folded, next(csv.reader([header], delimiter=delimiter)))))

    return max(_DELIMITERS, key=found)


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the mapped columns are.

    Attributes:
        first: place of each field's first column.
        several: places of all columns of fields that have several, and of every field for further names.
    """

    first: dict[str, int]
    several: dict[str, tuple[int, ...]]


def _places(path: Path, names: Sequence[str], mapping: Mapping) -> _Places:
    places = {_folded(name): place for place, name in reversed(list(enumerate(names)))}
    # The mapping's words are repeated, never the file's: without a header the first row is a person.
    every = [column for columns in mapping.columns.values() for column in columns]
    missing = [column for column in every if _folded(column) not in places]
    if missing:
        raise ExtractUnreadable(path, f"the header lacks {', '.join(missing)}, which the mapping names", 1)
    found = {field: tuple(places[_folded(column)] for column in columns) for field, columns in mapping.columns.items()}
    several = {field: columns for field, columns in found.items() if len(columns) > 1 or field in _OTHER_NAMES}
    return _Places({field: columns[0] for field, columns in found.items()}, several)


def _row(number: int, cells: Sequence[str], places: _Places) -> SourceRow | RejectedRow:
    row = {field: cells[place].strip() for field, place in places.first.items()}
    several = {field: [cells[place].strip() for place in columns] for field, columns in places.several.items()}
    if REPLACEMENT in "".join(row.values()) or any(REPLACEMENT in "".join(values) for values in several.values()):
        return RejectedRow(number, RowReason.NOT_DECODABLE)
    value = row.get
    prefix = value("prefix", "")
    if full := value("name", ""):
        names = [RawName(full=f"{prefix} {full}".strip())]
    else:
        names = [RawName("", prefix, value("given", ""), value("middle", ""), value("family", ""))]
    passport, country = value("passport", ""), value("passport_country", "")
    passports: list[tuple[str, str]] = []
    if several:
        names += other_names(lambda field: several.get(field, ()))
        countries = several.get("passport_country") or repeat(country)
        passports = [pair for pair in zip(several.get("passport", ()), countries, strict=False) if pair[0]]
    if passports:
        (passport, country), *passports = passports
    raw = RawDemographics(
        local_id=value("local_id", ""),
        names=tuple(names),
        birth_date=value("birth_date", ""),
        sex=value("sex", ""),
        national_id=value("national_id", ""),
        other_national_ids=tuple(filter(None, several.get("national_id", ())[1:])),
        passport=passport,
        passport_country=country,
        other_passports=tuple(passports),
        phone=value("phone", ""),
        house=_address(value("house", ""), value("address", "")),
        subdistrict=value("subdistrict", ""),
        district=value("district", ""),
        province=value("province", ""),
        postcode=value("postcode", ""),
    )
    return checked(number, raw)


def _address(house: str, address: str) -> str:
    """House number and street as one text; many systems repeat the number in front of the street."""
    return address if address.startswith(house) else f"{house} {address}".strip()


def _read_workbook(path: Path, mapping: Mapping) -> Iterator[SourceRow | RejectedRow]:
    try:
        calamine = importlib.import_module("python_calamine")
    except ImportError:
        raise ExtractUnreadable(
            path, f"Excel workbooks need the extra {EXTRA}: pip install thai-mpi[{EXTRA}]"
        ) from None
    try:
        _weigh(path)
        sheet = calamine.load_workbook(path).get_sheet_by_index(0)
    except OSError as error:
        raise ExtractUnreadable(path, error.strerror or "cannot be read") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, calamine.CalamineError):
        raise ExtractUnreadable(path, "not an Excel workbook") from None
    places: _Places | None = None
    for number, row in enumerate(sheet.iter_rows(), start=1):
        cells = [_cell_text(cell) for cell in row]
        if not any(cells):
            continue
        if places:
            yield _row(number, cells, places)
        else:
            places = _places(path, cells, mapping)
    if not places:
        raise ExtractUnreadable(path, "empty")


def _weigh(path: Path) -> None:
    """Refuse a workbook that does not fit into memory, before it is unpacked.

    Room is made for every cell up to the furthest, and where there is none the whole process ends.
    """
    with zipfile.ZipFile(path) as parts:
        if sum(part.file_size for part in parts.infolist()) > LARGEST_WORKBOOK:
            raise ExtractUnreadable(path, f"a workbook over {LARGEST_WORKBOOK >> 20} MiB unpacked; export CSV instead")
        for name in parts.namelist():
            if name == _SHARED_TEXTS:
                continue
            with parts.open(name) as part:
                if _cells(part) > LARGEST_SHEET:
                    raise ExtractUnreadable(path, "a cell far from the table; clear it, or export CSV instead")


def _cells(part: IO[bytes]) -> int:
    """Cells up to the furthest that a part of a workbook refers to."""
    columns = rows = 0
    block = b""
    while chunk := part.read(_BLOCK_BYTES):
        block = block[-_LONGEST_REFERENCE:] + chunk
        found = _REFERENCE.findall(block)
        columns = max(columns, *map(_column_number, {letters for letters, _ in found}), 1)
        rows = max(rows, *(int(digits) for _, digits in found), 1)
    return columns * rows


def _column_number(letters: bytes) -> int:
    """Place of a spreadsheet's column: 1 for A, 27 for AA."""
    number = 0
    for letter in letters.upper():
        number = number * 26 + letter - ord("A") + 1
    return number


def _cell_text(cell: Any) -> str:
    """Text of a cell as a person would read it: whole numbers without a fraction, dates in ISO 8601."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, datetime.datetime):
        return cell.date().isoformat()
    return str(cell)


def _folded(name: str) -> str:
    return clean_text(name)[0].casefold()


def _is_name(column: object) -> bool:
    return isinstance(column, str) and bool(column.strip())
