"""Streams of batches, with a time limit on every answer."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from mpi.errors import ServiceUnavailable

BATCHES_IN_FLIGHT = 4
"""Batches sent ahead of the answers: enough to keep the server busy, few enough to lose little."""
LOOK_SECONDS = 0.5
"""How often a stream that waits for an answer looks whether its call still lives."""


class Stream:
    """A stream of batches whose answers can be waited for with a time limit, which gRPC's own iterator cannot."""

    def __init__(self, method: Callable[..., Any]) -> None:
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._responses: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._unanswered = 0
        self._call = method(iter(self._requests.get, None))
        self._reader = threading.Thread(target=self._read, name="mpi-stream", daemon=True)
        self._reader.start()

    def send(self, request: Any) -> None:
        """Send a batch; never waits."""
        self._unanswered += 1
        self._requests.put(request)

    def finish(self) -> None:
        """Say that no more batches come."""
        self._requests.put(None)

    def answers(self, most_unanswered: int, timeout: float) -> Iterator[Any]:
        """Give the answers that are there, and wait until no more than `most_unanswered` batches lack theirs."""
        until = time.monotonic() + timeout
        while self._unanswered:
            wait = self._unanswered > most_unanswered
            # Of a server that was killed gRPC may know that the call has ended and still never wake its reader.
            ended = not self._call.is_active()
            try:
                response = self._responses.get(wait, LOOK_SECONDS if wait else None)
            except queue.Empty:
                if not wait:
                    return
                if ended:
                    raise ServiceUnavailable("the connection was lost before every batch was answered") from None
                if time.monotonic() > until:
                    raise ServiceUnavailable(f"no answer to a batch within {timeout:g} s") from None
                continue
            until = time.monotonic() + timeout
            if isinstance(response, grpc.RpcError):
                raise response
            if response is None:
                raise ServiceUnavailable("the server ended the stream before it had answered every batch")
            self._unanswered -= 1
            yield response

    def close(self) -> None:
        """End the call, whether or not every batch was answered."""
        self._requests.put(None)
        self._call.cancel()
        self._reader.join(LOOK_SECONDS)  # it may never wake, as above
        # The call takes its lock once more when it is freed. At the interpreter's end a thread of gRPC's may be frozen
        # with that lock, so the call must be freed now: nothing may refer to it any longer, its own traceback included.
        del self._call

    def _read(self) -> None:
        try:
            for response in self._call:
                self._responses.put(response)
            self._responses.put(None)
        except grpc.RpcError as error:
            self._responses.put(error.with_traceback(None))
