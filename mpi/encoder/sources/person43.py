"""The PERSON file of the Ministry of Public Health's 43-file standard, as hospital systems export it.

Pipe-separated text, with or without a header, in UTF-8 or Windows-874; a delimiter may end every row. PRENAME holds a
DOPA code by the standard and free text in practice; BIRTH is CE by the standard and BE in some systems. A header may
name the columns in any order.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mpi.domain.identifiers import is_facility_code
from mpi.encoder.demographics import RawDemographics, RawName
from mpi.encoder.facilities import NO_CODES, FacilityCodes
from mpi.encoder.sources import REPLACEMENT, RejectedRow, RowReason, SourceRow, checked, row_width, text_lines
from mpi.errors import ExtractUnreadable

COLUMNS = (
    "HOSPCODE CID PID HID PRENAME NAME LNAME HN SEX BIRTH MSTATUS OCCUPATION_OLD OCCUPATION_NEW RACE NATION RELIGION "
    "EDUCATION FSTATUS FATHER MOTHER COUPLE VSTATUS MOVEIN DISCHARGE DDISCHARGE ABOGROUP RHGROUP LABOR PASSPORT "
    "TYPEAREA D_UPDATE TELEPHONE MOBILE"
).split()
"""Columns in the order of the standard; older exports end earlier."""

_FEWEST = COLUMNS.index("BIRTH") + 1
_REQUIRED = ("PID", "NAME", "BIRTH")
_READ = frozenset("HOSPCODE PID PRENAME NAME LNAME BIRTH SEX CID PASSPORT NATION MOBILE TELEPHONE".split())
_NATIONS = dict(
    pair.split("=")
    for pair in (
        "004=DEU 005=FRA 006=DNK 007=SWE 008=CHE 009=ITA 010=NOR 011=AUT 012=IRL 013=FIN 014=BEL 015=ESP 016=RUS "
        "017=POL 029=USA 030=CAN 034=BRA 044=CHN 045=IND 046=VNM 047=JPN 048=MMR 049=PHL 050=MYS 051=IDN 052=PAK "
        "053=KOR 054=SGP 055=NPL 056=LAO 057=KHM 058=LKA 060=ISR 062=IRN 063=TUR 064=BGD 069=BRN 070=ZAF 079=AUS "
        "080=NZL 126=GBR"
    ).split()
)
"""Countries of the standard's nationality codes (SIL-TH, cs-thcc-nationality, CC0-1.0) that issue passports.

Thailand's 099 is not among them: systems fill it in for everybody, so it says nothing of a passport's issuer.
"""
_PADDING = ' \t"\xa0'
"""Around cells: quotation marks, and the no-break space that is byte A0 of Windows-874."""


def read(path: Path, facility: str = "", codes: FacilityCodes = NO_CODES) -> Iterator[SourceRow | RejectedRow]:
    """Read a PERSON file row by row; the local id is PID.

    Args:
        path: the file.
        facility: code of the facility that the extract is of: a row whose HOSPCODE is another's is set aside, because
            its PID is a number of that facility. Without it every row counts.
        codes: which codes are of one facility.

    Raises:
        ExtractUnreadable: missing, not a PERSON file, or cut short in the middle of its last row.
    """
    columns: dict[str, int] | None = None
    header: list[str] = []
    width = 0
    for number, line in enumerate(text_lines(path), start=1):
        row = line.rstrip("\r\n\x1a")  # DOS programs end a file with Ctrl-Z
        if not row.strip():
            continue
        cells = row.split("|")
        if columns is None:
            columns, is_header = _columns(path, number, cells)
            header = cells
            if is_header:
                continue
        width = width or row_width(header, cells)
        if len(cells) < width and not line.endswith("\n"):
            raise ExtractUnreadable(path, "truncated: the last row lacks columns; export the file again", number)
        yield _row(number, cells, columns, width, facility, codes)
    if columns is None:
        raise ExtractUnreadable(path, "empty")


def _columns(path: Path, number: int, cells: list[str]) -> tuple[dict[str, int], bool]:
    """Place of each column that is read, and whether the first row names them."""
    named = {cell.strip(_PADDING).upper(): place for place, cell in enumerate(cells)}
    if len(named.keys() & set(COLUMNS)) >= len(_REQUIRED):
        missing = [name for name in _REQUIRED if name not in named]
        if missing:
            raise ExtractUnreadable(path, f"the header lacks {', '.join(missing)}", number)
        return {name: place for name, place in named.items() if name in _READ}, True
    if len(cells) < _FEWEST or not is_facility_code(cells[0].strip(_PADDING)):
        raise ExtractUnreadable(path, "not a PERSON file: expected columns separated by |, from HOSPCODE on", number)
    return {name: place for place, name in enumerate(COLUMNS[: len(cells)]) if name in _READ}, False


def _row(
    number: int, cells: list[str], columns: dict[str, int], width: int, facility: str, codes: FacilityCodes
) -> SourceRow | RejectedRow:
    if len(cells) != width:
        return RejectedRow(number, RowReason.COLUMN_COUNT)
    # Damage in a column that is not read does no harm.
    if any(REPLACEMENT in cells[place] for place in columns.values()):
        return RejectedRow(number, RowReason.NOT_DECODABLE)

    def cell(name: str) -> str:
        place = columns.get(name)
        return "" if place is None else cells[place].strip(_PADDING)

    if facility and cell("HOSPCODE") and codes.of(cell("HOSPCODE")) != facility:
        return RejectedRow(number, RowReason.OTHER_FACILITY)
    mobile = cell("MOBILE")
    passport = cell("PASSPORT")
    raw = RawDemographics(
        local_id=cell("PID"),
        names=(RawName(prefix=cell("PRENAME"), given=cell("NAME"), family=cell("LNAME")),),
        birth_date=cell("BIRTH"),
        sex=cell("SEX"),
        national_id=cell("CID"),
        passport=passport,
        # The file does not say who issued a passport; the holder's nation is the only hint that it has.
        passport_country=_NATIONS.get(cell("NATION"), "") if passport else "",
        phone=mobile if any(map(str.isdigit, mobile)) else cell("TELEPHONE"),
    )
    return checked(number, raw)
