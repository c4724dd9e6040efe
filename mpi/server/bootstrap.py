"""The one place where the centre's parts are joined."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mpi.config import ServerConfig, StoreConfig
from mpi.index.lmdb_index import Index
from mpi.index.projector import catch_up
from mpi.rules import load_rules, rule_file
from mpi.server.app import Application
from mpi.service.gateway import Gateway
from mpi.service.keys import open_service_keys
from mpi.service.location import Locator
from mpi.service.matching import Matcher, Matching
from mpi.service.registration import Registry
from mpi.store.sql import Store, open_sqlite


@contextmanager
def open_store(config: StoreConfig) -> Iterator[Store]:
    """Open the store of a data folder, making both where they are missing."""
    rules = load_rules(rule_file(config.rules))
    keys = open_service_keys(config.service_key)
    config.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    store = open_sqlite(config.data / "store.db", keys.at_rest, rules.profile.digest)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def opened(config: StoreConfig) -> Iterator[tuple[Store, Index]]:
    """Open the store and the index of a data folder, without bringing the one up to the other."""
    with open_store(config) as store:
        index = Index(config.data / "index", open_service_keys(config.service_key).at_rest)
        try:
            yield store, index
        finally:
            index.close()


@contextmanager
def application(config: ServerConfig) -> Iterator[Application]:
    """Open everything that a server needs; the index has caught up with the store when this returns."""
    rules = load_rules(rule_file(config.store.rules))
    gateway = Gateway(open_service_keys(config.store.service_key).gateway, rules.profile, config.key_epochs)
    matching = Matching(rules.profile, rules.model)
    with opened(config.store) as (store, index):
        catch_up(index, store)
        yield Application(
            registry=Registry(gateway, store, index, matching, rules.model.digest),
            locator=Locator(gateway, index),
            matcher=Matcher(gateway, index, matching),
        )
