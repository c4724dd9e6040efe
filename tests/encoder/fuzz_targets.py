"""What is fuzzed on the facility's side: targets that take any bytes and raise when a promise is broken.

`test_fuzz.py` feeds them damaged files. A coverage-guided fuzzer goes further, where atheris is installed::

    python tests/encoder/fuzz_targets.py person43 -max_total_time=60
"""

from __future__ import annotations

import datetime
import functools
import io
import json
import sys
import tempfile
import traceback
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from mpi.cli.normalize import normalize_lines
from mpi.encoder.dates import DateRejected, parse_birth_date
from mpi.encoder.demographics import MAX_NAMES, Demographics, normalize
from mpi.encoder.identifiers import IdentifierRejected, parse_national_id, parse_passport, parse_phone
from mpi.encoder.sources import LONGEST_LOCAL_ID, RejectedRow, SourceRow, csv, fhir, person43
from mpi.encoder.thai_names import PersonName, parse_full_name, parse_name_parts
from mpi.encoder.thai_text import MAX_LENGTH, clean_text
from mpi.errors import ExtractUnreadable

MARKER = "ลับเฉพาะ"
"""A value of seeds that must never be in an error or a representation."""
NUMBER = "1103702488992"
TODAY = datetime.date(2026, 6, 30)
MAPPING = csv.Mapping(
    {
        "local_id": ("HN",),
        "name": ("NAME",),
        "birth_date": ("BIRTH",),
        "national_id": ("CID", "OLD"),
        "alias": ("ALIAS",),
        "address": ("ADDRESS",),
    }
)

Reader = Callable[[Path], Iterator[SourceRow | RejectedRow]]


def seed_person43() -> bytes:
    """Two rows of PERSON behind a header, quoted cells and trailing delimiters included."""
    cells = {"HOSPCODE": "10661", "CID": NUMBER, "PRENAME": "003", "NAME": MARKER, "LNAME": f'"{MARKER}"', "SEX": "1"}
    cells |= {"BIRTH": "25300115", "NATION": "099", "PASSPORT": "AA1234567", "MOBILE": "0812345678"}
    rows = ["|".join({**cells, "PID": number}.get(name, "") for name in person43.COLUMNS) for number in ("1", "2")]
    return "".join(row + "|\r\n" for row in ("|".join(person43.COLUMNS), *rows)).encode("cp874")


def seed_csv() -> bytes:
    """Two rows of a table, one with a quoted cell of two lines."""
    header = "HN,NAME,BIRTH,CID,OLD,ALIAS,ADDRESS\n"
    row = f'66001,นาย{MARKER} ใจดี,15 ม.ค. 2530,{NUMBER},,"{MARKER}, ชัย","99/1\nหมู่ 4"\n'
    return (header + row + row).encode()


def seed_fhir() -> bytes:
    """Two Patients, one a line."""
    patient = {
        "resourceType": "Patient",
        "active": False,
        "identifier": [
            {"system": fhir.CID_SYSTEM, "value": NUMBER},
            {"system": f"{fhir.PASSPORT_SYSTEM}MMR", "value": "MB123456", "use": "old"},
            {"system": "https://terms.sil-th.org/hcode/5/10661/HN", "value": "66001"},
        ],
        "name": [{"use": "official", "family": MARKER, "given": [MARKER]}, {"use": "nickname", "given": ["ชัย"]}],
        "telecom": [{"system": "phone", "value": "0812345678"}],
        "birthDate": "1987-01",
        "gender": "male",
        "address": [{"line": [MARKER], "extension": [{"url": "number", "valueString": "99/1"}]}],
        "link": [{"type": "seealso"}],
    }
    return (json.dumps(patient, ensure_ascii=False) + "\n").encode() * 2


def seed_bundle() -> bytes:
    """Two Patients in a Bundle."""
    entries = [{"resource": json.loads(line)} for line in seed_fhir().splitlines()]
    return json.dumps({"resourceType": "Bundle", "entry": entries}, ensure_ascii=False, indent=1).encode()


def seed_workbook() -> bytes:
    """Workbook of the table's header and one row; the least that Excel reads."""
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006/relationships"
    header = seed_csv().decode().split("\n")[0].split(",")
    rows = [header, ["66001", MARKER, "15/01/2530", NUMBER, "", "", ""]]
    cells = (
        "".join(
            f'<c r="{chr(65 + at)}{number}" t="inlineStr"><is><t>{text}</t></is></c>' for at, text in enumerate(row)
        )
        for number, row in enumerate(rows, start=1)
    )
    sheet = "".join(f"<row>{row}</row>" for row in cells)
    parts = {
        "_rels/.rels": f'<Relationships xmlns="{package}"><Relationship Id="r1" Type="{office}/officeDocument" '
        'Target="xl/workbook.xml"/></Relationships>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}"><Relationship Id="r1" '
        f'Type="{office}/worksheet" Target="worksheets/s.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>'
        '<sheet name="a" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/worksheets/s.xml": f'<worksheet xmlns="{main}"><sheetData>{sheet}</sheetData></worksheet>',
    }
    return packed(parts)


def packed(parts: dict[str, str] | dict[str, bytes]) -> bytes:
    """Zip archive of the parts."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file.getvalue()


def person43_target(data: bytes) -> None:
    """Read a PERSON file."""
    read_extract(person43.read, data)


def csv_target(data: bytes) -> None:
    """Read a table."""
    read_extract(functools.partial(csv.read, mapping=MAPPING), data)


def fhir_target(data: bytes) -> None:
    """Read Patients."""
    read_extract(fhir.read, data)


def workbook_target(data: bytes) -> None:
    """Read a workbook."""
    read_extract(functools.partial(csv.read, mapping=MAPPING), data, "extract.xlsx")


def normalize_target(data: bytes) -> None:
    """Read lines of `mpi normalize`, which answers all of them."""
    out = io.StringIO()
    normalize_lines(io.BytesIO(data), out)
    answers = [json.loads(line) for line in out.getvalue().split("\n")[:-1]]
    assert len(answers) == sum(bool(line.strip()) for line in data.split(b"\n"))
    out.getvalue().encode()


def values_target(data: bytes) -> None:
    """Parse a text as everything that a cell can hold."""
    text = data.decode("utf-8", "surrogateescape")
    cleaned, _ = clean_text(text)
    assert len(cleaned) <= MAX_LENGTH
    assert clean_text(cleaned)[0] == cleaned
    half = len(text) // 2
    for name in (parse_full_name(text), parse_name_parts(text[:half], text[half:])):
        again = parse_name_parts(name.given, name.family, name.middle)
        assert (again.given, again.middle, again.family) == (name.given, name.middle, name.family)
        check_name(name)
    try:
        date = parse_birth_date(text, TODAY)
        for year, month, day in ((date.year, date.month, date.day), *date.alternatives):
            assert datetime.date(year, month or 1, day or 1) <= datetime.date(TODAY.year + 1, 12, 31)
    except DateRejected:
        pass
    for parse in (parse_national_id, parse_phone, functools.partial(parse_passport, country=text[:3])):
        try:
            found = parse(text)
        except IdentifierRejected:
            continue
        assert found.value.isascii()
        assert found.value.isprintable()


TARGETS: dict[str, tuple[Callable[[bytes], None], Callable[[], bytes]]] = {
    "person43": (person43_target, seed_person43),
    "csv": (csv_target, seed_csv),
    "fhir": (fhir_target, seed_fhir),
    "bundle": (fhir_target, seed_bundle),
    "normalize": (normalize_target, lambda: b'{"name": "x", "alias": ["a", 1], "sex": 1}\n{"given": "\\ud800"}\n'),
    "values": (values_target, lambda: f"นาย{MARKER} ใจดี (เดิม สมศักดิ์)".encode()),
}
"""Targets by name, each with a seed. The workbook has none here: what reads it is not Python."""


def read_extract(read: Reader, data: bytes, name: str = "extract.txt") -> None:
    """Read and normalise an extract: rows in order, or the one error that readers may raise, and never a value."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        last, told = 0, ""
        try:
            for entry in read(path):
                assert entry.row > last
                last = entry.row
                assert MARKER not in repr(entry)
                if isinstance(entry, SourceRow):
                    local_id = entry.raw.local_id
                    assert 0 < len(local_id.encode()) <= LONGEST_LOCAL_ID
                    assert not any(unicodedata.category(character) == "Cc" for character in local_id)
                    check_person(normalize(entry.raw, TODAY))
        except ExtractUnreadable as error:
            told = "".join(traceback.format_exception_only(error)) + repr(error.__cause__)
        assert MARKER not in told
        assert NUMBER not in told


def check_person(person: Demographics) -> None:
    """What holds of demographics, whatever they were made from."""
    assert MARKER not in repr(person)
    assert len(person.names) <= MAX_NAMES
    for name in person.names:
        assert name.given or name.family
        check_name(name)
    for flag in person.flags:
        assert flag.isascii()
        assert flag.replace("_", "").replace(":", "").isalpha()


def check_name(name: PersonName) -> None:
    """What holds of a name: bounded, and made of letters and marks."""
    for part in (name.given, name.middle, name.family):
        assert len(part) <= MAX_LENGTH
        assert not any(map(str.isdigit, part))
        part.encode()


def main() -> None:
    """Fuzz the target that the first argument names; the others are those of libFuzzer."""
    import atheris

    target, seed = TARGETS[sys.argv.pop(1)]
    atheris.instrument_all()
    with tempfile.TemporaryDirectory() as corpus:
        (Path(corpus) / "seed").write_bytes(seed())
        atheris.Setup([*sys.argv, corpus], target)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
