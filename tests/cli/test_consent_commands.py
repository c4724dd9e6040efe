"""`mpi consent`: the number comes from standard input alone, and what is said is in force and shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from mpi.cli.main import app
from mpi.client import Client, PurposeOfUse
from mpi.config import ServerConfig, StoreConfig
from mpi.domain.identifiers import LocalIdToken
from mpi.encoder.keys import load_key_ring, rotate
from mpi.errors import ConfigInvalid, InputRejected, NotFound
from mpi.server.bootstrap import application
from mpi.server.certs import issue_dev_certificates
from tests.building import encoded, key_ring, raw
from tests.server.running import running, server_tls

OFFICER = "privacy-officer-pim"
NUMBER = "1103702488992"
TREAT = PurposeOfUse.TREAT


class Scene:
    """A running centre with one person, and the command."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder = folder
        self.address = address
        self.ring = load_key_ring(folder / "keys")
        person = {"birth_date": "15/03/2525", "sex": "1"}
        self.record, self.anew = (
            encoded(self.ring, "10661", raw("นายสมชาย ใจดี", "1", **person, **number))[0]
            for number in ({"national_id": NUMBER}, {})
        )

    def __call__(
        self, command: str, *arguments: str, client: str = "privacy-officer-pim", typed: str = NUMBER
    ) -> Result:
        where = ["--server", self.address, "--certs", str(self.folder / "certs" / client)]
        return CliRunner().invoke(app, ["consent", command, *arguments, *where], input=f"{typed}\n")

    def figures(self, command: str, *arguments: str, **options: str) -> Any:
        done = self(command, "--json", *arguments, **options)
        assert done.exit_code == 0, (done.output, done.exception)
        return json.loads(done.stdout)

    def client(self, name: str) -> Client:
        return Client(address=self.address, certificates=self.folder / "certs" / name)

    def seen(self) -> int:
        with self.client("exchange-cdes") as client:
            return len(client.locate(LocalIdToken(self.record.local_id_token), TREAT).identities)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    key_ring(tmp_path)
    rotate(tmp_path / "keys")
    epochs = tuple(epoch.name for epoch in load_key_ring(tmp_path / "keys").epochs)
    issue_dev_certificates(tmp_path / "certs", ["10661"], ["cdes"], [], {"privacy-officer": ["pim"]})
    store = StoreConfig(tmp_path / "data", tmp_path / "secret/service.json", "th-v1")
    with (
        application(ServerConfig(store, "", epochs, None)) as parts,
        running(parts, server_tls(tmp_path / "certs")) as address,
    ):
        at = Scene(tmp_path, address)
        with at.client("facility-10661") as client:
            client.register(at.record)
        yield at


def test_what_is_set_is_in_force_and_shown(scene):
    """Under every key epoch; an exchange is shown what it brought, and nothing shows the number."""
    keys = ["--keys", str(scene.folder / "keys")]
    about = [*keys, "--network", "mor-prom", "--purpose", "treat"]
    assert scene.figures("show", *keys) == []
    said = scene.figures("set", *about, "--withdraw", "--reference", "form 12", client="exchange-cdes")
    assert said["epochs"] == 2
    assert scene.seen() == 0
    (shown,) = scene.figures("show", *keys)
    assert (shown["stance"], shown["recorder"]) == ("withdrawn", "urn:mpi:exchange:cdes")
    texts = [scene("show", *keys, client=client).stdout for client in ("privacy-officer-pim", "exchange-cdes")]
    assert texts == ["mor-prom  TREAT  withdrawn  urn:mpi:exchange:cdes  form 12\n"] * 2
    done = scene("set", *about, "--once", "--sensitive")
    assert "consent kept" in done.stdout
    assert scene.seen() == 1
    assert "once  with sensitive facilities" in scene("show", *keys).stdout
    assert NUMBER not in done.output + "".join(texts)


def test_no_option_takes_a_number(scene):
    """Standard input alone; what is no number is refused without being repeated."""
    keys = ["--keys", str(scene.folder / "keys")]
    refused = scene("show", *keys, typed="1103702488993")
    assert isinstance(refused.exception, InputRejected)
    assert "1103702488993" not in refused.exception.message
    assert scene("show", *keys, "--national-id", NUMBER).exit_code == 2
    about = [*keys, "--network", "mor-prom", "--purpose"]
    assert isinstance(scene("set", *about, "FUN").exception, ConfigInvalid)
    assert isinstance(scene("set", *about, "TREAT", "--withdraw", "--once").exception, ConfigInvalid)


def test_openings_are_listed_and_judged(scene):
    """Who broke the glass waits until a privacy officer has judged it."""
    assert "no opening" in scene("openings").stdout
    with scene.client("exchange-cdes") as client:
        for _ in range(2):
            client.locate(LocalIdToken(scene.record.local_id_token), PurposeOfUse.BTG, reason="unconscious, no papers")
    first, second = scene.figures("openings")
    assert (first["client"], first["reason"]) == ("urn:mpi:exchange:cdes", "unconscious, no papers")
    assert "1 identities  unconscious, no papers" in scene("openings").stdout
    assert scene("judge", str(first["number"]), "--justified").stdout == "justified\n"
    assert [each["number"] for each in scene.figures("openings")] == [second["number"]]


def test_what_a_record_keeps_is_listed_and_lifted(scene):
    """An objection that outlived the number is taken back by the record's number."""
    keys = ["--keys", str(scene.folder / "keys")]
    about = ["--network", "mor-prom", "--purpose", "TREAT"]
    scene.figures("set", *keys, *about, "--withdraw")
    with scene.client("facility-10661") as client:
        client.register(scene.anew)
    assert scene.seen() == 0
    assert scene.figures("carried", *keys) == []  # the number leads to nobody any more
    (carried,) = scene.figures("carried", *keys, "--facility", "10661", typed="1")
    assert (carried["record"], carried["facility"], carried["purpose"]) == (1, "10661", "TREAT")
    assert "1  10661  mor-prom  TREAT" in scene("carried", *keys, "--facility", "10661", typed="1").stdout
    lifted = scene("lift", "1", *about, "--reference", "case 9")
    assert "lifted" in lifted.stdout
    assert scene.seen() == 1
    assert isinstance(scene("lift", "1", *about).exception, NotFound)
