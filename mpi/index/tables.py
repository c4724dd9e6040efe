"""Tables of the index: what stands in them, and under which names.

============  =====================================  =====================================================
table         key                                    value
============  =====================================  =====================================================
candidates    name of (channel, bucket token)        many: record number encrypted per channel, then vector
locations     name of a look-up key                  many: enterprise id, encrypted
records       record number, encrypted               enterprise id, encrypted; names of the record's candidates
answers       another name of an enterprise id       what a lookup shows of it, ready; whether all were silent
identities    name of an enterprise id               members: number, facility, pointer, tokens, channels
standing      name of an enterprise id               the one that it stands for, and those split off it
consents      name of a number of a person            what citizens said, by network and purpose
objections    name of a record's number               what a record was parted from, by network and purpose
facilities    name of a facility's code               when it registered last, as a lookup sends it
state         "revision"                             revision of the store that the index stands at
state         "turn"                                 turn up to which it is known when facilities registered
state         "lineage"                              name of the history that the revision is one of
state         "format"                               format of the rows
state         "epoch"                                name of the key at rest that the rows are sealed with
============  =====================================  =====================================================

Names are keyed. A lookup reads `locations` and `answers`; where somebody said something about consent, or something is
hidden, also `identities`, `consents` and `objections`. Matching reads `candidates`, `records` and `identities`. None of
them touches SQL. A record's own row names its candidates, so it can be taken out by whoever has not its content, which
after an erasure nobody has.
"""

from __future__ import annotations

import struct

from mpi.domain.consent import Subject
from mpi.domain.identifiers import IdentifierKind, IdentifierToken
from mpi.index.members import TokenKey
from mpi.index.sealing import BLOCK, Sealer

TABLES = (
    "candidates",
    "locations",
    "records",
    "answers",
    "identities",
    "standing",
    "consents",
    "objections",
    "facilities",
    "state",
)
MANY = {"candidates": {"dupsort": True, "dupfixed": True}, "locations": {"dupsort": True, "dupfixed": True}}
"""Tables with many values under one key, and how LMDB keeps these."""

FORMAT = b"4"
"""Format of the rows; an index of another one is rebuilt."""

REVISION, TURN, LINEAGE, FORMAT_KEY, EPOCH = b"revision", b"turn", b"lineage", b"format", b"epoch"
"""Keys of the table `state`."""
COUNTER = struct.Struct(">Q")
"""How a revision and a turn are written there."""
EID_BYTES = 16

_LABELS = {kind: kind.value.encode().ljust(BLOCK, b"\0") for kind in IdentifierKind}
_LOCAL_ID = b"local_id".ljust(BLOCK, b"\0")


def table_of(subject: Subject) -> str:
    """Table that holds what was said about a subject."""
    return "consents" if isinstance(subject, IdentifierToken) else "objections"


def label(key: TokenKey) -> bytes:
    """Kind of a look-up key, as its name is derived from it."""
    return _LABELS[key.kind] if isinstance(key, IdentifierToken) else _LOCAL_ID


def location_name(sealer: Sealer, key: TokenKey) -> bytes:
    """Name under which `locations` keeps what a look-up key leads to."""
    return sealer.look_up_name(label(key), key.value)
