"""`mpi normalize`: what the encoder makes of demographics, to look at before anything is encoded."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, TextIO

from mpi.domain.identifiers import IdentifierKind
from mpi.encoder.dates import iso
from mpi.encoder.demographics import OTHER_NAME_FIELDS, Demographics, RawDemographics, RawName, normalize, other_names
from mpi.encoder.thai_names import PersonName

LONGEST_LINE = 1 << 20
"""Characters or bytes of one line."""
_NAME_FIELDS = ("prefix", "given", "middle", "family")
_FIELDS = ("birth_date", "sex", "national_id", "passport", "passport_country", "phone")
_NUMBERS = (IdentifierKind.NATIONAL_ID, IdentifierKind.ALIEN_ID)


def normalize_lines(stdin: TextIO | BinaryIO, stdout: TextIO) -> int:
    """Normalise JSON lines into JSON lines.

    A line is an object with any of name | prefix, given, middle, family; birth_date, sex, national_id, passport,
    passport_country, phone; and for further names previous_name | previous_given, previous_family; latin_name |
    latin_given, latin_family; alias, each a text or a list of texts (see `mpi.encoder.demographics.other_names`).

    The answer has given, middle, family (each "" when absent), aliases, other_names, birth_date,
    birth_date_alternatives, sex, national_id, passport, passport_country, phone and flags. `other_names` are the
    further names that are encoded, aliases among them, as {"given", "middle", "family"}. A value that is missing or
    rejected is null; flags say why as `field:word`, such as "national_id:checksum". A line that is no JSON object is
    answered by {"error": "not JSON", "line": n}. Empty lines are passed over.

    Returns:
        How many lines were no JSON objects.
    """
    today = datetime.datetime.now(datetime.UTC).date()
    bad = 0
    for number, line in _lines(stdin):
        if line is not None and not line.strip():
            continue
        raw = None if line is None else _raw(line)
        answer: dict[str, Any] = {"error": "not JSON", "line": number}
        if raw is None:
            bad += 1
        else:
            answer = _answer(normalize(raw, today))
        stdout.write(json.dumps(answer, ensure_ascii=False) + "\n")
    stdout.flush()
    return bad


def _lines(stdin: TextIO | BinaryIO) -> Iterator[tuple[int, str | bytes | None]]:
    """Numbered lines; None in place of one over `LONGEST_LINE`, whose rest is passed over."""
    number = 0
    while line := stdin.readline(LONGEST_LINE):
        number += 1
        whole = _is_whole(line)
        yield number, line if whole else None
        while not whole:
            whole = _is_whole(stdin.readline(LONGEST_LINE))


def _is_whole(line: str | bytes) -> bool:
    return len(line) < LONGEST_LINE or line[-1:] in ("\n", b"\n")


def _raw(line: str | bytes) -> RawDemographics | None:
    """Read one line; None when it is no JSON object of texts."""
    try:
        text = line.decode("utf-8-sig") if isinstance(line, bytes) else line
        fields = json.loads(text)
        if not isinstance(fields, dict):
            return None
        value = {name: _text(fields.get(name)) for name in ("name", *_NAME_FIELDS, *_FIELDS)}
        values = {name: _texts(fields[name]) for name in OTHER_NAME_FIELDS if name in fields}
    except (ValueError, RecursionError):
        return None
    # A line that is not about a name gets no remark on one.
    named = any(field in fields for field in ("name", *_NAME_FIELDS, *OTHER_NAME_FIELDS))
    name = RawName(value["name"], *(value[field] for field in _NAME_FIELDS))
    return RawDemographics(
        names=(name, *other_names(lambda field: values.get(field, ()))) if named else (),
        birth_date=value["birth_date"],
        sex=value["sex"],
        national_id=value["national_id"],
        passport=value["passport"],
        passport_country=value["passport_country"],
        phone=value["phone"],
    )


def _text(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        return ""
    value.encode()
    return value


def _texts(value: object) -> Sequence[str]:
    return [_text(each) for each in value] if isinstance(value, list) else [_text(value)]


def _answer(person: Demographics) -> dict[str, Any]:
    name = person.names[0] if person.names else PersonName()
    date = person.birth_date
    numbers = {identifier.kind: identifier.value for identifier in person.identifiers}
    country, _, passport = numbers.get(IdentifierKind.PASSPORT, "").partition(":")
    return {
        "given": name.given,
        "middle": name.middle,
        "family": name.family,
        "aliases": list(name.aliases),
        "other_names": [
            {"given": other.given, "middle": other.middle, "family": other.family} for other in person.names[1:]
        ],
        "birth_date": date.iso if date else None,
        "birth_date_alternatives": [iso(*other) for other in date.alternatives] if date else [],
        "sex": person.sex or None,
        "national_id": next((numbers[kind] for kind in _NUMBERS if kind in numbers), None),
        "passport": passport or None,
        "passport_country": country or None,
        "phone": numbers.get(IdentifierKind.PHONE),
        "flags": sorted(person.flags),
    }
