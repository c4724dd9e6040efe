"""Encoded files: Parquet with one row a record and key epoch, written whole or not at all.

The schema's metadata says which profile, key epochs and facility the rows were made with; they are the same for all
rows of a file. `row` is the row's number in the extract, which is all that a facility needs to find it again. While
the epoch is being changed a record has two rows, one after the other, the newer epoch first.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from mpi.domain.identifiers import IdentifierKind, IdentifierToken
from mpi.domain.record import ChannelEncoding, EarlierEncoding, EncodedDemographics, EncodedRecord
from mpi.errors import ExtractUnreadable

RECORDS_PER_BATCH = 500
TOKEN_BYTES = 32
_FORMAT = b"mpi-encoded/1"
_TOKEN = pa.binary(TOKEN_BYTES)
_WORD = pa.dictionary(pa.int8(), pa.string())
_WORDS = ["tokens.list.element.kind", "channels.list.element.channel"]

Bytes = npt.NDArray[np.uint8]
"""Values of equal length, one a row."""
Offsets = npt.NDArray[np.int32]
"""Where each row's part of a longer column begins, and where the last one ends."""


Codes = npt.NDArray[np.int8]
"""Places in a short list of words."""
KINDS = tuple(kind.value for kind in IdentifierKind)
_KIND = tuple(IdentifierKind)


@dataclass(frozen=True, slots=True)
class EncodedFileHeader:
    """What all rows of an encoded file share; `key_epochs` from the newest on, one or two."""

    facility: str
    profile: str
    profile_digest: bytes
    key_epochs: tuple[str, ...]


@dataclass(frozen=True, slots=True, repr=False)
class Columns:
    """Rows of an encoded file as columns.

    Attributes:
        rows: row numbers in the extract.
        local_ids: tokens of the local ids.
        pointers: sealed local ids.
        sealed_views: sealed display fields, each empty where nothing is revealed.
        token_offsets: where each row's tokens begin among all tokens.
        token_kinds: kind of each token, by its place in `KINDS`.
        tokens: values of all tokens.
        channel_offsets: where each row's channel encodings begin among all encodings.
        channels: channel of each encoding, by its place in `channel_names`.
        channel_names: names of the profile's channels.
        buckets: bucket tokens of all encodings.
        vectors: packed vectors of all encodings.
    """

    rows: npt.NDArray[np.int64]
    local_ids: Bytes
    pointers: list[bytes]
    sealed_views: list[bytes]
    token_offsets: Offsets
    token_kinds: Codes
    tokens: Bytes
    channel_offsets: Offsets
    channels: Codes
    channel_names: tuple[str, ...]
    buckets: Bytes
    vectors: Bytes


def encoded_schema(header: EncodedFileHeader, vector_bytes: int) -> pa.Schema:
    """Columns of an encoded file with vectors of that many bytes."""
    token = pa.struct([pa.field("kind", _WORD, nullable=False), pa.field("value", _TOKEN, nullable=False)])
    channel = pa.struct(
        [
            pa.field("channel", _WORD, nullable=False),
            pa.field("bucket", _TOKEN, nullable=False),
            pa.field("vector", pa.binary(vector_bytes), nullable=False),
        ]
    )
    return pa.schema(
        [
            pa.field("row", pa.int64(), nullable=False),
            pa.field("local_id_token", _TOKEN, nullable=False),
            pa.field("pointer", pa.binary(), nullable=False),
            pa.field("sealed_view", pa.binary(), nullable=False),
            pa.field("tokens", pa.list_(pa.field("element", token, nullable=False)), nullable=False),
            pa.field("channels", pa.list_(pa.field("element", channel, nullable=False)), nullable=False),
        ],
        metadata={
            b"format": _FORMAT,
            b"facility": header.facility.encode(),
            b"profile": header.profile.encode(),
            b"profile_digest": header.profile_digest.hex().encode(),
            b"key_epochs": " ".join(header.key_epochs).encode(),
        },
    )


def to_batch(columns: Columns, schema: pa.Schema) -> pa.RecordBatch:
    """Lay columns out for a file."""
    token_type, channel_type = (schema.field(name).type.value_type for name in ("tokens", "channels"))
    tokens = pa.StructArray.from_arrays(
        [_words(columns.token_kinds, KINDS), _fixed(columns.tokens)], fields=list(token_type)
    )
    channels = pa.StructArray.from_arrays(
        [_words(columns.channels, columns.channel_names), _fixed(columns.buckets), _fixed(columns.vectors)],
        fields=list(channel_type),
    )
    return pa.record_batch(
        [
            pa.array(columns.rows),
            _fixed(columns.local_ids),
            pa.array(columns.pointers, pa.binary()),
            pa.array(columns.sealed_views, pa.binary()),
            pa.ListArray.from_arrays(pa.array(columns.token_offsets), tokens, type=schema.field("tokens").type),
            pa.ListArray.from_arrays(pa.array(columns.channel_offsets), channels, type=schema.field("channels").type),
        ],
        schema=schema,
    )


def to_columns(batch: pa.RecordBatch) -> Columns:
    """Read columns back from a batch of a file."""
    tokens, channels = batch.column("tokens"), batch.column("channels")
    token_values, channel_values = tokens.flatten(), channels.flatten()
    kinds, channel_codes = token_values.field("kind"), channel_values.field("channel")
    places = np.array([KINDS.index(kind) for kind in kinds.dictionary.to_pylist()], np.int8)
    return Columns(
        batch.column("row").to_numpy(),
        _bytes(batch.column("local_id_token")),
        batch.column("pointer").to_pylist(),
        batch.column("sealed_view").to_pylist(),
        _offsets(tokens),
        places[kinds.indices.to_numpy()],
        _bytes(token_values.field("value")),
        _offsets(channels),
        channel_codes.indices.to_numpy(),
        tuple(channel_codes.dictionary.to_pylist()),
        _bytes(channel_values.field("bucket")),
        _bytes(channel_values.field("vector")),
    )


def records(columns: Columns, header: EncodedFileHeader) -> list[tuple[int, EncodedRecord]]:
    """Put columns together to records, each with its row number in the extract.

    Raises:
        ValueError: the rows of a record under its epochs do not stand together, or a word is not known.
    """
    found: list[tuple[int, EncodedRecord]] = []
    epochs = len(header.key_epochs)
    if len(columns.rows) % epochs:
        raise ValueError("a record lacks an epoch")
    for first in range(0, len(columns.rows), epochs):
        if len(set(columns.rows[first : first + epochs].tolist())) != 1:
            raise ValueError("a record's rows do not stand together")
        newest, *rest = (
            EarlierEncoding(columns.local_ids[at].tobytes(), _demographics(columns, at, header, epoch))
            for at, epoch in enumerate(header.key_epochs, first)
        )
        record = EncodedRecord(
            header.facility,
            newest.local_id_token,
            columns.pointers[first],
            newest.demographics,
            rest[0] if rest else None,
            columns.sealed_views[first],
        )
        found.append((int(columns.rows[first]), record))
    return found


def _demographics(columns: Columns, at: int, header: EncodedFileHeader, epoch: str) -> EncodedDemographics:
    tokens = range(columns.token_offsets[at], columns.token_offsets[at + 1])
    channels = range(columns.channel_offsets[at], columns.channel_offsets[at + 1])
    return EncodedDemographics(
        header.profile,
        header.profile_digest,
        epoch,
        tuple(IdentifierToken(_KIND[columns.token_kinds[each]], columns.tokens[each].tobytes()) for each in tokens),
        tuple(
            ChannelEncoding(
                columns.channel_names[columns.channels[each]],
                columns.buckets[each].tobytes(),
                columns.vectors[each].tobytes(),
            )
            for each in channels
        ),
    )


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a name beside `path` to write under; it takes the final name only if the block ends well.

    After an error or an interruption nothing of it is left, and an earlier file under the final name is untouched.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_encoded(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> int:
    """Write tables to `path`, each as a row group; the file appears under its name when it is complete.

    Returns:
        How many rows were written.
    """
    with whole_file(path) as partial:
        return write_tables(partial, schema, tables)


def write_tables(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> int:
    """Write tables to `path` as `write_encoded` does, but under its name from the beginning on."""
    count = 0
    # Encodings look random: neither dictionaries nor compression nor statistics would find anything in them.
    with pq.ParquetWriter(path, schema, compression="none", use_dictionary=_WORDS, write_statistics=False) as writer:
        for table in tables:
            writer.write_table(table)
            count += table.num_rows
    return count


def read_header(path: Path) -> EncodedFileHeader:
    """Read what all rows of an encoded file share.

    Raises:
        ExtractUnreadable: the file is missing, damaged, or not an encoded file.
    """
    with _opened(path) as file:
        return _header(path, file)


def count_encoded(path: Path) -> int:
    """Say how many records an encoded file holds, without reading them."""
    with _opened(path) as file:
        return int(file.metadata.num_rows) // len(_header(path, file).key_epochs)


def read_batches(path: Path, records_per_batch: int = RECORDS_PER_BATCH) -> Iterator[pa.RecordBatch]:
    """Read an encoded file in batches of whole records, in the order of the file.

    Raises:
        ExtractUnreadable: the file is missing, damaged, or not an encoded file.
    """
    with _opened(path) as file:
        epochs = len(_header(path, file).key_epochs)
        try:
            # Group by group: a batch of nested columns cannot reach over two of them.
            for group in range(file.num_row_groups):
                yield from file.iter_batches(records_per_batch * epochs, [group])
        except (pa.ArrowException, OSError):
            raise ExtractUnreadable(path, "is damaged; encode the extract again") from None


def group_sizes(path: Path) -> list[int]:
    """Say how many records each row group of an encoded file holds; groups are read apart (`read_group`).

    Raises:
        ExtractUnreadable: the file is missing, damaged, or not an encoded file.
    """
    with _opened(path) as file:
        epochs = len(_header(path, file).key_epochs)
        return [file.metadata.row_group(group).num_rows // epochs for group in range(file.num_row_groups)]


def read_group(path: Path, group: int) -> list[EncodedRecord]:
    """Read the records of one row group.

    Raises:
        ExtractUnreadable: the file is missing, damaged, or not an encoded file.
    """
    with _opened(path) as file:
        header = _header(path, file)
        try:
            table = file.read_row_group(group).combine_chunks()
            return [record for part in table.to_batches() for _, record in records(to_columns(part), header)]
        except (pa.ArrowException, OSError, ValueError, KeyError):
            raise ExtractUnreadable(path, "is damaged; encode the extract again") from None


def read_pointers(path: Path) -> Iterator[bytes]:
    """Read the records' sealed local ids alone, in the order of the file.

    Raises:
        ExtractUnreadable: the file is missing, damaged, or not an encoded file.
    """
    with _opened(path) as file:
        epochs = len(_header(path, file).key_epochs)
        try:
            for group in range(file.num_row_groups):
                yield from file.read_row_group(group, ["pointer"]).column(0).to_pylist()[::epochs]
        except (pa.ArrowException, OSError):
            raise ExtractUnreadable(path, "is damaged; encode the extract again") from None


def read_numbered(path: Path) -> Iterator[list[tuple[int, EncodedRecord]]]:
    """Read an encoded file in batches of at most `RECORDS_PER_BATCH` records with their row numbers in the extract.

    Raises:
        ExtractUnreadable: the file is missing, damaged, or not an encoded file.
    """
    header = read_header(path)
    for batch in read_batches(path):
        try:
            yield records(to_columns(batch), header)
        except (ValueError, KeyError):
            raise ExtractUnreadable(path, "is damaged; encode the extract again") from None


def read_encoded(path: Path) -> Iterator[list[EncodedRecord]]:
    """Read as `read_numbered`, without the row numbers."""
    for batch in read_numbered(path):
        yield [record for _, record in batch]


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        file = pq.ParquetFile(path)
    except FileNotFoundError:
        raise ExtractUnreadable(path, "no such file") from None
    except (pa.ArrowException, OSError):
        raise ExtractUnreadable(path, "is not an encoded file (Parquet), or is cut short") from None
    with file:
        yield file


def _header(path: Path, file: pq.ParquetFile) -> EncodedFileHeader:
    metadata = file.schema_arrow.metadata or {}
    if metadata.get(b"format") != _FORMAT:
        raise ExtractUnreadable(path, "is a Parquet file, but not one that `mpi encode` wrote")
    return EncodedFileHeader(
        metadata[b"facility"].decode(),
        metadata[b"profile"].decode(),
        bytes.fromhex(metadata[b"profile_digest"].decode()),
        tuple(metadata[b"key_epochs"].decode().split()),
    )


def _words(codes: Codes, words: tuple[str, ...]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int8()), pa.array(words, pa.string()))


def _fixed(values: Bytes) -> pa.FixedSizeBinaryArray:
    width = values.shape[1]
    buffer = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(pa.binary(width), len(values), [None, buffer])


def _bytes(array: Any) -> Bytes:
    width = array.type.byte_width
    flat: Bytes = np.frombuffer(array.buffers()[1], np.uint8) if len(array) else np.empty(0, np.uint8)
    return flat.reshape(-1, width)[array.offset : array.offset + len(array)] if len(array) else flat.reshape(0, width)


def _offsets(array: Any) -> Offsets:
    offsets: Offsets = array.offsets.to_numpy()
    return offsets - offsets[0] if len(offsets) else np.zeros(1, np.int32)
