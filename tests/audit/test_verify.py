"""Whatever is done to a journal is found: each kind of tampering at each position."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from mpi.audit import lines
from mpi.audit.heads import read_head
from mpi.audit.keys import JournalKeys
from mpi.audit.verify import Examination
from mpi.errors import AuditUnusable
from tests.audit.journals import Place, filled


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A journal of several segments and two runs, the last one stopped in order."""
    place = Place.at(tmp_path_factory.mktemp("whole"))
    filled(place, [2] * 6)
    return filled(place, [1] * 3)


@pytest.fixture
def place(whole: Place, tmp_path: Path) -> Place:
    return whole.copied(tmp_path)


Rows = list[list[bytes]]


def rows_of(place: Place) -> Rows:
    return [path.read_bytes().splitlines(keepends=True) for path in place.segments()]


def positions(rows: Rows) -> Iterator[tuple[int, int]]:
    return ((segment, row) for segment, held in enumerate(rows) for row in range(len(held)))


def written(place: Place, rows: Rows) -> list[str]:
    for path, held in zip(place.segments(), rows, strict=True):
        path.write_bytes(b"".join(held))
    return place.problems()


def without(rows: Rows, segment: int, row: int) -> Rows:
    changed = [list(held) for held in rows]
    del changed[segment][row]
    return changed


def test_the_untouched_journal_verifies(place):
    """The journal that the other tests change is in order, and has several segments."""
    examination = place.examine()
    assert examination.findings == []
    assert (examination.accesses, examination.unconfirmed, examination.restarts) == (15, 0, 0)
    assert len(place.segments()) > 3


def test_every_removed_line_is_found(place):
    """Each entry, checkpoint, seal, start and stop is missed wherever it is taken out."""
    rows = rows_of(place)
    for segment, row in positions(rows):
        assert written(place, without(rows, segment, row)), (segment, row)


def test_every_repeated_line_is_found(place):
    """A line that stands twice is found, next to itself or at the end."""
    rows = rows_of(place)
    for segment, row in positions(rows):
        changed = [list(held) for held in rows]
        changed[segment].insert(row, rows[segment][row])
        assert written(place, changed), (segment, row)
        changed = [list(held) for held in rows]
        changed[-1].append(rows[segment][row])
        assert written(place, changed), (segment, row)


def test_every_exchange_of_two_lines_is_found(place):
    """Lines that have changed places are found, neighbours and distant ones."""
    rows = rows_of(place)
    every = list(positions(rows))
    for index, (segment, row) in enumerate(every):
        for other_segment, other_row in (every[index - 1], every[index - 5]):
            changed = [list(held) for held in rows]
            changed[segment][row], changed[other_segment][other_row] = (
                rows[other_segment][other_row],
                rows[segment][row],
            )
            assert written(place, changed), (segment, row)


def test_every_cut_of_the_end_is_found(place):
    """A chain cut off after any line, in any segment, is found, with the later segments gone or there."""
    rows = rows_of(place)
    for segment, row in positions(rows):
        changed = [list(held) for held in rows]
        changed[segment] = changed[segment][:row]
        assert written(place, changed), (segment, row)
    for last in range(1, len(rows)):
        written(place, rows)
        for path in place.segments()[last:]:
            path.rename(path.with_suffix(".gone"))
        for row in range(len(rows[last - 1]) + 1):
            place.segments()[-1].write_bytes(b"".join(rows[last - 1][:row]))
            assert place.problems(), (last, row)
        for path in sorted(place.journal.glob("*/*.gone")):
            path.rename(path.with_suffix(".jsonl"))


def test_every_removed_segment_is_found(place, tmp_path):
    """A segment that is gone is named, the first and the last one too."""
    for path in place.segments():
        path.rename(tmp_path / path.name)
        assert place.problems(), path.name
        (tmp_path / path.name).rename(path)
    first, second, *_ = place.segments()
    first.rename(tmp_path / "kept")
    second.rename(first)
    (tmp_path / "kept").rename(second)
    assert place.problems()


@settings(max_examples=150, deadline=None)
@given(at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), data=st.data())
def test_every_altered_bit_is_found(whole, at, bit, data):
    """One bit that is other than it was is found, wherever it is."""
    folder = whole.journal.parent / "bits"
    shutil.rmtree(folder, ignore_errors=True)
    place = whole.copied(folder)
    path = data.draw(st.sampled_from(place.segments()))
    content = bytearray(path.read_bytes())
    content[int(at * len(content))] ^= 1 << bit
    path.write_bytes(content)
    assert place.problems()


def forged(rows: Rows, segment: int, row: int, key: Ed25519PrivateKey) -> Rows:
    """Change a line and put all later ones right, signing with a key."""
    changed = [list(held) for held in rows]
    digest, begun = "", False
    for at, held in enumerate(changed):
        for number, line in enumerate(held):
            fields = lines.parsed(line.strip())
            assert fields is not None
            if begun:
                fields["previous"] = digest
            if (at, number) == (segment, row):
                fields["at"] = "2020-01-01T00:00:00.000000Z"
                begun = True
            if begun:
                fields.pop("signature", None)
                signs = fields["kind"] in lines.SIGNED
                held[number] = (lines.signed(fields, key) if signs else lines.canonical(fields)) + b"\n"
                digest = lines.digest(held[number].strip())
    return changed


def test_a_chain_put_right_again_is_found(place):
    """Altering an entry and all hashes after it does not help without the key; with it, the head tells."""
    rows = rows_of(place)
    stranger = Ed25519PrivateKey.generate()
    for segment, row in positions(rows):
        assert written(place, forged(rows, segment, row, stranger)), (segment, row)
    assert any("altered" in problem for problem in written(place, forged(rows, 0, 2, place.keys.signing)))


def test_who_holds_the_key_is_found_by_a_checkpoint_kept_elsewhere(place):
    """An operator who signs a whole other past, head included, contradicts a checkpoint handed out before."""
    rows = rows_of(place)
    public = place.keys.signing.public_key()
    (path,) = place.heads.iterdir()
    checkpoint = read_head(path, public)
    assert checkpoint is not None
    changed = forged(rows, 0, 2, place.keys.signing)
    written(place, changed)
    end = lines.digest(changed[-1][-1].strip())
    bare = {name: value for name, value in checkpoint.items() if name != "signature"}
    path.write_bytes(lines.signed({**bare, "hash": end}, place.keys.signing).ljust(511) + b"\n")
    assert place.problems() == []
    held = Examination(place.journal, place.heads, public, [checkpoint]).run()
    assert any("checkpoint" in finding.problem for finding in held.findings)


def test_a_head_that_is_gone_altered_or_of_another_chain_is_found(place, tmp_path):
    """The head itself cannot be taken away or changed unnoticed, nor can a whole chain."""
    (head,) = place.heads.iterdir()
    content = head.read_bytes()
    for changed in (b"", content[:-100], content.replace(b'"sequence":', b'"sequence":1'), b"\x00" * 512):
        head.write_bytes(changed)
        assert place.problems(), changed[:40]
    head.unlink()
    assert place.problems()
    head.write_bytes(content)
    assert place.problems() == []
    (chain,) = place.journal.iterdir()
    other = place.journal / ("0" * 16)
    chain.rename(other)
    head.rename(place.heads / other.name)
    assert place.problems()
    shutil.rmtree(other)
    assert any("the chain is missing" in problem for problem in place.problems())


MEMBERS = st.sampled_from(
    [
        "at",
        "call",
        "chain",
        "cut",
        "identities",
        "kind",
        "next",
        "previous",
        "results",
        "segment",
        "sequence",
        "signature",
    ]
)
ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(), st.sampled_from(["start", "refused", "seal", "expired", "head"])
)


@settings(max_examples=150, deadline=None)
@given(changes=st.dictionaries(MEMBERS, st.one_of(ANYTHING, st.lists(ANYTHING), st.dictionaries(MEMBERS, ANYTHING)),
                               min_size=1), data=st.data())  # fmt: skip
def test_lines_of_any_content_are_findings_and_never_errors(whole, changes, data):
    """A forger may write whatever is JSON: reading goes on, and what was changed is found."""
    folder = whole.journal.parent / "content"
    shutil.rmtree(folder, ignore_errors=True)
    place = whole.copied(folder)
    path = data.draw(st.sampled_from(place.segments()))
    rows = path.read_bytes().splitlines(keepends=True)
    at = data.draw(st.integers(0, len(rows) - 1))
    fields = lines.parsed(rows[at].strip())
    assert fields is not None
    line = lines.canonical({**fields, **changes}) + b"\n"
    path.write_bytes(b"".join([*rows[:at], line, *rows[at + 1 :]]))
    assert place.problems() or line == rows[at]


def test_a_file_that_cannot_be_read_is_named(place):
    """A folder in the place of a segment is an error with its name."""
    path = place.segments()[1]
    path.unlink()
    path.mkdir()
    with pytest.raises(AuditUnusable, match=path.name):
        place.problems()


def test_another_key_verifies_nothing(place):
    """With the public key of another journal nothing is in order."""
    keys = JournalKeys(Ed25519PrivateKey.generate(), b"")
    assert Place(place.journal, place.heads, keys).problems()


def test_endless_and_binary_lines_are_findings(place):
    """A file that holds no lines at all is read in pieces, and told."""
    place.segments()[0].write_bytes(b"{" * 300_000)
    place.segments()[1].write_bytes(bytes(range(256)) * 10 + b"\n")
    place.segments()[2].write_bytes(b"[" * 60_000 + b"\n")
    assert len(place.problems()) >= 3
