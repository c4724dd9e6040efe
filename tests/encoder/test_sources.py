"""Readers of extracts: whole files, damaged rows, files that are something else."""

from __future__ import annotations

import json
import sys
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpi.domain.record import MAX_POINTER_BYTES
from mpi.encoder import sources
from mpi.encoder.demographics import RawDemographics, RawName
from mpi.encoder.facilities import FacilityCodes
from mpi.encoder.sources import LONGEST_LOCAL_ID, RejectedRow, RowReason, SourceRow, csv, fhir, person43
from mpi.encoder.tokens import PointerBox
from mpi.errors import ExtractUnreadable

SECRETS = ("สมชาย", "ใจดี", "1103702488992", "0812345678", "66001")
Reader = Callable[[Path], Iterator[SourceRow | RejectedRow]]


def write(folder: Path, content: str | bytes, name: str = "extract.txt") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def unreadable(rows: Iterator[SourceRow | RejectedRow]) -> ExtractUnreadable:
    """The error that ends reading; it repeats nothing of the rows."""
    with pytest.raises(ExtractUnreadable) as raised:
        list(rows)
    assert not any(secret in str(raised.value) for secret in SECRETS)
    return raised.value


def person(local_id: str = "66001", name: str = "สมชาย", **cells: str) -> str:
    """A row of PERSON in the order of the standard."""
    values = {
        "HOSPCODE": "10661",
        "CID": "1103702488992",
        "PID": local_id,
        "PRENAME": "003",
        "NAME": name,
        "LNAME": "ใจดี",
    }
    values |= {"SEX": "1", "BIRTH": "19870115", "NATION": "099", "MOBILE": "0812345678", **cells}
    return "|".join(values.get(column, "") for column in person43.COLUMNS)


HEADER = "|".join(person43.COLUMNS)


@pytest.mark.parametrize("header", ["", HEADER + "\r\n", "\ufeff" + HEADER.lower() + "\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "cp874"])
def test_person43(tmp_path: Path, header: str, encoding: str) -> None:
    """PERSON is read with or without a header, in both encodings."""
    if encoding == "cp874":
        header = header.removeprefix("\ufeff")
    path = write(tmp_path, f"{header}{person()}\r\n{person('66002')}".encode(encoding))
    first, second = person43.read(path)
    assert isinstance(first, SourceRow)
    assert (first.row, second.row) == ((2, 3) if header else (1, 2))
    raw = first.raw
    assert raw.names == (RawName(prefix="003", given="สมชาย", family="ใจดี"),)
    assert (raw.local_id, raw.national_id, raw.birth_date) == ("66001", "1103702488992", "19870115")
    assert (raw.sex, raw.phone, raw.passport_country) == ("1", "0812345678", "")


def test_person43_header_orders_columns(tmp_path: Path) -> None:
    """A header decides the order, and columns that are not known are passed over."""
    path = write(tmp_path, "BIRTH|extra|NAME|LNAME|PID\n19870115|x|สมชาย|ใจดี|66001\n")
    (row,) = person43.read(path)
    assert isinstance(row, SourceRow)
    assert (row.raw.birth_date, row.raw.names[0].given, row.raw.local_id) == ("19870115", "สมชาย", "66001")


def test_person43_encoding_is_one_for_the_file(tmp_path: Path) -> None:
    """A name whose Windows-874 bytes happen to be UTF-8 is read as the rest of the file is."""
    assert "รก".encode("cp874").decode() != "รก"
    path = write(tmp_path, f"{person()}\n{person('66002')}\n{person('3', 'รก', LNAME='')}\n".encode("cp874"))
    row = list(person43.read(path))[-1]
    assert isinstance(row, SourceRow)
    assert row.raw.names[0].given == "รก"


def test_person43_damage_does_not_change_the_encoding(tmp_path: Path) -> None:
    """A few damaged rows of a UTF-8 file do not make it Windows-874."""
    lines = [
        person().encode(),
        person("66002", "x").encode().replace(b"x", b"\xc3\xe2"),
        b"\x80",
        b"\x80",
        person("66003").encode(),
    ]
    rows = [row for row in person43.read(write(tmp_path, b"\n".join(lines))) if isinstance(row, SourceRow)]
    assert [(row.row, row.raw.names[0].given) for row in rows] == [(1, "สมชาย"), (5, "สมชาย")]


def test_person43_passport_country(tmp_path: Path) -> None:
    """The holder's nation stands for the issuer of a passport, as nothing else does."""
    rows = [person(PASSPORT="MB123456", NATION=nation) for nation in ("048", "046", "999")]
    countries = [
        row.raw.passport_country
        for row in person43.read(write(tmp_path, "\n".join(rows)))
        if isinstance(row, SourceRow)
    ]
    assert countries == ["MMR", "VNM", ""]


@pytest.mark.parametrize("passport", ["AA1234567", "MB123456"])
def test_person43_nation_says_nothing_when_thai(tmp_path: Path, passport: str) -> None:
    """NATION 099 is filled in for everybody, so it makes no passport Thai."""
    assert raw_of(person43.read(write(tmp_path, person(PASSPORT=passport, NATION="099")))).passport_country == ""


@pytest.mark.parametrize("header", ["", HEADER + "\r\n", HEADER + "|\r\n"], ids=["none", "bare", "ended"])
@pytest.mark.parametrize("end", ["", "|", "||"])
def test_person43_delimiters_behind_rows(tmp_path: Path, header: str, end: str) -> None:
    """A delimiter may end every row, or the header alone, or the rows alone; one way holds for a file."""
    rows = [person() + end, person("66002") + end, person("66003") + end + "|"]
    found = list(person43.read(write(tmp_path, header + "".join(row + "\r\n" for row in rows))))
    assert [isinstance(row, SourceRow) for row in found] == [True, True, False]


def test_person43_quoted_and_padded_cells(tmp_path: Path) -> None:
    """Quotation marks and the no-break space of Windows-874 around cells are no part of them."""
    row = "|".join(f'"{cell}"' for cell in person("\u00a066001\u00a0").split("|"))
    raw = raw_of(person43.read(write(tmp_path, row.encode("cp874"))))
    assert (raw.local_id, raw.names[0].given, raw.national_id) == ("66001", "สมชาย", "1103702488992")


def test_person43_telephone_when_mobile_is_none(tmp_path: Path) -> None:
    """The landline is taken where the mobile column holds no number."""
    (row,) = person43.read(write(tmp_path, person(MOBILE="-", TELEPHONE="021234567")))
    assert isinstance(row, SourceRow)
    assert row.raw.phone == "021234567"


def raw_of(rows: Iterator[SourceRow | RejectedRow]) -> RawDemographics:
    """The demographics of the only row."""
    (row,) = rows
    assert isinstance(row, SourceRow)
    return row.raw


@pytest.mark.parametrize(
    ("local_id", "reason"),
    [
        ("6" * LONGEST_LOCAL_ID, None),
        ("6" * (LONGEST_LOCAL_ID + 1), RowReason.LOCAL_ID_TOO_LONG),
        ("ก" * 66, None),
        ("ก" * 67, RowReason.LOCAL_ID_TOO_LONG),
        ("12345/60", None),
        ("HN 66-001", None),
        ("66\x00001", RowReason.LOCAL_ID_CONTROL),
        ("66\x1b[2J001", RowReason.LOCAL_ID_CONTROL),
        ("66\u2028001", RowReason.LOCAL_ID_CONTROL),
    ],
)
def test_local_ids(tmp_path: Path, local_id: str, reason: RowReason | None) -> None:
    """Every reader sets aside a local id that no pointer can hold or that hides control characters."""
    hn = {"system": "https://terms.sil-th.org/hcode/5/10661/HN", "value": local_id}
    # Files that are no text are known by their zero bytes; one of them in a longer text is damage.
    padding = "\n" * 2000
    readers = [
        person43.read(write(tmp_path, f"{HEADER}\n{padding}{person(local_id)}\n", "person")),
        csv.read(write(tmp_path, table(COLUMNS) + padding + table([local_id, *CELLS[1:]]), "csv"), mapping(tmp_path)),
        fhir.read(write(tmp_path, ndjson(patient(identifier=[hn])), "fhir")),
    ]
    for rows in readers:
        (row,) = rows
        if reason:
            assert getattr(row, "reason", None) == reason
        else:
            assert isinstance(row, SourceRow)
            assert row.raw.local_id == local_id


def test_longest_local_id_fits_a_pointer() -> None:
    """What readers let through, a pointer can carry."""
    assert len(PointerBox(bytes(64), "10661").seal("6" * LONGEST_LOCAL_ID)) <= MAX_POINTER_BYTES


def test_person43_bad_rows_do_not_stop(tmp_path: Path) -> None:
    """A row without local id, with another number of columns or with damaged bytes is set aside by its line."""
    lines = [person(), person(""), person() + "|more", "", person("66002"), person("66003")]
    data = "\n".join(lines).encode().replace(b"66002|", b"66002\xff|") + b"\n\x1a"
    rows = list(person43.read(write(tmp_path, data)))
    assert [(row.row, getattr(row, "reason", None)) for row in rows] == [
        (1, None), (2, RowReason.LOCAL_ID_MISSING), (3, RowReason.COLUMN_COUNT),
        (5, RowReason.NOT_DECODABLE), (6, None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (f"{HEADER}\n{person()}\n{person()[:60]}", 3),
        ("HOSPCODE|CID|NAME|LNAME|SEX\n", 1),
        ("a,b,c\n1,2,3\n", 1),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 3),
        (person().encode("utf-16"), 1),
        ("", None),
        (" \n", None),
        (b"x" * (1 << 21), 1),
    ],
    ids=["truncated", "header", "comma", "binary", "utf-16", "empty", "blank", "endless"],
)
def test_person43_unreadable(tmp_path: Path, content: str | bytes, line: int | None) -> None:
    """A file that is no PERSON file or was cut short is refused, naming the line."""
    error = unreadable(person43.read(write(tmp_path, content)))
    assert error.line == line
    assert "extract.txt" in str(error)


def patient(**parts: Any) -> dict[str, Any]:
    """A TH Core Patient, after the example of the profile."""
    english, thai = (
        [{"url": "http://hl7.org/fhir/StructureDefinition/language", "valueCode": code}] for code in ("en", "th")
    )

    def concept(code: str) -> dict[str, Any]:
        return {"coding": [{"system": "https://terms.sil-th.org/CodeSystem/cs-dopa-location", "code": code}]}

    return {
        "resourceType": "Patient",
        "identifier": [
            {"system": "https://terms.sil-th.org/id/th-cid", "value": "1103702488992"},
            {"system": "http://hl7.org/fhir/sid/passport-THA", "value": "AA0000001", "use": "old"},
            {"system": "http://hl7.org/fhir/sid/passport-MMR", "value": "MB123456"},
            {"system": "https://terms.sil-th.org/hcode/5/10661/HN", "value": "66001"},
        ],
        "name": [
            {"text": "former", "use": "maiden"},
            {"extension": english, "family": "Jaidee", "given": ["Somchai"], "prefix": ["Mr."]},
            {"extension": thai, "family": "ใจดี", "given": ["สมชาย", "กลาง"], "prefix": ["นาย"]},
        ],
        "telecom": [
            {"system": "phone", "value": "02-222-2222", "use": "home"},
            {"system": "phone", "value": "081-234-5678", "use": "mobile"},
        ],
        "gender": "male",
        "birthDate": "1960-04",
        "address": [
            {
                "extension": [
                    {
                        "url": "https://terms.sil-th.org/address-code",
                        "extension": [
                            {"url": "province", "valueCodeableConcept": concept("12")},
                            {"url": "district", "valueCodeableConcept": concept("1201")},
                            {"url": "subdistrict", "valueCodeableConcept": concept("120102")},
                        ],
                    },
                    {"url": "https://terms.sil-th.org/line", "extension": [{"url": "number", "valueString": "123"}]},
                ],
                "line": ["หมู่บ้านสุขใจ"],
                "city": "ตลาดขวัญ",
                "district": "เมืองนนทบุรี",
                "state": "นนทบุรี",
                "postalCode": "11000",
            }
        ],
        **parts,
    }  # fmt: skip


def ndjson(*resources: object) -> str:
    return "".join(json.dumps(resource, ensure_ascii=False) + "\n" for resource in resources)


def test_fhir_patient(tmp_path: Path) -> None:
    """A TH Core Patient is read with all its slices, present and Thai ones first."""
    (row,) = fhir.read(write(tmp_path, ndjson(patient())))
    assert isinstance(row, SourceRow)
    raw = row.raw
    assert raw.names == (
        RawName("", "นาย", "สมชาย", "กลาง", "ใจดี"), RawName("", "Mr.", "Somchai", "", "Jaidee"), RawName("former"),
    )  # fmt: skip
    assert (raw.local_id, raw.national_id, raw.birth_date, raw.sex) == ("66001", "1103702488992", "1960-04", "male")
    assert (raw.passport, raw.passport_country, raw.other_passports) == ("MB123456", "MMR", (("AA0000001", "THA"),))
    assert (raw.phone, raw.house, raw.subdistrict) == ("081-234-5678", "123", "120102")
    assert (raw.district, raw.province, raw.postcode) == ("เมืองนนทบุรี", "นนทบุรี", "11000")


CODES = FacilityCodes({"10661": "10661", "EA0010661": "10661"})


def hn(facility: str, value: str, **parts: str) -> dict[str, str]:
    return {"system": f"https://terms.sil-th.org/hcode/{len(facility)}/{facility}/HN", "value": value, **parts}


@pytest.mark.parametrize(
    ("facility", "numbers", "local_id"),
    [
        ("", [hn("10662", "a"), hn("10661", "b")], "a"),
        ("10661", [hn("10662", "a"), hn("10661", "b")], "b"),
        ("10661", [hn("EA0010661", "a"), hn("10661", "b")], "b"),
        ("10661", [hn("10662", "a"), hn("EA0010661", "b")], "b"),
        ("10661", [{"type": {"coding": [{"code": "localHn"}]}, "value": "c"}, hn("10661", "b")], "b"),
        ("10661", [hn("10661", "a", use="old"), hn("10661", "b")], "b"),
        ("10661", [{"type": {"coding": [{"code": "localHn"}]}, "value": "c"}], "c"),
    ],
)
def test_fhir_own_hn(tmp_path: Path, facility: str, numbers: list[dict[str, Any]], local_id: str) -> None:
    """Of several HNs the facility's own counts, under any of its codes."""
    extract = write(tmp_path, ndjson(patient(identifier=numbers)))
    assert raw_of(fhir.read(extract, facility, CODES)).local_id == local_id


def test_fhir_hn_of_others_only(tmp_path: Path) -> None:
    """A patient who has the HN of another facility only cannot be pointed at; a code is another's unless it is told."""
    extract = write(
        tmp_path, ndjson(patient(identifier=[hn("10662", "a")]), patient(identifier=[hn("EA0010661", "b")]))
    )
    first, second = fhir.read(extract, "10661", CODES)
    assert first == RejectedRow(1, RowReason.OTHER_FACILITY)
    assert isinstance(second, SourceRow)
    assert list(fhir.read(extract, "10661"))[1] == RejectedRow(2, RowReason.OTHER_FACILITY)


@pytest.mark.parametrize(
    ("hospcode", "facility", "own"),
    [
        ("10661", "10661", True),
        (" ๑๐๖๖๑ ", "10661", True),
        ("ea0010661", "10661", True),
        ("", "10661", True),
        ("10662", "10661", False),
        ("010661", "10661", False),
        ("10662", "", True),
    ],
)
def test_person43_of_another_facility(tmp_path: Path, hospcode: str, facility: str, own: bool) -> None:
    """A row under another facility's HOSPCODE is set aside: its PID is a number of that facility."""
    path = write(tmp_path, f"HOSPCODE|PID|NAME|LNAME|BIRTH\n{hospcode}|1|สมชาย|ใจดี|19820315\n".encode())
    (row,) = person43.read(path, facility, CODES)
    assert isinstance(row, SourceRow) if own else row == RejectedRow(2, RowReason.OTHER_FACILITY)


def test_fhir_many_identifiers(tmp_path: Path) -> None:
    """All numbers of a person are read, those in use first; a type stands for a system that is missing."""
    numbers = [
        {"system": fhir.CID_SYSTEM, "value": "0012345678901", "use": "old"},
        {"type": {"coding": [{"code": "cid"}]}, "value": 1103702488992},
        {"type": {"coding": [{"code": "PPN"}]}, "value": "AA1234567"},
        hn("10661", "66001"),
    ]
    raw = raw_of(fhir.read(write(tmp_path, ndjson(patient(identifier=numbers)))))
    assert (raw.national_id, raw.other_national_ids) == ("1103702488992", ("0012345678901",))
    assert (raw.passport, raw.passport_country) == ("AA1234567", "")


@pytest.mark.parametrize(
    ("parts", "replaced"),
    [
        ({"active": False, "link": [{"type": "replaced-by"}]}, True),
        ({"link": {"type": "replaced-by"}}, True),
        ({"active": True, "link": [{"type": "replaced-by"}]}, False),
        ({"active": False, "link": [{"type": "replaces"}, {"type": "seealso"}]}, False),
        ({"active": False}, False),
        ({"deceasedBoolean": True}, False),
        ({"deceasedDateTime": "2024-01-01"}, False),
    ],
)
def test_fhir_replaced(tmp_path: Path, parts: dict[str, Any], replaced: bool) -> None:
    """A merged patient is set aside; inactive and deceased ones have records like any other."""
    (row,) = fhir.read(write(tmp_path, ndjson(patient(**parts))))
    assert (row == RejectedRow(1, RowReason.REPLACED)) == replaced
    assert isinstance(row, SourceRow) != replaced


def test_fhir_present_name_first(tmp_path: Path) -> None:
    """A nickname or a temporary name never stands for the present name."""
    names = [
        {"use": "nickname", "given": ["ชัย"]},
        {"use": "temp", "text": "ทารก"},
        {"use": "official", "family": "ใจดี", "given": "สมชาย"},
    ]
    raw = raw_of(fhir.read(write(tmp_path, ndjson(patient(name=names)))))
    assert [name.given or name.full for name in raw.names] == ["สมชาย", "ชัย", "ทารก"]


def test_fhir_bundle_that_begins_with_its_entries(tmp_path: Path) -> None:
    """A Bundle on one line is known however late its type stands."""
    bundle = {"entry": [{"resource": patient()}] * 5, "resourceType": "Bundle"}
    assert len(list(fhir.read(write(tmp_path, json.dumps(bundle) + "\n")))) == 5


def test_fhir_plain_address(tmp_path: Path) -> None:
    """Without codes the address is what its plain elements say."""
    address = {"line": ["99/1 หมู่ 4"], "city": "ตลาดขวัญ"}
    (row,) = fhir.read(write(tmp_path, ndjson(patient(address=[address]))))
    assert isinstance(row, SourceRow)
    assert (row.raw.house, row.raw.subdistrict) == ("99/1 หมู่ 4", "ตลาดขวัญ")


@pytest.mark.parametrize("indent", [None, 2])
def test_fhir_bundle(tmp_path: Path, indent: int | None) -> None:
    """A Bundle is read entry by entry, however it is laid out."""
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": patient()}, {"resource": {}}, {}]}
    rows = list(fhir.read(write(tmp_path, "\ufeff" + json.dumps(bundle, indent=indent))))
    assert [row.row for row in rows] == [1, 2, 3]
    assert isinstance(rows[0], SourceRow)
    assert rows[1:] == [RejectedRow(2, RowReason.NOT_A_PATIENT), RejectedRow(3, RowReason.NOT_A_PATIENT)]


def test_fhir_bad_rows_do_not_stop(tmp_path: Path) -> None:
    """A line that is no Patient, no JSON or no text is set aside by its number."""
    lines = [
        ndjson(patient()).encode(),
        b'{"resourceType": "Observation"}\n',
        b"{oops\n",
        b'{"a": "\xff"}\n',
        b"\n",
        b"[" * 9999 + b"\n",
    ]
    lines += [ndjson(patient(identifier=[])).encode()]
    lines += [b'{"resourceType": "Patient", "gender": "\\ud800"}\n', ndjson(patient()).encode()]
    rows = list(fhir.read(write(tmp_path, b"".join(lines))))
    assert [(row.row, getattr(row, "reason", None)) for row in rows] == [
        (1, None), (2, RowReason.NOT_A_PATIENT), (3, RowReason.NOT_JSON), (4, RowReason.NOT_DECODABLE),
        (6, RowReason.NOT_JSON), (7, RowReason.LOCAL_ID_MISSING), (8, RowReason.NOT_DECODABLE), (9, None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (ndjson(patient()) + ndjson(patient())[:200], 2),
        (ndjson(patient())[:200], 1),
        (json.dumps({"resourceType": "Bundle", "entry": [{"resource": patient()}]}, indent=2)[:300], 13),
        ("HOSPCODE|CID|PID\n", 1),
        (b"\x89PNG\r\n\x1a\n\0", 1),
        ("", None),
        ("\n\n", None),
    ],
    ids=["truncated", "truncated first", "truncated bundle", "pipes", "binary", "empty", "blank"],
)
def test_fhir_unreadable(tmp_path: Path, content: str | bytes, line: int | None) -> None:
    """A file that is no FHIR or was cut short is refused, naming the line."""
    assert unreadable(fhir.read(write(tmp_path, content))).line == line


MAPPING = 'local_id = "HN"\nname = "ชื่อ สกุล"\nbirth_date = "วันเกิด"\nnational_id = "CID"\naddress = "ที่อยู่"\n'
COLUMNS = ["HN", "ชื่อ สกุล", "วันเกิด", "CID", "ที่อยู่"]
CELLS = ["66001", "นายสมชาย ใจดี", "15/01/2530", "1103702488992", "99/1 หมู่ 4, ต.ทับเที่ยง"]


def mapping(folder: Path, text: str = MAPPING) -> csv.Mapping:
    return csv.load_mapping(write(folder, text, "mapping.toml"))


def table(*rows: list[str], delimiter: str = ",") -> str:
    return "".join(delimiter.join(f'"{cell}"' if delimiter in cell else cell for cell in row) + "\n" for row in rows)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp874"])
def test_csv(tmp_path: Path, delimiter: str, encoding: str) -> None:
    """Delimiter and encoding are found out, and the mapping tells the columns."""
    path = write(tmp_path, table(COLUMNS, CELLS, delimiter=delimiter).encode(encoding))
    (row,) = csv.read(path, mapping(tmp_path))
    assert isinstance(row, SourceRow)
    raw = row.raw
    assert (row.row, raw.local_id, raw.names, raw.birth_date) == (
        2,
        "66001",
        (RawName(full="นายสมชาย ใจดี"),),
        "15/01/2530",
    )
    assert (raw.national_id, raw.house) == ("1103702488992", "99/1 หมู่ 4, ต.ทับเที่ยง")


def test_csv_given_delimiter_and_parts(tmp_path: Path) -> None:
    """A delimiter in the mapping counts, and a name may stand in parts."""
    text = 'delimiter = "~"\nlocal_id = "id"\nprefix = "t"\ngiven = "g"\nfamily = "f"\n'
    (row,) = csv.read(write(tmp_path, "ID~T~G~F\n66001~นาย~สมชาย~ใจดี\n"), mapping(tmp_path, text))
    assert isinstance(row, SourceRow)
    assert row.raw.names == (RawName("", "นาย", "สมชาย", "", "ใจดี"),)


SEVERAL = (
    'local_id = "hn"\ngiven = "g"\nfamily = "f"\nnational_id = ["cid", "cid2", "cid3"]\npassport = ["p1", "p2"]\n'
    'previous_given = "g0"\nprevious_family = ["f0", "f1"]\nlatin_given = "eg"\nlatin_family = "ef"\nalias = "a"\n'
)
SEVERAL_COLUMNS = "hn g f cid cid2 cid3 p1 p2 g0 f0 f1 eg ef a".split()


def several(**cells: str) -> list[str]:
    return [{"hn": "66001", "g": "สมหญิง", "f": "มั่นคง", **cells}.get(column, "") for column in SEVERAL_COLUMNS]


def test_csv_other_names(tmp_path: Path) -> None:
    """Columns for earlier, Latin and other names make further names; empty cells make none."""
    cells = several(g0="สมศรี", f0="ใจดี", f1="แซ่ลิ้ม", eg="Somying", ef="Mankong", a="หญิง/ดาว ดารา")
    rows = csv.read(write(tmp_path, table(SEVERAL_COLUMNS, cells, several())), mapping(tmp_path, SEVERAL))
    first, second = (row.raw.names for row in rows if isinstance(row, SourceRow))
    assert first == (
        RawName(given="สมหญิง", family="มั่นคง"), RawName(given="Somying", family="Mankong"),
        RawName(given="สมศรี", family="ใจดี"), RawName(family="แซ่ลิ้ม"), RawName(full="หญิง"), RawName(full="ดาว ดารา"),
    )  # fmt: skip
    assert second == (RawName(given="สมหญิง", family="มั่นคง"),)


@pytest.mark.parametrize(
    ("more", "cells", "passports"),
    [
        ("", {"p1": "AA1234567", "p2": "AB1234567"}, [("AA1234567", ""), ("AB1234567", "")]),
        ("", {"p2": "AB1234567"}, [("AB1234567", "")]),
        ("", {}, [("", "")]),
        ('passport_country = "cid3"\n', {"p1": "A", "p2": "B", "cid3": "MMR"}, [("A", "MMR"), ("B", "MMR")]),
        ('passport_country = ["cid2", "cid3"]\n', {"p2": "B", "cid2": "THA", "cid3": "MMR"}, [("B", "MMR")]),
    ],
)
def test_csv_several_numbers(
    tmp_path: Path, more: str, cells: dict[str, str], passports: list[tuple[str, str]]
) -> None:
    """A field may take several columns: each number counts, with its own country or the one for all."""
    columns = mapping(tmp_path, SEVERAL + more)
    raw = raw_of(csv.read(write(tmp_path, table(SEVERAL_COLUMNS, several(**cells))), columns))
    assert [(raw.passport, raw.passport_country), *raw.other_passports] == passports
    raw = raw_of(csv.read(write(tmp_path, table(SEVERAL_COLUMNS, several(cid="1", cid3="3"))), columns))
    assert (raw.national_id, raw.other_national_ids) == ("1", ("3",))


@pytest.mark.parametrize("header_end", ["", ","])
@pytest.mark.parametrize("end", ["", ",", ",,"])
def test_csv_delimiters_behind_rows(tmp_path: Path, header_end: str, end: str) -> None:
    """Delimiters may end every row, or the header alone, or the rows alone."""
    header, row = table(COLUMNS).replace("\n", header_end + "\n"), table(CELLS).replace("\n", end + "\n")
    rows = list(csv.read(write(tmp_path, header + row + row), mapping(tmp_path)))
    assert [isinstance(row, SourceRow) for row in rows] == [True, True]


def test_csv_bad_rows_do_not_stop(tmp_path: Path) -> None:
    """Bad rows are set aside by the line that they begin in; a cell may go over several lines."""
    rows = [
        table(COLUMNS, CELLS),
        "66002,x\n",
        ",x,,,\n",
        '"66003"x,,,,\n',
        ",,,,\n",
        "\n",
        '66004,"a\nb",,,\n',
        "66005,x,,,\n",
    ]
    data = "".join(rows).encode().replace(b"66005,x", b"66005,x\xff")
    found = list(csv.read(write(tmp_path, data), mapping(tmp_path)))
    assert [(row.row, getattr(row, "reason", None)) for row in found] == [
        (2, None), (3, RowReason.COLUMN_COUNT), (4, RowReason.LOCAL_ID_MISSING), (5, RowReason.QUOTING), (8, None),
        (10, RowReason.NOT_DECODABLE),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (table(COLUMNS, CELLS) + "66001,สม", 3),
        (table(COLUMNS, CELLS) + '66001,"สมชาย', 3),
        (table(COLUMNS, CELLS) + '66001,"สมชาย,,,\n' + table(CELLS), 3),
        (table(COLUMNS, CELLS) + '66001,"' + "สมชาย\n" * 50_000, 3),
        (table(CELLS), 1),
        (b"PK\x03\x04\0\0", 1),
        ("x" * 200_000, 1),
        ("", None),
    ],
    ids=["truncated", "open at end", "open", "open for long", "no header", "binary", "one cell", "empty"],
)
def test_csv_unreadable(tmp_path: Path, content: str | bytes, line: int | None) -> None:
    """A table that was cut short, swallows rows in an open quotation, or lacks a column is refused, naming the line."""
    assert unreadable(csv.read(write(tmp_path, content), mapping(tmp_path))).line == line


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("local_id = ", "not TOML"),
        ('local_id = "HN"\nsurname = "x"\nname = "y"', "surname: no such field"),
        ('name = "y"', "local_id: is needed"),
        ('local_id = "HN"', "is needed, people are matched by it"),
        ('local_id = "HN"\nname = 3', "name: the column's name is a text"),
        ('local_id = "HN"\nname = "y"\ndelimiter = "||"', "delimiter: one character"),
        ('local_id = ["HN", "PID"]\nname = "y"', "local_id: one column"),
        ('local_id = "HN"\nnational_id = []', "national_id: the column's name is a text"),
        ('local_id = "HN"\nnational_id = ["a", 1]', "national_id: the column's name is a text"),
        ('local_id = "HN"\npassport = "a"\npassport_country = ["b", "c"]', "passport_country: one column"),
    ],
)
def test_mapping_unreadable(tmp_path: Path, text: str, problem: str) -> None:
    """A mapping that cannot be used says everything that is wrong with it."""
    with pytest.raises(ExtractUnreadable, match=problem):
        mapping(tmp_path, text)


def test_workbook(tmp_path: Path) -> None:
    """The first sheet of a workbook is read: numbers without a fraction, dates as dates, empty rows passed over."""
    pytest.importorskip("python_calamine", reason="needs the extra xlsx")
    header, cells = [[f'<c t="inlineStr"><is><t>{text}</t></is></c>' for text in row] for row in (COLUMNS, CELLS)]
    cells[2] = '<c s="1"><v>31792</v></c>'
    cells[3] = "<c><v>1103702488992</v></c>"
    path = workbook(tmp_path, header, [], cells, ["<c/>", cells[1]])
    first, second = csv.read(path, mapping(tmp_path))
    assert isinstance(first, SourceRow)
    assert (first.row, first.raw.birth_date, first.raw.national_id) == (3, "1987-01-15", "1103702488992")
    assert second == RejectedRow(4, RowReason.LOCAL_ID_MISSING)


def workbook(folder: Path, *rows: list[str]) -> Path:
    """Write the least that Excel calls a workbook."""
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006/relationships"
    sheet_data = "".join(f"<row>{''.join(cells)}</row>" for cells in rows)
    parts = {
        "_rels/.rels": f'<Relationships xmlns="{package}"><Relationship Id="r1" Type="{office}/officeDocument" '
        'Target="xl/workbook.xml"/></Relationships>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}"><Relationship Id="r1" '
        f'Type="{office}/worksheet" Target="worksheets/s.xml"/><Relationship Id="r2" Type="{office}/styles" '
        'Target="styles.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>'
        '<sheet name="a" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/styles.xml": f'<styleSheet xmlns="{main}"><cellXfs count="2">'
        '<xf numFmtId="0"/><xf numFmtId="14"/></cellXfs></styleSheet>',
        "xl/worksheets/s.xml": f'<worksheet xmlns="{main}"><sheetData>{sheet_data}</sheetData></worksheet>',
    }
    path = folder / "a.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return path


def test_no_workbook(tmp_path: Path) -> None:
    """A file that is no workbook in spite of its ending is refused."""
    pytest.importorskip("python_calamine", reason="needs the extra xlsx")
    for content in (b"", b"PK\x03\x04", b"HN,CID\n"):
        assert "not an Excel workbook" in str(
            unreadable(csv.read(write(tmp_path, content, "a.xlsx"), mapping(tmp_path)))
        )


def test_workbook_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra that reads workbooks the error names it."""
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    assert "thai-mpi[xlsx]" in str(unreadable(csv.read(write(tmp_path, b"", "a.xlsx"), mapping(tmp_path))))


@pytest.mark.parametrize("read", [person43.read, fhir.read])
def test_missing_file(tmp_path: Path, read: Reader) -> None:
    """A file that is not there is refused by its name."""
    assert "nowhere" in str(unreadable(read(tmp_path / "nowhere")))


@pytest.mark.parametrize("source", ["person43", "csv", "fhir"])
def test_memory_stays_flat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    """Reading five times the rows takes no more memory."""
    monkeypatch.setattr(sources, "_SAMPLE_BYTES", 1 << 12)
    columns = mapping(tmp_path)
    head, row, read = {
        "person43": (HEADER + "\n", person() + "\n", person43.read),
        "csv": (table(COLUMNS), table(CELLS), lambda path: csv.read(path, columns)),
        "fhir": ("", ndjson(patient()), fhir.read),
    }[source]

    def peak(rows: int) -> int:
        path = write(tmp_path, head + row * rows)
        tracemalloc.start()
        assert sum(isinstance(each, SourceRow) for each in read(path)) == rows
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(400)
    assert peak(2000) - peak(400) < 64 << 10


PIECES = st.sampled_from(
    [b"|", b"\n", b"\r\n", b'"', b",", b"{", b"}", b"[", b'"resourceType":"Patient"', b"\xe0\xb8\x81", b"\xa1"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["use", "system", "value", "extension", "url"]), inner)
    ),
    max_leaves=8,
)


@given(
    st.one_of(st.binary(max_size=200), st.lists(PIECES | st.binary(max_size=5), max_size=30).map(b"".join)),
    st.integers(0, 3),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes(tmp_path: Path, data: bytes, good: int) -> None:
    """Any bytes behind any number of good rows give rows in order, or the one error that readers may raise."""
    columns = mapping(tmp_path)
    beginnings: list[tuple[Reader, str]] = [
        (person43.read, person() + "\n"),
        (fhir.read, ndjson(patient())),
        (lambda path: csv.read(path, columns), table(CELLS)),
    ]
    for read, row in beginnings:
        header = table(COLUMNS) if row == table(CELLS) else ""
        path = write(tmp_path, (header + row * good).encode() + data)
        try:
            found = list(read(path))
        except ExtractUnreadable:
            continue
        numbers = [entry.row for entry in found]
        assert numbers == sorted(set(numbers))


@given(
    st.dictionaries(st.sampled_from(["identifier", "name", "telecom", "gender", "birthDate", "address", "use"]), JSON)
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_patient(tmp_path: Path, parts: dict[str, Any]) -> None:
    """A Patient whose elements are anything at all is a row or set aside."""
    rows = list(fhir.read(write(tmp_path, ndjson(patient()) + json.dumps(patient(**parts)) + "\n")))
    assert len(rows) == 2
