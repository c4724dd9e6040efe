"""Writing the journal: groups, segments, crashes and full disks."""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import os
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpi.audit import chain as chain_module
from mpi.audit import lines
from mpi.audit.chain import Limits
from mpi.errors import AuditUnusable
from tests.audit.journals import Place, access, filled

WIDE = Limits()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place.at(tmp_path)


def kinds(place: Place) -> list[str]:
    return [json.loads(line)["kind"] for path in place.segments() for line in path.read_bytes().splitlines()]


def last_start(place: Place) -> dict[str, object]:
    entries = [json.loads(line) for path in place.segments() for line in path.read_bytes().splitlines()]
    return next(each for each in reversed(entries) if each["kind"] == "start")


def test_entries_are_chained_by_the_hash_of_their_bytes(place):
    """Each line holds the SHA-256 of the bytes of the one before it, and the first one none."""
    filled(place, [3, 2], WIDE)
    (path,) = place.segments()
    previous = "0" * 64
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        fields = json.loads(line)
        assert (fields["sequence"], fields["previous"]) == (number, previous)
        previous = hashlib.sha256(line).hexdigest()
    assert kinds(place) == ["open", "start", *["access"] * 5, "stop"]
    assert place.problems() == []


def test_segments_are_sealed_and_name_the_next(place):
    """A full segment ends in a signed seal that names the next one, which goes on where it ended."""
    filled(place, [3] * 8)
    paths = place.segments()
    assert len(paths) > 2
    for path, following in pairwise(paths):
        seal = json.loads(path.read_bytes().splitlines()[-1])
        assert (seal["kind"], seal["next"]) == ("seal", following.name)
    assert place.problems() == []
    assert place.requests() == list(range(24))
    assert "checkpoint" in kinds(place)


def test_an_old_segment_is_sealed_though_it_is_not_full(place):
    """Time seals a segment as size does."""
    filled(place, [1, 1], Limits(segment_seconds=0.0))
    assert len(place.segments()) > 1
    assert place.problems() == []


def test_the_key_file_is_secret_and_the_public_key_beside_it_is_not(place):
    """The journal's keys are readable by their owner alone; the public key is exported, and the repr shows none."""
    folder = place.heads.parent
    assert (folder / "audit.json").stat().st_mode & 0o777 == 0o600
    assert b"PUBLIC KEY" in (folder / "audit.pub.pem").read_bytes()
    assert repr(place.keys) == "JournalKeys(***)"


def test_a_chain_goes_on_after_an_orderly_stop(place):
    """A start after a stop is a clean one."""
    filled(place, [2])
    filled(place, [2])
    assert last_start(place)["clean"] is True
    assert len({path.parent for path in place.segments()}) == 1
    assert place.problems() == []


def test_two_writers_have_a_chain_each(place):
    """A chain that another process holds is left alone."""
    one, other = place.open(), place.open()
    assert one.name != other.name
    one.append([access(1)])
    other.append([access(2)])
    one.close()
    other.close()
    assert sorted(place.requests()) == [1, 2]
    assert place.examine().restarts == 0


def crash(place: Place, tail: bytes, *, behind: int = 0) -> None:
    """Write four groups of one entry, then leave the journal as a kill or a power cut would."""
    chain = place.open(WIDE)
    for number in range(4 - behind):
        chain.append([access(number)])
    head = (place.heads / chain.name).read_bytes()
    for number in range(4 - behind, 4):
        chain.append([access(number)])
    chain._release()
    (place.heads / chain.name).write_bytes(head)
    with place.segments()[-1].open("ab") as file:
        file.write(tail)


@pytest.mark.parametrize(
    "tail", [b"", b'{"at":"2026', b"\x00" * 700, b"not a line\n", b'{"kind":"access"}\n{"kind":"access"}\n']
)
def test_a_torn_tail_is_cut_and_the_cut_is_noted(place, tail):
    """After a crash the journal goes on behind the last whole entry, and a signed entry says what was cut."""
    crash(place, tail)
    filled(place, [1], WIDE)
    start = last_start(place)
    assert start["clean"] is False
    assert start.get("cut", {}).get("bytes", 0) == len(tail)
    if tail:
        assert start["cut"]["sha256"] == hashlib.sha256(tail).hexdigest()
        assert base64.b64decode(start["cut"]["content"]) == tail[:1024]
    assert place.requests() == [0, 1, 2, 3, 0]
    examination = place.examine()
    assert (examination.restarts, examination.cut_bytes) == (1, len(tail))


def test_every_length_of_a_torn_group_is_mended(place, tmp_path):
    """Wherever a write was torn, whole entries stay, and nothing that was answered for is lost."""
    crash(place, b"", behind=1)
    (path,) = place.segments()
    whole = path.read_bytes()
    begin = whole.rindex(b"\n", 0, len(whole) - 1) + 1
    for length in range(begin, len(whole), 37):
        copy = place.copied(tmp_path / str(length))
        copy.segments()[0].write_bytes(whole[:length])
        filled(copy, [1], WIDE)
        assert copy.requests() == [0, 1, 2, 0]
        assert last_start(copy).get("cut", {}).get("bytes", 0) == length - begin


def test_entries_after_the_head_are_kept_and_counted(place):
    """What was written but not yet answered for when the process died stays, as unconfirmed."""
    crash(place, b"", behind=2)
    assert place.examine().unconfirmed == 2
    filled(place, [1], WIDE)
    assert last_start(place)["unconfirmed"] == 2
    assert place.requests() == [0, 1, 2, 3, 0]


def test_a_crash_while_a_segment_begins_is_mended(place):
    """An empty or torn newest segment is begun anew."""
    filled(place, [3] * 4)
    newest = place.segments()[-1]
    chain = place.open()
    while len(place.segments()) == int(newest.stem):
        chain.append([access(9), access(9)])
    chain._seal()
    chain._release()
    torn = newest.with_name(f"{len(place.segments()) + 1:08}.jsonl")
    torn.write_bytes(b'{"at":')
    assert place.problems() == []
    filled(place, [1])
    assert last_start(place)["cut"]["bytes"] == 6
    assert place.problems() == []


@pytest.mark.parametrize("harm", ["cut", "altered", "gone", "headless"])
def test_what_was_answered_for_is_never_mended(place, harm):
    """A journal that lacks what its head says is not gone on with: the start is refused, and nothing is changed."""
    filled(place, [2, 2], WIDE)
    (path,) = place.segments()
    content = path.read_bytes()
    rows = content.splitlines(keepends=True)
    if harm == "cut":
        path.write_bytes(b"".join(rows[:-2]))
    elif harm == "altered":
        path.write_bytes(content[:-40] + b"x" + content[-39:])
    elif harm == "gone":
        path.unlink()
    else:
        (place.heads / path.parent.name).unlink()
    left = path.read_bytes() if path.exists() else None
    with pytest.raises(AuditUnusable, match="move this folder away"):
        place.open()
    assert (path.read_bytes() if path.exists() else None) == left


@pytest.mark.parametrize("call", ["pwrite", "fdatasync", "head"])
@pytest.mark.parametrize("partial", [False, True])
def test_a_group_that_fails_leaves_nothing_behind(place, monkeypatch, call, partial):
    """When a write or a sync fails, the chain stands as before, and the next group takes the same place."""
    chain = place.open(WIDE)
    chain.append([access(0)])
    sequence = chain.sequence
    real = os.pwrite

    def failing(*arguments: object) -> int:
        if call == "pwrite" and partial:
            real(arguments[0], arguments[1][:100], arguments[2])  # type: ignore[index,arg-type]
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        if call == "head":
            patched.setattr(chain._head, "write", failing)
        else:
            patched.setattr(chain_module.os, call, failing)
        for _ in range(2):
            with pytest.raises(OSError, match="No space"):
                chain.append([access(1), access(2)])
    assert chain.sequence == sequence
    chain.append([access(3)])
    chain.close()
    assert place.requests() == [0, 3]


def test_a_segment_that_cannot_begin_begins_later(place, monkeypatch):
    """A disk that fills up exactly between two segments loses nothing."""
    chain = place.open()
    real = chain_module.sync
    failed = 0

    def failing(folder: Path) -> None:
        nonlocal failed
        if failed < 3:
            failed += 1
            raise OSError(errno.ENOSPC, "No space left on device")
        real(folder)

    monkeypatch.setattr(chain_module, "sync", failing)
    written = []
    for number in range(30):
        try:
            chain.append([access(number)])
            written.append(number)
        except OSError:
            continue
    chain.close()
    assert failed == 3
    assert len(written) == 27
    assert place.requests() == written


def test_a_journal_that_cannot_be_made_is_refused(tmp_path):
    """A folder that is a file is an error with its name."""
    place = Place.at(tmp_path)
    place.journal.write_text("in the way")
    with pytest.raises(AuditUnusable, match="audit"):
        place.open()


@given(
    st.fixed_dictionaries(
        {name: st.text(max_size=20) for name in ("basis", "call", "caller", "keys", "purpose", "reason", "request")}
        | {name: st.text(max_size=20) for name in ("rules", "status")}
        | {name: st.integers(0, 1 << 62) for name in ("results", "revision")}
        | {"identities": st.lists(st.text(max_size=20), max_size=3), "kind": st.just("access")}
    )
)
def test_entries_of_accesses_are_written_as_any_other_line(entry):
    """The quick way and the general one give the same bytes, whatever stands in an entry."""
    at, previous = lines.now(), lines.BEGINNING
    line = lines.access_line(at, previous, 7, entry)
    assert line == lines.canonical({"at": at, "previous": previous, "sequence": 7, **entry})
    assert lines.is_access(lines.parsed(line) or {})
