"""Damaged files and hostile values: readers and the normaliser answer or refuse, and never tell a value."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpi.encoder.sources import RejectedRow, RowReason, SourceRow, csv, fhir, person43
from mpi.errors import ExtractUnreadable
from tests.encoder.fuzz_targets import (
    MAPPING,
    MARKER,
    TARGETS,
    TODAY,
    check_person,
    packed,
    read_extract,
    seed_bundle,
    seed_csv,
    seed_fhir,
    seed_person43,
    seed_workbook,
    workbook_target,
)

INSERTED = [
    *(b"|", b",", b";", b"\t", b'"', b"'", b"\n", b"\r", b"\r\n", b"\0", b"\x1a", b"\xa0", b"\xff", b"\x80"),
    *(b"\xef\xbb\xbf", b"\xe0\xb9", b"\xf7\x0a", b"{", b"}", b"[", b"]", b":", b"null", b"-1", b"1e999", b"9" * 5000),
    *(b"\\ud800", b"\\u0000", b"(", b")", b"x" * 140_000, b"[" * 2000, "\u200b".encode(), "\u0e33".encode()),
]
DAMAGE = st.lists(
    st.tuples(
        st.sampled_from(["flip", "cut", "insert", "repeat", "end"]),
        st.floats(0, 1, exclude_max=True),
        st.integers(0, 7),
        st.sampled_from(INSERTED) | st.binary(max_size=8),
    ),
    max_size=5,
)


def damaged(data: bytes, damage: list[tuple[str, float, int, bytes]]) -> bytes:
    """Apply damage to a file: flipped bits, pieces lost, put in or doubled, an end that is missing."""
    content = bytearray(data)
    for kind, place, bit, piece in damage:
        at = int(place * len(content))
        if kind == "flip" and content:
            content[at] ^= 1 << bit
        elif kind == "cut":
            del content[at : at + 1 + bit * 5]
        elif kind == "insert":
            content[at:at] = piece
        elif kind == "repeat":
            content[at:at] = content[at : at + 40]
        elif kind == "end":
            del content[at:]
    return bytes(content)


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_files(name: str) -> None:
    """A valid file with any damage gives rows in order or the one error of readers, without a value."""
    target, seed = TARGETS[name]

    @settings(max_examples=200, deadline=None)
    @given(DAMAGE)
    def run(damage: list[tuple[str, float, int, bytes]]) -> None:
        target(damaged(seed(), damage))

    run()


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_read(name: str, tmp_path: Path) -> None:
    """The files that damage is done to are good ones: every row of them is read."""
    readers = {"person43": person43.read, "fhir": fhir.read, "bundle": fhir.read, "csv": lambda p: csv.read(p, MAPPING)}
    TARGETS[name][0](TARGETS[name][1]())
    if name in readers:
        path = tmp_path / "extract.txt"
        path.write_bytes(TARGETS[name][1]())
        assert [type(row) for row in readers[name](path)] == [SourceRow, SourceRow]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_arbitrary_bytes(data: bytes) -> None:
    """Any bytes at all go through every target."""
    for target, _ in TARGETS.values():
        target(data)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["", "xl/workbook.xml", "xl/worksheets/s.xml", "_rels/.rels"]), DAMAGE)
def test_damaged_workbooks(part: str, damage: list[tuple[str, float, int, bytes]]) -> None:
    """A workbook damaged as an archive or in one of its parts is read or refused."""
    pytest.importorskip("python_calamine", reason="needs the extra xlsx")
    data = seed_workbook()
    if part:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        data = packed({**parts, part: damaged(parts[part], damage)})
    else:
        data = damaged(data, damage)
    workbook_target(data)


@pytest.mark.parametrize("cell", ["XFD1048576", "A999999999", "ZZZZZZ1"])
def test_workbook_with_a_far_cell(tmp_path: Path, cell: str) -> None:
    """A cell in a far corner, for which no memory would do, is refused and not made room for."""
    pytest.importorskip("python_calamine", reason="needs the extra xlsx")
    path = tmp_path / "a.xlsx"
    with zipfile.ZipFile(io.BytesIO(seed_workbook())) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["xl/worksheets/s.xml"] = parts["xl/worksheets/s.xml"].replace(b'r="B2"', f'r="{cell}"'.encode())
    path.write_bytes(packed(parts))
    with pytest.raises(ExtractUnreadable, match="far from the table"):
        list(csv.read(path, MAPPING))


def test_workbook_that_swells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small workbook that unpacks into a large one is refused before it is unpacked."""
    pytest.importorskip("python_calamine", reason="needs the extra xlsx")
    monkeypatch.setattr(csv, "LARGEST_WORKBOOK", 1 << 20)
    path = tmp_path / "a.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/s.xml", b" " * (1 << 21))
    assert path.stat().st_size < 1 << 14
    with pytest.raises(ExtractUnreadable, match="1 MiB unpacked"):
        list(csv.read(path, MAPPING))


@pytest.mark.parametrize(
    ("reader", "seed", "value"),
    [
        (person43.read, seed_person43(), MARKER.encode("cp874")),
        (lambda path: csv.read(path, MAPPING), seed_csv(), MARKER.encode()),
        (fhir.read, seed_fhir(), MARKER.encode()),
    ],
    ids=["person43", "csv", "fhir"],
)
def test_huge_cells(tmp_path: Path, reader: Any, seed: bytes, value: bytes) -> None:
    """A cell of a hundred thousand characters is a row like others, or set aside; the next ones are read."""
    path = tmp_path / "extract.txt"
    path.write_bytes(seed.replace(value, value * 12_000, 1) + seed.splitlines(keepends=True)[-1] * 0)
    rows = list(reader(path))
    assert len(rows) == 2
    assert isinstance(rows[-1], SourceRow)
    for row in rows:
        if isinstance(row, SourceRow):
            check_person(_normalized(row))


def _normalized(row: SourceRow) -> Any:
    from mpi.encoder.demographics import normalize

    return normalize(row.raw, TODAY)


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.just(MARKER)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from("use system value extension url type coding code given family text line".split()),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
ELEMENTS = "identifier name telecom gender birthDate address link active deceasedBoolean resourceType".split()


@settings(max_examples=250, deadline=None)
@given(st.dictionaries(st.sampled_from(ELEMENTS), ANYTHING, max_size=4))
def test_wrong_types_in_fhir(elements: dict[str, Any]) -> None:
    """A Patient whose elements are of any type is a row or set aside, in NDJSON and in a Bundle."""
    patient = {**json.loads(seed_fhir().splitlines()[0]), **elements}
    line = json.dumps(patient).encode()
    read_extract(fhir.read, line + b"\n" + seed_fhir())
    read_extract(fhir.read, b'{"resourceType": "Bundle", "entry": [{"resource": ' + line + b"}]}")


@pytest.mark.parametrize("depth", [500, 100_000])
def test_deep_json(tmp_path: Path, depth: int) -> None:
    """JSON nested beyond all sense is set aside on a line, and refused as a Bundle."""
    deep = b'{"a":' * depth + b"1" + b"}" * depth
    path = tmp_path / "extract.txt"
    path.write_bytes(seed_fhir() + deep + b"\n" + seed_fhir())
    reason = RowReason.NOT_A_PATIENT if depth < 900 else RowReason.NOT_JSON
    assert [row for row in fhir.read(path) if isinstance(row, RejectedRow)] == [RejectedRow(3, reason)]
    path.write_bytes(seed_bundle().replace(b'"entry"', b'"deep": ' + deep + b', "entry"', 1))
    if depth > 900:
        with pytest.raises(ExtractUnreadable):
            list(fhir.read(path))
