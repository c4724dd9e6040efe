"""Tables of any layout, CSV or Excel, read through a mapping file that names their columns.

The mapping is TOML, one `canonical field = "source column"` a line; `delimiter = ";"` overrides what is found out from
the header. Every system keeps its patients under column names of its own: a mapping, not a program, adapts to it.

::

    local_id = "hn"
    prefix = "pname"
    given = "fname"
    family = "lname"
    birth_date = "birthday"
    national_id = "cid"
"""

from __future__ import annotations

import csv
import datetime
import importlib
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpi.encoder.demographics import RawDemographics, RawName
from mpi.encoder.sources import REPLACEMENT, RejectedRow, RowReason, SourceRow, text_lines
from mpi.encoder.thai_text import clean_text
from mpi.errors import ExtractUnreadable

FIELDS = (
    "local_id name prefix given middle family birth_date sex national_id passport passport_country phone address house "
    "subdistrict district province postcode"
).split()
"""Canonical fields that a mapping may name; `name` is a whole name in one column, `address` begins with the house."""
EXTRA = "xlsx"
"""Optional dependency that reads Excel workbooks."""

_DELIMITERS = ",;\t|"
_MATCHED_FIELDS = frozenset(("name", "given", "family", "national_id", "passport"))


@dataclass(frozen=True, slots=True)
class Mapping:
    """Which column of a table holds which field.

    Attributes:
        columns: source column by canonical field.
        delimiter: the one character between cells; "" to find it out.
    """

    columns: dict[str, str]
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
    delimiter = table.pop("delimiter", "")
    problems = [f"{field}: no such field, the fields are {', '.join(FIELDS)}" for field in table if field not in FIELDS]
    problems += [f"{field}: the column's name is a text" for field, column in table.items() if not _is_name(column)]
    if not isinstance(delimiter, str) or len(delimiter) > 1 or delimiter in ("\r", "\n", '"'):
        problems.append("delimiter: one character")
    if "local_id" not in table:
        problems.append("local_id: is needed, a lookup points at it")
    if not table.keys() & _MATCHED_FIELDS:
        problems.append(f"one of {', '.join(sorted(_MATCHED_FIELDS))} is needed, people are matched by it")
    if problems:
        raise ExtractUnreadable(path, "; ".join(problems))
    return Mapping(table, delimiter)


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
        if cells is None or len(cells) != len(names):
            if end > begin:
                # Rows behind an open quotation mark were taken into one cell: not one of them can be trusted.
                raise ExtractUnreadable(path, "a quotation mark is not closed", begin)
            if cells and len(cells) < len(names) and not lines.line.endswith(("\n", "\r")):
                raise ExtractUnreadable(path, "truncated: the last row lacks columns; export the file again", begin)
            if cells != []:
                yield RejectedRow(begin, RowReason.QUOTING if cells is None else RowReason.COLUMN_COUNT)
        elif any(cells):
            yield _row(begin, cells, places)


def _delimiter(header: str, mapping: Mapping) -> str:
    """Find the character that parts the header into the most columns that the mapping names."""
    wanted = {_folded(column) for column in mapping.columns.values()}

    def found(delimiter: str) -> int:
        return len(wanted & set(map(_folded, next(csv.reader([header], delimiter=delimiter)))))

    return max(_DELIMITERS, key=found)


def _places(path: Path, names: Sequence[str], mapping: Mapping) -> dict[str, int]:
    """Place of each mapped field's column."""
    places = {_folded(name): place for place, name in reversed(list(enumerate(names)))}
    # The mapping's words are repeated, never the file's: without a header the first row is a person.
    missing = [column for column in mapping.columns.values() if _folded(column) not in places]
    if missing:
        raise ExtractUnreadable(path, f"the header lacks {', '.join(missing)}, which the mapping names", 1)
    return {field: places[_folded(column)] for field, column in mapping.columns.items()}


def _row(number: int, cells: Sequence[str], places: dict[str, int]) -> SourceRow | RejectedRow:
    def value(field: str) -> str:
        place = places.get(field)
        return "" if place is None else cells[place].strip()

    if any(REPLACEMENT in cells[place] for place in places.values()):
        return RejectedRow(number, RowReason.NOT_DECODABLE)
    local_id = value("local_id")
    if not local_id:
        return RejectedRow(number, RowReason.LOCAL_ID_MISSING)
    name = RawName("", value("prefix"), value("given"), value("middle"), value("family"))
    if full := value("name"):
        name = RawName(full=f"{name.prefix} {full}".strip())
    raw = RawDemographics(
        local_id=local_id,
        names=(name,),
        birth_date=value("birth_date"),
        sex=value("sex"),
        national_id=value("national_id"),
        passport=value("passport"),
        passport_country=value("passport_country"),
        phone=value("phone"),
        house=value("house") or value("address"),
        subdistrict=value("subdistrict"),
        district=value("district"),
        province=value("province"),
        postcode=value("postcode"),
    )
    return SourceRow(number, raw)


def _read_workbook(path: Path, mapping: Mapping) -> Iterator[SourceRow | RejectedRow]:
    try:
        calamine = importlib.import_module("python_calamine")
    except ImportError:
        raise ExtractUnreadable(
            path, f"Excel workbooks need the extra {EXTRA}: pip install thai-mpi[{EXTRA}]"
        ) from None
    try:
        sheet = calamine.load_workbook(path).get_sheet_by_index(0)
    except OSError as error:
        raise ExtractUnreadable(path, error.strerror or "cannot be read") from None
    except calamine.CalamineError:
        raise ExtractUnreadable(path, "not an Excel workbook") from None
    places: dict[str, int] = {}
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
