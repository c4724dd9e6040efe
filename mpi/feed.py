"""A feed that goes on: read page by page, opened again where it broke off, at the pace of whoever takes the pages."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from typing import Any

import grpc

from mpi.domain.watching import Watched
from mpi.errors import IndexBehind, MpiError, ServiceUnavailable
from mpi.wire import watching

PATIENCE_SECONDS = 120.0
"""How long a server may be away in one piece before a feed gives up."""
SILENCE_SECONDS = 60.0
"""Servers say something every 15 seconds; one that is silent for so long is gone."""
SOONEST, LATEST = 0.1, 5.0
"""Seconds before a feed is opened again: twice as long each time that nothing came."""
LOOK_SECONDS = 0.5
"""How often it is looked whether the call still lives."""

Opened = Callable[[bytes], Any]
"""Calls the server, to go on after a cursor."""
Meant = Callable[[grpc.RpcError], MpiError]
"""Says which error a status means."""


def follow(opened: Opened, meant: Meant, cursor: bytes, patience: float) -> Generator[Watched, None, None]:
    """Give page after page; each is followed by those after its cursor, over one call or several.

    Args:
        opened: makes a call.
        meant: reads its error.
        cursor: where to begin.
        patience: seconds without a page after which ServiceUnavailable is raised.

    Raises:
        MpiError: the server refused, or was away for too long.
    """
    heard, wait = time.monotonic(), SOONEST
    while True:
        try:
            with closing(_pages(opened(cursor), meant)) as pages:
                for page in pages:
                    cursor, wait = page.cursor, SOONEST
                    yield page
                    heard = time.monotonic()  # the time that the caller took does not count
        except (ServiceUnavailable, IndexBehind):
            if time.monotonic() - heard + wait > patience:
                raise
        time.sleep(wait)
        wait = min(2 * wait, LATEST)


def _pages(call: Any, meant: Meant) -> Generator[Watched, None, None]:
    """Read one call, no more than a page ahead."""
    ahead: queue.Queue[Any] = queue.Queue(1)
    closing = threading.Event()

    def read() -> None:
        try:
            for response in call:
                _put(ahead, response, closing)
            _put(ahead, None, closing)
        except grpc.RpcError as error:
            _put(ahead, error.with_traceback(None), closing)

    reader = threading.Thread(target=read, name="mpi-feed", daemon=True)
    reader.start()
    try:
        until = time.monotonic() + SILENCE_SECONDS
        while True:
            # Of a server that was killed gRPC may know that the call has ended and still never wake its reader.
            ended = not call.is_active()
            try:
                found = ahead.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                if ended or time.monotonic() > until:
                    raise ServiceUnavailable("the connection was lost") from None
                continue
            if found is None:
                return
            if isinstance(found, grpc.RpcError):
                raise meant(found)
            yield watching.watched_from_proto(found)
            until = time.monotonic() + SILENCE_SECONDS
    finally:
        closing.set()
        call.cancel()
        reader.join(LOOK_SECONDS)


def _put(ahead: queue.Queue[Any], found: Any, closing: threading.Event) -> None:
    while not closing.is_set():
        with suppress(queue.Full):
            ahead.put(found, timeout=LOOK_SECONDS)
            return
