"""Changes as bytes: what the log seals.

A payload is two parts. The outer one says what kind of change it is and what must outlive any record: enterprise ids
and bonds. The inner one, of a registration, is sealed with the record's own key and goes with it.
"""

from __future__ import annotations

import math
import struct
import uuid
from collections.abc import Iterable, Sequence

from mpi.domain.changes import Action, Binding, Bond, Move, Parting, Placement, Redirect, Regrouping, Rewrite
from mpi.domain.identity import Decision
from mpi.domain.review import ReviewTask
from mpi.store.consent_packing import pack_consents, unpack_consents

_NO_EID = bytes(16)
_OUTER = struct.Struct(">BQII")
_PLACEMENT = struct.Struct(">16s16s16sBdQ32sB")
_REGROUPING = struct.Struct(">BQIIQQQ")
_REDIRECT = struct.Struct(">16s16s16s")
_BINDING = struct.Struct(">QQBB")
_MOVE = struct.Struct(">Q16s16sQ")
_PARTING = struct.Struct(">16s16sBB")
_TASK = struct.Struct(">Q16s16sdB")

_PLACED, _REGROUPED = 1, 2
_DECISIONS = list(Decision)
_ACTIONS = list(Action)
_BONDS = list(Bond)


def pack_placement(placement: Placement, digest: bytes) -> bytes:
    """Write the inner part of a registration, before the record's content; `digest` is that of what arrived."""
    why = placement.why.encode()
    return (
        _PLACEMENT.pack(
            _eid(placement.eid),
            _eid(placement.previous),
            _eid(placement.rival),
            _DECISIONS.index(placement.decision),
            math.nan if placement.weight is None else placement.weight,
            placement.content,
            digest,
            len(why),
        )
        + why
    )


def unpack_placement(number: int, outer: Regrouping, inner: bytes) -> tuple[Placement, bytes, bytes]:
    """Read a registration: what happened, the digest of what arrived, and the packed content."""
    eid, previous, rival, decision, weight, content, digest, length = _PLACEMENT.unpack_from(inner)
    at = _PLACEMENT.size
    placement = Placement(
        number,
        _text(eid),
        _text(previous),
        _DECISIONS[decision],
        None if math.isnan(weight) else weight,
        inner[at : at + length].decode(),
        _text(rival),
        content,
        outer.redirects,
        outer.bindings,
    )
    return placement, digest, inner[at + length :]


def pack_outer(event: Placement | Regrouping) -> bytes:
    """Write the outer part of a change."""
    placed = isinstance(event, Placement)
    number = event.record if isinstance(event, Placement) else 0
    parts = [_OUTER.pack(_PLACED if placed else _REGROUPED, number, len(event.redirects), len(event.bindings))]
    parts += [_REDIRECT.pack(_eid(each.eid), _eid(each.source), _eid(each.target)) for each in event.redirects]
    parts += [
        _BINDING.pack(each.first, each.second, _BONDS.index(each.before), _BONDS.index(each.after))
        for each in event.bindings
    ]
    if isinstance(event, Regrouping):
        written = event.rewrite or Rewrite(0, 0, 0)
        action = _ACTIONS.index(event.action)
        parts.append(
            _REGROUPING.pack(
                action,
                event.undone,
                len(event.moves),
                len(event.partings),
                written.record,
                written.before,
                written.after,
            )
        )
        parts += [_MOVE.pack(m.record, _eid(m.source), _eid(m.target), m.content) for m in event.moves]
        parts += [_PARTING.pack(_eid(p.origin), _eid(p.part), p.before, p.after) for p in event.partings]
        parts.append(pack_consents(event.consents))
    return b"".join(parts)


def unpack_outer(packed: bytes) -> tuple[int, Regrouping]:
    """Read the outer part of a change.

    Returns:
        The number of the record that it registered (0 for none), and what can be said without that record's key.
    """
    kind, number, redirects, bindings = _OUTER.unpack_from(packed)
    reader = _Reader(packed, _OUTER.size)
    led = tuple(Redirect(*map(_text, row)) for row in reader.rows(_REDIRECT, redirects))
    bound = tuple(Binding(a, b, _BONDS[x], _BONDS[y]) for a, b, x, y in reader.rows(_BINDING, bindings))
    if kind == _PLACED:
        return number, Regrouping(Action.ERASE, redirects=led, bindings=bound)
    ((action, undone, moves, partings, *written),) = reader.rows(_REGROUPING, 1)
    moved = tuple(Move(r, _text(s), _text(t), c) for r, s, t, c in reader.rows(_MOVE, moves))
    parted = tuple(Parting(_text(o), _text(p), bool(x), bool(y)) for o, p, x, y in reader.rows(_PARTING, partings))
    rewrite = Rewrite(*written) if written[0] else None
    consents = tuple(unpack_consents(reader.rest()))
    return 0, Regrouping(_ACTIONS[action], moved, led, bound, parted, rewrite, undone, consents)


def pack_task(task: ReviewTask) -> bytes:
    """Write a task."""
    why = task.why.encode()
    weight = math.nan if task.weight is None else task.weight
    return _TASK.pack(task.record, _eid(task.eid), _eid(task.rival), weight, len(why)) + why


def unpack_task(packed: bytes) -> ReviewTask:
    """Read a task."""
    record, eid, rival, weight, length = _TASK.unpack_from(packed)
    why = packed[_TASK.size : _TASK.size + length].decode()
    return ReviewTask(record, _text(eid), _text(rival), None if math.isnan(weight) else weight, why)


class _Reader:
    def __init__(self, packed: bytes, at: int) -> None:
        self._packed = packed
        self._at = at

    def rows(self, layout: struct.Struct, count: int) -> Iterable[Sequence]:  # type: ignore[type-arg]
        end = self._at + layout.size * count
        part = self._packed[self._at : end]
        self._at = end
        return list(layout.iter_unpack(part))

    def rest(self) -> bytes:
        return self._packed[self._at :]


def _eid(text: str) -> bytes:
    return bytes.fromhex(text.replace("-", "")) if text else _NO_EID


def _text(packed: bytes) -> str:
    return "" if packed == _NO_EID else str(uuid.UUID(bytes=packed))
