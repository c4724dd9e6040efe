"""Expiry: old segments go, what they were stays provable, and nothing false is borne out."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mpi.audit import lines
from mpi.audit.heads import read_head
from mpi.audit.retention import expire
from mpi.audit.verify import Examination
from mpi.errors import AuditUnusable
from tests.audit.journals import Place, filled

LATER = datetime.now(UTC) + timedelta(days=4000)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return filled(Place.at(tmp_path), [3] * 6)


def gone(place: Place, years: float = 10, **more: object) -> list[int]:
    return [each.number for each in expire(place.journal, place.heads, place.keys, years, now=LATER, **more)]


def test_old_sealed_segments_go_and_the_chain_verifies(place):
    """Signed stubs hold the chain together; the newest segment stays, and the journal goes on behind it."""
    files = place.segments()
    held = len(place.requests())
    assert gone(place, preview=True) == list(range(1, len(files)))
    assert place.segments() == files
    assert gone(place) == list(range(1, len(files)))
    assert place.segments() == files[-1:]
    examination = place.examine()
    assert examination.findings == []
    assert sum(each.expired for each in examination.segments) == len(files) - 1
    assert sum(each.entries for each in examination.segments) == held
    filled(place, [3] * 3)
    assert place.problems() == []
    assert gone(place)[0] == len(files)
    assert place.problems() == []


def test_nothing_younger_goes(place):
    """What must still be kept stays, to the day."""
    before = place.segments()
    assert gone(place, years=11) == []
    assert expire(place.journal, place.heads, place.keys, 0.001) == []
    assert place.segments() == before


def test_a_stub_that_is_altered_removed_or_exchanged_is_found(place):
    """A stub stands for its own segment alone, and only as it was signed."""
    gone(place)
    (first, second, *_) = stubs = sorted(place.journal.glob("*/*.expired.json"))
    contents = [path.read_bytes() for path in stubs]
    for path, content in zip(stubs, contents, strict=True):
        for at in range(0, len(content) - 1, 29):
            path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
            assert place.problems(), at
        path.unlink()
        assert place.problems()
        path.write_bytes(content)
    first.write_bytes(contents[1])
    second.write_bytes(contents[0])
    assert place.problems()


def test_a_forged_stub_does_not_hide_a_removed_segment(place):
    """Who has no key cannot expire anything."""
    removed = place.segments()[1]
    rows = [json.loads(line) for line in removed.read_bytes().splitlines()]
    stub = {
        "kind": "expired",
        "at": rows[-1]["at"],
        "begun": rows[0]["at"],
        "ended": rows[-1]["at"],
        "chain": removed.parent.name,
        "segment": 2,
        "entries": 3,
        "years": 10,
        "first": rows[0]["sequence"],
        "last": rows[-1]["sequence"],
        "previous": rows[0]["previous"],
        "hash": lines.digest(removed.read_bytes().splitlines()[-1]),
    }
    other = Place.at(place.journal.parent / "other").keys
    removed.unlink()
    for content in (lines.canonical(stub), lines.signed(stub, other.signing)):
        removed.with_name("00000002.expired.json").write_bytes(content + b"\n")
        assert any("not signed" in problem for problem in place.problems())
    removed.with_name("00000002.expired.json").write_bytes(lines.signed(stub, place.keys.signing) + b"\n")
    assert place.problems() == []


def test_a_journal_that_does_not_verify_is_not_expired(place):
    """A stub would bear out what is false."""
    path = place.segments()[0]
    path.write_bytes(path.read_bytes().replace(b'"status":"OK"', b'"status":"NO"', 1))
    before = place.segments()
    with pytest.raises(AuditUnusable, match="does not verify"):
        gone(place)
    assert place.segments() == before


def test_an_expiry_that_was_interrupted_is_taken_up(place):
    """Between the stub and the removal both are there: the segment counts, and the next expiry finishes."""
    path = place.segments()[0]
    content = path.read_bytes()
    gone(place)
    path.write_bytes(content)
    assert place.problems() == []
    assert gone(place) == [1]
    assert place.problems() == []


def test_checkpoints_of_expired_times_do_not_speak_against_the_journal(place):
    """A checkpoint kept elsewhere from before an expiry still fits what is left."""
    public = place.keys.signing.public_key()
    (path,) = place.heads.iterdir()
    checkpoint = read_head(path, public)
    filled(place, [3] * 4)
    gone(place)
    assert Examination(place.journal, place.heads, public, [checkpoint]).run().findings == []
