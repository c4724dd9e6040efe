"""Consent: which of a person's records may be located, by what the citizen said and by what the law says.

A lookup goes over networks of facilities. A network is statutory, where a record may be located unless the citizen
objected, or opt-in, where it may be located only once the citizen consented. Facilities of a sensitive class (such as
psychiatry) need a consent that includes them in either. Consents are kept by identifier token, so what holds for an
identity follows from the numbers of its records, however records are merged and split:

- an objection under any number of an identity hides all its records;
- a consent opens the records that carry the number it was given under, and those that carry no number.

So the stricter wins wherever records of several numbers come together.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from urllib.parse import quote

from mpi.domain.identifiers import IdentifierKind, IdentifierToken
from mpi.domain.purpose import PurposeOfUse


class Basis(StrEnum):
    """What locating records over a network rests on."""

    OPT_IN = "opt-in"
    """The citizen's consent."""
    STATUTORY = "statutory"
    """The law; the citizen may object, except where the law binds."""


class Stance(StrEnum):
    """What a citizen said last about a network and a purpose."""

    GIVEN = "given"
    """Records may be located."""
    WITHDRAWN = "withdrawn"
    """Records may not be located."""
    USED = "used"
    """It was given for one lookup, which has been made."""
    LIFTED = "lifted"
    """An objection that a record kept by itself, and that a privacy officer has taken back: nothing is said."""


_SILENT = frozenset({Stance.USED, Stance.LIFTED})
"""Stances that count no more."""


Subject = IdentifierToken | int
"""Whom a consent is about: who carries a number, or, for an objection that outlived a split, a record by its number."""


@dataclass(frozen=True, slots=True)
class Consent:
    """What a citizen said about one network and one purpose; what they say later replaces it.

    Attributes:
        subject: whom it is about.
        network: name of the network.
        purpose: purpose of use.
        stance: what was said.
        once: it holds for one lookup.
        sensitive: it includes facilities of sensitive classes.
        recorder: the client that brought it.
        reference: where it is documented, such as the number of a form; never something that names the person.
    """

    subject: Subject
    network: str
    purpose: PurposeOfUse
    stance: Stance
    once: bool = False
    sensitive: bool = False
    recorder: str = ""
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Carried:
    """An objection that a record keeps by itself, since it was parted from the number that it was said under.

    Attributes:
        said: the objection; its subject is the record's number.
        facility: whose record it is.
    """

    said: Consent
    facility: str


@dataclass(frozen=True, slots=True)
class Network:
    """A network of facilities.

    Attributes:
        name: lower-case letters, digits and hyphens.
        basis: what locating over it rests on.
        facilities: codes of its facilities; None for every facility.
        clients: names of the clients that ask over it, and then over such networks alone.
        binding: purposes for which the law leaves no objection; statutory networks only.
    """

    name: str
    basis: Basis
    facilities: frozenset[str] | None = None
    clients: frozenset[str] = frozenset()
    binding: frozenset[PurposeOfUse] = frozenset()

    def has(self, facility: str) -> bool:
        """Say whether a facility belongs to it."""
        return self.facilities is None or facility in self.facilities


@dataclass(frozen=True, slots=True)
class Policy:
    """The networks, and the facilities of each sensitive class."""

    networks: tuple[Network, ...]
    classes: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def asked_over(self, client: str) -> tuple[Network, ...]:
        """Networks that a client asks over: those that name it, or else every one."""
        return tuple(each for each in self.networks if client in each.clients) or self.networks

    def is_sensitive(self, facility: str) -> bool:
        """Say whether a facility is of a sensitive class."""
        return any(facility in facilities for facilities in self.classes.values())


MOST_GROUNDS = 32
"""Most terms of a basis that are told; a batch of many people may rest on more."""


@dataclass(slots=True)
class Weighed:
    """What was weighed for an answer, for the audit journal.

    Attributes:
        eids: identities that the keys led to, shown or hidden.
        grounds: what showing them rested on, such as "statutory:mor-prom" or "consent:health-link:form 12".
    """

    eids: set[str] = field(default_factory=set)
    grounds: set[str] = field(default_factory=set)

    def basis(self) -> str:
        """The grounds as one text."""
        terms = sorted(self.grounds)
        return ", ".join([*terms[:MOST_GROUNDS], *(["more"] if terms[MOST_GROUNDS:] else [])])


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks, and why.

    Attributes:
        client: the client's name in full.
        facility: the code of a facility that asks; "" for another client. Its own records are never hidden from it.
        purpose: purpose of use.
        whole: nothing is hidden: a steward asks, who must see identities whole.
        weighed: takes note of what the answer rests on.
    """

    client: str
    facility: str
    purpose: PurposeOfUse
    whole: bool = False
    weighed: Weighed = field(default_factory=Weighed, compare=False, repr=False)


class OpeningStatus(StrEnum):
    """What a privacy officer thinks of an opening."""

    OPEN = "open"
    """It waits to be judged."""
    JUSTIFIED = "justified"
    """It was right to look."""
    UNJUSTIFIED = "unjustified"
    """It was not."""


@dataclass(frozen=True, slots=True)
class Opening:
    """A lookup that broke the glass.

    Attributes:
        number: of the task in the store; 0 before it is there.
        at: when, in UTC; None before it is stored.
        client: who looked.
        reason: why, in their words.
        eids: identities that were shown.
        request: name of the call.
    """

    number: int
    at: datetime | None
    client: str
    reason: str
    eids: tuple[str, ...]
    request: str


@dataclass(frozen=True, slots=True)
class Holding:
    """One record of an identity, as disclosure sees it: where it is, and the subjects that consents know it by."""

    facility: str
    subjects: frozenset[Subject]

    def numbers(self) -> frozenset[IdentifierToken]:
        """Numbers of a person that it carries; families share phones, so those are none."""
        tokens = (each for each in self.subjects if isinstance(each, IdentifierToken))
        return frozenset(each for each in tokens if each.kind is not IdentifierKind.PHONE)


def permits(
    network: Network, purpose: PurposeOfUse, stance: Stance | None, *, sensitive: bool, includes_sensitive: bool
) -> bool:
    """Say whether one record may be located over one network.

    Args:
        network: it belongs to the record's facility.
        purpose: why it is asked.
        stance: what counts of what the citizen said; None for nothing.
        sensitive: the facility is of a sensitive class.
        includes_sensitive: a consent that counts includes such facilities.
    """
    if stance is Stance.WITHDRAWN:
        return network.basis is Basis.STATUTORY and purpose in network.binding and not sensitive
    if sensitive:
        return stance is Stance.GIVEN and includes_sensitive
    return network.basis is Basis.STATUTORY or stance is Stance.GIVEN


def disclosed(
    policy: Policy, asking: Asking, holdings: Sequence[Holding], consents: Collection[Consent]
) -> tuple[list[bool], tuple[Consent, ...]]:
    """Say which records of an identity may be located.

    Args:
        policy: the networks.
        asking: who asks and why.
        holdings: all records of the identity.
        consents: all that was said under any of their subjects.

    Returns:
        For each record whether it may be, and the consents for one lookup that this would use up.
    """
    if asking.whole or asking.purpose is PurposeOfUse.BTG:
        return [True] * len(holdings), ()
    said = [each for each in consents if each.purpose is asking.purpose and each.stance not in _SILENT]
    seen = _seen(policy, asking, holdings, said)
    once = tuple(each for each in said if each.once and each.stance is Stance.GIVEN)
    if not once or seen == _seen(policy, asking, holdings, [each for each in said if each not in once]):
        return seen, ()
    return seen, once


def open_to_all(policy: Policy, networks: Sequence[Network], facility: str) -> str:
    """Say over which network a facility's record may be located where nobody has said anything; "" for none.

    It is so for every purpose or for none, so it need not be found out for every lookup.
    """
    sensitive = policy.is_sensitive(facility)
    for network in networks:
        if network.has(facility) and permits(
            network, PurposeOfUse.TREAT, None, sensitive=sensitive, includes_sensitive=False
        ):
            return network.name
    return ""


OWN_RECORD = "own-record"


def statutory(network: str) -> str:
    """The ground of what a network shows by law."""
    return f"statutory:{network}"


def grounds(policy: Policy, asking: Asking, holdings: Sequence[Holding], consents: Collection[Consent]) -> set[str]:
    """Say what showing the records rests on that `disclosed` shows; the arguments are the same.

    Returns:
        Words such as "own-record", "statutory:mor-prom", "consent:health-link:form 12", "stewardship" and
        "break-glass".
    """
    if asking.purpose is PurposeOfUse.BTG:
        return {"break-glass"}
    if asking.whole:
        return {"stewardship"}
    said = [each for each in consents if each.purpose is asking.purpose and each.stance not in _SILENT]
    found = set[str]()
    for holding in holdings:
        if holding.facility == asking.facility:
            found.add(OWN_RECORD)
            continue
        for network in policy.asked_over(asking.client):
            if network.has(holding.facility) and _opens(policy, network, asking.purpose, holding, said):
                objected = any(each.network == network.name and each.stance is Stance.WITHDRAWN for each in said)
                given = [] if objected else _given(network, holding, said)
                found |= {_by_consent(each) for each in given} or {statutory(network.name)}
    return found


def _by_consent(consent: Consent) -> str:
    """The ground of what a consent opens; nothing in a reference can end it and begin another one."""
    reference = quote(consent.reference, safe=" /#()")
    return f"consent:{consent.network}" + (f":{reference}" if reference else "")


def _seen(policy: Policy, asking: Asking, holdings: Sequence[Holding], said: Sequence[Consent]) -> list[bool]:
    networks = policy.asked_over(asking.client)
    return [
        holding.facility == asking.facility
        or any(
            network.has(holding.facility) and _opens(policy, network, asking.purpose, holding, said)
            for network in networks
        )
        for holding in holdings
    ]


def _opens(policy: Policy, network: Network, purpose: PurposeOfUse, holding: Holding, said: Sequence[Consent]) -> bool:
    here = [each for each in said if each.network == network.name]
    sensitive = policy.is_sensitive(holding.facility)
    if any(each.stance is Stance.WITHDRAWN for each in here):
        return permits(network, purpose, Stance.WITHDRAWN, sensitive=sensitive, includes_sensitive=False)
    given = _given(network, holding, said)
    includes = any(each.sensitive for each in given)
    return permits(network, purpose, Stance.GIVEN if given else None, sensitive=sensitive, includes_sensitive=includes)


def _given(network: Network, holding: Holding, said: Sequence[Consent]) -> list[Consent]:
    """Consents that count for a record: those under its numbers, or any of the person's where it carries none."""
    numbers = holding.numbers()
    return [
        each
        for each in said
        if each.network == network.name and each.stance is Stance.GIVEN and (not numbers or each.subject in numbers)
    ]
