"""Watching: what clients are told of changes to identities.

An event says no more than looking the identity up would, at the moment that it is told: it is about records that may
be shown, in the words of somebody who sees no others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class EventKind(StrEnum):
    """What happened to an identity, as far as may be seen."""

    LINK = "link"
    """Records have come to be found under it."""
    UNLINK = "unlink"
    """Records of another identity are found under it from now on; that one remains."""
    MERGE = "merge"
    """Everything of another identity is found under it from now on."""
    SPLIT = "split"
    """It was split off another identity."""
    RETRACT = "retract"
    """A facility took a record of it back."""
    LOOK_AGAIN = "look_again"
    """A lookup may give something else: a record was registered anew, or what the citizen wants has changed."""


@dataclass(frozen=True, slots=True, order=True)
class IdentityEvent:
    """One thing that happened.

    Attributes:
        eid: the identity to look up.
        source: the identity that records came from; "" where there is none.
        kind: what it was.
        facilities: facilities whose records it is about, sorted; none for LOOK_AGAIN, which tells of no record.
    """

    eid: str
    source: str
    kind: EventKind
    facilities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events a client wants.

    Attributes:
        kinds: of these kinds; none stands for every one.
        facilities: that concern a record of one of these; none stands for every one.
    """

    kinds: frozenset[EventKind] = frozenset()
    facilities: frozenset[str] = frozenset()

    def has(self, kind: EventKind, facilities: Iterable[str]) -> bool:
        """Say whether an event of a kind is wanted that concerns records of these facilities."""
        return (not self.kinds or kind in self.kinds) and (
            not self.facilities or not self.facilities.isdisjoint(facilities)
        )


@dataclass(frozen=True, slots=True)
class Watched:
    """One page of a feed.

    Attributes:
        events: what happened, in order; empty where there is nothing to tell.
        cursor: leads on after these events.
    """

    events: tuple[IdentityEvent, ...]
    cursor: bytes
