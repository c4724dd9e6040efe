"""The one place where the centre's parts are joined."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path

from mpi.at_rest import AtRest
from mpi.audit.journal import Journal
from mpi.audit.keys import open_journal_keys
from mpi.config import ServerConfig, StoreConfig, read_password
from mpi.errors import IndexCorrupt, StoreUnusable
from mpi.index.lmdb_index import Index
from mpi.index.projector import Follower, catch_up
from mpi.rules import load_rules, rule_file
from mpi.server.app import Application
from mpi.server.limits import Guard
from mpi.server.metrics import Figures, served
from mpi.service.backlog import Backlog
from mpi.service.clients import Clients
from mpi.service.consent import Consents
from mpi.service.cursors import Cursors
from mpi.service.disclosure import Disclosure
from mpi.service.gateway import Gateway
from mpi.service.history import History
from mpi.service.keys import service_keys
from mpi.service.learning import Learning
from mpi.service.matching import Matcher, Matching
from mpi.service.policy import load_policy
from mpi.service.pseudonyms import Pseudonyms
from mpi.service.questions import Questions
from mpi.service.registration import Registry
from mpi.service.review import Review
from mpi.service.stewardship import Stewardship
from mpi.service.watching import Watching
from mpi.store.sql import Store, open_postgres, open_sqlite


def keys_at_rest(config: StoreConfig, *, make: bool = True) -> AtRest:
    """The keys at rest of a data folder, which are read again when another one is needed."""
    return AtRest(lambda: service_keys(config.service_key, config.service_key_command, make=make).at_rest)


@contextmanager
def open_store(config: StoreConfig) -> Iterator[Store]:
    """Open the store of a data folder, or the database that is its store, making what is missing."""
    rules, at_rest = load_rules(rule_file(config.rules)), keys_at_rest(config)
    config.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    if config.database is None:
        store = open_sqlite(config.data / "store.db", at_rest, rules.stored_digest)
    else:
        password = None if config.database.password is None else read_password(config.database.password)
        store = open_postgres(config.database.url, password, at_rest, rules.stored_digest)
    try:
        _check_gateway(store, config)
        yield store
    finally:
        store.close()


GATEWAY = "gateway"
"""Name of the setting that names the gateway keys that records were re-keyed with."""


def _check_gateway(store: Store, config: StoreConfig) -> None:
    """Refuse keys that are not those, or not all of those, that records were re-keyed with: they would match nobody."""
    keys = service_keys(config.service_key, config.service_key_command).gateway
    own = [key.name for key in keys]
    with store.reading() as reading:
        noted = reading.noted(GATEWAY).split()
    if not noted:
        with store.rekeying(writes=True) as rekeying:
            rekeying.note(GATEWAY, " ".join(own))
    elif not set(noted) <= set(own):
        raise StoreUnusable(
            "records were re-keyed with a gateway key that the centre's keys do not hold: the key file is another one, "
            "or an older copy"
        )


def index_folder(config: StoreConfig) -> Path:
    """Folder of the index of a data folder."""
    return config.data / "index"


@contextmanager
def opened(config: StoreConfig) -> Iterator[tuple[Store, Index]]:
    """Open the store and the index of a data folder, without bringing the one up to the other."""
    with open_store(config) as store:
        index = Index(index_folder(config), keys_at_rest(config))
        try:
            yield store, index
        finally:
            index.close()


class _Standing:
    """Where a store and its index stand."""

    def __init__(self, store: Store, index: Index) -> None:
        self._store = store
        self._index = index

    def tasks(self) -> dict[str, int]:
        with self._store.reading() as reading:
            return {status.value: count for status, count in reading.count_tasks().items()}

    def behind(self) -> int:
        with self._index.reading() as reader:
            revision = reader.revision()
        return max(0, self._store.head() - revision)


def _figures(
    config: ServerConfig, registry: Registry, store: Store, index: Index, guard: Guard
) -> AbstractContextManager[str | None]:
    if config.metrics is None:
        return nullcontext()
    return served(config.metrics, Figures(registry, _Standing(store, index), guard))


@contextmanager
def open_journal(config: StoreConfig) -> Iterator[Journal]:
    """Open the audit journal of a data folder, making its keys at the very first start."""
    journal = Journal.open(config.journal, config.journal_heads, open_journal_keys(config.journal_key))
    try:
        yield journal
    finally:
        journal.close()


@contextmanager
def application(config: ServerConfig, *, follows: bool = True, writes: bool = True) -> Iterator[Application]:
    """Open everything that a server needs; the index has caught up with the store when this returns.

    Args:
        config: the settings.
        follows: carry into the index what other processes commit; a worker beside a registrar leaves that to it.
        writes: do what was put off and tell the figures, which one process does for all.
    """
    rules = load_rules(rule_file(config.store.rules))
    keys = service_keys(config.store.service_key, config.store.service_key_command)
    gateway = Gateway(keys.gateway, rules, config.key_epochs)
    matching = Matching(rules.profile, rules.model)
    policy = load_policy(config.policy)
    with opened(config.store) as (store, index):
        if catch_up(index, store) > store.head():
            raise IndexCorrupt("the index is ahead of the store, as after a restored backup; run `mpi index rebuild`")
        guard = Guard(config.limits)
        pseudonyms = Pseudonyms(keys.pseudonyms, index)
        disclosure = Disclosure(gateway, index, store, policy, rules.model.digest)
        review = Review(store, index, matching, rules, policy, config.confirm_records)
        registry = Registry(gateway, store, index, matching, rules.model.digest)
        with (
            closing(Follower(index, store)) if follows else nullcontext(),
            closing(Backlog(registry)) if writes else nullcontext(),
            closing(Clients(store)) as clients,
            open_journal(config.store) as journal,
            _figures(config, registry, store, index, guard) if writes else nullcontext(),
        ):
            yield Application(
                registry=registry,
                locator=disclosure,
                history=History(store),
                matcher=Matcher(gateway, index, matching, disclosure),
                stewardship=Stewardship(store, index, rules.model.digest),
                review=review,
                learning=Learning(store, index, rules),
                questions=Questions(store, review),
                consents=Consents(gateway, store, index, policy, rules.model.digest),
                privacy=disclosure,
                pseudonyms=pseudonyms,
                watching=Watching(index, store, disclosure, Cursors(keys.pseudonyms), pseudonyms.outward),
                clients=clients,
                key_epochs=tuple(config.key_epochs),
                rule_of=clients.rule_of,
                guard=guard,
                journal=journal,
                rules_digest=rules.model.digest,
            )
