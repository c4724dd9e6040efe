"""`mpi audit` on the journal of a real centre, while it serves and afterwards."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mpi.cli.audit import REPORT
from mpi.cli.main import app
from mpi.client import PurposeOfUse
from mpi.domain.identifiers import EnterpriseId, IdentifierKind, IdentifierToken, LocalIdToken
from mpi.errors import AccessDenied, MpiError
from mpi.service.keys import read_service_keys
from mpi.service.pseudonyms import Pseudonyms
from tests.server.running import certificates
from tests.server.test_steward_calls import MALEE, SOMCHAI, served

SOMCHAIS_NUMBER, MALEES_NUMBER, NOBODYS_NUMBER = "1103702488992", "3320100123459", "1103702488984"
ROOT = Path(__file__).parents[2]
TREAT, BTG = PurposeOfUse.TREAT, PurposeOfUse.BTG


@dataclass(frozen=True)
class Scene:
    """A centre after a day's work: two people merged into one, lookups before and after, a denial, nothing found."""

    folder: Path
    ours: str
    theirs: str
    secrets: tuple[bytes, ...]

    def __call__(self, command: str, *arguments: object, typed: str = "") -> Any:
        where = ["--data", self.folder / "data", "--config", self.folder / "mpi.toml"]
        return CliRunner().invoke(app, ["audit", command, *map(str, [*where, *arguments])], input=typed)

    def figures(self, command: str, *arguments: object, typed: str = "") -> dict[str, object]:
        done = self(command, "--json", *arguments, typed=typed)
        assert done.exit_code == 0, done.output
        figures = json.loads(done.stdout)
        assert figures["whole"] is True
        return figures

    def accesses(self, *arguments: object) -> list[dict[str, str]]:
        """What a report tells, without the reports that other tests had made."""
        return [each for each in self.figures("report", *arguments)["accesses"] if each["call"] != REPORT]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("centre")
    (folder / "mpi.toml").write_text('service_key = "secret/service.json"\n')
    with served(folder, certificates(tmp_path_factory.mktemp("certs"))) as at:
        (one,), (other,) = at.records("10661", SOMCHAI), at.records("11111", MALEE)
        pseudonyms = Pseudonyms(read_service_keys(folder / "secret" / "service.json").pseudonyms, None)
        at.facility.register(one)
        at.other.register(other)
        ours, theirs = at.eid_of(one), at.eid_of(other)
        number = next(token for token in other.demographics.tokens if token.kind is IdentifierKind.NATIONAL_ID)
        assert at.exchange.locate(number, TREAT).identities
        seen = EnterpriseId(pseudonyms.outward("urn:mpi:exchange:cdes", ours))
        assert at.exchange.locate(seen, BTG, reason="unconscious after an accident").identities
        at.exchange.locate(IdentifierToken(IdentifierKind.NATIONAL_ID, b"\x05" * 32), TREAT)
        with pytest.raises(AccessDenied):
            at.exchange.identity(ours)
        at.steward.merge(ours, theirs)
        assert at.exchange.batch_locate([number, LocalIdToken(one.local_id_token)], TREAT).answers
        tokens = [token.value for record in (one, other) for token in record.demographics.tokens]
        secrets = (*tokens, one.local_id_token, one.pointer, other.pointer, b"\x05" * 32)
        yield Scene(folder, ours, theirs, secrets)


def test_the_journal_of_a_serving_centre_verifies(scene):
    """While the server runs everything it answered is there and in order."""
    figures = scene.figures("verify")
    assert figures["entries"] >= 8
    assert (figures["findings"], figures["refused"], figures["restarts"]) == ([], 0, 0)
    assert "the journal is whole" in scene("verify").stdout


def test_a_report_tells_who_looked_when_and_why(scene):
    """By enterprise id: of the person alone, and under the id that was merged away too."""
    figures = scene.figures("report", "--eid", scene.ours)
    assert figures["eids"] == sorted((scene.ours, scene.theirs))
    accesses = scene.accesses("--eid", scene.ours)
    told = [(each["caller"], each["call"], each["purpose"]) for each in accesses]
    assert told == [
        ("urn:mpi:facility:10661", "RegistryService/Register", ""),
        ("urn:mpi:facility:11111", "RegistryService/Register", ""),
        ("urn:mpi:steward:somchai", "LocatorService/Locate", "TREAT"),
        ("urn:mpi:steward:somchai", "LocatorService/Locate", "TREAT"),
        ("urn:mpi:exchange:cdes", "LocatorService/Locate", "TREAT"),
        ("urn:mpi:exchange:cdes", "LocatorService/Locate", "BTG"),
        ("urn:mpi:steward:somchai", "StewardshipService/Merge", ""),
        ("urn:mpi:exchange:cdes", "LocatorService/BatchLocate", "TREAT"),
    ]
    assert scene.accesses("--eid", scene.theirs) == accesses
    text = scene("report", "--eid", scene.ours)
    assert "urn:mpi:exchange:cdes  LocatorService/Locate  BTG break-glass  OK" in text.stdout
    assert "accesses" in text.stdout


def test_a_report_is_an_access_itself(scene):
    """Who reads a person's accesses is told by the next report."""
    scene("report", "--eid", scene.ours)
    last = scene.figures("report", "--eid", scene.ours)["accesses"][-1]
    assert (last["call"], last["status"]) == (REPORT, "OK")
    assert last["caller"].startswith("urn:mpi:local:")


def test_a_report_by_number_reads_it_from_standard_input(scene):
    """A citizen's number becomes a token, an identity and its pseudonyms; the number is shown nowhere."""

    def report(number: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mpi", "audit", "report", "--json", "--national-id", "-"]
        command += ["--data", "data", "--config", "mpi.toml", "--keys", "keys"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            command, cwd=scene.folder, env=environment, input=f"{number}\n", capture_output=True, text=True, timeout=60
        )

    found = report(MALEES_NUMBER)
    assert found.returncode == 0, found.stderr
    assert len([each for each in json.loads(found.stdout)["accesses"] if each["call"] != REPORT]) == 8
    nobody = report(NOBODYS_NUMBER)
    assert nobody.returncode == 1
    assert "nobody is held" in nobody.stderr
    assert not [number for number in (MALEES_NUMBER, NOBODYS_NUMBER) if number in found.stdout + nobody.stderr]


def test_a_report_of_a_time(scene):
    """Times bound what is told."""
    assert scene.accesses("--eid", scene.ours, "--until", "2020-01-01") == []
    assert len(scene.accesses("--eid", scene.ours, "--since", "2020-01-01")) == 8
    assert "nobody has looked" in scene("report", "--eid", scene.ours, "--until", "2020-01-01").stdout


def test_events_are_of_the_shapes_of_balp(scene, tmp_path):
    """Each identity named has its event; queries, changes and refusals have what their profiles ask for."""
    out = tmp_path / "audit.ndjson"
    done = scene("export", "--out", out)
    assert done.exit_code == 0, done.output
    written = [json.loads(line) for line in out.read_text().splitlines()]
    assert f"{len(written)} events" in done.stdout
    assert len({event["id"] for event in written}) == len(written)
    events = [event for event in written if event["subtype"][1]["code"] != REPORT]
    profiles = [event.get("meta", {}).get("profile", [""])[0].rpartition(".")[2] for event in events]
    assert profiles == [
        "PatientUpdate",
        "PatientUpdate",
        "PatientQuery",
        "PatientQuery",
        "PatientQuery",
        "PatientQuery",
        "Query",
        "",
        "PatientUpdate",
        "PatientQuery",
    ]
    for event, profile in zip(events, profiles, strict=True):
        assert event["resourceType"] == "AuditEvent"
        assert event["type"]["code"] == "rest"
        assert event["recorded"].endswith("Z")
        assert event["source"]["observer"]["identifier"]["value"].startswith("urn:mpi:index:")
        assert [agent["type"]["coding"][0]["code"] for agent in event["agent"]] == ["110153", "110152"]
        assert [agent["requestor"] for agent in event["agent"]] == [True, False]
        assert all(agent["network"]["address"] and agent["who"]["identifier"]["value"] for agent in event["agent"])
        kinds = [entity["type"]["code"] for entity in event["entity"]]
        assert kinds == (["XrequestId", "1", "2"] if profile.startswith("Patient") else ["XrequestId", "2"])
        reads = event["subtype"][0]["code"] == "search"
        assert (event["action"], event["entity"][-1]["role"]["code"]) == (("E", "24") if reads else ("U", "4"))
        assert (event["outcome"] == "0") is bool(profile)
    (refused,) = (event for event, profile in zip(events, profiles, strict=True) if not profile)
    assert (refused["outcome"], refused["outcomeDesc"]) == ("4", "ROLE_MISSING")
    assert [event["purposeOfEvent"][0]["coding"][0]["code"] for event in events[4:6]] == ["TREAT", "BTG"]
    assert events[6]["entity"][1]["_query"]["extension"][0]["valueCode"] == "masked"
    assert scene("export").stdout == out.read_text()
    assert len(events) == 10


def test_nothing_of_a_query_stands_in_journal_heads_or_export(scene):
    """Neither enterprise ids, tokens, pointers, numbers nor names, in any spelling, in any file of the journal."""
    files = [*scene.folder.glob("data-audit/*/*"), *scene.folder.glob("secret/audit-heads/*")]
    assert len(files) >= 3
    content = b"".join(path.read_bytes() for path in files) + scene("export").stdout.encode()
    planted = [scene.ours.encode(), scene.theirs.encode(), SOMCHAIS_NUMBER.encode(), MALEES_NUMBER.encode()]
    planted += ["สมชาย".encode(), b"\\u0e2a\\u0e21"]
    for secret in scene.secrets:
        planted += [secret, secret.hex().encode(), base64.b64encode(secret)[:20], base64.urlsafe_b64encode(secret)[:20]]
    assert [value for value in planted if value in content] == []
    assert b"LocatorService/Locate" in content


def test_a_court_needs_only_a_copy_and_the_public_key(scene, tmp_path):
    """With the journal, the heads and the public key anybody can verify; without heads that is said."""
    shutil.copytree(scene.folder / "data-audit", tmp_path / "copy")
    shutil.copytree(scene.folder / "secret" / "audit-heads", tmp_path / "heads")
    shutil.copy(scene.folder / "secret" / "audit.pub.pem", tmp_path)

    def court(*arguments: object) -> Any:
        command = ["audit", "verify", "--journal", tmp_path / "copy", "--public-key", tmp_path / "audit.pub.pem"]
        return CliRunner().invoke(app, list(map(str, [*command, *arguments])))

    assert "the ends were not checked" in court().stdout
    kept = tmp_path / "checkpoints.jsonl"
    kept.write_text(scene("checkpoint").stdout)
    whole = court("--heads", tmp_path / "heads", "--checkpoint", kept)
    assert whole.exit_code == 0, whole.output
    segment = max((tmp_path / "copy").glob("*/*.jsonl"), key=lambda path: path.stat().st_size)
    rows = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join(rows[:4] + rows[5:]))
    found = court("--heads", tmp_path / "heads", "--json")
    assert found.exit_code == 1
    assert json.loads(found.stdout)["whole"] is False
    assert "are missing" in found.stderr
    segment.write_bytes(b"".join(rows[:4]))
    assert court().exit_code == 0
    assert court("--checkpoint", kept).exit_code == 1
    kept.write_text(kept.read_text().replace('"sequence":', '"sequence":1'))
    assert "is not a signed head" in str(court("--checkpoint", kept).exception)


def test_expiry_says_what_goes(scene):
    """Nothing of today is old enough; a preview says so."""
    done = scene("expire", "--years", "10", "--preview")
    assert (done.exit_code, done.stdout) == (0, "0 segments would go\n")
    assert json.loads(scene("expire", "--years", "10", "--json").stdout) == {"preview": False, "segments": []}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["verify"], "give --data"),
        (["verify", "--journal", "nowhere"], "with --public-key"),
        (["verify", "--data", "nowhere"], "cannot be read|No such file"),
        (["verify", "--data", "x", "--journal", "y"], "already"),
        (["checkpoint", "--data", "nowhere"], "No such file"),
        (["report", "--data", "nowhere", "--eid", "x"], "no such key file"),
        (["expire", "--data", "nowhere", "--years", "1"], "no such key file"),
    ],
)
def test_what_is_missing_is_said(tmp_path, monkeypatch, arguments, said):
    """Every command names what it lacks, and makes nothing."""
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["audit", *arguments])
    assert isinstance(done.exception, MpiError)
    assert any(part in done.exception.message for part in said.split("|"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give one of"),
        (["--eid", "123"], "not an enterprise id"),
        (["--national-id", "-"], "--keys"),
    ],
)
def test_a_person_must_be_named_well(scene, arguments, said):
    """A report is of one person, named in one way."""
    done = scene("report", *arguments)
    assert isinstance(done.exception, MpiError)
    assert said in done.exception.message


@pytest.mark.parametrize("command", ["verify", "checkpoint", "export", "report", "expire"])
def test_every_command_shows_an_example(command):
    """Help ends in a command that can be copied."""
    assert "Example" in CliRunner().invoke(app, ["audit", command, "--help"]).stdout
