"""Figures for Prometheus: what registration decided, what guards held back, how far the index is behind.

They are read when they are asked for, so nothing on the way of a call waits for them. No label names a person, a
record, a facility or a client.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mpi.errors import ConfigInvalid, MpiError


class Counted(Protocol):
    """Counts what it does."""

    @property
    def counts(self) -> Mapping[tuple[str, str], int]:
        """How often each thing was done: decision and rule; "joined"; "deferred" and channel."""


class Standing(Protocol):
    """Knows where store and index stand."""

    def tasks(self) -> Mapping[str, int]:
        """How many tasks are open, and how many wait for a full bucket."""

    def behind(self) -> int:
        """How many changes the index has not taken over yet."""


class Refusing(Protocol):
    """Refuses lookups beyond limits."""

    @property
    def refused(self) -> Mapping[str, int]:
        """How often each limit refused somebody."""


class Figures(Collector):
    """What a scrape reads."""

    def __init__(self, counted: Counted, standing: Standing, refusing: Refusing | None = None) -> None:
        self._counted = counted
        self._standing = standing
        self._refusing = refusing

    def collect(self) -> Iterator[Metric]:
        """Read the figures."""
        placed = CounterMetricFamily(
            "mpi_placements", "Records registered since the start, by decision and rule.", labels=["decision", "why"]
        )
        joined = CounterMetricFamily("mpi_joins", "Identities joined since the start because a record showed them one.")
        deferred = CounterMetricFamily(
            "mpi_deferrals", "Comparisons put off since the start, because a bucket was too full.", labels=["channel"]
        )
        joins = 0
        for (what, which), count in sorted(dict(self._counted.counts).items()):
            if what == "deferred":
                deferred.add_metric([which], count)
            elif what == "joined":
                joins += count
            else:
                placed.add_metric([what, which], count)
        joined.add_metric([], joins)
        yield from (placed, joined, deferred)
        if self._refusing is not None:
            refused = CounterMetricFamily(
                "mpi_refusals", "Lookups refused since the start; an alarm should watch misses.", labels=["limit"]
            )
            for limit, count in sorted(dict(self._refusing.refused).items()):
                refused.add_metric([limit], count)
            yield refused
        tasks = GaugeMetricFamily("mpi_tasks", "Tasks that are open, or wait for a full bucket.", labels=["status"])
        behind = GaugeMetricFamily("mpi_index_behind", "Changes that the index has not taken over from the store yet.")
        try:
            for status, count in self._standing.tasks().items():
                tasks.add_metric([status], count)
            behind.add_metric([], self._standing.behind())
        except MpiError:
            return  # the database is away: a gap in the curve says so
        yield from (tasks, behind)


@contextmanager
def served(listen: str, figures: Figures) -> Iterator[str]:
    """Serve the figures over HTTP until the block ends; gives the address.

    Raises:
        ConfigInvalid: the address cannot be used.
    """
    host, colon, port = listen.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 0xFFFF:
        raise ConfigInvalid("metrics", "is not an address and a port, such as 127.0.0.1:9464")
    registry = CollectorRegistry()
    registry.register(figures)
    try:
        server, thread = start_http_server(int(port), host.strip("[]"), registry)
    except OSError:
        raise ConfigInvalid("metrics", f"{listen} cannot be bound; is another server there?") from None
    try:
        yield f"{host}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
