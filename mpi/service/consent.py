"""Consents: keep what citizens say, and use up what was said for one lookup."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from mpi.domain.changes import Cause
from mpi.domain.consent import Carried, Consent, Policy, Stance, Subject
from mpi.domain.identifiers import IdentifierKind, IdentifierToken, LocateKey
from mpi.domain.purpose import PurposeOfUse
from mpi.errors import NotFound, Reason, RecordRejected
from mpi.index.lmdb_index import Index
from mpi.index.projector import bring_up, project
from mpi.index.reader import IndexReader
from mpi.service.following import KEEPER, same_number
from mpi.service.gateway import Gateway
from mpi.service.location import admitted
from mpi.store.reading import Reading
from mpi.store.sql import Store

CARRIED_AT_ONCE = 100
"""Records on a page of the objections that they keep."""
_REFERENCE = re.compile(r"[\x20-\x7e]{0,64}", re.ASCII)


class Consents:
    """The use case behind `ConsentService`. What was said is in force, in this process, when a call returns."""

    def __init__(self, gateway: Gateway, store: Store, index: Index, policy: Policy, rules_digest: str) -> None:
        self._gateway = gateway
        self._store = store
        self._index = index
        self._networks = frozenset(network.name for network in policy.networks)
        self._rules_digest = rules_digest

    def give(
        self,
        token: IdentifierToken,
        network: str,
        purposes: Sequence[PurposeOfUse],
        actor: str,
        request: str = "",
        *,
        once: bool = False,
        sensitive: bool = False,
        reference: str = "",
    ) -> int:
        """Keep a consent, also of a person who has no record yet.

        Args:
            token: of a number of the person, as it arrived.
            network: that it is about.
            purposes: that it is about.
            actor: the client that brings it.
            request: name of the call.
            once: it holds for one lookup of each purpose.
            sensitive: it includes facilities of sensitive classes.
            reference: where it is documented.

        Returns:
            The store's revision.

        Raises:
            RecordRejected: the number is a phone, the network unknown, or there is no purpose.
        """
        return self._say(token, network, purposes, Stance.GIVEN, actor, request, once, sensitive, reference)

    def withdraw(
        self,
        token: IdentifierToken,
        network: str,
        purposes: Sequence[PurposeOfUse],
        actor: str,
        request: str = "",
        *,
        reference: str = "",
    ) -> int:
        """Keep an objection, with the arguments, result and errors of `give`."""
        return self._say(token, network, purposes, Stance.WITHDRAWN, actor, request, False, False, reference)

    def listed(self, token: IdentifierToken, recorder: str | None) -> list[Consent]:
        """Say what holds under a number; only what one client brought, unless `recorder` is None."""
        subjects = self._gateway.identifiers(_personal(token))
        with self._index.reading() as reader:
            subjects.sort(key=lambda subject: not reader.eids(subject))
        with self._store.reading() as reading:
            held = next((said for subject in subjects if (said := reading.consents(subject))), [])
            return [each for each in held if recorder in (None, each.recorder)]

    def _say(
        self,
        token: IdentifierToken,
        network: str,
        purposes: Sequence[PurposeOfUse],
        stance: Stance,
        actor: str,
        request: str,
        once: bool,
        sensitive: bool,
        reference: str,
    ) -> int:
        subjects = self._gateway.identifiers(_personal(token))
        if network not in self._networks:
            known = ", ".join(sorted(self._networks))
            raise RecordRejected(Reason.REQUEST_INVALID, "network", f"is none of the policy's networks: {known}")
        _check_said(purposes, reference)
        said = [
            Consent(subjects[0], network, purpose, stance, once, sensitive, actor, reference)
            for purpose in sorted(set(purposes))
        ]
        with self._store.transaction(Cause(actor, self._rules_digest, request)) as transaction:
            bring_up(self._index, transaction)
            with self._index.reading() as reader:
                # Of somebody without a record nobody can tell which gateway key their number's epoch belongs to.
                meant = [each for each in subjects if reader.eids(each)] or subjects
                alike = {one for each in meant for one in (each, *same_number(reader, each))}
            transaction.say([replace(each, subject=one) for each in said for one in sorted(alike)])
            revision, changes = transaction.revision, transaction.changes_made
        project(self._index, changes)
        return revision

    def carried(self, key: LocateKey) -> list[Carried]:
        """List the objections that records of the people behind a key keep by themselves.

        Raises:
            RecordRejected: a phone, which is not a person's alone.
        """
        with self._index.reading() as reader:
            (found,) = reader.held([admitted(self._gateway, reader, key)])
            members = [each for held in found for each in reader.members_of(held)]
            return [
                Carried(said, member.location.facility)
                for member in members
                for said in reader.said(member.number)
                if said.stance is Stance.WITHDRAWN
            ]

    def every_carried(self, after: bytes) -> tuple[list[Carried], bytes]:
        """List everybody's, some records at a time: what waits for a privacy officer since records were parted.

        Args:
            after: the place that the page before said; empty for the beginning.

        Returns:
            The objections, and the place of the next page; empty when there is none.
        """
        with self._index.reading() as reader:
            said, place = reader.objections(after, CARRIED_AT_ONCE)
            held = [each for each in said if each.stance is Stance.WITHDRAWN]
            return [Carried(each, facility) for each in held if (facility := _facility(reader, each.subject))], place

    def lift(
        self, record: int, network: str, purposes: Sequence[PurposeOfUse], actor: str, request: str, *, reference: str
    ) -> int:
        """Take an objection back that a record keeps by itself; what was said under its numbers counts as before.

        Args:
            record: its number in the store.
            network: that it is about.
            purposes: that it is about.
            actor: the privacy officer.
            request: name of the call.
            reference: where the reason is documented.

        Returns:
            The store's revision.

        Raises:
            RecordRejected: the reference is not printable ASCII, or there is no purpose.
            NotFound: the record keeps no such objection.
        """
        _check_said(purposes, reference)
        wanted = {(network, purpose) for purpose in purposes}
        with self._store.transaction(Cause(actor, self._rules_digest, request)) as transaction:
            bring_up(self._index, transaction)
            held = transaction.consents(record)
            lifted = [
                replace(each, stance=Stance.LIFTED, recorder=actor, reference=reference)
                for each in held
                if each.stance is Stance.WITHDRAWN and (each.network, each.purpose) in wanted
            ]
            if len(lifted) != len(wanted):
                raise NotFound("the record keeps no such objection by itself")
            transaction.say(lifted)
            revision, changes = transaction.revision, transaction.changes_made
        project(self._index, changes)
        return revision


def _check_said(purposes: Sequence[PurposeOfUse], reference: str) -> None:
    if not purposes or PurposeOfUse.BTG in purposes:
        raise RecordRejected(Reason.REQUEST_INVALID, "purposes", "names a purpose or several, and never BTG")
    if not _REFERENCE.fullmatch(reference):
        raise RecordRejected(Reason.REQUEST_INVALID, "reference", "is at most 64 printable ASCII characters")


def objections_kept(reading: Reading, before: Mapping[int, str], after: Mapping[int, str]) -> list[Consent]:
    """Objections that records would escape by being parted from those that carry the number.

    Until a privacy officer has looked, a split takes nobody's records out of hiding: the objection is kept for each
    such record by itself, and goes with it wherever it is put.

    Args:
        reading: the store; the contents and consents of the records are read from it.
        before: the identity of every record of the identities concerned.
        after: the same once the change is made; "" for records that are no longer held.
    """
    changed = {before[number] for number in before if after.get(number, "") != before[number]}
    members = [number for number, eid in before.items() if eid in changed]
    contents, kept = reading.content(members), []
    for eid in sorted(changed):
        together = [number for number in members if before[number] == eid]
        carriers: dict[Subject, set[str]] = {number: {after.get(number, "")} for number in together}
        for number in together:
            if number in contents:
                for token in (token for each in contents[number].encodings() for token in each.tokens):
                    carriers.setdefault(token, set()).add(after.get(number, ""))
        for subject, places in carriers.items():
            for said in reading.consents(subject):
                if said.stance is Stance.WITHDRAWN:
                    parted = [number for number in together if after.get(number, "") not in {"", *places}]
                    kept += [replace(said, subject=number, recorder=KEEPER) for number in parted]
    return list({(each.subject, each.network, each.purpose): each for each in kept}.values())


def _personal(token: IdentifierToken) -> IdentifierToken:
    if token.kind is IdentifierKind.PHONE:
        raise RecordRejected(Reason.REQUEST_INVALID, "identifier.kind", "a phone names no single person")
    return token


def _facility(reader: IndexReader, record: Subject) -> str:
    """Whose record it is; "" for one that is not held."""
    if not isinstance(record, int):
        return ""
    members = reader.members(reader.placed(record)) if reader.placed(record) else []
    return next((member.location.facility for member in members if member.number == record), "")
