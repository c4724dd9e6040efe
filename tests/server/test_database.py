"""A server whose store is PostgreSQL: its settings, its secrets, and two servers on one database."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from mpi.client import Client, PurposeOfUse
from mpi.config import Database, StoreConfig, load_config, load_store_config, read_password
from mpi.domain.identifiers import LocalIdToken
from mpi.errors import ConfigInvalid, IndexCorrupt, StoreUnusable
from mpi.server.bootstrap import application, open_store
from tests.building import encoded, key_ring, raw
from tests.databases import postgres_database
from tests.server.running import running

SECRET = "hunter2hunter2"
SOMCHAI = raw("นายสมชาย ใจดี", "1", birth_date="15/03/2525", sex="1", national_id="1103702488992")


def settings(folder: Path, *lines: str) -> Path:
    """A settings file of a server on loopback."""
    path = folder / "mpi.toml"
    path.write_text("\n".join(['listen = "127.0.0.1:0"', f'key_epochs = "{folder}/keys/epochs.json"', *lines]))
    return path


def password_file(folder: Path, text: str = SECRET + "\n", mode: int = 0o600) -> Path:
    path = folder / "password"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_database_is_named_by_url_and_its_password_by_file(tmp_path):
    """The URL stands in the settings, the password in a file beside it."""
    password_file(tmp_path)
    path = settings(tmp_path, 'database = "postgresql://mpi@db.example/mpi"', 'database_password = "password"')
    database = load_store_config(tmp_path / "data", path).database
    assert database == Database("postgresql://mpi@db.example/mpi", tmp_path / "password")
    assert read_password(database.password) == SECRET
    assert SECRET not in repr(database)


@pytest.mark.parametrize(
    ("lines", "setting"),
    [
        ([f'database = "postgresql://mpi:{SECRET}@db.example/mpi"'], "database"),
        ([f'database = "postgresql://db.example/mpi?user=mpi&password={SECRET}"'], "database"),
        (['database = "mysql://db.example/mpi"'], "database"),
        (["database = 5"], "database"),
        (['database = "postgresql://[db/mpi"'], "database"),
        (['database_password = "password"'], "database_password"),
        (['database = "postgresql://db.example/mpi"', "database_password = 5"], "database_password"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(tmp_path, lines, setting):
    """A password in the URL above all; and the error does not repeat it."""
    key_ring(tmp_path)
    with pytest.raises(ConfigInvalid) as refused:
        load_config(tmp_path / "data", settings(tmp_path, *lines), insecure=True)
    assert refused.value.setting == setting
    assert SECRET not in refused.value.message


@pytest.mark.parametrize(("text", "mode"), [(SECRET, 0o640), (SECRET, 0o604), (" \n", 0o600)])
def test_a_password_file_open_to_others_or_empty_is_refused(tmp_path, text, mode):
    """Nobody but its owner may read a password."""
    with pytest.raises(ConfigInvalid) as refused:
        read_password(password_file(tmp_path, text, mode))
    assert SECRET not in refused.value.message
    with pytest.raises(ConfigInvalid):
        read_password(tmp_path / "missing")


def test_a_database_that_cannot_be_reached_is_reported_without_the_password(tmp_path, caplog):
    """Neither the error nor the log holds the password or the driver's text."""
    config = StoreConfig(
        tmp_path / "data",
        tmp_path / "secret" / "service.json",
        "th-v1",
        Database("postgresql://mpi@127.0.0.1:1/mpi", password_file(tmp_path)),
    )
    with caplog.at_level(logging.DEBUG), pytest.raises(StoreUnusable) as refused, open_store(config):
        pytest.fail("there is no such database")
    assert SECRET not in refused.value.message + caplog.text
    assert refused.value.__suppress_context__


def test_two_servers_on_one_database(tmp_path):
    """What one server registers the other one answers, as fresh as asked for; each has an index of its own."""
    ring = key_ring(tmp_path)
    (record,) = encoded(ring, "10661", SOMCHAI)
    with postgres_database() as url:
        password_file(tmp_path, make_url(url).password or "no password is asked for")
        url = make_url(url)._replace(password=None).render_as_string()
        lines = [f'database = "{url}"', 'database_password = "password"', 'service_key = "secret/service.json"']
        path = settings(tmp_path, *lines)
        one, two = (load_config(tmp_path / name, path, insecure=True) for name in ("one", "two"))
        with (
            application(one) as ours,
            application(two) as theirs,
            running(ours) as first,
            running(theirs) as second,
            Client(address=first) as here,
            Client(address=second) as there,
        ):
            registered = here.register(record)
            key = LocalIdToken(record.local_id_token)
            found = there.locate(key, PurposeOfUse.TREAT, at_least=registered.revision)
            assert [identity.eid for identity in found.identities] == [registered.registration.eid]
            assert there.register(record).registration.unchanged
        assert not (tmp_path / "one" / "store.db").exists()
        with application(one) as restarted:
            assert restarted.locator.revision() == 1


def test_an_index_ahead_of_its_store_is_refused(tmp_path):
    """A store that was restored from an older backup is noticed at the start, not when answers are wrong."""
    ring = key_ring(tmp_path)
    config = load_config(tmp_path / "data", settings(tmp_path), insecure=True)
    with application(config) as centre:
        centre.registry.register(encoded(ring, "10661", SOMCHAI), "urn:mpi:facility:10661", "r")
    for file in (tmp_path / "data").glob("store.db*"):
        file.unlink()
    with pytest.raises(IndexCorrupt, match="rebuild"), application(config):
        pytest.fail("the index holds what the store has not")


def test_an_index_of_another_history_is_refused(tmp_path):
    """A store that was restored and has grown past the index's revision since is no continuation of it."""
    ring = key_ring(tmp_path)
    config = load_config(tmp_path / "data", settings(tmp_path), insecure=True)
    with application(config) as centre:
        centre.registry.register(encoded(ring, "10661", SOMCHAI), "urn:mpi:facility:10661", "r")
    for file in (tmp_path / "data").glob("store.db*"):
        file.unlink()
    (tmp_path / "data" / "index").rename(tmp_path / "index-of-the-first")
    with application(config) as centre:
        centre.registry.register(encoded(ring, "10661", SOMCHAI), "urn:mpi:facility:10661", "r")
    shutil.rmtree(tmp_path / "data" / "index")
    (tmp_path / "index-of-the-first").rename(tmp_path / "data" / "index")
    with pytest.raises(IndexCorrupt, match="rebuild"), application(config):
        pytest.fail("the index is of another history")
