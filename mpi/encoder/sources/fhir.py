"""FHIR R4 Patient resources by the TH Core profile: one a line (NDJSON), or the entries of one Bundle.

Identifier slices, names by language and addresses follow the draft of SIL-TH (th-core, 2024, CC0-1.0). NDJSON is read
line by line; a Bundle is one JSON document and has to fit into memory. What systems get wrong without harm is read all
the same: a number where the standard has a text, one element where it has a list, an identifier known by its type only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mpi.encoder.demographics import RawDemographics, RawName
from mpi.encoder.facilities import NO_CODES, FacilityCodes
from mpi.encoder.sources import RejectedRow, RowReason, SourceRow, byte_lines, checked
from mpi.errors import ExtractUnreadable

LONGEST_LINE = 1 << 24
"""Bytes of one resource: a Patient may hold a photograph."""
LARGEST_BUNDLE = 1 << 28
"""Bytes of one Bundle."""

CID_SYSTEM = "https://terms.sil-th.org/id/th-cid"
HN_SYSTEM = re.compile(r"https://terms\.sil-th\.org/hcode/[59]/([A-Z0-9]+)/HN")
PASSPORT_SYSTEM = "http://hl7.org/fhir/sid/passport-"
LANGUAGE = "http://hl7.org/fhir/StructureDefinition/language"

_BOM = b"\xef\xbb\xbf"
_HEAD_BYTES = 1 << 16
_BUNDLE_BEGINS = re.compile(rb"""\s*\{(?:[ \t\r]*\n|[^\n]{0,4000}?"resourceType"\s*:\s*"Bundle")""")
_SUBDISTRICT_CODE = re.compile(r"\d{6}", re.ASCII)
_FORMER = frozenset(("old", "maiden"))
_BESIDES = _FORMER | {"nickname", "anonymous", "temp"}
_TYPES = {"cid": CID_SYSTEM, "PPN": PASSPORT_SYSTEM, "localHn": "HN"}
"""Types of identifiers that stand for their system where there is none."""


def read(path: Path, facility: str = "", codes: FacilityCodes = NO_CODES) -> Iterator[SourceRow | RejectedRow]:
    """Read Patient resources; rows are counted by line or by entry of the Bundle.

    The local id is the HN. A patient may have HNs of several facilities, whose codes stand in their systems.

    Args:
        path: NDJSON or a Bundle.
        facility: code of the facility that the extract is of: its own HN counts, and a patient who has none there is
            set aside. Without it the first HN counts.
        codes: which codes are of one facility.

    Raises:
        ExtractUnreadable: missing, empty, no FHIR in JSON, cut short, or a Bundle over `LARGEST_BUNDLE`.
    """
    if _is_bundle(path):
        yield from _document(path, facility, codes)
        return
    begun = False
    for number, line in enumerate(byte_lines(path, LONGEST_LINE), start=1):
        content = line.removeprefix(_BOM).strip() if number == 1 else line.strip()
        if not content:
            continue
        row = _line(number, content, facility, codes)
        if row is None:
            # A Bundle on one line, which does not begin with its type.
            yield from _document(path, facility, codes)
            return
        if isinstance(row, RejectedRow) and row.reason in (RowReason.NOT_JSON, RowReason.NOT_DECODABLE):
            if not begun:
                raise ExtractUnreadable(path, "not FHIR resources in JSON, one a line", number)
            if not line.endswith(b"\n"):
                raise ExtractUnreadable(path, "truncated: the last resource is cut short; export it again", number)
        begun = True
        yield row
    if not begun:
        raise ExtractUnreadable(path, "empty")


def _is_bundle(path: Path) -> bool:
    """Whether the file is one JSON document: it says to be a Bundle, or goes on after a lone bracket."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise ExtractUnreadable(path, error.strerror or "cannot be read") from None
    return _BUNDLE_BEGINS.match(head.removeprefix(_BOM)) is not None


def _line(number: int, content: bytes, facility: str, codes: FacilityCodes) -> SourceRow | RejectedRow | None:
    """Read one line; None when it is the first and a Bundle."""
    try:
        resource = json.loads(content.decode())
    except UnicodeDecodeError:
        return RejectedRow(number, RowReason.NOT_DECODABLE)
    except (ValueError, RecursionError):
        return RejectedRow(number, RowReason.NOT_JSON)
    if number == 1 and isinstance(resource, dict) and resource.get("resourceType") == "Bundle":
        return None
    return _row(number, resource, facility, codes)


def _document(path: Path, facility: str, codes: FacilityCodes) -> Iterator[SourceRow | RejectedRow]:
    try:
        if path.stat().st_size > LARGEST_BUNDLE:
            raise ExtractUnreadable(path, f"a Bundle over {LARGEST_BUNDLE >> 20} MiB; export NDJSON instead")
        bundle = json.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise ExtractUnreadable(path, error.strerror or "cannot be read") from None
    except UnicodeDecodeError as error:
        raise ExtractUnreadable(path, "not UTF-8", 1 + error.object.count(b"\n", 0, error.start)) from None
    except json.JSONDecodeError as error:
        raise ExtractUnreadable(path, "not JSON, or cut short", error.lineno) from None
    except (ValueError, RecursionError):
        raise ExtractUnreadable(path, "not JSON") from None
    if not isinstance(bundle, dict):
        raise ExtractUnreadable(path, "not a Bundle of FHIR")
    if bundle.get("resourceType") != "Bundle":
        # One resource alone, written over several lines.
        yield _row(1, bundle, facility, codes)
        return
    for number, entry in enumerate(_list(bundle.get("entry")), start=1):
        yield _row(number, entry.get("resource") if isinstance(entry, dict) else None, facility, codes)


def _row(number: int, resource: object, facility: str, codes: FacilityCodes) -> SourceRow | RejectedRow:
    if not isinstance(resource, dict) or resource.get("resourceType") != "Patient":
        return RejectedRow(number, RowReason.NOT_A_PATIENT)
    if _is_replaced(resource):
        return RejectedRow(number, RowReason.REPLACED)
    try:
        local_ids = _local_ids(resource)
        own = [entry for entry in local_ids if not facility or not entry[0] or codes.of(entry[0]) == facility]
        if local_ids and not own:
            return RejectedRow(number, RowReason.OTHER_FACILITY)
        own.sort(key=lambda entry: bool(facility) and entry[0] != facility)
        return checked(number, _patient(resource, own[0][1] if own else ""))
    except UnicodeEncodeError:
        # A lone surrogate, escaped: valid JSON but no text.
        return RejectedRow(number, RowReason.NOT_DECODABLE)


def _is_replaced(patient: dict[str, Any]) -> bool:
    """Whether the patient was merged into another; inactive and deceased patients have records like any other."""
    if patient.get("active") is True or "link" not in patient:
        return False
    return any(link.get("type") == "replaced-by" for link in _dicts(patient["link"]))


def _local_ids(patient: dict[str, Any]) -> list[tuple[str, str]]:
    """HNs with the codes of their facilities as written, "" where the system does not say whose; present ones first."""
    found = []
    for identifier in sorted(_dicts(patient.get("identifier")), key=_is_former):
        value, system = _text(identifier.get("value")), _system(identifier)
        if value and (named := HN_SYSTEM.fullmatch(system)):
            found.append((named[1], value))
        elif value and system == "HN":
            found.append(("", value))
    return found


def _patient(patient: dict[str, Any], local_id: str) -> RawDemographics:
    national_ids, passports = [], []
    for identifier in sorted(_dicts(patient.get("identifier")), key=_is_former):
        value = _text(identifier.get("value"))
        system = _system(identifier)
        if not value:
            continue
        if system == CID_SYSTEM:
            national_ids.append(value)
        elif system.startswith(PASSPORT_SYSTEM):
            passports.append((value, system.removeprefix(PASSPORT_SYSTEM)))
    passport, country = passports[0] if passports else ("", "")
    address = next(iter(sorted(_dicts(patient.get("address")), key=_is_former)), {})
    extensions = list(_extensions(address))
    return RawDemographics(
        local_id=local_id,
        names=tuple(_names(patient)),
        birth_date=_text(patient.get("birthDate")),
        sex=_text(patient.get("gender")),
        national_id="".join(national_ids[:1]),
        other_national_ids=tuple(national_ids[1:]),
        passport=passport,
        passport_country=country,
        other_passports=tuple(passports[1:]),
        phone=_phone(patient),
        house=next((text for url, text in extensions if url == "number"), "") or _first_text(address.get("line")),
        subdistrict=next((text for _, text in extensions if _SUBDISTRICT_CODE.fullmatch(text)), "")
        or _text(address.get("city")),
        district=_text(address.get("district")),
        province=_text(address.get("state")),
        postcode=_text(address.get("postalCode")),
    )


def _system(identifier: dict[str, Any]) -> str:
    """The system of an identifier, or what its type stands for."""
    if system := _text(identifier.get("system")):
        return system
    kind = identifier.get("type")
    codings = _dicts(kind.get("coding")) if isinstance(kind, dict) else []
    return next((_TYPES[code] for coding in codings if (code := _text(coding.get("code"))) in _TYPES), "")


def _names(patient: dict[str, Any]) -> list[RawName]:
    """Present names before former ones and nicknames, and Thai ones first: they are what the civil register holds."""
    found = []
    for name in _dicts(patient.get("name")):
        languages = [_text(e.get("valueCode")) for e in _dicts(name.get("extension")) if e.get("url") == LANGUAGE]
        given = [_text(part) for part in _list(name.get("given"))]
        family = _text(name.get("family"))
        if given or family:
            prefix = " ".join(_text(part) for part in _list(name.get("prefix")))
            raw = RawName("", prefix, given[0] if given else "", " ".join(given[1:]), family)
        else:
            raw = RawName(full=_text(name.get("text")))
        found.append((_text(name.get("use")) in _BESIDES, languages[:1] != ["th"], raw))
    return [raw for _, _, raw in sorted(found, key=lambda entry: entry[:2])]


def _phone(patient: dict[str, Any]) -> str:
    phones = [entry for entry in _dicts(patient.get("telecom")) if entry.get("system") == "phone"]
    phones.sort(key=lambda entry: (_is_former(entry), entry.get("use") != "mobile"))
    return _text(phones[0].get("value")) if phones else ""


def _extensions(element: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Extensions of an element and those inside them, as (url, code or text)."""
    outer = _dicts(element.get("extension"))
    for extension in outer + [inner for each in outer for inner in _dicts(each.get("extension"))]:
        url = _text(extension.get("url"))
        concept = extension.get("valueCodeableConcept")
        codings = _dicts(concept.get("coding")) if isinstance(concept, dict) else []
        codings += _dicts([extension.get("valueCoding")])
        texts = [_text(coding.get("code")) for coding in codings]
        texts += [_text(extension.get(value)) for value in ("valueCode", "valueString")]
        yield from ((url, text) for text in texts if text)


def _is_former(element: dict[str, Any]) -> bool:
    return _text(element.get("use")) in _FORMER


def _first_text(value: object) -> str:
    return next((_text(entry) for entry in _list(value)), "")


def _list(value: object) -> list[Any]:
    if isinstance(value, list):
        return value
    return [] if value is None else [value]


def _dicts(value: object) -> list[dict[str, Any]]:
    return [entry for entry in _list(value) if isinstance(entry, dict)]


def _text(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        return ""
    if not value.isascii():
        value.encode()
    return value.strip()
