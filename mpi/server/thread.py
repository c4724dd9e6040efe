"""A server in a thread of its own, beside whatever else the process does: for tests, over real sockets."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress

import uvloop

from mpi.config import TlsFiles
from mpi.errors import ServiceUnavailable
from mpi.server.app import Application, serve

STOP_SECONDS = 30.0
"""How long the server may take to stop; calls under way end before."""


@contextmanager
def served_in_thread(application: Application, listen: str, tls: TlsFiles | None) -> Iterator[str]:
    """Serve as `serve` does, on an event loop of its own, until the block ends; give the address.

    Raises:
        ConfigInvalid: as `serve`.
        ServiceUnavailable: the server did not stop.
    """
    started = Future[str]()
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    loop = runner.get_loop()
    serving = loop.create_task(serve(application, listen, tls, started.set_result))

    async def wait() -> None:
        await serving

    def run() -> None:
        try:
            with runner:
                runner.run(wait())
        except asyncio.CancelledError:
            pass
        except Exception as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=run, name="mpi-server")
    thread.start()
    try:
        yield started.result()
    finally:
        with suppress(RuntimeError):  # it has stopped already
            loop.call_soon_threadsafe(serving.cancel)
        thread.join(STOP_SECONDS)
        if thread.is_alive():
            raise ServiceUnavailable(f"the server did not stop within {STOP_SECONDS:g} s")
