"""Key rings, tokens and pointers."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from mpi.domain.identifiers import IdentifierKind
from mpi.encoder.keys import (
    EPOCHS,
    LINKAGE,
    POINTER,
    export_lookup_keys,
    load_key_ring,
    load_lookup_keys,
    new_key_ring,
    retire,
    rotate,
)
from mpi.encoder.tokens import PointerBox, Tokeniser
from mpi.errors import InputRejected, KeyRingUnusable
from mpi.keyfiles import secret_text


def test_a_ring_is_read_back_as_it_was_made(tmp_path: Path) -> None:
    """Secrets and epoch names survive the way through the files, which only their owner can read."""
    made = new_key_ring(tmp_path / "keys")
    assert load_key_ring(tmp_path / "keys") == made
    for name in (LINKAGE, POINTER):
        assert stat.S_IMODE((tmp_path / "keys" / name).stat().st_mode) == 0o600
    assert json.loads((tmp_path / "keys" / EPOCHS).read_text()) == {"epochs": [made.current.name]}


def test_a_facility_that_joins_shares_the_linkage_key_only(tmp_path: Path) -> None:
    """Joining takes over the network's key and makes a pointer key of its own."""
    first = new_key_ring(tmp_path / "a")
    second = new_key_ring(tmp_path / "b", join=tmp_path / "a")
    assert second.current.secret == first.current.secret
    assert second.pointer_secret != first.pointer_secret


def test_two_networks_never_share_an_epoch_name(tmp_path: Path) -> None:
    """An epoch's name tells secrets apart, so encodings of two networks cannot be mixed by accident."""
    one, other = new_key_ring(tmp_path / "a"), new_key_ring(tmp_path / "b")
    assert one.current.name != other.current.name


@pytest.mark.parametrize("name", [LINKAGE, POINTER])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, name: str) -> None:
    """A key file with open permissions stops everything, with the way out in the message."""
    new_key_ring(tmp_path / "keys")
    (tmp_path / "keys" / name).chmod(0o644)
    with pytest.raises(KeyRingUnusable, match="chmod 600"):
        load_key_ring(tmp_path / "keys")


def test_a_changed_secret_is_noticed(tmp_path: Path) -> None:
    """A linkage key whose epoch name does not fit is refused instead of encoding into nowhere."""
    new_key_ring(tmp_path / "keys")
    path = tmp_path / "keys" / LINKAGE
    content = json.loads(path.read_text())
    content["epochs"][0]["name"] = "1-00000000"
    path.write_text(json.dumps(content))
    with pytest.raises(KeyRingUnusable, match="does not fit"):
        load_key_ring(tmp_path / "keys")


def test_keys_are_never_overwritten(tmp_path: Path) -> None:
    """Making a ring where there is one is refused."""
    new_key_ring(tmp_path / "keys")
    with pytest.raises(KeyRingUnusable, match="never overwritten"):
        new_key_ring(tmp_path / "keys")


def test_an_epoch_is_changed_in_a_window(tmp_path: Path) -> None:
    """Rotation adds an epoch and loses none; the rest of the network takes it over; retiring ends the old one."""
    new_key_ring(tmp_path / "a")
    before = new_key_ring(tmp_path / "b", join=tmp_path / "a")
    begun = rotate(tmp_path / "a")
    assert begun.epochs[0] == before.current
    assert begun.current.name.startswith("2-")
    followed = rotate(tmp_path / "b", join=tmp_path / "a")
    assert followed.epochs == begun.epochs
    assert followed.pointer_secret == before.pointer_secret
    assert load_key_ring(tmp_path / "b") == followed
    assert json.loads((tmp_path / "b" / EPOCHS).read_text()) == {"epochs": [epoch.name for epoch in begun.epochs]}
    ended = retire(tmp_path / "b")
    assert ended.epochs == (begun.current,)
    assert load_key_ring(tmp_path / "b") == ended
    assert stat.S_IMODE((tmp_path / "b" / LINKAGE).stat().st_mode) == 0o600
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == [EPOCHS, LINKAGE, POINTER]


def test_a_window_is_begun_and_ended_once(tmp_path: Path) -> None:
    """There are never three epochs, never none, and never one that belongs to another network; the ring stays."""
    new_key_ring(tmp_path / "a")
    new_key_ring(tmp_path / "b", join=tmp_path / "a")
    with pytest.raises(KeyRingUnusable, match="one epoch only"):
        retire(tmp_path / "a")
    with pytest.raises(KeyRingUnusable, match="does not follow"):
        rotate(tmp_path / "b", join=tmp_path / "a")
    begun = rotate(tmp_path / "a")
    with pytest.raises(KeyRingUnusable, match="mpi keys retire"):
        rotate(tmp_path / "a")
    assert load_key_ring(tmp_path / "a") == begun


def test_an_interrupted_change_leaves_a_whole_ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the new file cannot take the old one's place, the ring is as it was and nothing lies beside it."""
    made = new_key_ring(tmp_path / "a")

    def full(self: Path, _: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(KeyRingUnusable, match="No space left"):
        rotate(tmp_path / "a")
    assert load_key_ring(tmp_path / "a") == made
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [EPOCHS, LINKAGE, POINTER]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("after", range(3))
def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Whichever file does not fit, the folders are as they were, and the same command succeeds later."""
    new_key_ring(tmp_path / "a")
    new_key_ring(tmp_path / "b", join=tmp_path / "a")
    rotate(tmp_path / "b")
    before = files(tmp_path)
    commands: dict[str, Callable[[], object]] = {
        "new": lambda: new_key_ring(tmp_path / "c"),
        "join": lambda: new_key_ring(tmp_path / "d" / "e", join=tmp_path / "a"),
        "rotate": lambda: rotate(tmp_path / "a"),
        "retire": lambda: retire(tmp_path / "b"),
        "export": lambda: export_lookup_keys(tmp_path / "a", tmp_path / "lookup.json"),
    }
    written = {"new": 3, "join": 3, "rotate": 2, "retire": 2, "export": 1}
    for name, command in commands.items():
        if after >= written[name]:
            continue
        synced: list[int] = []

        def full(descriptor: int, synced: list[int] = synced) -> None:
            synced.append(descriptor)
            if len(synced) > after:
                raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            with pytest.raises(KeyRingUnusable, match="No space left"):
                command()
        assert files(tmp_path) == before, name
        assert not (tmp_path / "c").exists()
    for command in commands.values():
        command()
    assert load_key_ring(tmp_path / "c") != load_key_ring(tmp_path / "d" / "e")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A ring in the place of a file ends with an error that names it."""
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "keys"):
        with pytest.raises(KeyRingUnusable, match="file"):
            new_key_ring(folder)


def test_what_a_killed_change_left_is_cleared(tmp_path: Path) -> None:
    """A secret that a killed run had written beside the ring does not outlive the next change."""
    new_key_ring(tmp_path / "a")
    (tmp_path / "a" / f".{LINKAGE}.0123abcd.new").write_text("{}")
    rotate(tmp_path / "a")
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [EPOCHS, LINKAGE, POINTER]


@pytest.mark.parametrize("name", [LINKAGE, POINTER])
@pytest.mark.parametrize("content", ["[" * 100_000, '{"epochs": ' * 20_000, '{"epochs": 1e999}', "\xff", "9" * 5000])
def test_strange_key_files_are_refused(tmp_path: Path, name: str, content: str) -> None:
    """Endless nesting and endless numbers are no key file, and the error names the file."""
    new_key_ring(tmp_path / "keys")
    (tmp_path / "keys" / name).write_text(content, encoding="latin-1")
    with pytest.raises(KeyRingUnusable, match=name):
        load_key_ring(tmp_path / "keys")


def test_a_pipe_is_no_key_file(tmp_path: Path) -> None:
    """Nobody waits for what a pipe may bring."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(KeyRingUnusable, match="pipe: is not a key file"):
        load_lookup_keys(tmp_path / "pipe")


@pytest.mark.parametrize("number", ["9" * 5000, "0", "01", "-1", "๑", "²", ""])
def test_epochs_are_numbered_plainly(tmp_path: Path, number: str) -> None:
    """A number that no rotation gives makes a ring, or keys for look-ups, unusable and nothing worse."""
    new_key_ring(tmp_path / "keys")
    path = tmp_path / "keys" / LINKAGE
    content = json.loads(path.read_text())
    name = content["epochs"][0]["name"].replace("1-", f"{number}-", 1)
    content["epochs"][0]["name"] = name
    path.write_text(json.dumps(content))
    with pytest.raises(KeyRingUnusable, match="does not fit"):
        load_key_ring(tmp_path / "keys")
    path.write_text(json.dumps({"lookup_epochs": [{"name": name, "keys": {}}]}))
    with pytest.raises(KeyRingUnusable, match="look-up keys"):
        load_lookup_keys(path)


def test_an_epoch_stands_in_a_ring_once(tmp_path: Path) -> None:
    """Two epochs that are one, or in the wrong order, would be encoded under as if they were two."""
    new_key_ring(tmp_path / "a")
    rotate(tmp_path / "a")
    path = tmp_path / "a" / LINKAGE
    first, second = json.loads(path.read_text())["epochs"]
    for epochs in ([first, first], [second, first]):
        path.write_text(json.dumps({"epochs": epochs}))
        with pytest.raises(KeyRingUnusable, match="follow each other"):
            load_key_ring(tmp_path / "a")
    path.write_text(json.dumps({"lookup_epochs": [{"name": first["name"], "keys": {}}] * 2}))
    with pytest.raises(KeyRingUnusable, match="look-up keys"):
        load_lookup_keys(path)


def test_look_up_keys_look_up_and_do_nothing_else(tmp_path: Path) -> None:
    """A consumer's keys give the tokens of the ring's epochs, and neither encode records nor hash phones."""
    new_key_ring(tmp_path / "a")
    ring = rotate(tmp_path / "a")
    export_lookup_keys(tmp_path / "a", tmp_path / "lookup.json")
    assert stat.S_IMODE((tmp_path / "lookup.json").stat().st_mode) == 0o600
    held = (tmp_path / "lookup.json").read_text()
    assert not any(secret_text(epoch.secret) in held for epoch in ring.epochs)
    exported = load_lookup_keys(tmp_path / "lookup.json")
    for keys, epoch in zip(exported, ring.epochs, strict=True):
        ours, theirs = Tokeniser(keys), Tokeniser(epoch)
        assert keys.name == epoch.name
        assert ours.local_id("10661", "1") == theirs.local_id("10661", "1")
        for kind in set(IdentifierKind) - {IdentifierKind.PHONE}:
            assert ours.identifier(kind, "1103702488992") == theirs.identifier(kind, "1103702488992")
        for purpose in ("channel/A", "channel/B", "token/phone"):
            with pytest.raises(KeyRingUnusable):
                keys.derive(purpose)
    assert [epoch.name for epoch in load_lookup_keys(tmp_path / "a")] == [epoch.name for epoch in ring.epochs]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"lookup_epochs": []}', '{"lookup_epochs": [{"name": "1-a"}]}'])
def test_a_file_without_look_up_keys_is_refused(tmp_path: Path, content: str) -> None:
    """Whatever the file holds, the error names it."""
    path = tmp_path / "lookup.json"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(KeyRingUnusable, match=r"lookup\.json"):
        load_lookup_keys(path)


def test_tokens_depend_on_kind_and_facility(tmp_path: Path) -> None:
    """One number under two kinds, and one local id at two facilities, give different tokens."""
    tokens = Tokeniser(new_key_ring(tmp_path / "keys").current)
    number = "1103702488992"
    assert (
        tokens.identifier(IdentifierKind.NATIONAL_ID, number).value
        != tokens.identifier(IdentifierKind.ALIEN_ID, number).value
    )
    assert tokens.local_id("10661", "1").value != tokens.local_id("10662", "1").value


@pytest.mark.parametrize("local_id", ["1", "12345/60", "ก" * 40, "x" * 31, "x" * 32, "ends with \x00"])
def test_a_pointer_opens_at_its_facility_only(tmp_path: Path, local_id: str) -> None:
    """What a facility seals it can open, nobody else can, and the length tells nothing."""
    ring = new_key_ring(tmp_path / "keys")
    pointer = PointerBox(ring.pointer_secret, "10661").seal(local_id)
    assert PointerBox(ring.pointer_secret, "10661").open(pointer) == local_id
    assert (len(pointer) - 16) % 32 == 0
    for box in (PointerBox(ring.pointer_secret, "10662"), PointerBox(bytes(64), "10661")):
        with pytest.raises(InputRejected):
            box.open(pointer)
