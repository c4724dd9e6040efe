"""The centre's own secrets: one for the gateway, one for what lies at rest. Neither ever lies beside the data."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from mpi.keyfiles import KEY_BYTES, read_key_file, secret_bytes, secret_text, write_key_file


@dataclass(frozen=True, slots=True, repr=False)
class ServiceKeys:
    """Secrets of the centre, 32 bytes each."""

    gateway: bytes
    at_rest: bytes

    def __repr__(self) -> str:
        return "ServiceKeys(***)"


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
    content = read_key_file(path)
    return ServiceKeys(
        secret_bytes(path, content.get("gateway"), KEY_BYTES),
        secret_bytes(path, content.get("at_rest"), KEY_BYTES),
    )
