"""A client of the index: calls become methods, messages become words of the domain, status becomes errors.

Usage::

    with mpi.Client(address="mpi.example.go.th:7443", certificates=Path("certs/facility-10661")) as client:
        client.register(record)
        client.locate(key, PurposeOfUse.TREAT)
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from mpi.client.administration import Administering
from mpi.client.channel import Channel
from mpi.client.consents import Consenting
from mpi.client.decisions import Deciding
from mpi.client.lookups import BatchLocated, Located, Looking, Matched
from mpi.client.questions import Answering
from mpi.client.registration import BatchRegistered, Registered, Registering, Retracted
from mpi.client.review import Reviewing
from mpi.client.watching import Watching
from mpi.domain.purpose import PurposeOfUse

__all__ = [
    "BatchLocated",
    "BatchRegistered",
    "Client",
    "Located",
    "Matched",
    "PurposeOfUse",
    "Registered",
    "Retracted",
]


class Client(Registering, Looking, Watching, Deciding, Reviewing, Answering, Consenting, Administering):
    """A connection to an index. Threads may share it; close it, or use it as a context manager.

    Args:
        address: host and port, such as "mpi.example.go.th:7443"; calls go in turn to all the machines that DNS knows
            under the name. Or the addresses of several replicas, as numbers: "10.0.0.1:7443,10.0.0.1:7444", and where
            machines differ "mpi.example.go.th=10.0.0.1:7443,10.0.0.2:7443" with the name in their certificates.
        certificates: folder with ca.pem, cert.pem and key.pem; without it plain text is spoken, to this machine only.
        timeout: deadline of a call in seconds; for a stream, the longest wait for the answer to a batch.
        coalesce: let lookups that several threads make at the same moment share a call; a lookup alone waits for
            nobody. Clients that may look up one by one only, as facilities do, go on as they are.
        hedge: with the addresses of several replicas, ask for a slow lookup once more at another one; the first answer
            counts. At most one lookup in twenty is asked for twice, and each attempt stands in the audit journal.
        hedge_after: seconds after which a lookup is slow; by default when 95 of 100 would have been answered.

    Raises:
        ConfigInvalid: a certificate file or an address is unusable, or plain text was asked for across a network.

    Every method raises the `MpiError` that the server meant, and ServiceUnavailable when it cannot be reached
    within the deadline; calls that find it unavailable have been repeated a few times by then.
    """

    def __init__(
        self,
        *,
        address: str,
        certificates: Path | None = None,
        timeout: float = 10.0,
        coalesce: bool = True,
        hedge: bool = True,
        hedge_after: float | None = None,
    ) -> None:
        channel = Channel(address, certificates, timeout)
        Looking.__init__(self, channel, coalesce=coalesce, hedge=hedge, hedge_after=hedge_after)

    def __repr__(self) -> str:
        return f"Client({self._channel.addresses}, {'mutual TLS' if self._channel.secure else 'plain text'})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; calls under way are cancelled."""
        self._channel.close()
