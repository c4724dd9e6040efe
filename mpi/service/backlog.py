"""The backlog: what registration put off, done beside it."""

from __future__ import annotations

import logging
import threading
from typing import Protocol

from mpi.errors import MpiError

PAUSE_SECONDS = 1.0

_log = logging.getLogger(__name__)


class Deferred(Protocol):
    """Has work that was put off."""

    def work_off(self) -> int:
        """Do some of it; says how much."""


class Backlog:
    """A thread that works off what was put off, until it is stopped."""

    def __init__(self, deferred: Deferred, pause: float = PAUSE_SECONDS) -> None:
        self._deferred = deferred
        self._pause = pause
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mpi-backlog", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop after the piece of work under way; the rest stays in the store."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        pause, waits = self._pause, False
        while not self._stop.wait(pause):
            try:
                pause, waits = 0 if self._deferred.work_off() else self._pause, False
            except MpiError as error:
                if not waits:  # an outage is told once
                    _log.warning("deferred comparisons wait: %s", error.message)
                pause, waits = self._pause, True
