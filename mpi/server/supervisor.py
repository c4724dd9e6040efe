"""Several processes behind one address: workers that answer lookups, and a registrar that writes.

Matching a batch takes a processor for a while; in a process of its own it keeps no lookup waiting. Workers read the
index alone, which they share with the registrar, and listen on one port: the kernel hands each connection to one of
them (SO_REUSEPORT). A process that dies is started again, soon at first and then ever more slowly.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mpi.errors import ConfigInvalid, ServiceUnavailable
from mpi.server.app import STOP_SECONDS, host_of

LOOK_SECONDS = 0.2
"""How often the supervisor looks whether a process has died."""
SOONEST, LATEST = 0.2, 30.0
"""Seconds before a process that died is started again: twice as long each time that it did not last."""
LASTING_SECONDS = 10.0
"""A process that ran for so long has started well."""
REGISTRAR_NICENESS = 10
"""How much the registrar lets others go first, of 0 to 19."""
_DRAIN_SECONDS = STOP_SECONDS + 10.0

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Child:
    """A process under supervision, and how it is started."""

    name: str
    command: Sequence[str]
    process: subprocess.Popen[str]
    begun: float = field(default_factory=time.monotonic)
    wait: float = SOONEST
    due: float | None = None


def reserved(listen: str) -> tuple[socket.socket, str]:
    """Reserve an address for several processes; gives what holds it, and the address with its port.

    Who shares a port lets others share it, and callers would be split between two indexes: so nobody may be there yet.

    Raises:
        ConfigInvalid: the address cannot be used.
    """
    host, port = host_of(listen), int(listen.rpartition(":")[2])
    bare = host.removeprefix("[").removesuffix("]")
    holder = socket.socket(socket.AF_INET6 if ":" in bare else socket.AF_INET)
    try:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that ended do not count
        holder.bind((bare, port))
        # From here on workers may come, and nobody else.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except OSError:
        holder.close()
        raise ConfigInvalid("listen", f"{listen} cannot be bound; is another server there?") from None
    return holder, f"{host}:{holder.getsockname()[1]}"


class Supervisor:
    """Starts a registrar and workers, starts again what dies, and stops all of them in order.

    Args:
        arguments: of `mpi serve`, for every process.
        workers: how many.
        listen: where lookups are answered.
        registrar: where everything else is, lookups too.
    """

    def __init__(self, arguments: Sequence[str], workers: int, listen: str, registrar: str) -> None:
        self._command = [sys.executable, "-m", "mpi", "serve", *arguments, "--json", "--supervised", "--listen"]
        self._stop = threading.Event()
        self._holder, self.listening = reserved(listen)
        try:
            # The first process makes what is missing: keys, tables, the index. The others find it there.
            first = self._started("registrar", [*self._command, registrar])
            self.registrar = _address(first.process)
            first.command = [*self._command, self.registrar]
            self._children = [first]
            for number in range(1, workers + 1):
                command = [*self._command, self.listening, "--role", "worker"]
                self._children.append(self._started(f"worker {number}", command))
            for child in self._children[1:]:
                _address(child.process)
        except BaseException:
            self.close()
            raise

    def run(self, on_ready: Callable[[str, str], None]) -> None:
        """Watch until SIGINT or SIGTERM, then let every process finish what it has begun."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self._stop.set())
        on_ready(self.listening, self.registrar)
        try:
            while not self._stop.wait(LOOK_SECONDS):
                for child in self._children:
                    self._look_after(child)
        finally:
            self.close()

    def close(self) -> None:
        """Stop every process: workers first, so that what they have begun still finds the registrar's index."""
        children = list(reversed(getattr(self, "_children", [])))
        for child in children:
            child.process.terminate()
        until = time.monotonic() + _DRAIN_SECONDS
        for child in children:
            try:
                child.process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                _log.error("the %s did not stop in time", child.name)
                child.process.kill()
                child.process.wait()
            _close(child.process)
        self._holder.close()

    def _look_after(self, child: _Child) -> None:
        if child.process.poll() is None:
            return
        now = time.monotonic()
        if child.due is None:
            child.wait = SOONEST if now - child.begun > LASTING_SECONDS else min(2 * child.wait, LATEST)
            child.due = now + child.wait
            _log.error("the %s ended with %d; it is started again", child.name, child.process.returncode)
        elif now >= child.due:
            _close(child.process)
            child.process, child.begun, child.due = self._started(child.name, child.command).process, now, None

    def _started(self, name: str, command: Sequence[str]) -> _Child:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603 (our own)
        return _Child(name, command, process)


def give_way() -> None:
    """Let workers have a processor first where both want it: a batch can wait for a moment, a lookup should not."""
    os.nice(REGISTRAR_NICENESS)


def stop_with_supervisor() -> None:
    """Stop this process as SIGTERM does when its supervisor is gone: that holds the other end of standard input."""

    def watch() -> None:
        sys.stdin.read()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="mpi-supervised", daemon=True).start()


def _close(process: subprocess.Popen[str]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _address(process: subprocess.Popen[str]) -> str:
    """Wait until a process listens; raises ServiceUnavailable where it ends instead."""
    assert process.stdout is not None  # noqa: S101 (it is a pipe)
    line = process.stdout.readline()
    if not line:
        raise ServiceUnavailable(f"a server process ended with {process.wait()} at its start; it says why above")
    return str(json.loads(line)["listening"])


def arguments(data: Path, config: Path | None, *, insecure: bool) -> list[str]:
    """Arguments of `mpi serve` that every process is started with."""
    return [
        "--data",
        str(data),
        *(["--config", str(config)] if config else []),
        *(["--insecure"] if insecure else []),
    ]
