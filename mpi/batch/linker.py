"""Batch linkage: whole encoded files in, weighed pairs out, by the same rules as the index links one by one.

Encodings are sorted by bucket, all pairs inside a bucket are compared, and each pair that is near on a channel or
shares a number is compared on everything. Vectors are re-keyed as the gateway does it and lie in files that the system
maps, so memory holds the pairs and one column of a channel at a time, not the population.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mpi.batch.hamming import Places, Words, close_pairs, distances
from mpi.domain.identifiers import IdentifierKind
from mpi.encoder.encoded_file import (
    KINDS,
    Columns,
    EncodedFileHeader,
    Offsets,
    count_encoded,
    read_batches,
    read_header,
    to_columns,
)
from mpi.errors import InputRejected
from mpi.linkage.loops import FAST
from mpi.linkage.rekeying import BUCKET_BYTES, NO_SECRET, Rekeying
from mpi.linkage.scoring import MISSING, Evidence, PairScorer
from mpi.rules import Comparison, Rules

_PAIRS_AT_ONCE = 1 << 20
_ROWS_AT_ONCE = 1 << 12
_WORD_BYTES = 8
Told = Callable[[str, int, int], None]
"""Told what is going on, how many of it are done, and how many there are."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one channel or kind of number, sorted by record.

    Attributes:
        records: record of each row.
        values: bucket token or number of each row, as a place in the sorted list of different ones.
        first: for each record the place of its first row; one more at the end.
        words: packed vectors of a channel, one a row, re-keyed where another row shares the bucket; empty for
            numbers.
    """

    records: Places
    values: Places
    first: Places
    words: Words

    def counts(self) -> Places:
        """How many rows each record has."""
        return np.diff(self.first)


@dataclass(frozen=True, slots=True)
class Population:
    """Encoded records as the linker holds them.

    Attributes:
        facilities: facility codes.
        facility: each record's facility, by its place there.
        pointers: sealed local ids.
        rows: row numbers in the extracts.
        channels: rows by channel.
        numbers: rows by kind of number.
    """

    facilities: tuple[str, ...]
    facility: npt.NDArray[np.int32]
    pointers: list[bytes]
    rows: Places
    channels: Mapping[str, Rows]
    numbers: Mapping[IdentifierKind, Rows]

    def __len__(self) -> int:
        return len(self.facility)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Weighed pairs of records: `left` is before `right`, no pair comes twice, sorted.

    Attributes:
        left: first record.
        right: second record.
        evidence: level reached on each comparison of the model.
        weight: match weight, bits.
        demographics: the part of it that channels gave, bits.
        by_number: a number in common carries a link.
        by_anchor: an anchor carries a link.
        doubtful: where neither does, a person should look.
    """

    left: Places
    right: Places
    evidence: Evidence
    weight: npt.NDArray[np.float64]
    demographics: npt.NDArray[np.float64]
    by_number: npt.NDArray[np.bool_]
    by_anchor: npt.NDArray[np.bool_]
    doubtful: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.left)


def _untold(_what: str, _done: int, _of: int) -> None:
    pass


@contextmanager
def population(
    paths: Sequence[Path], rules: Rules, told: Told = _untold, secret: bytes = NO_SECRET
) -> Iterator[Population]:
    """Read encoded files; their vectors lie in a temporary folder until the block ends.

    Args:
        paths: encoded files.
        rules: their profile, and how far the centre diffuses.
        told: told of the progress.
        secret: the gateway's; with it weights are those of the index to the last bit.

    Raises:
        ExtractUnreadable: a file is missing, damaged, or no encoded file.
        InputRejected: a file was encoded by another profile, or under other keys than the first.
    """
    headers = [_checked(path, rules, read_header(path)) for path in paths]
    epochs = {header.key_epochs[0] for header in headers}
    if len(epochs) > 1:
        raise InputRejected(f"the files were encoded under different keys: {', '.join(sorted(epochs))}")
    total = sum(map(count_encoded, paths))
    with tempfile.TemporaryDirectory(prefix="mpi-link-") as name:
        rekeying = Rekeying(secret, rules.profile.bits, rules.gateway)
        yield _read(paths, headers, rules, rekeying, Path(name), total, told)


def link_pairs(held: Population, rules: Rules, told: Told = _untold, fast: bool = FAST) -> Pairs:
    """Find and weigh every pair that is near on a channel or shares a number."""
    comparing = _Comparing(held, rules, fast)
    parts = [*_near_on_channels(held, rules, told, fast), *_sharing_numbers(held, rules)]
    codes = np.unique(np.concatenate(parts)) if parts else np.empty(0, np.int64)
    left, right = np.divmod(codes, max(1, len(held)))
    scorer = PairScorer(rules.model)
    evidence = np.empty((len(codes), len(scorer.names)), np.int8)
    for at in range(0, len(codes), _PAIRS_AT_ONCE):
        told("comparing pairs", at, len(codes))
        part = slice(at, at + _PAIRS_AT_ONCE)
        evidence[part] = comparing.evidence(left[part], right[part])
    weight, demographics = scorer.weigh(evidence)
    by_number, by_anchor = scorer.grounds(evidence, weight, demographics)
    return Pairs(left, right, evidence, weight, demographics, by_number, by_anchor, scorer.doubts(evidence, weight))


def _checked(path: Path, rules: Rules, header: EncodedFileHeader) -> EncodedFileHeader:
    if header.profile_digest != rules.profile.digest:
        raise InputRejected(f"{path}: encoded by profile {header.profile}, not by that of the rule file; encode again")
    return header


def _read(
    paths: Sequence[Path],
    headers: Sequence[EncodedFileHeader],
    rules: Rules,
    rekeying: Rekeying,
    folder: Path,
    total: int,
    told: Told,
) -> Population:
    names = rules.profile.channel_names()
    gathered = {name: _GatheredVectors(name, folder / name, rules.profile.bits // 8, rekeying) for name in names}
    numbers = {kind: _Gathered() for kind in rules.profile.tokens}
    facilities = tuple(sorted({header.facility for header in headers}))
    facility, pointers, rows, done = [], [], [], 0
    for path, header in zip(paths, headers, strict=True):
        epochs = len(header.key_epochs)
        for batch in read_batches(path, 5000):
            columns = to_columns(batch)
            records = np.arange(done, done + len(columns.rows) // epochs)
            facility.append(np.full(len(records), facilities.index(header.facility), np.int32))
            pointers += columns.pointers[::epochs]
            rows.append(columns.rows[::epochs])
            _gather(columns, records, epochs, gathered, numbers)
            done += len(records)
            told("reading records", done, total)
    channels = {}
    for number, (name, each) in enumerate(gathered.items()):
        told("re-keying vectors", number, len(gathered))
        channels[name] = each.rows(done)
    return Population(
        facilities,
        np.concatenate(facility) if facility else np.empty(0, np.int32),
        pointers,
        np.concatenate(rows) if rows else np.empty(0, np.int64),
        channels,
        {kind: each.rows(done) for kind, each in numbers.items()},
    )


class _Gathered:
    """Rows of a kind of number as they come, batch by batch."""

    def __init__(self) -> None:
        self._records: list[Places] = []
        self._keys: list[npt.NDArray[np.uint8]] = []

    def add(self, records: Places, keys: npt.NDArray[np.uint8]) -> None:
        # Half of a token is enough to tell a whole nation's apart, by chance and by design: they are keyed hashes.
        self._records.append(records)
        self._keys.append(np.ascontiguousarray(keys[:, :BUCKET_BYTES]))

    def keys(self) -> npt.NDArray[np.uint8]:
        return np.concatenate([np.empty((0, BUCKET_BYTES), np.uint8), *self._keys])

    def rows(self, total: int) -> Rows:
        records = np.concatenate([np.empty(0, np.int64), *self._records])
        values = _places_of(self.keys().view("<u8"))
        first = np.searchsorted(records, np.arange(total + 1))
        return Rows(records, values, first.astype(np.int64), np.empty((0, 0), np.uint64))


class _GatheredVectors(_Gathered):
    """Rows of a channel; their vectors go to a file."""

    def __init__(self, channel: str, path: Path, width: int, rekeying: Rekeying) -> None:
        super().__init__()
        self._channel, self._path, self._width, self._rekeying = channel, path, width, rekeying
        self._file = path.open("wb")

    def add_vectors(self, records: Places, keys: npt.NDArray[np.uint8], vectors: npt.NDArray[np.uint8]) -> None:
        self.add(records, keys)
        self._file.write(np.ascontiguousarray(vectors).tobytes())

    def rows(self, total: int) -> Rows:
        self._file.close()
        rows = super().rows(total)
        if not len(rows.records):
            return rows
        vectors = np.memmap(self._path, np.uint8, "r+", shape=(len(rows.records), self._width))
        keys = self.keys()
        order, _ = bucket_order(rows)
        for at in range(0, len(order), _ROWS_AT_ONCE):
            part = order[at : at + _ROWS_AT_ONCE]
            buckets = [key.tobytes() for key in keys[part]]
            vectors[part] = self._rekeying.vectors([self._channel] * len(part), buckets, vectors[part])
        vectors.flush()
        shape = (len(rows.records), self._width // _WORD_BYTES)
        return replace(rows, words=np.memmap(self._path, np.uint64, "r", shape=shape))


def _places_of(halves: npt.NDArray[np.uint64]) -> Places:
    """Number equal keys alike, from 0 on."""
    order = np.lexsort((halves[:, 1], halves[:, 0]))
    ordered = halves[order]
    new = np.ones(len(order), bool)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    places = np.empty(len(order), np.int64)
    places[order] = np.cumsum(new) - 1
    return places


def _gather(
    columns: Columns,
    records: Places,
    epochs: int,
    channels: Mapping[str, _GatheredVectors],
    numbers: Mapping[IdentifierKind, _Gathered],
) -> None:
    """Take the rows of the newest epoch: the first of each record's."""

    def rows_of(codes: npt.NDArray[np.int8], offsets: Offsets, code: int) -> tuple[Places, Places]:
        owners = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        at = np.flatnonzero((codes == code) & (owners % epochs == 0))
        return at, records[owners[at] // epochs]

    for code, name in enumerate(columns.channel_names):
        at, owners = rows_of(columns.channels, columns.channel_offsets, code)
        channels[name].add_vectors(owners, columns.buckets[at], columns.vectors[at])
    for code, kind in enumerate(KINDS):
        if IdentifierKind(kind) in numbers:
            at, owners = rows_of(columns.token_kinds, columns.token_offsets, code)
            numbers[IdentifierKind(kind)].add(owners, columns.tokens[at])


def _near_on_channels(held: Population, rules: Rules, told: Told, fast: bool) -> Iterator[Places]:
    """Codes of pairs that are near enough on a channel that finds."""
    finding = [channel for channel in rules.profile.channels if not channel.confirms]
    for number, channel in enumerate(finding):
        told("comparing buckets", number, len(finding))
        rows = held.channels[channel.name]
        if not len(rows.records):
            continue
        order, ends = bucket_order(rows)
        bits = rules.profile.bits
        least = rules.model.decision.candidate_similarity[channel.name]
        most = _greatest_distance(least, bits)
        for left, right, _ in close_pairs(np.ascontiguousarray(rows.words[order]), ends, most, fast):
            one, other = rows.records[order[left]], rows.records[order[right]]
            yield _codes(one, other, len(held))


def bucket_order(rows: Rows) -> tuple[Places, Places]:
    """Rows that share a bucket with others, sorted by bucket, and for each where its bucket ends in that order.

    Rows that are alone in their bucket meet nobody: their vectors need not even be read.
    """
    order = np.argsort(rows.values, kind="stable")
    values = rows.values[order]
    size = np.searchsorted(values, values, side="right") - np.searchsorted(values, values)
    order = order[size > 1]
    values = rows.values[order]
    return order, np.searchsorted(values, values, side="right").astype(np.int64)


def _greatest_distance(least: float, bits: int) -> int:
    """Most bits that may differ for a similarity of at least `least`, by the very formula of one comparison."""
    different = np.arange(bits + 1)
    return int(np.flatnonzero(1.0 - different / bits >= least)[-1])


def _sharing_numbers(held: Population, rules: Rules) -> Iterator[Places]:
    """Codes of pairs that share a number by which candidates are found."""
    for kind in rules.model.decision.finding:
        rows = held.numbers.get(kind)
        if rows is None or not len(rows.records):
            continue
        order = np.argsort(rows.values, kind="stable")
        values = rows.values[order]
        ends = np.searchsorted(values, values, side="right")
        begins = np.searchsorted(values, values)
        kept = (ends - begins) <= rules.model.decision.most_sharing
        later = np.where(kept, ends - np.arange(len(values)) - 1, 0)
        left = np.repeat(np.arange(len(values)), later)
        right = left + 1 + np.arange(len(left)) - np.repeat(np.cumsum(later) - later, later)
        yield _codes(rows.records[order[left]], rows.records[order[right]], len(held))


def _codes(one: Places, other: Places, total: int) -> Places:
    """Pairs as single numbers, the smaller record first; a record is no pair with itself."""
    apart = one != other
    one, other = one[apart], other[apart]
    return np.unique(np.minimum(one, other) * total + np.maximum(one, other))


class _Comparing:
    """Compares pairs on everything."""

    def __init__(self, held: Population, rules: Rules, fast: bool) -> None:
        self._held, self._rules, self._fast = held, rules, fast
        self._confirming = frozenset(channel.name for channel in rules.profile.channels if channel.confirms)
        self._others = frozenset(rules.profile.channel_names()) - self._confirming
        self._scorer = PairScorer(rules.model)

    def evidence(self, left: Places, right: Places) -> Evidence:
        found = np.full((len(left), len(self._scorer.names)), MISSING, np.int8)
        kinds = {kind.value: kind for kind in self._held.numbers}
        for column, comparison in enumerate(self._rules.model.comparisons.values()):
            if comparison.on in self._others:
                found[:, column] = self._channel(comparison, left, right)
            elif comparison.on in kinds:
                found[:, column] = self._number(kinds[comparison.on], left, right)
        # Channels that only confirm are read where a number agrees and nothing else met.
        rules = self._rules.model.decision
        doubtful = np.flatnonzero(
            self._scorer.agrees(found, rules.identifying) & ~self._scorer.shares_bucket(found, self._others)
        )
        for column, comparison in enumerate(self._rules.model.comparisons.values()):
            if comparison.on in self._confirming and len(doubtful):
                found[doubtful, column] = self._channel(comparison, left[doubtful], right[doubtful])
        return found

    def _channel(self, comparison: Comparison, left: Places, right: Places) -> npt.NDArray[np.int8]:
        rows = self._held.channels[comparison.on]
        counts = rows.counts()
        both = (counts[left] > 0) & (counts[right] > 0)
        if comparison.instead_of:
            other = self._held.channels[comparison.instead_of].counts()
            both &= ~((other[left] > 0) & (other[right] > 0))
        bits = self._rules.profile.bits
        nearest = np.full(len(left), bits + 1, np.int64)
        for pair, one, another in _combinations(rows, left, right, both):
            met = rows.values[one] == rows.values[another]
            if met.any():
                pair, one, another = pair[met], one[met], another[met]
                nearest[pair] = np.minimum(nearest[pair], distances(rows.words, one, another, self._fast))
        cuts = [_greatest_distance(level.similarity, bits) for level in comparison.levels[:-1]]
        # The first level whose greatest distance is not exceeded; beyond the last cut is "elsewhere".
        places = np.searchsorted(np.array(cuts), nearest)
        return np.where(both, places, MISSING).astype(np.int8)

    def _number(self, kind: IdentifierKind, left: Places, right: Places) -> npt.NDArray[np.int8]:
        rows = self._held.numbers[kind]
        counts = rows.counts()
        both = (counts[left] > 0) & (counts[right] > 0)
        agree = np.zeros(len(left), bool)
        for pair, one, another in _combinations(rows, left, right, both):
            agree[pair[rows.values[one] == rows.values[another]]] = True
        return np.where(both, np.where(agree, 0, 1), MISSING).astype(np.int8)


def _combinations(
    rows: Rows, left: Places, right: Places, both: npt.NDArray[np.bool_]
) -> Iterator[tuple[Places, Places, Places]]:
    """Every combination of a row of the left record and one of the right: pairs, left rows, right rows."""
    counts = rows.counts()
    pairs = np.flatnonzero(both)
    ours, theirs = counts[left[pairs]], counts[right[pairs]]
    for one in range(int(ours.max(initial=0))):
        for another in range(int(theirs.max(initial=0))):
            has = pairs[(ours > one) & (theirs > another)]
            if len(has):
                yield has, rows.first[left[has]] + one, rows.first[right[has]] + another
