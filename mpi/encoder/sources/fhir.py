"""FHIR R4 Patient resources by the TH Core profile: one a line (NDJSON), or the entries of one Bundle.

Identifier slices, names by language and addresses follow the draft of SIL-TH (th-core, 2024, CC0-1.0). NDJSON is read
line by line; a Bundle is one JSON document and has to fit into memory.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mpi.encoder.demographics import RawDemographics, RawName
from mpi.encoder.sources import RejectedRow, RowReason, SourceRow, byte_lines
from mpi.errors import ExtractUnreadable

LONGEST_LINE = 1 << 24
"""Bytes of one resource: a Patient may hold a photograph."""
LARGEST_BUNDLE = 1 << 28
"""Bytes of one Bundle."""

CID_SYSTEM = "https://terms.sil-th.org/id/th-cid"
HN_SYSTEM = re.compile(r"https://terms\.sil-th\.org/hcode/[59]/[A-Z0-9]+/HN")
PASSPORT_SYSTEM = "http://hl7.org/fhir/sid/passport-"
LANGUAGE = "http://hl7.org/fhir/StructureDefinition/language"

_BOM = b"\xef\xbb\xbf"
_HEAD_BYTES = 1 << 16
_BUNDLE_BEGINS = re.compile(rb"""\s*\{(?:[ \t\r]*\n|[^\n]{0,4000}?"resourceType"\s*:\s*"Bundle")""")
_SUBDISTRICT_CODE = re.compile(r"\d{6}", re.ASCII)
_FORMER = frozenset(("old", "maiden"))


def read(path: Path) -> Iterator[SourceRow | RejectedRow]:
    """Read Patient resources; the local id is the HN, and rows are counted by line or by entry of the Bundle.

    Raises:
        ExtractUnreadable: missing, empty, no FHIR in JSON, cut short, or a Bundle over `LARGEST_BUNDLE`.
    """
    if _is_bundle(path):
        yield from _document(path)
        return
    begun = False
    for number, line in enumerate(byte_lines(path, LONGEST_LINE), start=1):
        content = line.removeprefix(_BOM).strip() if number == 1 else line.strip()
        if not content:
            continue
        row = _line(number, content)
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


def _line(number: int, content: bytes) -> SourceRow | RejectedRow:
    try:
        resource = json.loads(content.decode())
    except UnicodeDecodeError:
        return RejectedRow(number, RowReason.NOT_DECODABLE)
    except (ValueError, RecursionError):
        return RejectedRow(number, RowReason.NOT_JSON)
    return _row(number, resource)


def _document(path: Path) -> Iterator[SourceRow | RejectedRow]:
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
        yield _row(1, bundle)
        return
    for number, entry in enumerate(_list(bundle.get("entry")), start=1):
        yield _row(number, entry.get("resource") if isinstance(entry, dict) else None)


def _row(number: int, resource: object) -> SourceRow | RejectedRow:
    if not isinstance(resource, dict) or resource.get("resourceType") != "Patient":
        return RejectedRow(number, RowReason.NOT_A_PATIENT)
    try:
        raw = _patient(resource)
    except UnicodeEncodeError:
        # A lone surrogate, escaped: valid JSON but no text.
        return RejectedRow(number, RowReason.NOT_DECODABLE)
    return SourceRow(number, raw) if raw.local_id else RejectedRow(number, RowReason.LOCAL_ID_MISSING)


def _patient(patient: dict[str, Any]) -> RawDemographics:
    local_id = national_id = ""
    passports = []
    for identifier in sorted(_dicts(patient.get("identifier")), key=_is_former):
        system, value = _text(identifier.get("system")), _text(identifier.get("value"))
        if system == CID_SYSTEM:
            national_id = national_id or value
        elif system.startswith(PASSPORT_SYSTEM):
            passports.append((value, system.removeprefix(PASSPORT_SYSTEM)))
        elif HN_SYSTEM.fullmatch(system):
            local_id = local_id or value
    passport, country = passports[0] if passports else ("", "")
    address = next(iter(sorted(_dicts(patient.get("address")), key=_is_former)), {})
    extensions = list(_extensions(address))
    return RawDemographics(
        local_id=local_id,
        names=tuple(_names(patient)),
        birth_date=_text(patient.get("birthDate")),
        sex=_text(patient.get("gender")),
        national_id=national_id,
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


def _names(patient: dict[str, Any]) -> list[RawName]:
    """Present names before former ones, and Thai ones first: they are what the civil register holds."""
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
        found.append((_is_former(name), languages[:1] != ["th"], raw))
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
    return value if isinstance(value, list) else []


def _dicts(value: object) -> list[dict[str, Any]]:
    return [entry for entry in _list(value) if isinstance(entry, dict)]


def _text(value: object) -> str:
    if not isinstance(value, str):
        return ""
    if not value.isascii():
        value.encode()
    return value.strip()
