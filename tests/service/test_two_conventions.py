"""Two facilities, two ways of writing, one person: from their files as they come to one identity."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mpi.domain.identity import Decision, Registration
from mpi.domain.record import EncodedRecord
from mpi.encoder.encoded_file import read_encoded
from mpi.encoder.job import EncodeJob, run_job
from mpi.encoder.keys import load_key_ring, new_key_ring
from mpi.encoder.sources.person43 import COLUMNS
from mpi.encoder.tokens import PointerBox
from mpi.errors import InputRejected
from tests.building import ACTOR, centre

DISTRICT, PRIVATE = "10661", "HL001"
CID = "https://terms.sil-th.org/id/th-cid"
HN = "https://terms.sil-th.org/hcode/5/HL001/HN"
PASSPORT = "http://hl7.org/fhir/sid/passport-"

PEOPLE: dict[str, tuple[dict[str, str], dict[str, object]]] = {
    # a district hospital: Windows-874, titles as typed, Buddhist years; a private one: FHIR in UTF-8, Latin names
    "number and names": (
        {"PRENAME": "นาย", "NAME": "สมชาย", "LNAME": "ใจดี", "SEX": "1", "BIRTH": "25300117", "CID": "1103702488992"},
        {"name": ("Mr.", ["SOMCHAI"], "JAIDEE"), "birthDate": "1987-01-17", "gender": "male", "cid": "1103702488992"},
    ),
    "names alone": (
        {"PRENAME": "น.ส.", "NAME": "ณัฐธิดา", "LNAME": "ศรีสุวรรณ", "SEX": "2", "BIRTH": "25351130"},
        {"name": ("Ms.", ["Nattida"], "Srisuwan"), "birthDate": "1992-11-30", "gender": "female"},
    ),
    "title in the name, order of marks": (
        {"PRENAME": "", "NAME": "นางสาวน\u0e4d\u0e49าฝน", "LNAME": "ทองดี", "SEX": "2", "BIRTH": "๒๕๒๘๐๗๐๙"},
        {"name": ("", ["Namfon"], "Thongdee"), "birthDate": "1985-07-09", "gender": "female"},
    ),
    "passport and one name": (
        {"PRENAME": "MR", "NAME": "ออง", "LNAME": "-", "SEX": "1", "BIRTH": "25330512", "PASSPORT": "MD123456",
         "NATION": "048"},
        {"name": ("Mr.", ["Aung"], ""), "birthDate": "1990-05-12", "gender": "male", "passport": ("MMR", "MD123456")},
    ),
    "family name of a province": (
        {"PRENAME": "พ.ต.ท.", "NAME": "กฤษณะ", "LNAME": "ณ.อยุธยา", "SEX": "1", "BIRTH": "25120203"},
        {"name": ("Pol.Lt.Col.", ["Kritsana"], "Na Ayutthaya"), "birthDate": "1969-02-03", "gender": "male"},
    ),
}  # fmt: skip


def person_row(number: int, cells: dict[str, str]) -> str:
    values = {"HOSPCODE": DISTRICT, "PID": f"{number:06d}", "TYPEAREA": "1", "D_UPDATE": "20260101000000", **cells}
    return "|".join(values.get(column, "") for column in COLUMNS)


def patient(number: int, fields: dict[str, object]) -> str:
    prefix, given, family = fields["name"]  # type: ignore[misc]
    identifiers = [{"system": HN, "value": f"HN{number}"}]
    if "cid" in fields:
        identifiers.append({"system": CID, "value": str(fields["cid"])})
    if "passport" in fields:
        country, value = fields["passport"]  # type: ignore[misc]
        identifiers.append({"system": PASSPORT + country, "value": value})
    name = {"prefix": [prefix] if prefix else [], "given": given}
    content = {
        "resourceType": "Patient",
        "identifier": identifiers,
        "name": [{**name, "family": family} if family else name],
        "birthDate": fields["birthDate"],
        "gender": fields["gender"],
    }
    return json.dumps(content)


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[EncodedRecord], list[EncodedRecord]]:
    """Both facilities' files, encoded by the command's own job."""
    folder = tmp_path_factory.mktemp("conventions")
    district, private = folder / "person.txt", folder / "patients.ndjson"
    rows = [person_row(number, there) for number, (there, _) in enumerate(PEOPLE.values())]
    district.write_bytes("\r\n".join([*rows, ""]).encode("cp874"))
    private.write_text("\n".join(patient(number, here) for number, (_, here) in enumerate(PEOPLE.values())) + "\n")
    new_key_ring(folder / DISTRICT)
    new_key_ring(folder / PRIVATE, join=folder / DISTRICT)
    records = []
    for extract, facility, source in ((district, DISTRICT, "person43"), (private, PRIVATE, "fhir")):
        job = EncodeJob(extract, folder / facility, facility, source, folder / f"{facility}.parquet", "th-v1")
        assert run_job(job).records == len(PEOPLE)
        records.append([record for batch in read_encoded(job.out) for record in batch])
    return folder, records[0], records[1]


def test_the_same_people_meet(encoded, tmp_path):
    """Whatever the script, the era, the titles and the order of marks, each person has one identity at the end."""
    _, district, private = encoded
    with centre(tmp_path, (district[0].demographics.key_epoch,)) as at:
        first, _ = at.registry.register(district, ACTOR)
        second, _ = at.registry.register(private, ACTOR)
        became = dict(zip(PEOPLE, zip(first, second, strict=True), strict=True))
        for words, (there, here) in became.items():
            assert isinstance(there, Registration), words
            assert isinstance(here, Registration), words
            assert there.decision is Decision.NEW, words
            assert (here.decision, here.eid) == (Decision.LINK, there.eid), (words, here.why)
        assert at.store.count()[1] == len(PEOPLE)


def test_each_facility_opens_its_own_pointers_only(encoded):
    """What a lookup hands back is the local id for the facility that it is from, and nothing for the other."""
    folder, district, private = encoded
    rings = {code: load_key_ring(folder / code) for code in (DISTRICT, PRIVATE)}
    opened = [PointerBox(rings[DISTRICT].pointer_secret, DISTRICT).open(record.pointer) for record in district]
    assert opened == [f"{number:06d}" for number in range(len(PEOPLE))]
    with pytest.raises(InputRejected):
        PointerBox(rings[DISTRICT].pointer_secret, PRIVATE).open(private[0].pointer)


def test_no_plaintext_in_the_encoded_files(encoded):
    """Neither file holds a name, a number or a date of anybody, in any of the encodings that they came in."""
    folder, _, _ = encoded
    held = (folder / f"{DISTRICT}.parquet").read_bytes() + (folder / f"{PRIVATE}.parquet").read_bytes()
    for text in ("สมชาย", "ใจดี", "SOMCHAI", "JAIDEE", "1103702488992", "MD123456", "25300117", "1987-01-17", "HN0"):
        assert text.encode() not in held
        assert text.encode("cp874") not in held
