"""Nothing that could identify a person or open what is sealed comes out by accident: reprs, key files, errors."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from mpi.at_rest import RestKey
from mpi.cli.locate import locate_keys
from mpi.cli.normalize import normalize_lines
from mpi.cli.register import register_files
from mpi.domain.identifiers import IdentifierKind, IdentifierToken, LocalIdToken
from mpi.domain.record import ChannelEncoding
from mpi.encoder.dates import BirthDate
from mpi.encoder.demographics import RawDemographics, RawName, normalize
from mpi.encoder.identifiers import Identifier, IdentifierRejected, parse_national_id
from mpi.encoder.job import EncodeJob, run_job
from mpi.encoder.keys import EPOCHS, LINKAGE, POINTER, load_key_ring, new_key_ring
from mpi.encoder.sources import SourceRow
from mpi.encoder.sources.person43 import COLUMNS
from mpi.encoder.thai_names import PersonName
from mpi.errors import ConfigInvalid, InputRejected, KeyRingUnusable, MpiError
from mpi.keyfiles import read_key_file, write_key_file
from mpi.service.keys import GatewayKey, ServiceKeys, open_service_keys
from tests.building import TODAY, encoded

GIVEN, FAMILY = "สมหญิง", "ใจดีมาก"
NATIONAL_ID, PASSPORT, PHONE = "1103702488992", "AA1234567", "0812345678"
BIRTH, LOCAL_ID, HOUSE = "25300115", "HN-4711-998", "237/61"
SECRET = bytes(range(64))
VALUES = (GIVEN, FAMILY, NATIONAL_ID, PASSPORT, PHONE, BIRTH, LOCAL_ID, HOUSE, "1987", "Somying")
ROW_VALUES = (GIVEN, FAMILY, NATIONAL_ID, PASSPORT, PHONE, BIRTH, LOCAL_ID)


def a_row() -> RawDemographics:
    return RawDemographics(
        local_id=LOCAL_ID,
        names=(RawName(prefix="นางสาว", given=GIVEN, family=FAMILY), RawName(full="Somying Jaideemak")),
        birth_date=BIRTH,
        sex="2",
        national_id=NATIONAL_ID,
        passport=PASSPORT,
        passport_country="THA",
        phone=PHONE,
        house=HOUSE,
        subdistrict="100507",
    )


def shows(text: str, values: tuple[str, ...] = VALUES) -> list[str]:
    """Values that a text shows, whatever their case."""
    return [value for value in values if value.lower() in text.lower()]


def forms(secret: bytes) -> tuple[str, ...]:
    """Ways in which a text may show the beginning of a secret."""
    return (secret[:6].hex(), repr(secret[:6])[2:-1], str(list(secret[:4]))[1:-1])


def test_reprs_of_people_show_no_value() -> None:
    """Demographics, raw and normalised, and every part of them print without a value."""
    raw = a_row()
    person = normalize(raw, TODAY)
    assert person.names
    assert person.birth_date
    assert len(person.identifiers) == 3
    parts = [raw, *raw.names, SourceRow(2, raw), person, *person.names, person.birth_date, *person.identifiers]
    assert {type(part) for part in parts} >= {RawDemographics, PersonName, BirthDate, Identifier}
    for part in (*parts, parts):
        assert shows(f"{part!r} {part!s} {part}") == [], type(part)


def test_reprs_of_encodings_show_no_value(tmp_path: Path) -> None:
    """Encoded records, tokens and channels print neither tokens nor vectors nor pointers."""
    ring = new_key_ring(tmp_path / "keys")
    (record,) = encoded(ring, "10661", a_row())
    sealed = [record.local_id_token, record.pointer, *(token.value for token in record.demographics.tokens)]
    sealed += [part for channel in record.demographics.channels for part in (channel.bucket, channel.vector)]
    assert len(sealed) > 8
    text = repr([record, record.demographics, *record.demographics.tokens, *record.demographics.channels])
    assert shows(text, (*VALUES, *(form for value in sealed for form in forms(value)))) == []
    tokens = [IdentifierToken(IdentifierKind.PHONE, SECRET[:32]), LocalIdToken(SECRET[:32])]
    assert shows(repr([*tokens, ChannelEncoding("A", SECRET[:32], SECRET)]), forms(SECRET)) == []


def test_reprs_of_keys_show_no_secret(tmp_path: Path) -> None:
    """Key rings, epochs and the centre's keys print names at most."""
    ring = new_key_ring(tmp_path / "keys")
    centre = open_service_keys(tmp_path / "centre" / "service.json")
    text = repr(
        [
            ring,
            *ring.epochs,
            ring.current,
            centre,
            ServiceKeys((GatewayKey(1, SECRET[:32]),), SECRET[:32], (RestKey(1, SECRET[32:]),)),
            GatewayKey(1, SECRET[:32]),
            *centre.at_rest,
        ]
    )
    for secret in (
        ring.pointer_secret,
        ring.current.secret,
        centre.gateway[0].secret,
        centre.pseudonyms,
        centre.at_rest[0].secret,
        SECRET[:32],
        SECRET[32:],
    ):
        assert shows(text, forms(secret)) == []
    assert ring.current.name in text


@pytest.mark.parametrize("name", [LINKAGE, POINTER])
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o602])
def test_a_key_file_open_to_others_is_refused(tmp_path: Path, name: str, mode: int) -> None:
    """A key ring is not read when its group or others could read or write one of its files."""
    new_key_ring(tmp_path / "keys")
    path = tmp_path / "keys" / name
    path.chmod(mode)
    with pytest.raises(KeyRingUnusable, match="chmod 600") as refused:
        load_key_ring(tmp_path / "keys")
    assert str(path) in refused.value.message


def test_centre_keys_open_to_others_are_refused(tmp_path: Path) -> None:
    """The centre does not start on a key file that others may read."""
    path = tmp_path / "centre" / "service.json"
    open_service_keys(path)
    path.chmod(0o644)
    with pytest.raises(KeyRingUnusable, match="chmod 600"):
        open_service_keys(path)


def test_key_files_are_made_for_their_owner_alone(tmp_path: Path) -> None:
    """Key files have mode 0600 and their folders 0700, whatever the umask; only the epochs' names are public."""
    before = os.umask(0)
    try:
        new_key_ring(tmp_path / "keys")
        open_service_keys(tmp_path / "centre" / "service.json")
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    public = modes.pop(EPOCHS)
    assert public & 0o400
    assert modes == {"keys": 0o700, "centre": 0o700, LINKAGE: 0o600, POINTER: 0o600, "service.json": 0o600}
    ring = load_key_ring(tmp_path / "keys")
    assert set(json.loads((tmp_path / "keys" / EPOCHS).read_text())["epochs"]) == {ring.current.name}


def test_keys_are_never_overwritten(tmp_path: Path) -> None:
    """Making keys where there are some changes nothing, also where only one file of a ring is left."""
    folder = tmp_path / "keys"
    new_key_ring(folder)
    service = tmp_path / "centre.json"
    first = open_service_keys(service)
    kept = {path: path.read_bytes() for path in (*folder.iterdir(), service)}
    with pytest.raises(KeyRingUnusable, match="never overwritten"):
        new_key_ring(folder)
    with pytest.raises(KeyRingUnusable, match="never overwritten"):
        new_key_ring(folder, join=folder)
    with pytest.raises(KeyRingUnusable, match="never overwritten"):
        write_key_file(service, {"gateway": ""})
    assert open_service_keys(service) == first
    assert {path: path.read_bytes() for path in kept} == kept
    (folder / POINTER).unlink()
    with pytest.raises(KeyRingUnusable, match="never overwritten"):
        new_key_ring(folder)
    assert (folder / LINKAGE).read_bytes() == kept[folder / LINKAGE]
    assert not (folder / POINTER).exists()


def test_damaged_key_files_are_refused_without_their_content(tmp_path: Path) -> None:
    """A damaged key file is named in the error, and nothing of it is quoted."""
    new_key_ring(tmp_path / "keys")
    path = tmp_path / "keys" / LINKAGE
    whole = path.read_text()
    secret = json.loads(whole)["epochs"][0]["secret"]
    flipped = whole.replace(secret, ("B" if secret[0] == "A" else "A") + secret[1:])
    for damaged in (whole[: len(whole) // 2], flipped, whole.replace(secret, secret[:-8]), "[]", ""):
        path.write_text(damaged)
        with pytest.raises(KeyRingUnusable) as refused:
            load_key_ring(tmp_path / "keys")
        assert str(path) in refused.value.message
        assert shows(refused.value.message, (secret[1:9], secret[10:20])) == []
    with pytest.raises(KeyRingUnusable, match="no such key file"):
        read_key_file(tmp_path / "none.json")


def person_row(**changed: str) -> str:
    cells = {"HOSPCODE": "10661", "CID": NATIONAL_ID, "PID": LOCAL_ID, "NAME": GIVEN, "LNAME": FAMILY, "SEX": "2"}
    cells |= {"BIRTH": BIRTH, "PASSPORT": PASSPORT, "NATION": "099", "MOBILE": PHONE, "TELEPHONE": PHONE}
    return "|".join((cells | changed).get(name, "") for name in COLUMNS)


def patient(**changed: object) -> str:
    fields = {
        "resourceType": "Patient",
        "identifier": [
            {"system": "https://terms.sil-th.org/hcode/5/10661/HN", "value": LOCAL_ID},
            {"system": "https://terms.sil-th.org/id/th-cid", "value": NATIONAL_ID},
            {"system": "http://hl7.org/fhir/sid/passport-THA", "value": PASSPORT},
        ],
        "name": [{"family": FAMILY, "given": [GIVEN]}],
        "telecom": [{"system": "phone", "value": PHONE}],
        "birthDate": BIRTH,
    }
    return json.dumps(fields | changed, ensure_ascii=False)


BAD_EXTRACTS: dict[str, tuple[str, bytes]] = {
    "person43 cut short": ("person43", (person_row() + "\n" + person_row()[:-40]).encode()),
    "person43 header lacks columns": ("person43", ("HOSPCODE|CID|NAME|LNAME\n" + person_row() + "\n").encode()),
    "person43 that is something else": ("person43", (patient() + "\n").encode()),
    "person43 without a facility code": ("person43", person_row(HOSPCODE=GIVEN).encode()),
    "person43 with binary junk": ("person43", person_row().encode() + b"\n\0\1\2\n"),
    "person43 in UTF-16": ("person43", person_row().encode("utf-16")),
    "fhir cut short": ("fhir", (patient() + "\n" + patient()[:-30]).encode()),
    "fhir in Windows-874": ("fhir", (patient() + "\n").encode("cp874")),
    "fhir that is something else": ("fhir", (person_row() + "\n").encode()),
    "fhir bundle cut short": ("fhir", ('{"resourceType":"Bundle","entry":[{"resource":' + patient()).encode()),
    "fhir bundle in Windows-874": (
        "fhir",
        ('{"resourceType":"Bundle","entry":[{"resource":' + patient() + "}]}").encode("cp874"),
    ),
    "no row at all": ("person43", b""),
}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ring")
    new_key_ring(folder / "keys")
    return folder / "keys"


@pytest.mark.parametrize("case", BAD_EXTRACTS)
def test_errors_of_bad_extracts_name_the_file_and_no_value(tmp_path: Path, keys: Path, case: str) -> None:
    """An unusable extract is refused by an error that names it, shows no value of a row, and hides no cause."""
    source, content = BAD_EXTRACTS[case]
    extract = tmp_path / "extract"
    extract.write_bytes(content)
    with pytest.raises(MpiError) as refused:
        run_job(EncodeJob(extract, keys, "10661", source, tmp_path / "out.parquet", "th-v1"))
    assert str(extract) in refused.value.message
    assert "\n" not in refused.value.message
    chain = [refused.value, refused.value.__cause__]
    assert refused.value.__context__ is None or refused.value.__suppress_context__
    assert shows(" ".join(f"{error!r} {error}" for error in chain), ROW_VALUES) == []
    assert [path.name for path in tmp_path.iterdir()] == ["extract"]


BAD_ROWS: dict[str, tuple[str, str]] = {
    "no local id": ("person43", person_row(PID="")),
    "a column too many": ("person43", person_row() + "|" + GIVEN),
    "bytes that are no text": ("person43", person_row(NAME=GIVEN + "\udcff")),
    "nothing to match": ("person43", person_row(NAME="", LNAME="", CID="", PASSPORT="", MOBILE="", TELEPHONE="")),
    "fhir of another type": ("fhir", patient(resourceType=GIVEN)),
    "fhir without a local id": ("fhir", patient(identifier=[{"value": NATIONAL_ID}])),
    "fhir that is no JSON": ("fhir", patient()[:-1]),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_quarantine_and_figures_hold_no_value(tmp_path: Path, keys: Path, case: str) -> None:
    """What is set aside is named by row number and reason code alone."""
    source, bad = BAD_ROWS[case]
    good = person_row() if source == "person43" else patient()
    extract = tmp_path / "extract"
    extract.write_bytes("\n".join((good, bad, good, "")).encode("utf-8", "surrogateescape"))
    done = run_job(EncodeJob(extract, keys, "10661", source, tmp_path / "out.parquet", "th-v1"))
    assert done.records == 2
    aside = (tmp_path / "out.quarantine.csv").read_text(encoding="utf-8")
    assert re.fullmatch(r"row,reason\s+2,[A-Z_]+\s+", aside)
    assert shows(aside + json.dumps(done.figures(), ensure_ascii=False) + repr(done), ROW_VALUES) == []


def test_errors_of_bad_arguments_show_no_value(tmp_path: Path, keys: Path) -> None:
    """Arguments that may be a person's numbers are never repeated in the error that refuses them."""
    ring = load_key_ring(keys)
    wrong = "1103702488993"
    extract = tmp_path / "extract"
    extract.write_text(person_row())
    calls: list[tuple[Callable[[], object], type[MpiError]]] = [
        (lambda: locate_keys(ring.epochs, wrong, None, None, None), InputRejected),
        (lambda: locate_keys(ring.epochs, GIVEN, None, None, None), InputRejected),
        (lambda: locate_keys((), NATIONAL_ID, None, None, None), ConfigInvalid),
        (lambda: locate_keys(ring.epochs, NATIONAL_ID, "10661", LOCAL_ID, None), ConfigInvalid),
        (lambda: locate_keys(ring.epochs, None, None, LOCAL_ID, None), ConfigInvalid),
        (lambda: run_job(EncodeJob(extract, keys, NATIONAL_ID, "person43", tmp_path / "o", "th-v1")), InputRejected),
        (lambda: run_job(EncodeJob(extract, keys, "10661", GIVEN, tmp_path / "o", "th-v1")), InputRejected),
        (lambda: register_files([extract], "127.0.0.1:1", None), InputRejected),
    ]
    for call, expected in calls:
        with pytest.raises(expected) as refused:
            call()
        assert shows(refused.value.message, (*ROW_VALUES, wrong)) == []
    with pytest.raises(IdentifierRejected) as rejected:
        parse_national_id(wrong)
    assert shows(f"{rejected.value} {rejected.value!r}", (wrong,)) == []


def test_lines_that_cannot_be_normalised_are_not_repeated(tmp_path: Path) -> None:
    """`mpi normalize` answers a line that is no JSON object with its number alone."""
    with (tmp_path / "out").open("w+", encoding="utf-8") as out, (tmp_path / "in").open("w+b") as given:
        given.write((patient()[:-1] + "\n" + json.dumps([GIVEN]) + "\n").encode() + GIVEN.encode("cp874") + b"\n")
        given.seek(0)
        assert normalize_lines(given, out) == 3
        out.seek(0)
        answers = out.read()
    assert [json.loads(line) for line in answers.splitlines()] == [{"error": "not JSON", "line": n} for n in (1, 2, 3)]
