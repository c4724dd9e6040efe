"""Encoded records: what the index knows of one facility's record of one person."""

from __future__ import annotations

from dataclasses import dataclass

from mpi.domain.identifiers import IdentifierToken

MAX_TOKENS = 16
MAX_CHANNELS = 32
MAX_POINTER_BYTES = 256
MAX_SEALED_VIEW_BYTES = 1024
SEALED_VIEW_HEADER_BYTES = 10
"""Version, masking and key of a sealed view: what is the same when the same is sealed again; the rest is random."""
MAX_BATCH = 1000

RecordName = tuple[str, bytes]
"""What a record is found by: its facility, and the token of its local id."""


@dataclass(frozen=True, slots=True, repr=False)
class ChannelEncoding:
    """One channel of a record: its bucket token and its vector there."""

    channel: str
    bucket: bytes
    vector: bytes

    def __repr__(self) -> str:
        return f"ChannelEncoding({self.channel})"


@dataclass(frozen=True, slots=True, repr=False)
class EncodedDemographics:
    """Everything that matching sees of a person.

    Attributes:
        profile: name of the encoding profile.
        profile_digest: SHA-256 of the profile's encoding section, 32 bytes.
        key_epoch: generation of the facilities' shared key.
        tokens: identifier tokens, sorted, no two equal.
        channels: channel encodings; a channel may occur more than once (previous name, alternative birth date).
    """

    profile: str
    profile_digest: bytes
    key_epoch: str
    tokens: tuple[IdentifierToken, ...]
    channels: tuple[ChannelEncoding, ...]

    def __repr__(self) -> str:
        kinds = [token.kind.value for token in self.tokens]
        names = [encoding.channel for encoding in self.channels]
        return f"EncodedDemographics({self.profile}, {self.key_epoch}, tokens={kinds}, channels={names})"


@dataclass(frozen=True, slots=True, repr=False)
class EarlierEncoding:
    """The same record under the key epoch before, as facilities send it while the epoch is being changed.

    Attributes:
        local_id_token: keyed hash of facility and local id under the earlier epoch.
        demographics: what matching sees under the earlier epoch.
    """

    local_id_token: bytes
    demographics: EncodedDemographics

    def __repr__(self) -> str:
        return f"EarlierEncoding({self.demographics!r})"


@dataclass(frozen=True, slots=True, repr=False)
class EncodedRecord:
    """One facility's record of one person.

    Attributes:
        facility: facility code.
        local_id_token: keyed hash of facility and local id; finds the record again.
        pointer: the local id encrypted with a key that only the facility holds.
        demographics: what matching sees.
        earlier: the record under the epoch before; None outside a change of epochs.
        sealed_view: masked display fields that only a steward's key opens; empty where a facility reveals nothing.
    """

    facility: str
    local_id_token: bytes
    pointer: bytes
    demographics: EncodedDemographics
    earlier: EarlierEncoding | None = None
    sealed_view: bytes = b""

    def encodings(self) -> tuple[EncodedDemographics, ...]:
        """Demographics under every epoch that the record was encoded with, the newest first."""
        return (self.demographics,) if self.earlier is None else (self.demographics, self.earlier.demographics)

    def names(self) -> list[RecordName]:
        """What the record is found by: under its own key epoch, then under the one before."""
        tokens = [self.local_id_token, *([self.earlier.local_id_token] if self.earlier else [])]
        return [(self.facility, token) for token in tokens]

    def __repr__(self) -> str:
        return f"EncodedRecord({self.facility}, {self.demographics!r})"
