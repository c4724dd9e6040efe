"""What a thief of the centre's disk, or a listener on the wire, gets to see: no person, and no record put together.

A small population goes through the real commands and a real server. Then every byte that the centre keeps is read
as a thief would read it, without a key, and the rows of the index are joined in every way that files allow.
"""

from __future__ import annotations

import json
import os
import re
import socket
import sqlite3
import struct
import subprocess
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest

from mpi.at_rest import AtRest
from mpi.cli import demo
from mpi.cli.register import register_files
from mpi.client import Client, PurposeOfUse
from mpi.domain.changes import Placement
from mpi.domain.identifiers import LocalIdToken
from mpi.domain.identity import Decision
from mpi.domain.record import ChannelEncoding, EncodedDemographics, EncodedRecord
from mpi.encoder.encoded_file import read_encoded
from mpi.encoder.keys import load_key_ring
from mpi.encoder.sources import SourceRow, fhir, person43
from mpi.encoder.tokens import Tokeniser
from mpi.errors import IndexCorrupt
from mpi.index.lmdb_index import Index
from mpi.index.projector import project
from mpi.index.sealing import BLOCK, Sealer
from mpi.service.keys import open_service_keys
from mpi.store.sql import Change
from tests.building import AT_REST, AT_REST_SECRET, th_v1

ROOT = Path(__file__).parent.parent.parent
PERSONS, SEED = 150, 2
FACILITIES = {"10661": ("person43", "person.txt"), "HL001": ("fhir", "patient.ndjson")}
FEWEST_CHARACTERS = 4
FEWEST_BYTES = 6
"""Shorter needles turn up in megabytes of ciphertext by chance; they are looked for in runs of text only."""
NAME_BYTES = 16


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo's folder: raw extracts, encoded files, and the centre's data as the server left them."""
    folder = tmp_path_factory.mktemp("demo") / "demo"
    assert demo.run(PERSONS, SEED, folder, as_json=False) == 0
    return folder


# --- (a) at rest ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Needles:
    """What must not be found: texts of the raw extracts by kind, and bytes from before the gateway by kind."""

    texts: dict[str, set[str]]
    tokens: dict[str, set[bytes]]


def raw_texts(folder: Path) -> dict[str, set[str]]:
    """Names and numbers of the raw extracts, as they are written there and as bare digits."""
    texts: dict[str, set[str]] = {kind: set() for kind in ("given", "family", "national_id", "passport", "phone")}
    for code, (source, file) in FACILITIES.items():
        read = {"person43": person43.read, "fhir": fhir.read}[source]
        for row in read(folder / "population" / code / file):
            assert isinstance(row, SourceRow)
            raw = row.raw
            for name in raw.names:
                texts["given"] |= {name.given, *name.given.split()}
                texts["family"] |= {name.family, *name.family.split()}
            passports = [raw.passport, *(number for number, _ in raw.other_passports)]
            for kind, values in (("national_id", [raw.national_id]), ("passport", passports), ("phone", [raw.phone])):
                texts[kind] |= {form for value in values for form in (value, re.sub(r"[^0-9A-Za-z]", "", value))}
    for kind, values in texts.items():
        texts[kind] = {value for value in values if len(value) >= FEWEST_CHARACTERS}
        assert len(texts[kind]) >= (10 if kind == "passport" else 100), kind
    return texts


def records_of(folder: Path, code: str) -> list[EncodedRecord]:
    return [record for batch in read_encoded(folder / "encoded" / f"{code}.parquet") for record in batch]


def tokens_before_gateway(folder: Path) -> dict[str, set[bytes]]:
    """Tokens, buckets, vectors and pointers as the facilities' encoded files hold them."""
    found: dict[str, set[bytes]] = {"local_id": set(), "number": set(), "bucket": set(), "vector": set()}
    found["pointer"] = set()
    for code in FACILITIES:
        for record in records_of(folder, code):
            found["local_id"].add(record.local_id_token)
            found["pointer"].add(record.pointer)
            found["number"] |= {token.value for token in record.demographics.tokens}
            found["bucket"] |= {channel.bucket for channel in record.demographics.channels}
            found["vector"] |= {channel.vector for channel in record.demographics.channels if any(channel.vector)}
    return found


def written_forms(text: str) -> set[bytes]:
    """A text's bytes in the encodings that systems here write; escapes of JSON count as one."""
    forms = {text.encode("utf-8"), text.encode("utf-16-le"), text.encode("utf-16-be")}
    forms |= {json.dumps(text)[1:-1].encode(), text.lower().encode("utf-8")}
    with suppress(UnicodeEncodeError):
        forms.add(text.encode("cp874"))
    return forms


def texts_found(texts: dict[str, set[str]], haystack: bytes) -> Counter[str]:
    """How many texts of each kind occur in some form."""
    runs = b"\n".join(re.findall(rb"[ -~]{8,}", haystack)).lower()
    found: Counter[str] = Counter()
    for kind, values in texts.items():
        for value in values:
            forms = written_forms(value)
            if any((form in haystack if len(form) >= FEWEST_BYTES else form.lower() in runs) for form in forms):
                found[kind] += 1
    return found


def tokens_found(tokens: dict[str, set[bytes]], haystack: bytes) -> Counter[str]:
    """How many tokens of each kind occur, as bytes, in hexadecimal, or cut in half."""
    found: Counter[str] = Counter()
    text = b"\n".join(re.findall(rb"[0-9a-fA-F]{32,}", haystack)).lower()
    for kind, values in tokens.items():
        for value in values:
            half = value[:16]
            if half in haystack or value[-16:] in haystack or half.hex().encode() in text:
                found[kind] += 1
    return found


def kept_by_centre(folder: Path) -> dict[Path, bytes]:
    """Every file of the data folder, the centre's keys and the log."""
    files = [path for part in ("data", "centre-keys") for path in (folder / part).rglob("*") if path.is_file()]
    content = {path.relative_to(folder): path.read_bytes() for path in (*files, folder / "server.log")}
    assert {path.name for path in content} >= {"store.db", "data.mdb", "service.json", "server.log"}
    assert all(content.values())
    return content


def test_centre_keeps_no_name_and_no_number(world: Path) -> None:
    """No given or family name, national id, passport or phone of the extracts is in any file of the centre."""
    texts = raw_texts(world)
    for path, content in kept_by_centre(world).items():
        assert texts_found(texts, content) == Counter(), path


def test_centre_keeps_nothing_from_before_the_gateway(world: Path) -> None:
    """No token, bucket, vector or pointer is kept as the facilities sent it."""
    tokens = tokens_before_gateway(world)
    for path, content in kept_by_centre(world).items():
        assert tokens_found(tokens, content) == Counter(), path


def test_the_search_finds_what_is_there(world: Path) -> None:
    """The same search finds every name and number in the raw extracts and every token in the encoded files."""
    texts, tokens = raw_texts(world), tokens_before_gateway(world)
    extracts = b"".join((world / "population" / code / file).read_bytes() for code, (_, file) in FACILITIES.items())
    found = texts_found(texts, extracts)
    for kind, values in texts.items():
        written = {value for value in values if value.encode() in extracts}
        assert len(written) > 0.5 * len(values)
        assert found[kind] == len(written), kind
    for encoding in ("cp874", "utf-16-le"):
        other = extracts.decode().encode(encoding, "replace")
        assert texts_found(texts, other)["family"] > 0.7 * len(texts["family"]), encoding
    encoded = b"".join((world / "encoded" / f"{code}.parquet").read_bytes() for code in FACILITIES)
    assert tokens_found(tokens, encoded) == Counter({kind: len(values) for kind, values in tokens.items()})


def test_rekeyed_values_are_sealed_in_the_store(world: Path) -> None:
    """The store shows none of what the index is made of: names of entries, sealed numbers, vectors, facilities."""
    store = b"".join(path.read_bytes() for path in (world / "data").glob("store.db*"))
    for row in candidate_rows(world):
        assert row.name not in store
        assert row.block not in store
        assert not any(row.vector) or row.vector[:32] not in store
    index = (world / "data" / "index" / "data.mdb").read_bytes()
    assert b"HL001" not in index


# --- (b) on the wire -----------------------------------------------------------------------------------------------


class Tap:
    """A TCP proxy on loopback that keeps every byte that passes, by direction."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.sent, self.answered = bytearray(), bytearray()
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._start(self._accept)

    def close(self) -> None:
        # close() alone does not wake a thread that waits in accept()
        for end in (self._listener, *self._open):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        for thread in self._threads:
            thread.join(10)
        assert not any(thread.is_alive() for thread in self._threads)

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            self._open += [client, server]
            self._start(self._pass_on, client, server, self.sent)
            self._start(self._pass_on, server, client, self.answered)

    @staticmethod
    def _pass_on(source: socket.socket, target: socket.socket, record: bytearray) -> None:
        try:
            while data := source.recv(1 << 16):
                record += data
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return


@contextmanager
def plain_server(folder: Path, epochs: str) -> Iterator[str]:
    """Run `mpi serve --insecure` on a folder of its own."""
    folder.mkdir()
    (folder / "mpi.toml").write_text(f'listen = "127.0.0.1:0"\nkey_epochs = "{epochs}"\n', encoding="utf-8")
    command = [sys.executable, "-m", "mpi", "serve", "--data", folder / "data", "--config", folder / "mpi.toml"]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [*map(str, command), "--insecure", "--json"], cwd=ROOT, stdout=subprocess.PIPE, stderr=log
        )
        try:
            assert process.stdout
            yield json.loads(process.stdout.readline())["listening"]
        finally:
            process.terminate()
            process.wait(20)
            process.stdout.close()


def test_the_wire_carries_no_person(world: Path, tmp_path: Path) -> None:
    """Even without TLS, registering and locating send no name and no number; what is sent are tokens."""
    texts, tokens = raw_texts(world), tokens_before_gateway(world)
    keys = world / "keys" / "10661"
    ring = load_key_ring(keys)
    with plain_server(tmp_path / "centre", str(keys / "epochs.json")) as address:
        tap = Tap(address)
        try:
            for code in FACILITIES:
                done = register_files([world / "encoded" / f"{code}.parquet"], tap.address, None)
                assert not done.refused
                assert done.records > 100
            tokeniser = Tokeniser(ring.current)
            with Client(address=tap.address, certificates=None) as client:
                for code in FACILITIES:
                    found = client.locate(tokeniser.local_id(code, "000000001"), PurposeOfUse.TREAT).identities
                    assert found
                    assert client.locate(tokeniser.local_id(code, "000000001"), PurposeOfUse.TREAT)
                sought = [LocalIdToken(record.local_id_token) for record in records_of(world, "HL001")]
                assert len(client.batch_locate(sought, PurposeOfUse.TREAT).answers) == len(sought)
        finally:
            tap.close()
    for direction, captured in (("sent", bytes(tap.sent)), ("answered", bytes(tap.answered))):
        assert len(captured) > 10_000
        assert texts_found(texts, captured) == Counter(), direction
    # The capture has power: it is whole and not compressed, so tokens and facilities are legible in it.
    seen = tokens_found({"local_id": tokens["local_id"]}, bytes(tap.sent))
    assert seen["local_id"] > 0.9 * len(tokens["local_id"])
    assert b"HL001" in tap.answered
    assert tokens_found({"vector": tokens["vector"]}, bytes(tap.answered)) == Counter()


# --- (c) the join attack -------------------------------------------------------------------------------------------
#
# The structure attack on Bloom filters needs all channels of one record side by side. The thief here has every file
# of the data folder and even knows which channel a row is of; only the key is missing. A guess is a pair of rows of
# different channels; it is right when both are of one record.


@dataclass(frozen=True)
class CandidateRow:
    """A row of `candidates` as it lies on disk, and where in the file: page, and place on it in order of writing."""

    name: bytes
    block: bytes
    vector: bytes
    page: int = 0
    written: int = 0
    on_page: int = 1


Truth = dict[CandidateRow, tuple[str, int]]
"""Channel and record number of each row, which only the key tells."""
Guess = tuple[CandidateRow, CandidateRow]

_PAGE_HEADER = struct.Struct("<QHHHH")
_NODE = struct.Struct("<HHHH")
_TREE = struct.Struct("<IHHQQQQQ")
_BRANCH, _LEAF, _LEAF2 = 0x01, 0x02, 0x20
_BIG, _SUBTREE, _DUPLICATES = 0x01, 0x02, 0x04
_MAGIC = 0xBEEFC0DE


class Pages:
    """The pages of an LMDB file, read without the library: also what a snapshot held before the last write."""

    def __init__(self, path: Path, back: int = 0) -> None:
        self._bytes = path.read_bytes()
        self._size = 4096
        metas = []
        for place in range(2):
            at = place * self._size + _PAGE_HEADER.size
            magic, _version = struct.unpack_from("<II", self._bytes, at)
            assert magic == _MAGIC
            size = struct.unpack_from("<I", self._bytes, at + 24)[0]
            assert size == self._size
            (revision,) = struct.unpack_from("<Q", self._bytes, at + 24 + 2 * _TREE.size + 8)
            metas.append((revision, struct.unpack_from("<Q", self._bytes, at + 24 + 2 * _TREE.size - 8)[0]))
        self.transaction, root = sorted(metas, reverse=True)[back]
        tables = {key: value for key, value, *_ in self._walk(root)}
        self._candidates = _TREE.unpack(tables[b"candidates"])[-1] if b"candidates" in tables else None

    def candidates(self) -> list[CandidateRow]:
        if self._candidates in (None, (1 << 64) - 1):
            return []
        return [
            CandidateRow(key, value[:BLOCK], value[BLOCK:], page, written, on_page)
            for key, value, page, written, on_page in self._walk(self._candidates)
        ]

    def _walk(self, root: int) -> Iterator[tuple[bytes, bytes, int, int, int]]:
        """Entries below a page: key, value, page, place in order of writing, entries on that page.

        A page is filled with its entries from the end backwards, so the entry that begins nearest to the end was
        written first.
        """
        at = root * self._size
        _, _, flags, lower, _ = _PAGE_HEADER.unpack_from(self._bytes, at)
        offsets = struct.unpack_from(f"<{(lower - _PAGE_HEADER.size) // 2}H", self._bytes, at + _PAGE_HEADER.size)
        if flags & _BRANCH:
            for offset in offsets:
                low, middle, high, _ = _NODE.unpack_from(self._bytes, at + offset)
                yield from self._walk(low | middle << 16 | high << 32)
            return
        assert flags & _LEAF
        order = {offset: place for place, offset in enumerate(sorted(offsets, reverse=True))}
        for offset in offsets:
            key, value, kind = self._entry(at + offset)
            if kind & _SUBTREE and kind & _DUPLICATES:
                values = list(self._values_below(_TREE.unpack(value)[-1]))
            elif kind & _DUPLICATES:
                values = list(self._values_on(value))
            else:
                values = [value]
            for part in values:
                yield key, part, root, order[offset], len(offsets)

    def _entry(self, at: int) -> tuple[bytes, bytes, int]:
        low, high, kind, key_bytes = _NODE.unpack_from(self._bytes, at)
        size = low | high << 16
        start = at + _NODE.size + key_bytes
        key = self._bytes[at + _NODE.size : start]
        if kind & _BIG:
            (page,) = struct.unpack_from("<Q", self._bytes, start)
            start = page * self._size + _PAGE_HEADER.size
        return key, self._bytes[start : start + size], kind

    def _values_on(self, page: bytes) -> Iterator[bytes]:
        """Values of a page of fixed-size duplicates; they lie there sorted, whatever the order of writing."""
        _, width, flags, lower, _ = _PAGE_HEADER.unpack_from(page)
        assert flags & _LEAF2
        for place in range((lower - _PAGE_HEADER.size) // 2):
            start = _PAGE_HEADER.size + place * width
            yield page[start : start + width]

    def _values_below(self, root: int) -> Iterator[bytes]:
        page = self._bytes[root * self._size : (root + 1) * self._size]
        _, _, flags, lower, _ = _PAGE_HEADER.unpack_from(page)
        if flags & _LEAF2:
            yield from self._values_on(page)
            return
        for (offset,) in struct.iter_unpack("<H", page[_PAGE_HEADER.size : lower]):
            low, middle, high, _ = _NODE.unpack_from(page, offset)
            yield from self._values_below(low | middle << 16 | high << 32)


def candidate_rows(folder: Path, back: int = 0) -> list[CandidateRow]:
    """Rows of `candidates` with their places in the file; `back` = 1 reads the snapshot before the last write."""
    return Pages(folder / "data" / "index" / "data.mdb", back).candidates()


def with_the_key(at_rest: bytes, rows: Iterable[CandidateRow]) -> Truth:
    """What the holder of the key reads: a row's channel is the one whose cipher opens its block."""
    sealer = Sealer(at_rest)
    channels = th_v1().profile.channel_names()
    truth = {}
    for row in rows:
        opened = []
        for channel in channels:
            try:
                opened.append((channel, int(sealer.channel(channel).open_numbers(row.block)[0])))
            except IndexCorrupt:
                continue
        (truth[row],) = opened
    return truth


@pytest.fixture(scope="module")
def truth(world: Path) -> Truth:
    return with_the_key(
        open_service_keys(world / "centre-keys" / "service.json").at_rest[0].secret, candidate_rows(world)
    )


def by_channel(truth: Truth) -> dict[str, list[CandidateRow]]:
    rows: dict[str, list[CandidateRow]] = {}
    for row, (channel, _) in truth.items():
        rows.setdefault(channel, []).append(row)
    return {channel: found for channel, found in rows.items() if len(found) >= 20}


def chance(truth: Truth) -> float:
    """Share of right pairs among all pairs of rows of different channels."""
    right = total = 0
    for ours, theirs in combinations(by_channel(truth).values(), 2):
        counts = Counter(truth[row][1] for row in ours)
        right += sum(counts[truth[row][1]] for row in theirs)
        total += len(ours) * len(theirs)
    return right / total


def scored(truth: Truth, guesses: Iterable[Guess]) -> tuple[int, int]:
    """Right guesses, and guesses across channels."""
    pairs = {frozenset(guess) for guess in guesses}
    across = [(truth[a], truth[b]) for a, b in map(tuple, pairs) if truth[a][0] != truth[b][0]]
    return sum(ours[1] == theirs[1] for ours, theirs in across), len(across)


def most_by_chance(guesses: int, share: float) -> float:
    """A generous bound: five standard deviations and three above what chance gives."""
    mean = guesses * share
    return mean + 5 * mean**0.5 + 3


def equal(rows: Iterable[CandidateRow], part: Callable[[CandidateRow], object]) -> Iterator[Guess]:
    groups: dict[object, list[CandidateRow]] = {}
    for row in rows:
        groups.setdefault(part(row), []).append(row)
    for group in groups.values():
        yield from combinations(group, 2)


def neighbours(rows: Iterable[CandidateRow], key: Callable[[CandidateRow], object]) -> Iterator[Guess]:
    yield from pairwise(sorted(rows, key=key))  # type: ignore[arg-type]


def same_rank(truth: Truth, key: Callable[[CandidateRow], object]) -> Iterator[Guess]:
    """Rows of two channels that stand at the same place of their channels' orders."""
    ordered = [sorted(rows, key=key) for rows in by_channel(truth).values()]  # type: ignore[arg-type]
    for ours, theirs in combinations(ordered, 2):
        for place, row in enumerate(ours):
            yield row, theirs[place * len(theirs) // len(ours)]


def newest_side_by_side(rows: Iterable[CandidateRow]) -> Iterator[Guess]:
    """A write takes new pages one after the other, so what was written last on each may be of one record."""
    newest = [row for row in rows if row.written == row.on_page - 1]
    yield from ((a, b) for a, b in neighbours(newest, lambda row: row.page) if b.page == a.page + 1)


def distance(ours: CandidateRow, theirs: Sequence[CandidateRow]) -> CandidateRow:
    """The row with the nearest vector."""
    bits = np.frombuffer(b"".join(row.vector for row in theirs), np.uint8).reshape(len(theirs), -1)
    apart = np.unpackbits(bits ^ np.frombuffer(ours.vector, np.uint8), axis=1).sum(axis=1)
    return theirs[int(apart.argmin())]


Attack = Callable[[Truth], Iterable[Guess]]
ATTACKS: dict[str, Attack] = {
    "equal blocks": lambda truth: equal(truth, lambda row: row.block),
    "equal vectors": lambda truth: equal(truth, lambda row: row.vector),
    "equal names": lambda truth: equal(truth, lambda row: row.name),
    "equal beginnings of blocks": lambda truth: equal(truth, lambda row: row.block[:1]),
    "equal ends of blocks": lambda truth: equal(truth, lambda row: row.block[-1:]),
    "equal beginnings of vectors": lambda truth: equal(truth, lambda row: row.vector[:1]),
    "equal beginnings of names": lambda truth: equal(truth, lambda row: row.name[:1]),
    "block in the place of the name": lambda truth: (
        (a, b) for a in truth for b in truth if a.block[:2] == b.name[:2] and a is not b
    ),
    "neighbours by block": lambda truth: neighbours(truth, lambda row: row.block),
    "neighbours by name": lambda truth: neighbours(truth, lambda row: (row.name, row.block)),
    "neighbours by vector": lambda truth: neighbours(truth, lambda row: row.vector),
    "nearest vectors": lambda truth: (
        (row, distance(row, theirs)) for ours, theirs in combinations(by_channel(truth).values(), 2) for row in ours
    ),
    "rank by block": lambda truth: same_rank(truth, lambda row: row.block),
    "rank by name": lambda truth: same_rank(truth, lambda row: (row.name, row.block)),
    "rank by vector": lambda truth: same_rank(truth, lambda row: row.vector),
    "rank in the file": lambda truth: same_rank(truth, lambda row: (row.page, row.written)),
    "rank by writing on the page": lambda truth: same_rank(truth, lambda row: (row.written / row.on_page, row.page)),
    "neighbours by page": lambda truth: neighbours(truth, lambda row: (row.page, row.name, row.block)),
    "neighbours by writing on the page": lambda truth: (
        (a, b)
        for a, b in neighbours(truth, lambda row: (row.page, row.written, row.block))
        if a.page == b.page and b.written == a.written + 1
    ),
    "newest rows of pages side by side": lambda truth: newest_side_by_side(truth),
    "same row of a page": lambda truth: (
        (a, b)
        for a, b in neighbours(truth, lambda row: (row.written, row.page))
        if a.written == b.written and b.page == a.page + 1
    ),
}


def test_the_files_are_read_as_the_library_reads_them(world: Path, truth: Truth) -> None:
    """Reading pages by hand gives exactly the rows that the index has: the attacks miss nothing."""
    index = Index(
        world / "data" / "index", AtRest(lambda: open_service_keys(world / "centre-keys" / "service.json").at_rest)
    )
    try:
        rows = list(index.rows("candidates"))
    finally:
        index.close()
    assert sorted((row.name, row.block + row.vector) for row in truth) == sorted(rows)
    assert len(by_channel(truth)) >= 5
    assert all(len(row.name) == NAME_BYTES and len(row.block) == BLOCK for row in truth)


@pytest.mark.parametrize("attack", ATTACKS)
def test_rows_join_no_better_than_by_chance(truth: Truth, attack: str) -> None:
    """Without the key, no equality, order or place in the file joins the rows of one record across channels."""
    right, guesses = scored(truth, ATTACKS[attack](truth))
    assert right <= most_by_chance(guesses, chance(truth)), f"{right} of {guesses} right"


def test_with_the_key_the_same_procedure_joins_all(truth: Truth) -> None:
    """The attacks have power: once numbers are opened, equality and rank of them join every record."""
    rows = by_channel(truth)
    expected = chance(truth) * sum(len(a) * len(b) for a, b in combinations(rows.values(), 2))
    known = {row: truth[row] for found in rows.values() for row in found}
    right, guesses = scored(known, equal(known, lambda row: truth[row][1]))
    assert right == guesses == round(expected)
    assert right > 1000
    ranked, ranks = scored(known, same_rank(known, lambda row: truth[row][1]))
    assert ranked > 10 * most_by_chance(ranks, chance(truth))


def test_the_store_does_not_join_the_index(world: Path, truth: Truth) -> None:
    """Rows of the store fit rows of a channel no better than by chance, by bytes, order or length of the payload."""
    with sqlite3.connect(f"file:{world / 'data' / 'store.db'}?mode=ro", uri=True) as connection:
        kept = connection.execute("SELECT number, ref, digest, eid, payload FROM record ORDER BY rowid").fetchall()
    connection.close()
    assert len(kept) > 200
    numbers = {row[0] for row in kept}
    assert numbers == {number for _, number in truth.values()} | numbers
    orders: dict[str, Callable[[tuple], object]] = {
        "rowid": lambda row: row[0],
        "ref": lambda row: row[1],
        "digest": lambda row: row[2],
        "eid": lambda row: row[3],
        "length": lambda row: len(row[4]),
    }
    places: dict[str, Callable[[CandidateRow], object]] = {
        "block": lambda row: row.block,
        "name": lambda row: (row.name, row.block),
        "vector": lambda row: row.vector,
        "file": lambda row: (row.page, row.written),
        "writing": lambda row: (row.written / row.on_page, row.page),
    }
    for order, by in orders.items():
        ours = sorted(kept, key=by)  # type: ignore[arg-type]
        for place, key in places.items():
            right = guesses = 0
            for rows in by_channel(truth).values():
                for at, row in enumerate(sorted(rows, key=key)):  # type: ignore[arg-type]
                    right += ours[at * len(ours) // len(rows)][0] == truth[row][1]
                    guesses += 1
            assert right <= most_by_chance(guesses, 1 / len(kept)), (order, place)
    index = (world / "data" / "index" / "data.mdb").read_bytes()
    for _, ref, digest, eid, payload in kept:
        for part in (ref[:NAME_BYTES], digest[:NAME_BYTES], payload[12:28], payload[-16:], uuid.UUID(eid).bytes):
            assert part not in index
        assert eid.encode() not in index


def test_rows_of_one_channel_show_no_number_of_rows(truth: Truth) -> None:
    """How many rows a record has in one channel, where sealed numbers repeat, does not join it across channels."""
    repeats = Counter(row.block for row in truth)
    shaped = [row for row in truth if repeats[row.block] > 1]
    right, guesses = scored(truth, equal(shaped, lambda row: repeats[row.block]))
    assert right <= most_by_chance(guesses, chance(truth)), f"{right} of {guesses} right"


def made_up(number: int) -> EncodedRecord:
    """A record of random bits with a row in each of five channels: the index does not look into them."""
    channels = tuple(ChannelEncoding(channel, os.urandom(32), os.urandom(128)) for channel in "ABCDE")
    demographics = EncodedDemographics("th-v1", bytes(32), "1-00000000", (), channels)
    return EncodedRecord("10661", number.to_bytes(32, "big"), b"pointer", demographics)


def grow(index: Index, first: int, count: int) -> None:
    """Add records to an index as one transaction of the store brings them."""
    changes = []
    for number in range(first, first + count):
        placement = Placement(number, str(uuid.uuid4()), "", Decision.NEW, None, "alone", "")
        changes.append(Change(number, placement, made_up(number), None))
    project(index, changes)


@pytest.mark.parametrize(("batches", "size"), [(1, 100), (25, 4)])
def test_order_of_writing_does_not_join_rows(tmp_path: Path, batches: int, size: int) -> None:
    """Small batches written to an index of some size leave no trace in its pages of which rows came together."""
    index = Index(tmp_path / "index", AT_REST)
    try:
        grow(index, 1, 3000)
        for batch in range(batches):
            grow(index, 3001 + batch * size, size)
    finally:
        index.close()
    known = with_the_key(AT_REST_SECRET, Pages(tmp_path / "index" / "data.mdb").candidates())
    share = chance(known)
    for attack in ("newest rows of pages side by side", "same row of a page", "neighbours by writing on the page"):
        right, guesses = scored(known, ATTACKS[attack](known))
        assert right <= most_by_chance(guesses, share), f"{attack}: {right} of {guesses} right"


def test_the_last_write_does_not_stand_out(world: Path, tmp_path: Path) -> None:
    """The snapshot before the last write, which LMDB leaves in the file, does not show the rows of one record."""
    records = records_of(world, "10661")[:40]
    keys = world / "keys" / "10661"
    folder = tmp_path / "centre"
    with (
        plain_server(folder, str(keys / "epochs.json")) as address,
        Client(address=address, certificates=None) as client,
    ):
        for record in records:
            client.register(record)
    now, before = candidate_rows(folder), candidate_rows(folder, back=1)
    known = with_the_key(open_service_keys(folder / "data-keys" / "service.json").at_rest[0].secret, now)
    old = {(row.name, row.block) for row in before}
    fresh = [row for row in now if (row.name, row.block) not in old]
    right, guesses = scored(known, combinations(fresh, 2))
    assert right <= most_by_chance(guesses, chance(known)), f"{right} of {guesses} right"


def test_names_of_look_up_keys_are_the_same_alone_and_together():
    """What a batch is looked up by is what one key is written under; a label, a token or a key changes all of it."""
    labels = [kind.encode().ljust(16, b"\0") for kind in ("local_id", "national_id")]
    sealer, other = Sealer(bytes(32)), Sealer(bytes(31) + b"\1")
    messages = [(label, bytes([turn]) * 32) for turn in range(40) for label in labels]
    messages += [(labels[0], bytes(at) + b"\1" + bytes(31 - at)) for at in range(32)]
    together = sealer.look_up_names(*zip(*messages, strict=True))
    assert together == [sealer.look_up_name(*message) for message in messages]
    assert set(map(len, together)) == {16}
    assert len({*together, *other.look_up_names(*zip(*messages, strict=True))}) == 2 * len(messages)
