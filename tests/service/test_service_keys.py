"""The centre's keys: from a file, or printed by the command of a key management system."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path

import pytest

from mpi.at_rest import RestKey
from mpi.config import StoreConfig, load_store_config
from mpi.errors import ConfigInvalid, KeyRingUnusable
from mpi.server.bootstrap import opened
from mpi.service import keys
from mpi.service.keys import GatewayKey, ServiceKeys, service_keys

KEYS = ServiceKeys((GatewayKey(1, bytes(range(32))),), bytes(range(64, 96)), (RestKey(1, bytes(range(32, 64))),))
GOOD = json.dumps(
    {
        "gateway": [{"since": 1, "secret": base64.b64encode(KEYS.gateway[0].secret).decode()}],
        "pseudonyms": base64.b64encode(KEYS.pseudonyms).decode(),
        "at_rest": [{"epoch": 1, "secret": base64.b64encode(KEYS.at_rest[0].secret).decode()}],
    }
)


def printing(text: str, after: str = "") -> tuple[str, ...]:
    return sys.executable, "-c", f"import sys, time; {after or 'pass'}; sys.stdout.write({text!r})"


def config(folder: Path, *command: str) -> StoreConfig:
    return StoreConfig(folder / "data", folder / "secret/service.json", "th-v1", service_key_command=command)


def kept(settings: StoreConfig, *, make: bool = True) -> ServiceKeys:
    return service_keys(settings.service_key, settings.service_key_command, make=make)


def test_a_command_prints_the_keys_and_no_file_is_made(tmp_path):
    """A store that is made with them opens with them again, and with nothing else."""
    settings = config(tmp_path, *printing(GOOD))
    assert kept(settings) == KEYS
    with opened(settings) as (store, _):
        assert store.head() == 0
    assert not (tmp_path / "secret").exists()
    assert GOOD not in repr(kept(settings))


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("/there/is/no/such/tool",), "cannot be run"),
        ((sys.executable, "-c", f"import sys; sys.stdout.write({GOOD!r}); sys.exit(3)"), "exit code 3"),
        (printing(""), "does not print"),
        (printing("[]"), "does not print"),
        (printing(GOOD[:40]), "does not print"),
        (printing(GOOD.replace("AAECAw", "")), "does not print"),
        (printing(GOOD, "time.sleep(30)"), "did not end within"),
    ],
)
def test_a_command_that_fails_is_told_without_what_it_said(tmp_path, monkeypatch, command, told):
    """Missing, failing, slow or printing something else: the setting is named, and nothing of the output is."""
    monkeypatch.setattr(keys, "COMMAND_SECONDS", 0.5 if "sleep" in command[-1] else 20.0)
    with pytest.raises(ConfigInvalid, match=told) as caught:
        kept(config(tmp_path, *command))
    assert "service_key_command" in caught.value.message
    assert not any(part in caught.value.message for part in (GOOD[40:60], "c2hvcnQ"))


def test_without_a_command_the_file_is_read_and_made_when_wanted(tmp_path):
    """Only a start makes it."""
    settings = config(tmp_path)
    with pytest.raises(KeyRingUnusable):
        kept(settings, make=False)
    made = kept(settings)
    assert kept(settings, make=False) == made


def test_the_setting_is_a_list_of_words(tmp_path):
    """A text would ask for a shell, and there is none."""
    path = tmp_path / "mpi.toml"
    path.write_text('service_key_command = ["unwrap", "--key", "mpi"]\n')
    assert load_store_config(tmp_path / "data", path).service_key_command == ("unwrap", "--key", "mpi")
    for wrong in ('"unwrap --key mpi"', '["unwrap", 3]', '[""]'):
        path.write_text(f"service_key_command = {wrong}\n")
        with pytest.raises(ConfigInvalid):
            load_store_config(tmp_path / "data", path)
