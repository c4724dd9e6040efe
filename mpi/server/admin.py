"""AdminService: what administrators decide about clients, and what the index accepts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Protocol

from mpi.domain.access import ClientRule
from mpi.server.edge import Context
from mpi.server.servicers import Writer, signed
from mpi.v1 import admin_service_pb2 as pb2
from mpi.v1 import admin_service_pb2_grpc
from mpi.wire import admin


class Clients(Protocol):
    """Keeps what is decided about clients."""

    def listed(self) -> list[ClientRule]:
        """Read what was decided."""

    def set_rule(self, rule: ClientRule, actor: str, request: str) -> None:
        """Decide about a client."""


class AdminServicer(admin_service_pb2_grpc.AdminServiceServicer):
    """Takes administrators' decisions."""

    def __init__(
        self, clients: Clients, rules_digest: str, key_epochs: Sequence[str], writer: Writer, pool: Executor
    ) -> None:
        self._clients = clients
        self._rules_digest = rules_digest
        self._key_epochs = key_epochs
        self._writer = writer
        self._pool = pool

    async def ListClients(self, request: pb2.ListClientsRequest, context: Context) -> pb2.ListClientsResponse:
        """List what was decided."""
        rules = await asyncio.get_running_loop().run_in_executor(self._pool, self._clients.listed)
        return pb2.ListClientsResponse(rules=[admin.rule_to_proto(rule) for rule in rules])

    async def DecideClient(self, request: pb2.DecideClientRequest, context: Context) -> pb2.DecideClientResponse:
        """Decide about a client."""
        rule = admin.rule_from_proto(request.rule)
        await self._writer.run(partial(self._clients.set_rule, rule, *signed()))
        return pb2.DecideClientResponse()

    async def DescribeIndex(self, request: pb2.DescribeIndexRequest, context: Context) -> pb2.DescribeIndexResponse:
        """Say what is in force."""
        return pb2.DescribeIndexResponse(rules_digest=self._rules_digest, key_epochs=self._key_epochs)
