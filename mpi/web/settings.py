"""Settings of the page where stewards sign in through a provider: a TOML file, checked as a whole.

Secrets never stand in it: it names the files that hold them. Paths are relative to the file's own folder.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mpi.errors import AccessDenied, ConfigInvalid, Reason

SCOPE = "openid profile"


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider of OpenID Connect, and what its claims mean here.

    Attributes:
        issuer: its address, as its tokens name it.
        client_id: the page's name at the provider.
        client_secret: the page's secret there.
        name: claim that names the person.
        roles: claim that lists roles; dots lead into it, such as "realm_access.roles".
        role: the role that a steward has.
        scope: what is asked for.
    """

    issuer: str
    client_id: str
    client_secret: str
    name: str = "sub"
    roles: str = "roles"
    role: str = "mpi-steward"
    scope: str = SCOPE

    def __repr__(self) -> str:
        return f"Provider({self.issuer})"

    def steward(self, claims: Mapping[str, Any]) -> str:
        """Give the name of the person that claims are about.

        Raises:
            AccessDenied: they name nobody, or somebody who is no steward.
        """
        held: Any = claims
        for step in self.roles.split("."):
            held = held.get(step) if isinstance(held, Mapping) else None
        roles = held.split() if isinstance(held, str) else held
        if not isinstance(roles, list) or self.role not in roles:
            raise AccessDenied(Reason.ROLE_MISSING, f"the provider does not give you the role {self.role}")
        name = claims.get(self.name)
        if not isinstance(name, str) or not name:
            raise AccessDenied(Reason.CLIENT_UNKNOWN, f"the provider's token holds no claim {self.name}")
        return name


@dataclass(frozen=True, slots=True)
class PageConfig:
    """Settings of `mpi review --config`.

    Attributes:
        origin: the address under which browsers reach the page, such as "https://review.mpi.go.th".
        listen: address and port to listen on.
        server: address of the index.
        provider: where stewards sign in.
        stewards: folder of each steward's certificate, by what the provider calls them.
        certificate: the page's own certificate chain; None where a proxy in front of it speaks TLS.
        key: its key.
    """

    origin: str
    listen: str
    server: str
    provider: Provider
    stewards: Mapping[str, Path]
    certificate: Path | None = None
    key: Path | None = None


_KEYS = {"origin", "listen", "server", "provider", "stewards", "tls"}
_PROVIDER_KEYS = {"issuer", "client_id", "client_secret", "name", "roles", "role", "scope"}


def load_page_config(path: Path) -> PageConfig:
    """Read the settings of the page.

    Raises:
        ConfigInvalid: a setting is missing, unknown or unusable.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigInvalid("--config", f"{path} cannot be read ({type(error).__name__})") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigInvalid("--config", f"{path} is not TOML ({error})") from None
    for key in table.keys() - _KEYS:
        raise ConfigInvalid(key, f"not a setting; the settings are {', '.join(sorted(_KEYS))}")
    base = path.parent
    stewards = table.get("stewards")
    if not isinstance(stewards, dict) or not stewards or not all(isinstance(each, str) for each in stewards.values()):
        raise ConfigInvalid("stewards", "names the folder of each steward's certificate, by the provider's name")
    tls = table.get("tls", {})
    if not isinstance(tls, dict) or tls.keys() not in (set(), {"certificate", "key"}):
        raise ConfigInvalid("tls", "holds certificate and key")
    return PageConfig(
        _origin(_text(table, "origin")),
        _text(table, "listen"),
        _text(table, "server"),
        _provider(table.get("provider"), base),
        {name: base / folder for name, folder in stewards.items()},
        *(base / str(tls[each]) if tls else None for each in ("certificate", "key")),
    )


def _provider(table: Any, base: Path) -> Provider:
    if not isinstance(table, dict) or table.keys() - _PROVIDER_KEYS:
        raise ConfigInvalid("provider", f"holds {', '.join(sorted(_PROVIDER_KEYS))}, or some of them")
    issuer = _text(table, "issuer")
    parts = urlsplit(issuer)
    if parts.scheme != "https" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise ConfigInvalid("provider.issuer", "begins with https://")
    secret = _secret(base / _text(table, "client_secret"))
    named = {key: _text(table, key) for key in table.keys() - {"issuer", "client_secret"}}
    if "client_id" not in named:
        raise ConfigInvalid("provider.client_id", "is missing")
    return Provider(issuer=issuer, client_secret=secret, **named)


def _origin(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme != "https" or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ConfigInvalid("origin", "is https:// and a host, such as https://review.mpi.go.th")
    return f"https://{parts.netloc.lower()}"


def _text(table: Mapping[str, Any], key: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value:
        raise ConfigInvalid(key, "is missing, or no text")
    return value


def _secret(path: Path) -> str:
    try:
        if path.stat().st_mode & 0o077:
            raise ConfigInvalid(
                "provider.client_secret", f"{path}: others than its owner may read it; run `chmod 600` on it"
            )
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigInvalid("provider.client_secret", f"{path} cannot be read ({type(error).__name__})") from None
    if not secret:
        raise ConfigInvalid("provider.client_secret", f"{path} is empty")
    return secret
