"""Tables as hospitals keep them for the two insurers: csv with columns of their own, and mappings that name them.

`nhso` follows the patient file of the National Health Security Office's standard of 16 files: titles and names apart,
dates of the common era, place codes in parts, no phone. `sso` is a table in the style of a social security register,
after no published layout: the whole name in one column, dates day first and of the Buddhist era.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from mpi.batch.population.names import MALE
from mpi.batch.population.records import ERA, Facility, Record

COLUMNS = {
    "nhso": (
        "HCODE HN CHANGWAT AMPHUR TAMBON DOB SEX MARRIAGE OCCUPA NATION PERSON_ID NAMEPAT TITLE FNAME LNAME IDTYPE"
    ).split(),
    "sso": (
        "HOSP_MAIN HOSP_NO INSURED_NAME INSURED_ID BIRTHDAY_BE GENDER NATIONALITY PASSPORT_NO TEL HOUSE_NO TAMBON_CODE"
    ).split(),
}
"""Columns of the table by platform."""

_MAPPINGS = {
    "nhso": {
        "local_id": "HN",
        "prefix": "TITLE",
        "given": "FNAME",
        "family": "LNAME",
        "birth_date": "DOB",
        "sex": "SEX",
        "national_id": "PERSON_ID",
        "subdistrict": "TAMBON",
        "district": "AMPHUR",
        "province": "CHANGWAT",
    },
    "sso": {
        "local_id": "HOSP_NO",
        "name": "INSURED_NAME",
        "birth_date": "BIRTHDAY_BE",
        "sex": "GENDER",
        "national_id": "INSURED_ID",
        "passport": "PASSPORT_NO",
        "passport_country": "NATIONALITY",
        "phone": "TEL",
        "house": "HOUSE_NO",
        "subdistrict": "TAMBON_CODE",
    },
}
_NATIONAL_ID, _OTHER_ID = "1", "4"
_THAI, _THAILAND = "099", "THA"
_FIRST_BE_YEAR = 2400


def mapping(platform: str) -> str:
    """Write the mapping of a platform's table as TOML: `canonical field = "column"`."""
    return "".join(f'{field} = "{column}"\n' for field, column in _MAPPINGS[platform].items())


def header_line(platform: str) -> str:
    """Write the first row of a platform's table."""
    return _line(COLUMNS[platform])


def nhso_line(record: Record, facility: Facility, local_id: str) -> str:
    """Write a record as a row of the table for the National Health Security Office."""
    person = record.person
    title, given, middle, family = record.name
    year, month, day = record.birth
    code = record.address.subdistrict
    given = f"{given} {middle}" if middle else given
    cells = {
        "HCODE": facility.code,
        "HN": local_id,
        "CHANGWAT": code[:2],
        "AMPHUR": code[2:4],
        "TAMBON": code[4:],
        "DOB": f"{year:04d}{month:02d}{day:02d}",
        "SEX": record.sex,
        "MARRIAGE": "2" if person.married else "9",
        "NATION": person.nation.code if person.nation else _THAI,
        "PERSON_ID": record.number,
        "NAMEPAT": f"{given} {family},{title}",
        "TITLE": title,
        "FNAME": given,
        "LNAME": family,
        "IDTYPE": _NATIONAL_ID if record.number else _OTHER_ID,
    }
    return _line(cells.get(column, "") for column in COLUMNS["nhso"])


def sso_line(record: Record, facility: Facility, local_id: str) -> str:
    """Write a record as a row of the table for the Social Security Office."""
    person = record.person
    title, given, middle, family = record.name
    year, month, day = record.birth
    # a title's code has no place in a whole name
    title = "" if title.isdigit() else title.strip()
    # Buddhist years are due here, so that a slip of era is a year of the common era
    year = year - ERA if year >= _FIRST_BE_YEAR else year + ERA
    cells = {
        "HOSP_MAIN": facility.code,
        "HOSP_NO": local_id,
        "INSURED_NAME": title + " ".join(part for part in (given, middle, family) if part),
        "INSURED_ID": record.number,
        "BIRTHDAY_BE": f"{day:02d}/{month:02d}/{year:04d}",
        "GENDER": {"": "", MALE: "M"}.get(record.sex, "F"),
        "NATIONALITY": person.nation.iso if person.nation else _THAILAND,
        "PASSPORT_NO": record.passport,
        "TEL": record.phone,
        "HOUSE_NO": record.address.house,
        "TAMBON_CODE": record.address.subdistrict,
    }
    return _line(cells[column] for column in COLUMNS["sso"])


def _line(cells: Iterable[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()
