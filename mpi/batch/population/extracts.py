"""Extracts as the two platforms' facilities export them: the 43-file PERSON text and TH Core Patient NDJSON."""

from __future__ import annotations

import datetime
import json
from typing import Any

from mpi.batch.population.model import Table
from mpi.batch.population.names import FEMALE, MALE
from mpi.batch.population.records import Facility, Record

PERSON_COLUMNS = (
    "HOSPCODE CID PID HID PRENAME NAME LNAME HN SEX BIRTH MSTATUS OCCUPATION_OLD OCCUPATION_NEW RACE NATION RELIGION "
    "EDUCATION FSTATUS FATHER MOTHER COUPLE VSTATUS MOVEIN DISCHARGE DDISCHARGE ABOGROUP RHGROUP LABOR PASSPORT "
    "TYPEAREA D_UPDATE TELEPHONE MOBILE"
).split()
"""Columns of PERSON in the order of the standard, with the phone columns of its later versions."""

CID_SYSTEM = "https://terms.sil-th.org/id/th-cid"
TYPE_SYSTEM = "https://terms.sil-th.org/CodeSystem/cs-th-identifier-type"
PASSPORT_SYSTEM = "http://hl7.org/fhir/sid/passport-"
PASSPORT_TYPE_SYSTEM = "http://terminology.hl7.org/CodeSystem/v2-0203"
LANGUAGE = "http://hl7.org/fhir/StructureDefinition/language"
NATIONALITY = "http://hl7.org/fhir/StructureDefinition/patient-nationality"
COUNTRY_SYSTEM = "urn:iso:std:iso:3166"
SUBDISTRICT = "https://terms.sil-th.org/StructureDefinition/ex-address-subdistrict"

_WIDEST_NAME = 50
"""Characters of NAME and LNAME by the standard; longer ones are cut."""
_THAI = "099"
_GENDERS = {MALE: "male", FEMALE: "female"}


def person_line(record: Record, facility: Facility, local_id: str, updated: datetime.date) -> str:
    """Write a record as a row of PERSON."""
    person = record.person
    title, given, middle, family = record.name
    year, month, day = record.birth
    nation = person.nation.code if person.nation else _THAI
    cells = {
        "HOSPCODE": facility.code,
        "CID": record.number,
        "PID": local_id,
        "HID": f"{person.household.number:09d}",
        "PRENAME": title,
        "NAME": f"{given} {middle}"[:_WIDEST_NAME] if middle else given[:_WIDEST_NAME],
        "LNAME": family[:_WIDEST_NAME],
        "HN": local_id,
        # connectors write whatever is not female as male
        "SEX": FEMALE if record.sex == FEMALE else MALE,
        "BIRTH": f"{year:04d}{month:02d}{day:02d}",
        "MSTATUS": "2" if person.married else "9",
        "RACE": nation,
        "NATION": nation,
        "FSTATUS": "2",
        "MOTHER": record.mother_number,
        "VSTATUS": "2",
        "DISCHARGE": "9",
        "PASSPORT": record.passport,
        "TYPEAREA": "1" if person.nation is None else "3",
        "D_UPDATE": f"{updated:%Y%m%d}080000",
        "MOBILE": record.phone,
    }
    return "|".join(cells.get(column, "") for column in PERSON_COLUMNS)


def patient_line(record: Record, facility: Facility, local_id: str, places: Table) -> str:
    """Write a record as a TH Core Patient in one line of JSON."""
    person = record.person
    width = "9" if len(facility.code) == 9 else "5"
    identifiers: list[dict[str, Any]] = [
        {
            "use": "secondary",
            "type": {"coding": [{"system": TYPE_SYSTEM, "code": "localHn"}]},
            "system": f"https://terms.sil-th.org/hcode/{width}/{facility.code}/HN",
            "value": local_id,
        }
    ]
    if record.number:
        identifiers.append(
            {
                "use": "official",
                "type": {"coding": [{"system": TYPE_SYSTEM, "code": "cid"}]},
                "system": CID_SYSTEM,
                "value": record.number,
            }
        )
    country = person.nation.iso if person.nation else "THA"
    if record.passport:
        identifiers.append(
            {
                "use": "usual",
                "type": {"coding": [{"system": PASSPORT_TYPE_SYSTEM, "code": "PPN"}]},
                "system": PASSPORT_SYSTEM + country,
                "value": record.passport,
            }
        )
    names = [_name(record.name, "en" if record.latin else "th")]
    if record.other_name is not None:
        names.append(_name(record.other_name, "en"))
    year, month, day = record.birth
    patient: dict[str, Any] = {
        "resourceType": "Patient",
        "id": local_id,
        "extension": [
            {
                "url": NATIONALITY,
                "extension": [
                    {"url": "code", "valueCodeableConcept": {"coding": [{"system": COUNTRY_SYSTEM, "code": country}]}}
                ],
            }
        ],
        "identifier": identifiers,
        "name": names,
    }
    if record.phone:
        patient["telecom"] = [{"system": "phone", "value": record.phone, "use": "mobile"}]
    patient["gender"] = _GENDERS.get(record.sex, "unknown")
    patient["birthDate"] = f"{year:04d}-{month:02d}-{day:02d}" if month else f"{year:04d}"
    patient["address"] = [_address(record, places)]
    return json.dumps(patient, ensure_ascii=False, separators=(",", ":"))


def _name(name: tuple[str, str, str, str], language: str) -> dict[str, Any]:
    title, given, middle, family = name
    written: dict[str, Any] = {"extension": [{"url": LANGUAGE, "valueCode": language}]}
    if family:
        written["family"] = family
    written["given"] = [given, middle] if middle else [given]
    if title:
        written["prefix"] = [title]
    return written


def _address(record: Record, places: Table) -> dict[str, Any]:
    code = record.address.subdistrict
    province = places["provinces"][code[:2]]
    district = int(code[2:4])
    named = places["district_names"]
    return {
        "extension": [{"url": SUBDISTRICT, "valueCode": code}],
        "line": [record.address.house],
        "city": places["subdistrict_names"][(int(code[4:]) - 1) % len(places["subdistrict_names"])],
        "district": f"เมือง{province}" if district == 1 else named[(district - 2) % len(named)],
        "state": province,
        "postalCode": f"{code[:2]}{district * 10:03d}",
        "country": "TH",
    }
