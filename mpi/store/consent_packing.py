"""Consents as bytes: what the store and the index seal."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from mpi.domain.consent import Consent, Stance, Subject
from mpi.domain.identifiers import IdentifierKind, IdentifierToken
from mpi.domain.purpose import PurposeOfUse

_HEAD = struct.Struct(">BBBBBHHH")
_KINDS: list[IdentifierKind | None] = [None, *IdentifierKind]
_STANCES = list(Stance)
_PURPOSES = list(PurposeOfUse)


def pack_subject(subject: Subject) -> bytes:
    """Write whom a consent is about; distinct subjects give distinct bytes."""
    if isinstance(subject, IdentifierToken):
        return bytes([_KINDS.index(subject.kind)]) + subject.value
    return b"\0" + subject.to_bytes(8, "big")


def pack_consents(consents: Sequence[Consent]) -> bytes:
    """Write consents; equal ones give equal bytes."""
    parts = []
    for each in consents:
        subject = pack_subject(each.subject)
        texts = [text.encode() for text in (each.network, each.recorder, each.reference)]
        flags = each.once | each.sensitive << 1
        places = _STANCES.index(each.stance), _PURPOSES.index(each.purpose)
        parts.append(_HEAD.pack(subject[0], len(subject) - 1, *places, flags, *map(len, texts)) + subject[1:])
        parts += texts
    return b"".join(parts)


def unpack_consents(packed: bytes) -> list[Consent]:
    """Read consents back."""
    found, at = [], 0
    while at < len(packed):
        kind, length, stance, purpose, flags, *lengths = _HEAD.unpack_from(packed, at)
        at += _HEAD.size
        value, at = packed[at : at + length], at + length
        texts = []
        for each in lengths:
            texts.append(packed[at : at + each].decode())
            at += each
        network, recorder, reference = texts
        named = _KINDS[kind]
        subject: Subject = int.from_bytes(value, "big") if named is None else IdentifierToken(named, value)
        once, sensitive = bool(flags & 1), bool(flags & 2)
        found.append(
            Consent(subject, network, _PURPOSES[purpose], _STANCES[stance], once, sensitive, recorder, reference)
        )
    return found


def replaced(held: Sequence[Consent], said: Consent) -> list[Consent]:
    """What holds of a subject once something was said, in a fixed order."""
    kept = [each for each in held if (each.network, each.purpose) != (said.network, said.purpose)]
    return sorted([*kept, said], key=lambda each: (each.network, each.purpose))
