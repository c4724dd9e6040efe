"""A server with a journal on disk and people in memory, to be killed.

Usage: python -m tests.audit.serving FOLDER   (serves plain text on a free port and prints the address)
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import uvloop

from mpi.audit.chain import Limits
from mpi.audit.journal import Journal
from mpi.server.app import serve
from tests.audit.journals import Place
from tests.server.running import MemoryIndex, encoded


def _say(address: str) -> None:
    sys.stdout.write(f"{address}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    place = Place.at(Path(sys.argv[1]))
    # Segments so short that many kills fall on the change from one to the next.
    journal = Journal(place.open(Limits(segment_bytes=20_000, checkpoint_entries=20)), place.keys)
    index = MemoryIndex()
    index.register([encoded(number) for number in range(5)], "")
    try:
        uvloop.run(serve(replace(index.application(), journal=journal), "127.0.0.1:0", None, _say))
    finally:
        journal.close()
