"""Clients: what the centre has decided about them, in force in every server within a second."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from functools import lru_cache

from mpi.domain.access import ClientRule, Role, client_named
from mpi.domain.changes import Cause
from mpi.domain.purpose import PurposeOfUse
from mpi.errors import ConfigInvalid, MpiError, Reason, RecordRejected
from mpi.store.sql import Store

LOOK_SECONDS = 0.5
"""How often a server reads the decisions again."""

GIVEN_ROLES = frozenset({Role.AUDITOR, Role.PRIVACY_OFFICER, Role.ADMIN, Role.STEWARD, Role.EXCHANGE})
"""Roles that can be given: a facility is one by the name in its certificate."""

_CENTRE = Cause("urn:mpi:centre", "")
_log = logging.getLogger(__name__)


class Clients:
    """The decisions as a server holds them: calls never wait for the database, and go on while it is away."""

    def __init__(self, store: Store, seconds: float = LOOK_SECONDS) -> None:
        self._store = store
        self._seconds = seconds
        self._rules = self._read()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mpi-clients", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop reading."""
        self._stop.set()
        self._thread.join()

    def listed(self) -> list[ClientRule]:
        """Read what was decided, by name."""
        return sorted(self._read().values(), key=lambda rule: rule.urn)

    def set_rule(self, rule: ClientRule, actor: str, request: str) -> None:
        """Decide about a client, in place of all that was decided before.

        Raises:
            RecordRejected: no client is called so, a role is not one that can be given, or an administrator decides
                about themself: nobody gives themself a role by which they learn of people, or shuts themself out.
        """
        if client_named(rule.urn) is None:
            raise RecordRejected(Reason.REQUEST_INVALID, "rule.client", "is not the name of a client")
        if not rule.roles <= GIVEN_ROLES:
            raise RecordRejected(Reason.REQUEST_INVALID, "rule.roles", "holds a role that cannot be given")
        if rule.urn == actor:
            raise RecordRejected(Reason.REQUEST_INVALID, "rule.client", "is the caller; another administrator decides")
        with self._store.transaction(Cause(actor, "", request)) as transaction:
            transaction.set_client(rule)
        self._rules = self._read()

    def rule_of(self, urn: str) -> ClientRule:
        """What was decided about a client; nothing was about most."""
        return self._rules.get(urn) or _nothing_about(urn)

    def _run(self) -> None:
        failing = False
        while not self._stop.wait(self._seconds):
            try:
                self._rules = self._read()
                failing = False
            except MpiError as error:
                if not failing:
                    _log.warning("decisions about clients stay as they were read last: %s", error.message)
                failing = True

    def _read(self) -> dict[str, ClientRule]:
        with self._store.reading() as reading:
            return {rule.urn: rule for rule in reading.clients()}


@lru_cache(maxsize=4096)
def _nothing_about(urn: str) -> ClientRule:
    return ClientRule(urn)


def decide(
    store: Store,
    urn: str,
    *,
    suspended: bool | None = None,
    roles: frozenset[Role] | None = None,
    purposes: frozenset[PurposeOfUse] | None = None,
    every_purpose: bool = False,
) -> ClientRule:
    """Decide about a client; what is left out stays as it is.

    Args:
        store: where decisions are kept.
        urn: the client's name.
        suspended: whether it may call nothing.
        roles: roles that it has besides the one in its name.
        purposes: the only purposes of use that it may claim.
        every_purpose: it may claim every one.

    Returns:
        What holds now.

    Raises:
        ConfigInvalid: no client is called so, or a role is not one that can be given.
    """
    if client_named(urn) is None:
        raise ConfigInvalid("client", "is not the name of a client, such as urn:mpi:exchange:cdes")
    if roles and not roles <= GIVEN_ROLES:
        raise ConfigInvalid("role", "cannot be given: a facility is one by the name in its certificate")
    with store.transaction(_CENTRE) as transaction:
        rule = next((each for each in transaction.clients() if each.urn == urn), ClientRule(urn))
        if suspended is not None:
            rule = replace(rule, suspended=suspended)
        if roles is not None:
            rule = replace(rule, roles=roles)
        if purposes is not None or every_purpose:
            rule = replace(rule, purposes=None if every_purpose else purposes)
        transaction.set_client(rule)
    return rule
