"""The centre's own secrets: one for the gateway, one for what lies at rest. Neither ever lies beside the data."""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpi.errors import ConfigInvalid, KeyRingUnusable
from mpi.keyfiles import KEY_BYTES, read_key_file, secret_bytes, secret_text, write_key_file

COMMAND_SECONDS = 30.0
"""How long a key management system may take."""

_COMMAND = "service_key_command"


@dataclass(frozen=True, slots=True, repr=False)
class ServiceKeys:
    """Secrets of the centre, 32 bytes each."""

    gateway: bytes
    at_rest: bytes

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
        problem = 'does not print an object with "gateway" and "at_rest", each 32 bytes in base64'
        raise ConfigInvalid(_COMMAND, problem) from None


def open_service_keys(path: Path) -> ServiceKeys:
    """Read the centre's key file, making it (mode 0600) at the very first start.

    Raises:
        KeyRingUnusable: the file is damaged or open to others, or cannot be written.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = {name: secret_text(secrets.token_bytes(KEY_BYTES)) for name in ("gateway", "at_rest")}
        write_key_file(path, fresh)
    return read_service_keys(path)


def read_service_keys(path: Path) -> ServiceKeys:
    """Read the centre's key file.

    Raises:
        KeyRingUnusable: the file is missing, damaged or open to others.
    """
    return _keys_of(path, read_key_file(path))


def _keys_of(path: Path, content: dict[str, Any]) -> ServiceKeys:
    return ServiceKeys(
        secret_bytes(path, content.get("gateway"), KEY_BYTES),
        secret_bytes(path, content.get("at_rest"), KEY_BYTES),
    )
