"""`mpi register` and `mpi locate` against a real server, from encoded files to printed locations."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from mpi.cli import locate, register
from mpi.domain.identifiers import EnterpriseId, IdentifierKind
from mpi.domain.record import EncodedRecord
from mpi.encoder.encoded_file import EncodedFileHeader, encoded_schema, to_batch, write_encoded
from mpi.encoder.keys import KeyRing, load_key_ring, load_lookup_keys, new_key_ring
from mpi.encoder.tokens import PointerBox, Tokeniser
from mpi.errors import ConfigInvalid, ExtractUnreadable, InputRejected, ServiceUnavailable
from tests.building import columns_of
from tests.server.running import DIGEST, FACILITY, MemoryIndex, certificates, encoded, running, server_tls

NATIONAL_ID = "1103702488992"


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates(tmp_path_factory.mktemp("certs"))


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    new_key_ring(folder)
    return folder


@pytest.fixture
def served(certs: Path) -> Iterator[tuple[MemoryIndex, str]]:
    index = MemoryIndex()
    with running(index.application(), server_tls(certs)) as address:
        yield index, address


def numbered(ring: KeyRing, local_id: str) -> EncodedRecord:
    """A record of the facility that carries `NATIONAL_ID`, with a pointer that the key ring opens."""
    tokens = Tokeniser(ring.current)
    record = encoded(1)
    object.__setattr__(record.demographics, "tokens", (tokens.identifier(IdentifierKind.NATIONAL_ID, NATIONAL_ID),))
    pointer = PointerBox(ring.pointer_secret, FACILITY).seal(local_id)
    return EncodedRecord(FACILITY, tokens.local_id(FACILITY, local_id).value, pointer, record.demographics)


def write(path: Path, records: list[EncodedRecord], facility: str = FACILITY, digest: bytes = DIGEST) -> Path:
    schema = encoded_schema(EncodedFileHeader(facility, "th-v1", digest, ("1-5f2c90aa",)), 128)
    batch = to_batch(columns_of([(row + 2, record) for row, record in enumerate(records)]), schema)
    write_encoded(path, schema, [pa.Table.from_batches([batch])])
    return path


def located(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict:
    locate.run(*arguments, as_json=True)
    return json.loads(capsys.readouterr().out)


class TestRegister:
    """`mpi register`."""

    def test_counts_and_revision(self, served, certs, tmp_path, capsys):
        """A run says what became of the records, gives the last revision, and ends with 0; again, all are unchanged."""
        path = write(tmp_path / "a.parquet", [encoded(number) for number in range(1100)])
        folder = certs / f"facility-{FACILITY}"
        assert register.run([path], served[1], folder, as_json=True) == 0
        first = json.loads(capsys.readouterr().out)
        assert (first["records"], first["stored"], first["refused"]) == (1100, 1100, 0)
        assert first["revision"] == "01" + served[0].at.to_bytes(8, "big").hex()
        assert register.run([path], served[1], folder, as_json=False) == 0
        assert "1100 unchanged" in capsys.readouterr().out

    def test_refused_records_are_listed_by_row(self, served, certs, tmp_path, capsys):
        """Refused records are counted by reason, with file and row in the extract, and the exit code is 1."""
        good = write(tmp_path / "good.parquet", [encoded(1)])
        foreign = write(tmp_path / "foreign.parquet", [encoded(n) for n in range(2, 14)], facility="11111")
        other = write(tmp_path / "other.parquet", [encoded(20)], digest=b"\x09" * 32)
        folder = certs / f"facility-{FACILITY}"
        assert register.run([good, foreign, other], served[1], folder, as_json=True) == 1
        figures = json.loads(capsys.readouterr().out)
        assert (figures["stored"], figures["refused"]) == (1, 13)
        assert [(entry["reason"], entry["field"], entry["count"]) for entry in figures["reasons"]] == [
            ("FACILITY_MISMATCH", "facility", 12),
            ("PROFILE_MISMATCH", "demographics.profile_digest", 1),
        ]
        assert figures["reasons"][0]["rows"][0] == {"file": str(foreign), "row": 2}
        assert register.run([foreign], served[1], folder, as_json=False) == 1
        shown = capsys.readouterr().out
        assert "foreign.parquet, row 2" in shown
        assert "and 2 more" in shown

    def test_a_missing_file_is_found_before_anything_is_sent(self, served, certs, tmp_path):
        """When one of several files is missing nothing is registered."""
        good = write(tmp_path / "good.parquet", [encoded(1)])
        with pytest.raises(ExtractUnreadable):
            register.run([good, tmp_path / "none"], served[1], certs / f"facility-{FACILITY}", as_json=True)
        assert not served[0].records

    def test_no_server(self, tmp_path):
        """Without a server the run fails with an error of ours."""
        with pytest.raises(ServiceUnavailable):
            register.run([write(tmp_path / "a.parquet", [encoded(1)])], "127.0.0.1:1", None, as_json=True)


class TestLocate:
    """`mpi locate`."""

    @pytest.fixture(autouse=True)
    def registered(self, served, keys):
        served[0].register([numbered(load_key_ring(keys), "HN 0042")], "test")

    def test_every_way_to_name_a_person(self, served, certs, keys, capsys, monkeypatch):
        """A number, the same from standard input, a local id and an enterprise id all lead to the same record."""
        client = (served[1], "treat", certs / "exchange-cdes", keys)
        by_number = located(capsys, *client, "1-1037-02488-99-2", None, None, None)
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{NATIONAL_ID}\n"))
        by_input = located(capsys, *client, "-", None, None, None)
        by_local_id = located(capsys, *client, None, FACILITY, "HN 0042", None)
        by_eid = located(capsys, *client, None, None, None, by_number["identities"][0]["eid"])
        assert by_number == by_input == by_local_id == by_eid
        (place,) = by_number["identities"][0]["locations"]
        assert (place["facility"], place["local_id"]) == (FACILITY, "HN 0042")

    def test_other_facilities_pointers_stay_closed(self, served, certs, keys, tmp_path, capsys):
        """A key ring that did not seal a pointer does not open it; the rest is shown all the same."""
        new_key_ring(tmp_path / "other", join=keys)
        client = (served[1], "TREAT", certs / "exchange-cdes", tmp_path / "other")
        (place,) = located(capsys, *client, NATIONAL_ID, None, None, None)["identities"][0]["locations"]
        assert place["local_id"] is None
        assert bytes.fromhex(place["pointer"])

    def test_tables(self, served, certs, keys, capsys):
        """For a person the locations are a table, and nothing found is said in words."""
        arguments = (served[1], "TREAT", certs / "exchange-cdes", keys, None, FACILITY)
        locate.run(*arguments, "HN 0042", None, as_json=False)
        assert "HN 0042" in capsys.readouterr().out
        locate.run(*arguments, "HN 0043", None, as_json=False)
        assert "nothing is held" in capsys.readouterr().out

    @pytest.mark.parametrize("number", ["1103702488993", "1111111111119", "123", "name"])
    def test_numbers_that_are_none(self, keys, number):
        """An unusable number is refused with the reason, and the message does not repeat it."""
        with pytest.raises(InputRejected, match="not usable") as caught:
            locate.locate_keys(load_lookup_keys(keys), number, None, None, None)
        assert number not in caught.value.message

    @pytest.mark.parametrize(
        "ways",
        [
            (None, None, None, None),
            (NATIONAL_ID, None, None, "eid"),
            (NATIONAL_ID, FACILITY, "1", None),
            (None, FACILITY, None, None),
            (None, None, "1", None),
        ],
    )
    def test_one_way_to_name_a_person(self, keys, ways):
        """None, several or half of the ways to name a person are refused."""
        with pytest.raises(ConfigInvalid):
            locate.locate_keys(load_lookup_keys(keys), *ways)

    def test_keys_are_needed_for_numbers_only(self):
        """Without a key ring numbers are refused, enterprise ids are not."""
        with pytest.raises(ConfigInvalid, match="--keys"):
            locate.locate_keys((), NATIONAL_ID, None, None, None)
        assert locate.locate_keys((), None, None, None, "eid") == [EnterpriseId("eid")]

    def test_an_unknown_purpose(self):
        """A purpose that is none is refused with the list of those that are."""
        with pytest.raises(ConfigInvalid, match="ETREAT"):
            locate.run("127.0.0.1:1", "CURIOSITY", None, None, None, None, None, "eid", as_json=True)
