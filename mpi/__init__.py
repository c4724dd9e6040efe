"""Privacy-preserving master patient index for Thailand."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mpi.client import Client

__all__ = ["Client"]


def __getattr__(name: str) -> object:
    """Give `mpi.Client` on first use, so that importing `mpi` loads no gRPC."""
    if name == "Client":
        from mpi.client import Client

        return Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
