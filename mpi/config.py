"""Settings of the server: a TOML file, checked as a whole before anything is opened.

Secrets never stand in it: it names the files that hold them. Paths are relative to the file's own folder.
"""

from __future__ import annotations

import json
import math
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from mpi.errors import ConfigInvalid

DEFAULT_LISTEN = "127.0.0.1:7443"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Files of mutual TLS.

    Attributes:
        certificate: the server's certificate chain.
        key: its key.
        client_authority: the authority that clients' certificates must be from.
        revoked: serial numbers of clients' certificates that count no more; None for no such file.
    """

    certificate: Path
    key: Path
    client_authority: Path
    revoked: Path | None = None


@dataclass(frozen=True, slots=True)
class Database:
    """A PostgreSQL database that is the store.

    Attributes:
        url: such as "postgresql://mpi@db.example.go.th/mpi?sslmode=verify-full"; never with a password.
        password: file that holds the password on its only line, readable by its owner alone; None without one.
    """

    url: str
    password: Path | None


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """What it takes to open a data folder.

    Attributes:
        data: folder of the index, and of the store where that is SQLite.
        service_key: file of the centre's own secrets; made at the first start; belongs on another mount than `data`.
        rules: name or path of the rule file.
        database: where the store is; None for SQLite in `data`.
        audit: folder of the audit journal; None for one beside `data`.
        service_key_command: command and arguments that print the centre's own secrets, in place of the file; empty for
            none. The journal's keys lie beside where the file would be.
    """

    data: Path
    service_key: Path
    rules: str
    database: Database | None = None
    audit: Path | None = None
    service_key_command: tuple[str, ...] = ()

    @property
    def journal(self) -> Path:
        """Folder of the audit journal."""
        return self.audit or self.data.with_name(self.data.name + "-audit")

    @property
    def journal_key(self) -> Path:
        """File of the audit journal's keys, beside the service key."""
        return self.service_key.with_name("audit.json")

    @property
    def journal_heads(self) -> Path:
        """Folder of the signed heads of the audit journal, beside its keys."""
        return self.service_key.with_name("audit-heads")


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one client's lookups: how many a second in the long run, and how many at once after a pause.

    Attributes:
        lookups: lookups a second; each key of a batch is one.
        lookups_at_once: most of them at once.
        misses: lookups a second that find nothing.
        misses_at_once: most of them at once.
    """

    lookups: float = 2000.0
    lookups_at_once: float = 100_000.0
    misses: float = 5.0
    misses_at_once: float = 20_000.0


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Settings of `mpi serve`.

    Attributes:
        store: the data folder.
        listen: address and port; port 0 takes any free one.
        key_epochs: names of the facility key epochs whose records are accepted.
        tls: files of mutual TLS; None serves plain text, on loopback addresses only.
        metrics: address and port of the figures for Prometheus; None serves none.
        policy: file of the policy of disclosure; None for the one that is shipped.
        limits: limits of every client's lookups.
        confirm_records: records of an identity from which on two stewards have to agree that it grows.
    """

    store: StoreConfig
    listen: str
    key_epochs: tuple[str, ...]
    tls: TlsFiles | None
    metrics: str | None = None
    policy: Path | None = None
    limits: Limits = Limits()
    confirm_records: int = 10


_FEWEST_CONFIRMED = 2
_KEYS = {
    "audit",
    "confirm_records",
    "limits",
    "listen",
    "metrics",
    "policy",
    "rules",
    "service_key",
    "service_key_command",
    "key_epochs",
    "tls",
    "database",
    "database_password",
}
_TLS_KEYS = {"certificate", "key", "client_authority"}


def load_config(data: Path, path: Path | None, *, listen: str | None = None, insecure: bool = False) -> ServerConfig:
    """Read the settings of a server.

    Args:
        data: folder of the store and the index.
        path: the TOML file; without it there is no TLS, and `insecure` must say that this is meant.
        listen: replaces the file's `listen`.
        insecure: serve without TLS, on loopback only.

    Raises:
        ConfigInvalid: a setting is missing, unknown or unusable.
    """
    table, base = _table(path)
    tls = None
    if insecure:
        if "tls" in table:
            raise ConfigInvalid("--insecure", f"contradicts [tls] in {path}; give one of the two")
    else:
        tls = _tls(table.get("tls"), base, path)
    return ServerConfig(
        store=_store(data, table, base),
        listen=listen or table.get("listen", DEFAULT_LISTEN),
        key_epochs=_epochs(table.get("key_epochs"), base),
        tls=tls,
        metrics=_metrics(table.get("metrics")),
        policy=_policy(table.get("policy"), base),
        limits=_limits(table.get("limits", {})),
        confirm_records=_confirm_records(table.get("confirm_records", 10)),
    )


def load_store_config(data: Path, path: Path | None) -> StoreConfig:
    """Read only what it takes to open a data folder; raises as `load_config` does."""
    return _store(data, *_table(path))


def load_gateway_config(data: Path, path: Path | None) -> tuple[StoreConfig, tuple[str, ...]]:
    """Read what it takes to open a data folder, and the key epochs that are accepted; raises as `load_config` does."""
    table, base = _table(path)
    return _store(data, table, base), _epochs(table.get("key_epochs"), base)


def _table(path: Path | None) -> tuple[dict[str, Any], Path]:
    if path is None:
        return {}, Path()
    table = _read(path)
    for key in table.keys() - _KEYS:
        raise ConfigInvalid(key, f"not a setting; the settings are {', '.join(sorted(_KEYS))}")
    return table, path.parent


def _store(data: Path, table: dict[str, Any], base: Path) -> StoreConfig:
    service_key = table.get("service_key")
    beside = data.with_name(data.name + "-keys") / "service.json"
    return StoreConfig(
        data,
        base / service_key if service_key else beside,
        _rules(table.get("rules", "th-v1"), base),
        _database(table, base),
        _audit(table.get("audit"), base),
        _command(table.get("service_key_command", [])),
    )


def _command(words: Any) -> tuple[str, ...]:
    if not isinstance(words, list) or not all(isinstance(word, str) and word for word in words):
        raise ConfigInvalid("service_key_command", 'is a list of words, such as ["unwrap", "--key", "mpi"]')
    return tuple(words)


def _audit(folder: Any, base: Path) -> Path | None:
    if folder is not None and (not isinstance(folder, str) or not folder):
        raise ConfigInvalid("audit", "is the path of a folder")
    return base / folder if folder else None


def _database(table: dict[str, Any], base: Path) -> Database | None:
    url, password = table.get("database"), table.get("database_password")
    if url is None:
        if password is not None:
            raise ConfigInvalid("database_password", "is of use with `database` only")
        return None
    if not isinstance(url, str) or not url.startswith("postgresql://"):
        raise ConfigInvalid("database", "is a URL that begins with postgresql://")
    try:
        parts = urlsplit(url)
        secret = bool(parts.password) or "password" in parse_qs(parts.query)
    except ValueError:
        raise ConfigInvalid("database", "is not a URL") from None
    if secret:
        raise ConfigInvalid("database", "holds a password; put that into a file and name it with `database_password`")
    if password is not None and not isinstance(password, str):
        raise ConfigInvalid("database_password", "is the path of a file")
    return Database(url, base / password if password else None)


def read_password(path: Path) -> str:
    """Read a password from a file that only its owner may read.

    Raises:
        ConfigInvalid: the file cannot be read, is empty, or is open to others.
    """
    try:
        if path.stat().st_mode & 0o077:
            raise ConfigInvalid(
                "database_password", f"{path}: others than its owner may read it; run `chmod 600` on it"
            )
        password = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigInvalid("database_password", f"{path} cannot be read ({type(error).__name__})") from None
    if not password:
        raise ConfigInvalid("database_password", f"{path} is empty")
    return password


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigInvalid("--config", f"{path} cannot be read ({type(error).__name__})") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigInvalid("--config", f"{path} is not TOML ({error})") from None


def _tls(table: Any, base: Path, path: Path | None) -> TlsFiles:
    if table is None:
        where = f"add a [tls] table to {path}" if path else "name a file with --config that has a [tls] table"
        raise ConfigInvalid(
            "tls", f"{where} (development certificates: `mpi certs dev`), or serve loopback only with --insecure"
        )
    if not isinstance(table, dict) or table.keys() - {"revoked"} != _TLS_KEYS:
        raise ConfigInvalid("tls", f"holds {', '.join(sorted(_TLS_KEYS))}, and `revoked` or not")
    files = {key: base / str(value) for key, value in table.items()}
    for key, file in files.items():
        if not file.is_file():
            raise ConfigInvalid(f"tls.{key}", f"{file}: no such file")
    return TlsFiles(**files)


def _rules(name: Any, base: Path) -> str:
    if not isinstance(name, str):
        raise ConfigInvalid("rules", "is the name or the path of a rule file")
    return str(base / name) if name.endswith(".toml") else name


def _metrics(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ConfigInvalid("metrics", "is an address and a port, such as 127.0.0.1:9464")
    return value


def _policy(value: Any, base: Path) -> Path | None:
    if value is not None and not isinstance(value, str):
        raise ConfigInvalid("policy", "is the path of a file")
    return base / value if value else None


def _confirm_records(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < _FEWEST_CONFIRMED:
        raise ConfigInvalid("confirm_records", f"is a number of at least {_FEWEST_CONFIRMED}")
    return value


def _limits(table: Any) -> Limits:
    known = {each.name for each in fields(Limits)}
    if not isinstance(table, dict) or table.keys() - known:
        raise ConfigInvalid("limits", f"holds {', '.join(sorted(known))}, or some of them")
    for key, value in table.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise ConfigInvalid(f"limits.{key}", "is a number over 0")
    return Limits(**table)


def _epochs(value: Any, base: Path) -> tuple[str, ...]:
    """Names of epochs: a list, or the path of the epochs.json that `mpi keys new` writes."""
    if isinstance(value, str):
        file = base / value
        try:
            value = json.loads(file.read_text(encoding="utf-8"))["epochs"]
        except (OSError, ValueError, KeyError, TypeError):
            raise ConfigInvalid("key_epochs", f"{file} is not an epochs.json as `mpi keys new` writes it") from None
    if not isinstance(value, list) or not value or not all(isinstance(name, str) and name for name in value):
        raise ConfigInvalid(
            "key_epochs", "names the key epochs to accept: a list of names, or the path of a key ring's epochs.json"
        )
    return tuple(value)
