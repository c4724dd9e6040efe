"""Privacy-preserving master patient index for Thailand."""

from __future__ import annotations

from typing import Any

__all__ = ["Client"]


def __getattr__(name: str) -> Any:
    # `mpi.Client` without making every import of the package load gRPC.
    if name == "Client":
        from mpi.client import Client

        return Client
    raise AttributeError(name)
