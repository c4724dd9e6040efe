"""The centre's own secrets: for the gateway, for what lies at rest, and for ids. None ever lies beside the data."""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mpi.at_rest import RestKey
from mpi.errors import ConfigInvalid, KeyRingUnusable
from mpi.keyfiles import (
    KEY_BYTES,
    PRIVATE,
    epoch_name,
    epoch_number,
    read_key_file,
    replace_key_files,
    secret_bytes,
    secret_text,
    write_key_file,
)

COMMAND_SECONDS = 30.0
"""How long a key management system may take."""

MOST_EPOCHS = 2
_COMMAND = "service_key_command"


@dataclass(frozen=True, slots=True, repr=False)
class GatewayKey:
    """What arrives is re-keyed with this secret of 32 bytes, from a key epoch of the facilities on.

    Attributes:
        since: number of that epoch.
        secret: the secret.
    """

    since: int
    secret: bytes

    @property
    def name(self) -> str:
        """Its number and a fingerprint."""
        return epoch_name(self.since, self.secret)

    def __repr__(self) -> str:
        return f"GatewayKey({self.since})"


@dataclass(frozen=True, slots=True, repr=False)
class ServiceKeys:
    """Secrets of the centre.

    Attributes:
        gateway: what arrives is re-keyed with them, by the key epoch that it was encoded under.
        pseudonyms: 32 bytes that make the ids that clients see.
        at_rest: store and index are sealed with them, from the oldest epoch on; two while the epoch is being changed.
    """

    gateway: tuple[GatewayKey, ...]
    pseudonyms: bytes
    at_rest: tuple[RestKey, ...]

    def __repr__(self) -> str:
        return "ServiceKeys(***)"


def service_keys(path: Path, command: Sequence[str], *, make: bool = True) -> ServiceKeys:
    """Get the centre's keys: from the command of a key management system where the settings name one, or the file.

    Args:
        path: the file.
        command: words of the command; none for the file.
        make: make the file where there is none, as at the very first start.

    Raises:
        KeyRingUnusable: the file is missing, damaged or open to others, or cannot be written.
        ConfigInvalid: the command cannot be run, fails, or prints something else.
    """
    if command:
        return _printed(command)
    return open_service_keys(path) if make else read_service_keys(path)


def _printed(command: Sequence[str]) -> ServiceKeys:
    """Run a command and read what it prints, as the key file holds it. What it says never stands in an error."""
    try:
        with subprocess.Popen(  # noqa: S603 (the administrator's own command, without a shell)
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            try:
                said, _ = process.communicate(timeout=COMMAND_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise ConfigInvalid(_COMMAND, f"did not end within {COMMAND_SECONDS:.0f} s") from None
    except OSError as error:
        raise ConfigInvalid(_COMMAND, f"cannot be run ({error.strerror or type(error).__name__})") from None
    if process.returncode:
        raise ConfigInvalid(_COMMAND, f"failed with exit code {process.returncode}; run it by hand to see why")
    try:
        content = json.loads(said)
        return _keys_of(Path(command[0]), content if isinstance(content, dict) else {})
    except (ValueError, RecursionError, KeyRingUnusable):
        problem = 'does not print an object with "gateway", "pseudonyms" and "at_rest" as a key file holds them'
        raise ConfigInvalid(_COMMAND, problem) from None


def open_service_keys(path: Path) -> ServiceKeys:
    """Read the centre's key file, making it (mode 0600) at the very first start.

    Raises:
        KeyRingUnusable: the file is damaged or open to others, or cannot be written.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        gateway, pseudonyms, at_rest = (secrets.token_bytes(KEY_BYTES) for _ in range(3))
        write_key_file(path, _content(ServiceKeys((GatewayKey(1, gateway),), pseudonyms, (RestKey(1, at_rest),))))
    return read_service_keys(path)


def read_service_keys(path: Path) -> ServiceKeys:
    """Read the centre's key file.

    Raises:
        KeyRingUnusable: the file is missing, damaged or open to others.
    """
    return _keys_of(path, read_key_file(path))


def begin_at_rest(path: Path) -> RestKey:
    """Make the key at rest of the next epoch beside the present one, as an interrupted run may have done already.

    Returns:
        The newest key.

    Raises:
        KeyRingUnusable: the file is missing, damaged or open to others, or cannot be written.
    """
    keys = read_service_keys(path)
    if len(keys.at_rest) == 1:
        fresh = RestKey(keys.at_rest[0].number + 1, secrets.token_bytes(KEY_BYTES))
        keys = replace(keys, at_rest=(*keys.at_rest, fresh))
        replace_key_files([(path, _content(keys), PRIVATE)])
    return keys.at_rest[-1]


def end_at_rest(path: Path, name: str) -> None:
    """Destroy the keys at rest before this one; raises as `begin_at_rest` does."""
    keys = read_service_keys(path)
    kept = tuple(key for key in keys.at_rest if key.name == name)
    if kept and kept != keys.at_rest:
        replace_key_files([(path, _content(replace(keys, at_rest=kept)), PRIVATE)])


def begin_gateway(path: Path, since: int) -> None:
    """Make a gateway key for the facilities' key epochs from a number on, unless an interrupted run has made it.

    Raises:
        KeyRingUnusable: the file is missing, damaged or open to others, or cannot be written; or an older epoch's key
            has to end first.
    """
    keys = read_service_keys(path)
    if keys.gateway[-1].since == since:
        return
    if len(keys.gateway) == MOST_EPOCHS or keys.gateway[-1].since > since:
        raise KeyRingUnusable(path, f"holds a gateway key for epochs from {keys.gateway[-1].since} on already")
    fresh = GatewayKey(since, secrets.token_bytes(KEY_BYTES))
    replace_key_files([(path, _content(replace(keys, gateway=(*keys.gateway, fresh))), PRIVATE)])


def end_gateway(path: Path) -> None:
    """Destroy the gateway keys before the newest; raises as `begin_gateway` does."""
    keys = read_service_keys(path)
    if len(keys.gateway) > 1:
        replace_key_files([(path, _content(replace(keys, gateway=keys.gateway[-1:])), PRIVATE)])


def gateway_key(keys: Sequence[GatewayKey], epoch: str) -> GatewayKey:
    """The gateway key that belongs to a key epoch of the facilities, such as "2-5f2c90aa"."""
    held = [key for key in keys if key.since <= epoch_number(epoch)]
    return held[-1] if held else keys[0]


def _keys_of(path: Path, content: dict[str, Any]) -> ServiceKeys:
    return ServiceKeys(
        tuple(GatewayKey(*pair) for pair in _numbered(path, content, "gateway", "since")),
        secret_bytes(path, content.get("pseudonyms"), KEY_BYTES),
        tuple(RestKey(*pair) for pair in _numbered(path, content, "at_rest", "epoch")),
    )


def _numbered(path: Path, content: dict[str, Any], name: str, counted: str) -> list[tuple[int, bytes]]:
    """Read a list of secrets with rising numbers."""
    entries = content.get(name)
    if not isinstance(entries, list) or not 1 <= len(entries) <= MOST_EPOCHS:
        raise KeyRingUnusable(path, f"{name} is not a list of one or {MOST_EPOCHS} keys")
    found: list[tuple[int, bytes]] = []
    for entry in entries:
        number, text = (entry.get(counted), entry.get("secret")) if isinstance(entry, dict) else (None, None)
        if not isinstance(number, int) or number < 1 or (found and number <= found[-1][0]):
            raise KeyRingUnusable(path, f"the keys of {name} do not follow each other by the number {counted}")
        found.append((number, secret_bytes(path, text, KEY_BYTES)))
    return found


def _content(keys: ServiceKeys) -> dict[str, Any]:
    return {
        "gateway": [{"since": key.since, "secret": secret_text(key.secret)} for key in keys.gateway],
        "pseudonyms": secret_text(keys.pseudonyms),
        "at_rest": [{"epoch": key.number, "secret": secret_text(key.secret)} for key in keys.at_rest],
    }
