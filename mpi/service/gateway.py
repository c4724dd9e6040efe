"""The gateway: checks what arrives, and re-keys it before anything else sees it.

Tokens become HMAC-SHA256 under the gateway's keys; vectors are diffused once more under a secret of the centre
(`mpi.linkage.rekeying`). So a thief of the database who holds a facility's key can neither try guesses against it nor
tell people by their exact distances, and nothing from before the gateway is stored or logged.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from mpi.domain.identifiers import IdentifierKind, IdentifierToken, LocalIdToken
from mpi.domain.record import (
    SEALED_VIEW_HEADER_BYTES,
    ChannelEncoding,
    EarlierEncoding,
    EncodedDemographics,
    EncodedRecord,
)
from mpi.errors import Reason, RecordRejected
from mpi.keyfiles import derive
from mpi.linkage.rekeying import Rekeying
from mpi.rules import Rules
from mpi.store.packing import pack_record


class Gateway:
    """Admits records of one profile and known key epochs, re-keyed under a secret of the centre."""

    def __init__(self, secret: bytes, rules: Rules, epochs: Collection[str]) -> None:
        self._profile = profile = rules.profile
        self._epochs = frozenset(epochs)
        self._tokens = {kind: derive(secret, f"token/{kind.value}") for kind in IdentifierKind}
        self._content = derive(secret, "content")
        self._local_id = derive(secret, "token/local_id")
        self._buckets = {name: derive(secret, f"bucket/{name}") for name in profile.channel_names()}
        self._rekeying = Rekeying(secret, profile.bits, rules.gateway)

    def record(self, record: EncodedRecord) -> EncodedRecord:
        """Admit a record.

        Raises:
            RecordRejected: wrong profile, unknown epoch or channel, or a vector of the wrong length.
        """
        earlier = record.earlier
        if earlier is not None and earlier.demographics.key_epoch == record.demographics.key_epoch:
            raise RecordRejected(Reason.RECORD_MALFORMED, "earlier.demographics.key_epoch", "is the record's own epoch")
        return EncodedRecord(
            record.facility,
            self._local_id_token(record.local_id_token),
            record.pointer,
            self.demographics(record.demographics),
            earlier
            and EarlierEncoding(self._local_id_token(earlier.local_id_token), self.demographics(earlier.demographics)),
            record.sealed_view,
        )

    def demographics(self, demographics: EncodedDemographics) -> EncodedDemographics:
        """Admit demographics; raises as `record` does."""
        self._check(demographics)
        return EncodedDemographics(
            demographics.profile,
            demographics.profile_digest,
            demographics.key_epoch,
            tuple(sorted(self.identifier(token) for token in demographics.tokens)),
            tuple(self._rekey(demographics.channels)),
        )

    def content_digest(self, record: EncodedRecord) -> bytes:
        """Keyed digest of a record as it arrived, 32 bytes: equal for equal content, and nothing else is kept of it."""
        sealed_alike = replace(record, sealed_view=record.sealed_view[:SEALED_VIEW_HEADER_BYTES])
        return hmac.digest(self._content, pack_record(sealed_alike), "sha256")

    def identifier(self, token: IdentifierToken) -> IdentifierToken:
        """Re-key the token of a number."""
        return IdentifierToken(token.kind, hmac.digest(self._tokens[token.kind], token.value, "sha256"))

    def local_id(self, token: LocalIdToken) -> LocalIdToken:
        """Re-key the token of a local id."""
        return LocalIdToken(self._local_id_token(token.value))

    def _local_id_token(self, value: bytes) -> bytes:
        return hmac.digest(self._local_id, value, "sha256")

    def _check(self, demographics: EncodedDemographics) -> None:
        profile = self._profile
        if demographics.profile_digest != profile.digest:
            raise RecordRejected(
                Reason.PROFILE_MISMATCH,
                "demographics.profile_digest",
                f"this index compares records of profile {profile.name}, digest {profile.digest.hex()[:12]}; "
                "encode again with that file",
            )
        if demographics.key_epoch not in self._epochs:
            known = ", ".join(sorted(self._epochs)) or "none"
            raise RecordRejected(
                Reason.KEY_EPOCH_UNKNOWN, "demographics.key_epoch", f"this index accepts the key epochs: {known}"
            )
        kinds = set(profile.tokens)
        if any(token.kind not in kinds for token in demographics.tokens):
            raise RecordRejected(Reason.RECORD_MALFORMED, "demographics.tokens.kind", "not in the profile")
        for encoding in demographics.channels:
            if encoding.channel not in self._buckets:
                raise RecordRejected(Reason.RECORD_MALFORMED, "demographics.channels.channel", "not in the profile")
            if len(encoding.vector) * 8 != profile.bits:
                raise RecordRejected(
                    Reason.RECORD_MALFORMED,
                    "demographics.channels.vector",
                    f"{profile.bits // 8} bytes are expected",
                )

    def _rekey(self, encodings: Sequence[ChannelEncoding]) -> list[ChannelEncoding]:
        if not encodings:
            return []
        size = self._profile.bits // 8
        vectors = np.frombuffer(b"".join(each.vector for each in encodings), np.uint8).reshape(-1, size)
        moved = self._rekeying.vectors([e.channel for e in encodings], [e.bucket for e in encodings], vectors)
        return [
            ChannelEncoding(
                each.channel, hmac.digest(self._buckets[each.channel], each.bucket, "sha256"), vector.tobytes()
            )
            for each, vector in zip(encodings, moved, strict=True)
        ]
