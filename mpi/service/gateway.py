"""The gateway: checks what arrives, and re-keys it before anything else sees it.

Tokens become HMAC-SHA256 under the gateway's keys; vectors are diffused once more under a secret of the centre
(`mpi.linkage.rekeying`). So a thief of the database who holds a facility's key can neither try guesses against it nor
tell people by their exact distances, and nothing from before the gateway is stored or logged.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np

from mpi.domain.identifiers import IdentifierKind, IdentifierToken, LocalIdToken, LocateKey
from mpi.domain.record import (
    SEALED_VIEW_HEADER_BYTES,
    ChannelEncoding,
    EarlierEncoding,
    EncodedDemographics,
    EncodedRecord,
)
from mpi.errors import Reason, RecordRejected
from mpi.keyfiles import Keyed, derive
from mpi.linkage.rekeying import Rekeying
from mpi.rules import Rules
from mpi.service.keys import GatewayKey, gateway_key
from mpi.store.packing import pack_record
from mpi.store.reading import Reading


class _Keys:
    """Everything that is derived from one gateway key."""

    def __init__(self, secret: bytes, rules: Rules) -> None:
        self.tokens = {kind: Keyed(derive(secret, f"token/{kind.value}")) for kind in IdentifierKind}
        self._digests = {kind: keyed.digest for kind, keyed in self.tokens.items()}
        self.content = Keyed(derive(secret, "content"))
        self.local_id = Keyed(derive(secret, "token/local_id"))
        self.buckets = {name: Keyed(derive(secret, f"bucket/{name}")) for name in rules.profile.channel_names()}
        self.rekeying = Rekeying(secret, rules.profile.bits, rules.gateway)

    def look_up_keys(self, keys: Sequence[LocateKey | RecordRejected]) -> list[LocateKey | RecordRejected]:
        """Re-key look-up keys; an enterprise id stays what it is, and so does what was refused."""
        digests, new = self._digests, tuple.__new__  # the class would take twice as long
        return [
            new(IdentifierToken, (key.kind, digests[key.kind](key.value)))
            if isinstance(key, IdentifierToken)
            else self._other(key)
            for key in keys
        ]

    def _other(self, key: LocateKey | RecordRejected) -> LocateKey | RecordRejected:
        return LocalIdToken(self.local_id.digest(key.value)) if isinstance(key, LocalIdToken) else key


class Gateway:
    """Admits records of one profile and known key epochs, re-keyed under a secret of the centre.

    Which one is a matter of the key epoch that a record was encoded under, so a secret of the centre goes when the
    epochs of the facilities go that it belongs to. A look-up key does not say its epoch: it is tried under each.
    """

    def __init__(self, keys: Sequence[GatewayKey], rules: Rules, epochs: Collection[str]) -> None:
        self._profile = rules.profile
        every = {key: _Keys(key.secret, rules) for key in keys}
        self._every = tuple(every.values())
        self._by_epoch = {epoch: every[gateway_key(keys, epoch)] for epoch in epochs}

    def record(self, record: EncodedRecord) -> EncodedRecord:
        """Admit a record.

        Raises:
            RecordRejected: wrong profile, unknown epoch or channel, or a vector of the wrong length.
        """
        (admitted,) = self.records([record])
        if isinstance(admitted, RecordRejected):
            raise admitted
        return admitted

    def records(self, records: Sequence[EncodedRecord]) -> list[EncodedRecord | RecordRejected]:
        """Admit records together, which takes less time than one by one; each that is not admitted gives its error."""
        refused = [self.refusal(record) for record in records]
        admitted = iter(self.rekeyed([record for record, error in zip(records, refused, strict=True) if error is None]))
        return [next(admitted) if error is None else error for error in refused]

    def rekeyed(self, records: Sequence[EncodedRecord]) -> list[EncodedRecord]:
        """Re-key records that are not refused."""
        encodings = iter(self._rekeyed([each for record in records for each in record.encodings()]))
        return [self._admitted(record, encodings) for record in records]

    def refusal(self, record: EncodedRecord) -> RecordRejected | None:
        """Say why a record is not admitted; None for one that is."""
        earlier = record.earlier
        try:
            if earlier is not None and earlier.demographics.key_epoch == record.demographics.key_epoch:
                where = "earlier.demographics.key_epoch"
                raise RecordRejected(Reason.RECORD_MALFORMED, where, "is the record's own epoch")
            for demographics in record.encodings():
                self._check(demographics)
        except RecordRejected as rejected:
            return rejected
        return None

    def local_ids(self, record: EncodedRecord) -> list[bytes]:
        """Re-keyed tokens of a record's local id: of its own key epoch, then of the one before."""
        epochs = [each.key_epoch for each in record.encodings()]
        named = zip(epochs, record.names(), strict=True)
        return [self._by_epoch[epoch].local_id.digest(token) for epoch, (_, token) in named]

    def demographics(self, demographics: EncodedDemographics) -> EncodedDemographics:
        """Admit demographics; raises as `record` does."""
        self._check(demographics)
        return self._rekeyed([demographics])[0]

    def content_digest(self, record: EncodedRecord) -> bytes:
        """Keyed digest of a record as it arrived, 32 bytes: equal for equal content, and nothing else is kept of it."""
        sealed_alike = replace(record, sealed_view=record.sealed_view[:SEALED_VIEW_HEADER_BYTES])
        return self._by_epoch[record.demographics.key_epoch].content.digest(pack_record(sealed_alike))

    def identifiers(self, token: IdentifierToken) -> list[IdentifierToken]:
        """What the token of a number may be after re-keying: one of them it is."""
        return [IdentifierToken(token.kind, each.tokens[token.kind].digest(token.value)) for each in self._every]

    def local_id_tokens(self, token: LocalIdToken) -> list[LocalIdToken]:
        """What the token of a local id may be after re-keying: one of them it is."""
        return [LocalIdToken(each.local_id.digest(token.value)) for each in self._every]

    def look_up_keys(self, keys: Sequence[LocateKey | RecordRejected]) -> list[list[LocateKey | RecordRejected]]:
        """What look-up keys may be after re-keying, all of them under one gateway key after the other."""
        return [each.look_up_keys(keys) for each in self._every]

    def _admitted(self, record: EncodedRecord, encodings: Iterator[EncodedDemographics]) -> EncodedRecord:
        """Put a record together from its re-keyed encodings, which are the next ones."""
        local_id, *earlier = self.local_ids(record)
        return EncodedRecord(
            record.facility,
            local_id,
            record.pointer,
            next(encodings),
            EarlierEncoding(earlier[0], next(encodings)) if earlier else None,
            record.sealed_view,
        )

    def _check(self, demographics: EncodedDemographics) -> None:
        profile = self._profile
        if demographics.profile_digest != profile.digest:
            raise RecordRejected(
                Reason.PROFILE_MISMATCH,
                "demographics.profile_digest",
                f"this index compares records of profile {profile.name}, digest {profile.digest.hex()[:12]}; "
                "encode again with that file",
            )
        if demographics.key_epoch not in self._by_epoch:
            known = ", ".join(sorted(self._by_epoch)) or "none"
            raise RecordRejected(
                Reason.KEY_EPOCH_UNKNOWN, "demographics.key_epoch", f"this index accepts the key epochs: {known}"
            )
        kinds = set(profile.tokens)
        if any(token.kind not in kinds for token in demographics.tokens):
            raise RecordRejected(Reason.RECORD_MALFORMED, "demographics.tokens.kind", "not in the profile")
        for encoding in demographics.channels:
            if encoding.channel not in self._every[0].buckets:
                raise RecordRejected(Reason.RECORD_MALFORMED, "demographics.channels.channel", "not in the profile")
            if len(encoding.vector) * 8 != profile.bits:
                raise RecordRejected(
                    Reason.RECORD_MALFORMED,
                    "demographics.channels.vector",
                    f"{profile.bits // 8} bytes are expected",
                )

    def _rekeyed(self, those: Sequence[EncodedDemographics]) -> list[EncodedDemographics]:
        """Re-key encodings that were checked."""
        found: dict[int, EncodedDemographics] = {}
        for keys in self._every:
            own = {at: each for at, each in enumerate(those) if self._by_epoch[each.key_epoch] is keys}
            found.update(zip(own, self._rekeyed_with(keys, list(own.values())), strict=True))
        return [found[at] for at in range(len(those))]

    def _rekeyed_with(self, keys: _Keys, those: Sequence[EncodedDemographics]) -> list[EncodedDemographics]:
        sent = [each for demographics in those for each in demographics.channels]
        size = self._profile.bits // 8
        vectors = np.frombuffer(b"".join(each.vector for each in sent), np.uint8).reshape(-1, size)
        moved = keys.rekeying.vectors([e.channel for e in sent], [e.bucket for e in sent], vectors).tobytes()
        channels = iter(
            ChannelEncoding(each.channel, keys.buckets[each.channel].digest(each.bucket), moved[at : at + size])
            for each, at in zip(sent, range(0, len(moved), size), strict=True)
        )
        return [
            EncodedDemographics(
                each.profile,
                each.profile_digest,
                each.key_epoch,
                tuple(sorted(IdentifierToken(t.kind, keys.tokens[t.kind].digest(t.value)) for t in each.tokens)),
                tuple(islice(channels, len(each.channels))),
            )
            for each in those
        ]


def needing_older(reading: Reading, keys: Sequence[GatewayKey]) -> Iterator[bool]:
    """Say of every record that is held whether it carries an encoding that an older gateway key belongs to."""
    for live in reading.records():
        yield any(gateway_key(keys, each.key_epoch) is not keys[-1] for each in live.record.encodings())
