"""The feed of what changes about identities."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from mpi.client.channel import Part
from mpi.domain.purpose import PurposeOfUse
from mpi.domain.watching import Wanted, Watched
from mpi.feed import PATIENCE_SECONDS, follow
from mpi.wire import watching

EVERYTHING = Wanted()


class Watching(Part):
    """Calls of whoever keeps what lookups gave it."""

    def watch(
        self,
        purpose: PurposeOfUse,
        cursor: bytes = b"",
        wanted: Wanted = EVERYTHING,
        patience: float = PATIENCE_SECONDS,
    ) -> Generator[Watched, None, None]:
        """Watch identities change, without end; see `mpi.domain.watching` for what is told.

        A broken feed is opened again after the last page that was taken, so that none comes twice or is left out. Keep
        the cursor of each page once it is dealt with, and begin with it the next time.

        Args:
            purpose: why.
            cursor: of the last page that was dealt with; empty for "from now on".
            wanted: which events are.
            patience: seconds that the server may be away in one piece.

        Yields:
            Pages, the first at once; without events where nothing is to be told.

        Raises:
            RecordRejected: the cursor is none of this client's, or the filter is wrong.
            AccessDenied: the client may not watch.
            ServiceUnavailable: the server was away for too long.
        """

        def opened(after: bytes) -> Any:
            return self._channel.begun(self._channel.locator.WatchIdentities)(
                watching.request_to_proto(purpose, after, wanted)
            )

        return follow(opened, self._channel.meant, cursor, patience)
