"""Answers to lookups, put together from what the index holds ready: nothing is parsed, and nothing written twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from mpi.domain.identity import ReadyIdentity, Shown
from mpi.errors import RecordRejected
from mpi.protowire import sized, tag, varint
from mpi.wire import convert
from mpi.wire.status import item_error

_EID, _SPLIT = tag(1), tag(3)
_IDENTITIES, _OUTCOMES, _ERROR, _REVISION = tag(1), tag(1), tag(2), tag(2)
_EID_BYTES = 36
_EID_AHEAD = _EID + varint(_EID_BYTES)
"""What stands before an enterprise id."""
_SIZES_AT_HAND = 4096
_OPENED = b"\x18\x01"
_REGISTRATIONS, _BATCH_REGISTRATIONS = tag(4), tag(3)


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """A response as it is sent.

    Attributes:
        content: its bytes.
        identities: how many identities it names.
        revision: that it was answered from.
    """

    content: bytes
    identities: int
    revision: int


def locate_answer(
    shown: Sequence[Shown], known_as: Mapping[str, str], revision: int, registered: Mapping[str, bytes], *, opened: bool
) -> Answer:
    """Write an `mpi.v1.LocateResponse`.

    Args:
        shown: the identities.
        known_as: the enterprise id that the caller sees for each in them.
        revision: that this was read from.
        registered: when facilities registered last, those in it among them, see `mpi.domain.identity.Lookups`.
        opened: the glass was broken for it.
    """
    content = _identities(shown, known_as) + _state(revision) + (_OPENED if opened else b"")
    codes = {code for each in shown for code in each.facilities}
    return Answer(content + _fields(_REGISTRATIONS, registered, codes), len(known_as), revision)


def batch_answer(
    outcomes: Sequence[Sequence[Shown] | RecordRejected],
    known_as: Mapping[str, str],
    revision: int,
    registered: Mapping[str, bytes],
) -> Answer:
    """Write an `mpi.v1.BatchLocateResponse` or `LocateStreamResponse`, which are alike; arguments as above."""
    written = list[bytes]()
    for outcome in outcomes:
        if not isinstance(outcome, RecordRejected) and len(outcome) == 1:
            (shown,) = outcome
            if isinstance(shown, ReadyIdentity) and not shown.split:
                # As nearly every one is: put together at once.
                locations = shown.answer
                written += (_ahead(len(locations)), known_as[shown.eid].encode(), locations)
                continue
        written.append(sized(_OUTCOMES, _outcome(outcome, known_as)))
    return Answer(
        b"".join(written) + _state(revision) + _fields(_BATCH_REGISTRATIONS, registered, registered),
        len(known_as),
        revision,
    )


@lru_cache(maxsize=_SIZES_AT_HAND)
def _ahead(size: int) -> bytes:
    """What stands before the enterprise id in the outcome of a key that led to one identity.

    Args:
        size: bytes of the identity's locations.
    """
    identity = len(_EID_AHEAD) + _EID_BYTES + size
    inner = _IDENTITIES + varint(identity)
    return _OUTCOMES + varint(len(inner) + identity) + inner + _EID_AHEAD


def _outcome(outcome: Sequence[Shown] | RecordRejected, known_as: Mapping[str, str]) -> bytes:
    if isinstance(outcome, RecordRejected):
        return sized(_ERROR, item_error(outcome).SerializeToString())
    return _identities(outcome, known_as)


def _identities(shown: Sequence[Shown], known_as: Mapping[str, str]) -> bytes:
    """Write identities, in the order of the ids that the caller sees: it must not tell that of the index."""
    if len(shown) == 1:
        return sized(_IDENTITIES, _identity(shown[0], known_as))
    shown = sorted(shown, key=lambda identity: known_as[identity.eid])
    return b"".join([sized(_IDENTITIES, _identity(each, known_as)) for each in shown])


def _identity(shown: Shown, known_as: Mapping[str, str]) -> bytes:
    if isinstance(shown, ReadyIdentity):
        places = shown.answer
    else:
        places = convert.locations_to_proto(shown.locations).SerializeToString()
    content = sized(_EID, known_as[shown.eid].encode()) + places
    if shown.split:
        content += b"".join([sized(_SPLIT, each.encode()) for each in sorted(known_as[each] for each in shown.split)])
    return content


def _state(revision: int) -> bytes:
    return sized(_REVISION, convert.revision_to_token(revision))


def _fields(before: bytes, registered: Mapping[str, bytes], codes: Iterable[str]) -> bytes:
    return b"".join([sized(before, registered[code]) for code in sorted(codes) if code in registered])
