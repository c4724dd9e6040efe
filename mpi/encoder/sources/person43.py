"""The PERSON file of the Ministry of Public Health's 43-file standard, as hospital systems export it.

Pipe-separated text, with or without a header, in UTF-8 or Windows-874. PRENAME holds a DOPA code by the standard and
free text in practice; BIRTH is CE by the standard and BE in some systems.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mpi.encoder.demographics import RawDemographics, RawName
from mpi.encoder.sources import LONGEST_LINE, RejectedRow, RowReason, SourceRow
from mpi.encoder.thai_text import decode_bytes
from mpi.errors import ExtractUnreadable

COLUMNS = (
    "HOSPCODE CID PID HID PRENAME NAME LNAME HN SEX BIRTH MSTATUS OCCUPATION_OLD OCCUPATION_NEW RACE NATION RELIGION "
    "EDUCATION FSTATUS FATHER MOTHER COUPLE VSTATUS MOVEIN DISCHARGE DDISCHARGE ABOGROUP RHGROUP LABOR PASSPORT "
    "TYPEAREA D_UPDATE TELEPHONE MOBILE"
).split()
"""Columns in the order of the standard; older exports end earlier."""

_FEWEST = COLUMNS.index("BIRTH") + 1
_NATIONS = {"099": "THA", "048": "MMR", "056": "LAO", "057": "KHM", "046": "MYS", "044": "CHN", "053": "VNM"}


def read(path: Path) -> Iterator[SourceRow | RejectedRow]:
    """Read a PERSON file row by row.

    Raises:
        ExtractUnreadable: missing, not pipe text, or cut short in the middle of a row.
    """
    columns: dict[str, int] | None = None
    width = 0
    line = b""
    number = 0
    for number, line in _lines(path):
        try:
            cells = decode_bytes(line.rstrip(b"\r\n")).split("|")
        except UnicodeDecodeError:
            if columns is None:
                raise ExtractUnreadable(path, "neither UTF-8 nor Windows-874 text", number) from None
            yield RejectedRow(number, RowReason.NOT_DECODABLE)
            continue
        if columns is None:
            header = [cell.strip().upper() for cell in cells]
            if len(cells) < _FEWEST or "\x00" in cells[0]:
                raise ExtractUnreadable(path, "not a PERSON file: expected columns separated by |", number)
            width = len(cells)
            if "PID" in header and "BIRTH" in header:
                columns = {name: place for place, name in enumerate(header)}
                continue
            columns = {name: place for place, name in enumerate(COLUMNS[:width])}
        if len(cells) != width:
            if not line.endswith(b"\n") and len(cells) < width:
                raise ExtractUnreadable(path, "cut short in the middle of a row; export the file again", number)
            if cells != [""]:
                yield RejectedRow(number, RowReason.COLUMN_COUNT)
            continue
        row = _row(cells, columns)
        if row.local_id:
            yield SourceRow(number, row)
        else:
            yield RejectedRow(number, RowReason.LOCAL_ID_MISSING)
    if columns is None:
        raise ExtractUnreadable(path, "empty", number or None)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(LONGEST_LINE):
                number += 1
                if len(line) == LONGEST_LINE:
                    raise ExtractUnreadable(path, "a line without end; not a PERSON file", number)
                yield number, line
    except OSError as error:
        raise ExtractUnreadable(path, error.strerror or "cannot be read") from None


def _row(cells: list[str], columns: dict[str, int]) -> RawDemographics:
    def cell(name: str) -> str:
        place = columns.get(name)
        return "" if place is None else cells[place].strip()

    nation = cell("NATION")
    passport = cell("PASSPORT")
    name = RawName(prefix=cell("PRENAME"), given=cell("NAME"), family=cell("LNAME"))
    return RawDemographics(
        local_id=cell("PID"),
        names=(name,),
        birth_date=cell("BIRTH"),
        sex=cell("SEX"),
        national_id=cell("CID"),
        passport=passport,
        # The file does not say who issued a passport; the holder's nation is the only hint that it has.
        passport_country=_NATIONS.get(nation, "") if passport else "",
        phone=cell("MOBILE") or cell("TELEPHONE"),
    )
