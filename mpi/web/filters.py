"""Which tasks a steward looks at: written in the address of the page, so a view can be kept and gone back to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar
from urllib.parse import urlencode

from mpi.domain.access import Role, client_named
from mpi.domain.review import TaskFilter, TaskKind, TaskStatus
from mpi.errors import InputRejected

ME = "me"
NAMES = ("state", "kind", "why", "facility", "least", "most", "assignee", "holder", "free")
SHOWN_STATES = tuple(status for status in TaskStatus if status is not TaskStatus.WAITING)
_MOST_TEXT = 80

Word = TypeVar("Word", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the address asks for: the filter, and the address's own words for it.

    Attributes:
        meant: the filter.
        words: what stands in the address, without what is empty.
    """

    meant: TaskFilter
    words: Mapping[str, str]

    @property
    def query(self) -> str:
        """Give the words as they stand in an address, with the question mark; "" for none."""
        return f"?{urlencode(self.words)}" if self.words else ""

    def but(self, **changed: str) -> str:
        """Give the address's words with some of them replaced."""
        words = {name: value for name, value in {**self.words, **changed}.items() if value}
        return f"?{urlencode(words)}" if words else "?"


def wanted(words: Mapping[str, str], urn: str) -> Wanted:
    """Read a filter from an address or a form.

    Args:
        words: what stands there.
        urn: the steward who asks, whom "me" means.

    Raises:
        InputRejected: a word is none that a filter knows.
    """
    kept = {name: words.get(name, "").strip()[:_MOST_TEXT] for name in NAMES}
    kept = {name: value for name, value in kept.items() if value}
    meant = TaskFilter(
        kind=_word(TaskKind, "kind", kept),
        status=_word(TaskStatus, "state", kept) or TaskStatus.OPEN,
        why=kept.get("why", ""),
        assignee=_steward("assignee", kept, urn),
        holder=_steward("holder", kept, urn),
        unclaimed_by_others=urn if "free" in kept else "",
        facility=kept.get("facility", "").upper(),
        least=_weight("least", kept),
        most=_weight("most", kept),
    )
    return Wanted(meant, kept)


def _word(kind: type[Word], name: str, words: Mapping[str, str]) -> Word | None:
    try:
        return kind(words[name]) if name in words else None
    except ValueError:
        raise InputRejected(f"{name}: is none of {', '.join(kind)}") from None


def _weight(name: str, words: Mapping[str, str]) -> float | None:
    try:
        weight = float(words[name]) if name in words else None
    except ValueError:
        raise InputRejected(f"{name}: is a number of bits, such as 24.5") from None
    if weight is not None and not -1000 <= weight <= 1000:
        raise InputRejected(f"{name}: is a number of bits between -1000 and 1000")
    return weight


def _steward(name: str, words: Mapping[str, str], urn: str) -> str:
    text = words.get(name, "")
    return urn if text == ME else steward(text, name) if text else ""


def steward(text: str, name: str = "assignee") -> str:
    """Read whom a steward means by a name, in short or in full.

    Raises:
        InputRejected: it is no name of a steward.
    """
    full = text if text.startswith("urn:") else f"urn:mpi:{Role.STEWARD}:{text}"
    caller = client_named(full)
    if caller is None or caller.role is not Role.STEWARD:
        raise InputRejected(f"{name}: is the name of a steward, such as somsri")
    return full
