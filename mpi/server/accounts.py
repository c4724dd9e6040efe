"""The account of a call: what the audit journal is told about it. No call of ours leaves without one.

What an answer names is found by walking the message itself: a new call, or a new field, is accounted for without a
line of code of its own. Answers to lookups are written already when they come here; what they name was weighed before.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection, Sequence
from contextvars import ContextVar
from functools import cache
from typing import Any, Protocol

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from mpi.domain.accounting import Access
from mpi.domain.consent import Weighed
from mpi.errors import MpiError
from mpi.wire import convert
from mpi.wire.answers import Answer
from mpi.wire.status import to_wire

IDENTITY_FIELDS = frozenset({"eid", "eids", "retired", "rival", "source", "split", "target"})
"""Names of the fields that hold enterprise ids, in every message of mpi.v1."""

_PURPOSE = "PURPOSE_OF_USE_"

Found = Callable[[Any, set[str]], None]


class Journal(Protocol):
    """Keeps accounts."""

    def check(self) -> None:
        """Make sure that entries are taken; raises NotAccounted."""

    async def write(self, access: Access) -> None:
        """Write an entry, which is on disk when this returns; raises NotAccounted."""

    def put(self, accesses: Sequence[Access]) -> asyncio.Future[None]:
        """Write entries together; it is done when they are on disk, with NotAccounted where they cannot be."""

    def note(self, access: Access) -> None:
        """Write an entry without waiting for it."""


class Account:
    """What is known about a call while it is served.

    Where consent is weighed, `weighed` holds what the answer rests on, and the identities that were weighed: their
    pseudonyms stand in the entry although an answer that hides them does not name them.

    Attributes:
        request: name of the call, in the journal and in the log of changes.
        caller: name of the client; "" until it is known.
        purpose: word of HL7 PurposeOfUse; "" where the request has none.
        weighed: what was weighed for the answer.
        refused: why the answer is a refusal, where a stream goes on after it.
        identities: enterprise ids that the call concerned beyond those that its answer names.
        inward: leads from an enterprise id of the client's own to the centre's; None for a client that sees these.
    """

    __slots__ = ("_call", "_in_force", "caller", "identities", "inward", "purpose", "refused", "request", "weighed")

    def __init__(self, call: str, rules_digest: str, key_epochs: str = "") -> None:
        self._call = call
        self._in_force = rules_digest, key_epochs
        self.request = os.urandom(16).hex()
        self.caller = self.purpose = ""
        self.weighed = Weighed()
        self.refused: MpiError | None = None
        self.identities: set[str] = set()
        self.inward: Callable[[str], str] | None = None

    def asked(self, request: Message) -> None:
        """Take note of a request: of its purpose alone, never of what it asks for."""
        self.anew()
        words = _purposes(request.DESCRIPTOR)
        self.purpose = words.get(request.purpose, "") if words else ""  # type: ignore[attr-defined]

    def anew(self) -> None:
        """Forget what was weighed for answers that have left: what is weighed from now on is for the next one."""
        self.identities, self.weighed, self.refused = set(), Weighed(), None

    def answered(self, response: Message | Answer) -> Access:
        """Account for an answer."""
        if self.refused is not None:
            return self.ended(to_wire(self.refused).code.name, self.refused)
        if isinstance(response, Answer):
            return self._access("OK", "", response.identities, self.identities, response.revision)
        named: set[str] = set()
        found = _finder(response.DESCRIPTOR)
        if found is not None:
            found(response, named)
        if self.inward is not None:
            named = set(map(self.inward, named))
        return self._access("OK", "", len(named), named | self.identities, _revision(response))

    def ended(self, status: str, error: Exception | None = None) -> Access:
        """Account for a refusal, a failure, or the end of a stream that answered nothing."""
        reason = error.reason.value if isinstance(error, MpiError) and hasattr(error, "reason") else ""
        return self._access(status, reason, 0, self.identities, 0)

    def _access(self, status: str, reason: str, results: int, identities: Collection[str], revision: int) -> Access:
        return Access(
            self._call,
            self.request,
            status,
            reason,
            self.caller,
            self.purpose,
            self.weighed.basis(),
            tuple(sorted(self.weighed.eids.union(identities))),
            results,
            revision,
            *self._in_force,
        )


ACCOUNT: ContextVar[Account] = ContextVar("mpi_account")
"""The account of the call that is being served."""


def _revision(response: Message) -> int:
    field = response.DESCRIPTOR.fields_by_name.get("revision")
    if field is None:
        return 0
    value = response.revision  # type: ignore[attr-defined]
    return convert.revision_from_token(value) if isinstance(value, bytes) else int(value)


@cache
def _purposes(kind: Descriptor) -> dict[int, str]:
    """Words of the purposes that requests of a kind may state, by their numbers; empty where it states none."""
    field = kind.fields_by_name.get("purpose")
    if field is None or field.enum_type is None:
        return {}
    return {each.number: each.name.removeprefix(_PURPOSE) for each in field.enum_type.values if each.number}


@cache
def _finder(kind: Descriptor) -> Found | None:
    """Make what finds the enterprise ids in messages of a kind; None where it can hold none."""
    texts = [each.name for each in kind.fields if each.type == FieldDescriptor.TYPE_STRING]
    own = [(name, _is_repeated(kind, name)) for name in texts if name in IDENTITY_FIELDS]
    nested = [
        (each.name, _is_repeated(kind, each.name), below)
        for each in kind.fields
        if each.message_type is not None and (below := _finder(each.message_type)) is not None
    ]
    if not own and not nested:
        return None

    def find(message: Any, named: set[str]) -> None:
        for name, repeated in own:
            value = getattr(message, name)
            if repeated:
                named.update(value)
            elif value:
                named.add(value)
        for name, repeated, below in nested:
            if repeated:
                for each in getattr(message, name):
                    below(each, named)
            elif message.HasField(name):
                below(getattr(message, name), named)

    return find


def _is_repeated(kind: Descriptor, name: str) -> bool:
    return bool(kind.fields_by_name[name].is_repeated)
