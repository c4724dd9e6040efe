"""`mpi rekey`: a new key at rest under a centre that goes on being used."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from mpi.cli.main import app
from mpi.client import Client, PurposeOfUse
from mpi.domain.identifiers import LocalIdToken
from mpi.encoder.keys import load_key_ring, retire, rotate
from mpi.errors import ConfigInvalid, Conflict, InputRejected, KeyRingUnusable, StoreUnusable
from mpi.service.keys import begin_at_rest, end_at_rest, open_service_keys, read_service_keys
from mpi.testing import TestCentre, running_centre
from tests.building import encoded, raw

PERSONS = 60


def rekey(folder: Path) -> Result:
    return CliRunner().invoke(
        app, ["rekey", "at-rest", "--data", str(folder / "data"), "--config", str(folder / "mpi.toml"), "--json"]
    )


def mpi(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--data", str(folder / "data"), "--config", str(folder / "mpi.toml")])


def rows(family: str) -> list[Any]:
    return [raw(f"นาย{name} {family}", str(number), birth_date="15/03/2525", sex="1") for number, name in NAMES]


def records(centre: TestCentre, family: str) -> list[Any]:
    return encoded(load_key_ring(centre.keys), "10661", *rows(family))


NAMES = list(enumerate(["สมชาย", "สมหญิง", "วิชัย", "ประเสริฐ", "มานะ", "ชูใจ", "ปิติ", "วีระ"], 1))


def test_lookups_and_registrations_go_on(tmp_path: Path) -> None:
    """Every record is found at every moment and can be revised; in the end the old key is in no file and not needed."""
    with running_centre(tmp_path, facilities=["10661"]) as centre:
        held = records(centre, "ใจดี")
        key_file = tmp_path / "centre-keys" / "service.json"
        (before,) = read_service_keys(key_file).at_rest
        stop, wrong, looked_up, registered = threading.Event(), [], [0], [0]
        with centre.client("facility-10661") as facility, centre.client("exchange-test") as exchange:
            for record in held:
                facility.register(record)

            def look_up() -> None:
                while not stop.is_set():
                    for record in held:
                        found = exchange.locate(LocalIdToken(record.local_id_token), PurposeOfUse.TREAT).identities
                        looked_up[0] += 1
                        if [at.facility for each in found for at in each.locations] != ["10661"]:
                            wrong.append(looked_up[0])

            def register() -> None:
                while not stop.is_set():
                    for record in records(centre, f"ใจดี{'ก' * (registered[0] % 3)}"):
                        facility.register(record)
                        registered[0] += 1

            threads = [threading.Thread(target=work) for work in (look_up, register)]
            for thread in threads:
                thread.start()
            before_it = looked_up[0], registered[0]
            done = rekey(tmp_path)
            meanwhile = looked_up[0] - before_it[0], registered[0] - before_it[1]
            stop.set()
            for thread in threads:
                thread.join()
            assert done.exit_code == 0, done.exception
            facility.register(held[0])
        assert wrong == []
        assert min(meanwhile) > 0
        (after,) = read_service_keys(key_file).at_rest
        assert (after.number, json.loads(done.stdout)["at_rest"]) == (2, after.name)
        assert base64.b64encode(before.secret) not in key_file.read_bytes()
    verified = mpi(tmp_path, "index", "verify")
    assert verified.exit_code == 0, verified.exception
    assert f"{len(held)} records" in verified.stdout


def test_it_goes_on_after_being_killed_between_any_two_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever of key file, store and index was done, the same command ends it; done again it makes a third key."""
    with running_centre(tmp_path, facilities=["10661"]) as centre, centre.client("facility-10661") as facility:
        for record in records(centre, "ใจดี"):
            facility.register(record)
    key_file = tmp_path / "centre-keys" / "service.json"

    class Killed(Exception):
        pass

    for place in ("mpi.store.rekeying.seal_anew", "mpi.index.projector.rebuild", "mpi.index.projector.sampled"):
        with monkeypatch.context() as patched:
            patched.setattr(place, lambda *_: (_ for _ in ()).throw(Killed()))
            assert isinstance(rekey(tmp_path).exception, Killed)
        assert [key.number for key in read_service_keys(key_file).at_rest] == [1, 2]
        assert mpi(tmp_path, "index", "verify").exit_code == 0
    assert rekey(tmp_path).exit_code == 0
    assert [key.number for key in read_service_keys(key_file).at_rest] == [2]
    assert rekey(tmp_path).exit_code == 0
    assert [key.number for key in read_service_keys(key_file).at_rest] == [3]
    assert mpi(tmp_path, "index", "verify").exit_code == 0


def test_a_backup_opens_with_the_keys_of_its_time(tmp_path: Path) -> None:
    """One from before is refused with the way out, and restored with the key file of then."""
    with running_centre(tmp_path, facilities=["10661"]) as centre, centre.client("facility-10661") as facility:
        for record in records(centre, "ใจดี"):
            facility.register(record)
    old = (tmp_path / "centre-keys" / "service.json").read_text(encoding="utf-8")
    assert mpi(tmp_path, "backup", str(tmp_path / "old.backup")).exit_code == 0
    assert rekey(tmp_path).exit_code == 0
    assert mpi(tmp_path, "backup", str(tmp_path / "new.backup")).exit_code == 0
    refused = mpi(tmp_path, "restore", "--check", str(tmp_path / "old.backup"))
    assert isinstance(refused.exception, InputRejected)
    assert "key file of then" in refused.exception.message
    assert mpi(tmp_path, "restore", "--check", str(tmp_path / "new.backup")).exit_code == 0
    for name, keys in (("old", old), ("new", (tmp_path / "centre-keys" / "service.json").read_text(encoding="utf-8"))):
        other = tmp_path / name
        (other / "centre-keys").mkdir(parents=True, mode=0o700)
        (other / "centre-keys" / "service.json").write_text(keys, encoding="utf-8")
        (other / "centre-keys" / "service.json").chmod(0o600)
        (other / "mpi.toml").write_text('service_key = "centre-keys/service.json"\n', encoding="utf-8")
        restored = mpi(other, "restore", str(tmp_path / f"{name}.backup"))
        assert restored.exit_code == 0, restored.exception
        assert mpi(other, "index", "verify").exit_code == 0


def test_keys_from_a_command_are_made_by_hand(tmp_path: Path) -> None:
    """With one key printed the command says what to print; with two it works, and says what to destroy."""
    path = tmp_path / "service.json"
    open_service_keys(path)
    (tmp_path / "mpi.toml").write_text(f'service_key_command = ["cat", "{path}"]\n', encoding="utf-8")
    empty = rekey(tmp_path)
    assert isinstance(empty.exception, InputRejected)
    assert "holds no store" in empty.exception.message
    assert mpi(tmp_path, "index", "rebuild").exit_code == 0
    one = rekey(tmp_path)
    assert isinstance(one.exception, ConfigInvalid)
    assert '"epoch": 2' in one.exception.message
    newer = begin_at_rest(path)
    done = mpi(tmp_path, "rekey", "at-rest")
    assert done.exit_code == 0, done.exception
    assert f"the key of {newer.name} alone" in done.stdout
    end_at_rest(path, newer.name)
    assert mpi(tmp_path, "index", "verify").exit_code == 0


@pytest.mark.parametrize(
    "entries",
    [
        "short",
        [],
        ["text"],
        [{"epoch": 0, "secret": "k"}],
        [{"epoch": 1}],
        [{"epoch": "1", "secret": "k"}],
        [{"epoch": 2, "secret": "k"}, {"epoch": 2, "secret": "k"}],
        [{"epoch": 2, "secret": "k"}, {"epoch": 1, "secret": "k"}],
        [{"epoch": each, "secret": "k"} for each in (1, 2, 3)],
    ],
)
def test_a_damaged_key_file_is_refused(tmp_path: Path, entries: Any) -> None:
    """Keys at rest follow each other, one or two of them."""
    path = tmp_path / "service.json"
    open_service_keys(path)
    good = base64.b64encode(bytes(32)).decode()
    whole = {"gateway": [{"since": 1, "secret": good}], "pseudonyms": good, "at_rest": entries}
    text = json.dumps(whole).replace('"k"', f'"{good}"')
    path.write_text(text, encoding="utf-8")
    with pytest.raises(KeyRingUnusable):
        read_service_keys(path)


def test_another_key_file_is_named_as_such(tmp_path: Path) -> None:
    """Files that were mixed up are told at the start, not at the first row."""
    (tmp_path / "mpi.toml").write_text('service_key = "service.json"\n', encoding="utf-8")
    assert mpi(tmp_path, "index", "rebuild").exit_code == 0
    (tmp_path / "service.json").unlink()
    open_service_keys(tmp_path / "service.json")
    refused = mpi(tmp_path, "index", "verify")
    assert isinstance(refused.exception, StoreUnusable)
    assert "do not hold" in refused.exception.message


def test_a_gateway_key_for_the_next_epoch_and_the_end_of_the_older(tmp_path: Path) -> None:
    """Made before facilities begin the epoch, ended when no record needs the older one; a copy without it is told."""
    with running_centre(tmp_path, facilities=["10661"]) as centre, centre.client("facility-10661") as facility:
        for record in records(centre, "ใจดี"):
            facility.register(record)
    key_file, keys = tmp_path / "centre-keys" / "service.json", tmp_path / "keys"
    copy = key_file.read_bytes()
    for _ in range(2):  # done again it changes nothing
        made = mpi(tmp_path, "rekey", "gateway", "--json")
        assert made.exit_code == 0, made.exception
        assert json.loads(made.stdout) == {"since": 2, "gateway_keys": 2}
    whole = key_file.read_bytes()
    key_file.write_bytes(copy)
    refused = mpi(tmp_path, "index", "verify")
    assert isinstance(refused.exception, StoreUnusable)
    assert "older copy" in refused.exception.message
    key_file.write_bytes(whole)
    needed = mpi(tmp_path, "rekey", "gateway", "--end")
    assert isinstance(needed.exception, Conflict)
    assert f"{len(NAMES)} records" in needed.exception.message
    rotate(keys)
    for command in (None, retire):
        if command:
            command(keys)
        with (
            restarted(tmp_path) as address,
            Client(address=address, certificates=tmp_path / "certs/facility-10661") as at,
        ):
            for record in encoded(load_key_ring(keys), "10661", *rows("ใจดี")):
                at.register(record)
    ended = mpi(tmp_path, "rekey", "gateway", "--end")
    assert ended.exit_code == 0, ended.exception
    assert [key.since for key in read_service_keys(key_file).gateway] == [2]
    assert mpi(tmp_path, "index", "verify").exit_code == 0


@contextmanager
def restarted(folder: Path) -> Iterator[str]:
    """Serve the centre of a folder again."""
    command = [
        sys.executable,
        "-m",
        "mpi",
        "serve",
        "--data",
        str(folder / "data"),
        "--config",
        str(folder / "mpi.toml"),
    ]
    with subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield json.loads(server.stdout.readline())["listening"]
        finally:
            server.terminate()
            server.wait(30)
