"""The policy of disclosure: a TOML file, checked as a whole."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from mpi.domain.access import client_named
from mpi.domain.consent import Basis, Network, Policy
from mpi.domain.identifiers import is_facility_code
from mpi.domain.purpose import PurposeOfUse
from mpi.errors import ConfigInvalid

SHIPPED = Path(__file__).with_name("policy.toml")

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}", re.ASCII)
_NETWORK_KEYS = {"basis", "facilities", "clients", "binding"}


def load_policy(path: Path | None = None) -> Policy:
    """Read a policy; without a path the one that is shipped.

    Raises:
        ConfigInvalid: the file cannot be read, or breaks its format; every problem is named.
    """
    path = path or SHIPPED
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigInvalid("policy", f"{path} cannot be read ({type(error).__name__})") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigInvalid("policy", f"{path} is not TOML ({error})") from None
    problems: list[str] = []
    policy = _policy(table, problems)
    if problems:
        raise ConfigInvalid("policy", f"{path}: " + "; ".join(problems))
    return policy


def _policy(table: dict[str, Any], problems: list[str]) -> Policy:
    unknown = sorted(table.keys() - {"networks", "sensitive"})
    problems.extend(f"{key}: is neither networks nor sensitive" for key in unknown)
    networks, classes = table.get("networks"), table.get("sensitive", {})
    if not isinstance(networks, dict) or not networks:
        problems.append("networks: names no network")
        networks = {}
    if not isinstance(classes, dict):
        problems.append("sensitive: is not a table of classes")
        classes = {}
    unnamed = [name for name in (*networks, *classes) if not _NAME.fullmatch(name)]
    problems.extend(f"{name}: is not a name of lower-case letters, digits and hyphens, at most 32" for name in unnamed)
    return Policy(
        tuple(_network(name, entry, problems) for name, entry in networks.items()),
        {name: _codes(f"sensitive.{name}", codes, problems) for name, codes in classes.items()},
    )


def _network(name: str, entry: Any, problems: list[str]) -> Network:
    where = f"networks.{name}"
    if not isinstance(entry, dict):
        problems.append(f"{where}: is not a table")
        entry = {}
    known = ", ".join(sorted(_NETWORK_KEYS))
    problems.extend(f"{where}.{key}: is none of {known}" for key in sorted(entry.keys() - _NETWORK_KEYS))
    basis = Basis.OPT_IN
    if entry.get("basis") in list(Basis):
        basis = Basis(entry["basis"])
    else:
        problems.append(f"{where}.basis: is one of {', '.join(Basis)}")
    codes = entry.get("facilities")
    facilities = None if codes == "every" else _codes(f"{where}.facilities", codes, problems)
    clients = _texts(f"{where}.clients", entry.get("clients", []), problems)
    problems.extend(f"{where}.clients: holds what is not a client's name" for each in clients if not client_named(each))
    words = _texts(f"{where}.binding", entry.get("binding", []), problems)
    if words - set(PurposeOfUse):
        problems.append(f"{where}.binding: holds what is none of {', '.join(PurposeOfUse)}")
    if words and basis is Basis.OPT_IN:
        problems.append(f"{where}.binding: nothing binds where the ground is consent")
    binding = frozenset(PurposeOfUse(word) for word in words & set(PurposeOfUse))
    return Network(name, basis, facilities, frozenset(clients), binding)


def _codes(where: str, value: Any, problems: list[str]) -> frozenset[str]:
    codes = _texts(where, value, problems)
    if not all(map(is_facility_code, codes)):
        problems.append(f"{where}: holds what is not a facility code (5 to 9 upper-case letters and digits)")
    return frozenset(codes)


def _texts(where: str, value: Any, problems: list[str]) -> set[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        problems.append(f"{where}: is not a list of texts")
        return set()
    return set(value)
