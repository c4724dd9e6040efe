"""Encoded files: Parquet with one row a record, written whole or not at all.

The schema's metadata says which profile, key epoch and facility the rows were made with; they are the same for all
rows of a file. `row` is the row's number in the extract, which is all that a facility needs to find it again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mpi.domain.identifiers import IdentifierKind, IdentifierToken
from mpi.domain.record import ChannelEncoding, EncodedDemographics, EncodedRecord
from mpi.errors import ExtractUnreadable

ROWS_PER_BATCH = 500
_FORMAT = b"mpi-encoded/1"


@dataclass(frozen=True, slots=True)
class EncodedFileHeader:
    """What all rows of an encoded file share."""

    facility: str
    profile: str
    profile_digest: bytes
    key_epoch: str


def _schema(header: EncodedFileHeader, vector_bytes: int) -> pa.Schema:
    token = pa.struct([("kind", pa.string()), ("value", pa.binary(32))])
    channel = pa.struct([("channel", pa.string()), ("bucket", pa.binary(32)), ("vector", pa.binary(vector_bytes))])
    return pa.schema(
        [
            pa.field("row", pa.int64(), nullable=False),
            pa.field("local_id_token", pa.binary(32), nullable=False),
            pa.field("pointer", pa.binary(), nullable=False),
            pa.field("tokens", pa.list_(token), nullable=False),
            pa.field("channels", pa.list_(channel), nullable=False),
        ],
        metadata={
            b"format": _FORMAT,
            b"facility": header.facility.encode(),
            b"profile": header.profile.encode(),
            b"profile_digest": header.profile_digest.hex().encode(),
            b"key_epoch": header.key_epoch.encode(),
        },
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


def write_encoded(
    path: Path,
    header: EncodedFileHeader,
    vector_bytes: int,
    batches: Iterable[Sequence[tuple[int, EncodedRecord]]],
) -> int:
    """Write batches of (row number, record) to `path`; the file appears under its name when it is complete.

    Returns:
        How many records were written.
    """
    schema = _schema(header, vector_bytes)
    count = 0
    with whole_file(path) as partial, pq.ParquetWriter(partial, schema, compression="none") as writer:
        for batch in batches:
            rows = [
                {
                    "row": row,
                    "local_id_token": record.local_id_token,
                    "pointer": record.pointer,
                    "tokens": [{"kind": t.kind.value, "value": t.value} for t in record.demographics.tokens],
                    "channels": [
                        {"channel": c.channel, "bucket": c.bucket, "vector": c.vector}
                        for c in record.demographics.channels
                    ],
                }
                for row, record in batch
            ]
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))
            count += len(batch)
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
        return int(file.metadata.num_rows)


def read_encoded(path: Path) -> Iterator[list[EncodedRecord]]:
    """Read an encoded file in batches of at most `ROWS_PER_BATCH` records, in the order of the file.

    Raises:
        ExtractUnreadable: the file is missing, damaged, or not an encoded file.
    """
    for batch in read_numbered(path):
        yield [record for _, record in batch]


def read_numbered(path: Path) -> Iterator[list[tuple[int, EncodedRecord]]]:
    """Read as `read_encoded`, each record with its row number in the extract."""
    with _opened(path) as file:
        header = _header(path, file)
        kinds = {kind.value: kind for kind in IdentifierKind}
        try:
            for batch in file.iter_batches(batch_size=ROWS_PER_BATCH):
                yield [
                    (
                        row["row"],
                        EncodedRecord(
                            header.facility,
                            row["local_id_token"],
                            row["pointer"],
                            EncodedDemographics(
                                header.profile,
                                header.profile_digest,
                                header.key_epoch,
                                tuple(IdentifierToken(kinds[t["kind"]], t["value"]) for t in row["tokens"]),
                                tuple(ChannelEncoding(c["channel"], c["bucket"], c["vector"]) for c in row["channels"]),
                            ),
                        ),
                    )
                    for row in batch.to_pylist()
                ]
        except (pa.ArrowException, OSError, KeyError):
            raise ExtractUnreadable(path, "is damaged; encode the extract again") from None


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
        metadata[b"key_epoch"].decode(),
    )
