"""Where an index is served: one address, or those of several replicas."""

from __future__ import annotations

import ipaddress
import re
from contextlib import suppress
from dataclasses import dataclass

from mpi.errors import ConfigInvalid

_PLACE = re.compile(r"(\[[\w.%]*:[\w:.%]*\]|[^\s/:\[\]]+):[0-9]{1,5}")
"""A host, in brackets where it is a number of IPv6, and a port."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses of an index's servers.

    Attributes:
        places: host and port of each, such as "10.0.0.1:7443" or "[fd00::1]:7443".
        name: what the certificates of several servers must all bear; "" for one server, which answers for its own host.
    """

    places: tuple[str, ...]
    name: str = ""

    def __str__(self) -> str:
        return ",".join(self.places)

    @property
    def target(self) -> str:
        """What gRPC connects to: all of them; it resolves the name of a single one itself, as often as it needs to."""
        return _target(self.places) if len(self.places) > 1 else self.places[0]

    @property
    def targets(self) -> list[str]:
        """What gRPC connects to for each of them alone."""
        return [_target([place]) for place in self.places] if len(self.places) > 1 else [self.places[0]]

    def is_loopback(self) -> bool:
        """Say whether all of them are of this machine."""
        return all(_is_loopback(host_of(place)) for place in self.places)


def read_addresses(text: str) -> Addresses:
    """Read an address, or several with commas between them and, where their hosts differ, their name before them.

    ::

        mpi.example.go.th:7443
        10.0.0.1:7443,10.0.0.1:7444
        mpi.example.go.th=10.0.0.1:7443,10.0.0.2:7443

    Raises:
        ConfigInvalid: one lacks its host or port; several are not all numbers of one family, or differ in their host
            and have no name.
    """
    name, equals, rest = text.rpartition("=")
    places = tuple(place.strip() for place in rest.split(","))
    for place in places:
        if not _PLACE.fullmatch(place) or not 0 < int(place.rpartition(":")[2]) <= 0xFFFF:
            raise ConfigInvalid("address", "is a host and a port, such as mpi.example.go.th:7443 or [::1]:7443")
    if len(places) == 1 and not equals:
        return Addresses(places)
    families = {_family(place) for place in places}
    if len(families) > 1 or 0 in families:
        raise ConfigInvalid(
            "address",
            "several are numbers with ports, all of IPv4 or all of IPv6, such as 10.0.0.1:7443,10.0.0.2:7443; "
            "give servers with names one name in DNS",
        )
    hosts = {host_of(place) for place in places}
    if not name.strip() if equals else len(hosts) > 1:
        raise ConfigInvalid(
            "address",
            "several machines need the name that their certificates bear before their addresses, such as "
            "mpi.example.go.th=10.0.0.1:7443,10.0.0.2:7443",
        )
    return Addresses(places, name.strip() or hosts.pop())


def host_of(place: str) -> str:
    """The host of an address, without brackets."""
    return place.rpartition(":")[0].removeprefix("[").removesuffix("]")


def _target(places: list[str] | tuple[str, ...]) -> str:
    return f"ipv{_family(places[0])}:{','.join(places)}"


def _family(place: str) -> int:
    """4 or 6; 0 for what is no number."""
    with suppress(ValueError):
        return ipaddress.ip_address(host_of(place)).version
    return 0


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False
