"""What the centre decides about clients, and what is in force there."""

from __future__ import annotations

from mpi.client.channel import Part
from mpi.domain.access import ClientRule
from mpi.v1 import admin_service_pb2 as admin_pb2
from mpi.wire import admin


class Administering(Part):
    """Calls of administrators."""

    def clients(self) -> list[ClientRule]:
        """List the clients about which something was decided."""
        response = self._call(self._channel.admin.ListClients, admin_pb2.ListClientsRequest())
        return [admin.rule_from_proto(each) for each in response.rules]

    def decide_client(self, rule: ClientRule) -> None:
        """Decide about a client, in place of all that was decided before; servers act on it within a second."""
        self._channel.call(
            self._channel.admin.DecideClient, admin_pb2.DecideClientRequest(rule=admin.rule_to_proto(rule))
        )

    def in_force(self) -> tuple[str, tuple[str, ...]]:
        """Say which rules are in force, by their digest, and which key epochs are accepted."""
        response = self._call(self._channel.admin.DescribeIndex, admin_pb2.DescribeIndexRequest())
        return response.rules_digest, tuple(response.key_epochs)
