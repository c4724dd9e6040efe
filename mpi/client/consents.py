"""What citizens want, and what privacy officers judge and lift."""

from __future__ import annotations

from collections.abc import Sequence

from mpi.client.channel import Part
from mpi.domain.consent import Carried, Consent, Opening, OpeningStatus
from mpi.domain.identifiers import IdentifierToken, LocateKey
from mpi.domain.purpose import PurposeOfUse
from mpi.v1 import consent_service_pb2 as consent_pb2
from mpi.v1 import privacy_service_pb2 as privacy_pb2
from mpi.wire import consent, convert


class Consenting(Part):
    """Calls of whoever brings consents, and of privacy officers."""

    def give_consent(
        self,
        token: IdentifierToken,
        network: str,
        purposes: Sequence[PurposeOfUse],
        *,
        once: bool = False,
        includes_sensitive: bool = False,
        reference: str = "",
    ) -> bytes:
        """Keep a citizen's consent, also before anything is registered of them.

        Args:
            token: of the citizen's number. While key epochs are changed, give it under both.
            network: of facilities, as the index's policy names it.
            purposes: purposes of use that it is about.
            once: it holds for one lookup of each purpose.
            includes_sensitive: it includes facilities of sensitive classes.
            reference: where it is documented, never a value that names the citizen.

        Returns:
            A revision token: a lookup that demands it goes by this consent.

        Raises:
            RecordRejected: the network is unknown, or no purpose is named.
            AccessDenied: the client brings no consents.
        """
        request = consent_pb2.GiveRequest(
            identifier=convert.token_to_proto(token),
            network=network,
            purposes=[convert.purpose_to_proto(each) for each in purposes],
            once=once,
            includes_sensitive=includes_sensitive,
            reference=reference,
        )
        return bytes(self._call(self._channel.consent.Give, request).revision)

    def withdraw_consent(
        self, token: IdentifierToken, network: str, purposes: Sequence[PurposeOfUse], *, reference: str = ""
    ) -> bytes:
        """Keep a citizen's objection; arguments, result and errors as of `give_consent`."""
        request = consent_pb2.WithdrawRequest(
            identifier=convert.token_to_proto(token),
            network=network,
            purposes=[convert.purpose_to_proto(each) for each in purposes],
            reference=reference,
        )
        return bytes(self._call(self._channel.consent.Withdraw, request).revision)

    def consents(self, token: IdentifierToken) -> list[Consent]:
        """Say what holds under a number: all of it to a privacy officer, to others what they brought."""
        request = consent_pb2.ListRequest(identifier=convert.token_to_proto(token))
        response = self._call(self._channel.consent.List, request)
        return [consent.consent_from_proto(token, each) for each in response.consents]

    def openings(self, after: int = 0) -> list[Opening]:
        """List lookups that broke the glass and wait to be judged, the oldest first, at most 100."""
        response = self._call(self._channel.privacy.ListOpenings, privacy_pb2.ListOpeningsRequest(after=after))
        return [consent.opening_from_proto(each) for each in response.openings]

    def carried(self, key: LocateKey) -> list[Carried]:
        """List the objections that records of the people behind a key keep by themselves."""
        request = privacy_pb2.ListCarriedRequest(key=convert.key_to_proto(key))
        response = self._call(self._channel.privacy.ListCarried, request)
        return [consent.carried_from_proto(each) for each in response.carried]

    def every_carried(self, cursor: bytes = b"") -> tuple[list[Carried], bytes]:
        """List everybody's, a page at a time: what waits for a privacy officer since records were parted.

        Args:
            cursor: what the page before said; empty for the first one.

        Returns:
            The page, and the cursor of the next one; empty when there is none.
        """
        response = self._call(self._channel.privacy.ListCarried, privacy_pb2.ListCarriedRequest(cursor=cursor))
        return [consent.carried_from_proto(each) for each in response.carried], response.cursor

    def lift_carried(
        self, record: int, network: str, purposes: Sequence[PurposeOfUse], *, reference: str = ""
    ) -> bytes:
        """Take objections back that a record keeps by itself.

        Returns:
            A revision token, which a lookup can demand as `at_least`.

        Raises:
            NotFound: the record keeps no such objection.
        """
        request = privacy_pb2.LiftCarriedRequest(
            record=record,
            network=network,
            purposes=[convert.purpose_to_proto(each) for each in purposes],
            reference=reference,
        )
        return bytes(self._call(self._channel.privacy.LiftCarried, request).revision)

    def judge_opening(self, number: int, *, justified: bool) -> None:
        """Say whether a lookup that broke the glass was right.

        Raises:
            Conflict: no such opening waits to be judged.
        """
        status = OpeningStatus.JUSTIFIED if justified else OpeningStatus.UNJUSTIFIED
        judgement = consent.judgement_to_proto(status)
        self._channel.call(
            self._channel.privacy.JudgeOpening, privacy_pb2.JudgeOpeningRequest(number=number, judgement=judgement)
        )
