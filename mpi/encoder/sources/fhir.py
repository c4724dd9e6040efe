"""FHIR Patient resources by the TH Core profile: one a line (NDJSON), as Health Link's hospitals export them.

Identifier slices, names by language and addresses follow the draft of SIL-TH (terms.sil-th.org), 2024.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mpi.encoder.demographics import RawDemographics, RawName
from mpi.encoder.sources import LONGEST_LINE, RejectedRow, RowReason, SourceRow
from mpi.errors import ExtractUnreadable

CID_SYSTEM = "https://terms.sil-th.org/id/th-cid"
HN_SYSTEM = re.compile(r"https://terms\.sil-th\.org/hcode/[59]/[A-Z0-9]+/HN")
PASSPORT_SYSTEM = "http://hl7.org/fhir/sid/passport-"
LANGUAGE = "http://hl7.org/fhir/StructureDefinition/language"
SUBDISTRICT = re.compile(r".*subdistrict.*", re.IGNORECASE)


def read(path: Path) -> Iterator[SourceRow | RejectedRow]:
    """Read Patient resources line by line.

    Raises:
        ExtractUnreadable: missing, not UTF-8, or a line that is not JSON (as when the file was cut short).
    """
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(LONGEST_LINE):
                number += 1
                if line.strip():
                    yield _row(path, number, line)
            if number == 0:
                raise ExtractUnreadable(path, "empty")
    except OSError as error:
        raise ExtractUnreadable(path, error.strerror or "cannot be read") from None


def _row(path: Path, number: int, line: bytes) -> SourceRow | RejectedRow:
    try:
        resource = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ExtractUnreadable(path, "not UTF-8", number) from None
    except (ValueError, RecursionError):
        cut = "" if line.endswith(b"\n") else ": cut short in the middle of a resource?"
        raise ExtractUnreadable(path, f"not JSON{cut}", number) from None
    if not isinstance(resource, dict) or resource.get("resourceType") != "Patient":
        return RejectedRow(number, RowReason.NOT_A_PATIENT)
    raw = _patient(resource)
    return SourceRow(number, raw) if raw.local_id else RejectedRow(number, RowReason.LOCAL_ID_MISSING)


def _patient(patient: dict[str, Any]) -> RawDemographics:
    local_id = national_id = passport = country = ""
    for identifier in _dicts(patient.get("identifier")):
        system, value = _text(identifier.get("system")), _text(identifier.get("value"))
        if system == CID_SYSTEM:
            national_id = national_id or value
        elif system.startswith(PASSPORT_SYSTEM):
            passport, country = value, system.removeprefix(PASSPORT_SYSTEM)
        elif HN_SYSTEM.fullmatch(system):
            local_id = local_id or value
    address = next(iter(_dicts(patient.get("address"))), {})
    lines = address.get("line")
    phones = [_text(t.get("value")) for t in _dicts(patient.get("telecom")) if t.get("system") == "phone"]
    return RawDemographics(
        local_id=local_id,
        names=tuple(_names(patient)),
        birth_date=_text(patient.get("birthDate")),
        sex=_text(patient.get("gender")),
        national_id=national_id,
        passport=passport,
        passport_country=country,
        phone=next(iter(phones), ""),
        house=_text(lines[0]) if isinstance(lines, list) and lines else "",
        subdistrict=_subdistrict(address),
    )


def _names(patient: dict[str, Any]) -> list[RawName]:
    """Names, the Thai one first: it is the one that the register holds."""
    found = []
    for name in _dicts(patient.get("name")):
        language = next(
            (_text(e.get("valueCode")) for e in _dicts(name.get("extension")) if e.get("url") == LANGUAGE), ""
        )
        given = [_text(part) for part in _list(name.get("given"))]
        prefix = " ".join(_text(part) for part in _list(name.get("prefix")))
        family = _text(name.get("family"))
        if given or family:
            raw = RawName("", prefix, given[0] if given else "", " ".join(given[1:]), family)
        else:
            raw = RawName(full=_text(name.get("text")))
        found.append((language != "th", raw))
    return [raw for _, raw in sorted(found, key=lambda entry: entry[0])]


def _subdistrict(address: dict[str, Any]) -> str:
    for extension in _dicts(address.get("extension")):
        if SUBDISTRICT.match(_text(extension.get("url"))):
            code = extension.get("valueCode") or extension.get("valueString")
            coding = extension.get("valueCoding") or {}
            return _text(code or (coding.get("code") if isinstance(coding, dict) else ""))
    return ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [entry for entry in _list(value) if isinstance(entry, dict)]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
