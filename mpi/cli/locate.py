"""`mpi locate`: where are a person's records?"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from mpi.client import Client, Located
from mpi.domain.identifiers import EnterpriseId, LocateKey
from mpi.domain.identity import Identity, Location
from mpi.domain.purpose import PurposeOfUse
from mpi.encoder.facilities import NO_CODES, FacilityCodes, load_facility_codes
from mpi.encoder.identifiers import IdentifierRejected, parse_national_id
from mpi.encoder.keys import KeyRing, Keys, load_key_ring, load_lookup_keys
from mpi.encoder.tokens import PointerBox, Tokeniser
from mpi.errors import ConfigInvalid, InputRejected, RecordRejected

STANDARD_INPUT = "-"


def run(
    server: str,
    purpose: str,
    certs: Path | None,
    keys: Path | None,
    national_id: str | None,
    facility: str | None,
    local_id: str | None,
    eid: str | None,
    facility_codes: Path | None = None,
    *,
    reason: str = "",
    as_json: bool,
) -> None:
    """Look a person up and print the locations; local ids are shown where the key ring can open them.

    Args:
        server: address and port.
        purpose: a word of HL7 PurposeOfUse, such as "TREAT".
        certs: folder of the client's certificate; None speaks plain text to this machine.
        keys: the caller's key ring, or its look-up keys alone; needed for numbers and local ids, which leave here as
            tokens only.
        national_id: 13-digit number or G code; "-" reads it from standard input, so that no process list shows it.
        facility: facility code, together with `local_id`.
        local_id: the facility's own number of the person; "-" as for `national_id`.
        eid: enterprise id.
        facility_codes: which codes are of one facility; None where each has one.
        reason: why the glass is broken, with purpose BTG.
        as_json: print one JSON object.

    Raises:
        MpiError: an argument, the key ring or the server refuses.
    """
    use, codes = purpose_named(purpose), load_facility_codes(facility_codes)
    ring = load_key_ring(keys) if keys and keys.is_dir() else None
    look_up = locate_keys(load_lookup_keys(keys) if keys else (), national_id, facility, local_id, eid, codes)
    with Client(address=server, certificates=certs) as client:
        located = _locate(client, look_up, use, reason)
    if as_json:
        typer.echo(json.dumps(_figures(located, ring), ensure_ascii=False))
    else:
        _show(located, ring)


def locate_keys(
    epochs: Sequence[Keys],
    national_id: str | None,
    facility: str | None,
    local_id: str | None,
    eid: str | None,
    codes: FacilityCodes = NO_CODES,
) -> list[LocateKey]:
    """Make the look-up keys from what was given, one for each key epoch; exactly one way to name a person must be.

    Raises:
        ConfigInvalid: none or several ways were given, or the key ring that one needs is missing.
        InputRejected: the number is none; the message does not say what it was.
    """
    if sum((national_id is not None, local_id is not None or facility is not None, eid is not None)) != 1:
        raise ConfigInvalid("key", "give one of --national-id, --facility with --local-id, or --eid")
    if eid is not None:
        return [EnterpriseId(eid)]
    if not epochs:
        raise ConfigInvalid("--keys", "is needed: numbers and local ids leave this machine as tokens only")
    tokens = [Tokeniser(epoch) for epoch in reversed(epochs)]
    if national_id is None:
        if facility is None or local_id is None:
            raise ConfigInvalid("key", "--facility and --local-id go together")
        typed = _typed(local_id)
        return [each.local_id(codes.of(facility), typed) for each in tokens]
    try:
        number = parse_national_id(_typed(national_id))
    except IdentifierRejected as rejected:
        raise InputRejected(f"--national-id is not usable: {rejected.flag.value}") from None
    return [each.identifier(number.kind, number.value) for each in tokens]


def _locate(client: Client, keys: Sequence[LocateKey], purpose: PurposeOfUse, reason: str) -> Located:
    """Look up under every epoch: while it is being changed some facilities have registered under one of them only."""
    if len(keys) == 1:
        return client.locate(keys[0], purpose, reason=reason)
    found: dict[str, Identity] = {}
    if reason:  # never in a batch
        opened = [client.locate(key, purpose, reason=reason) for key in keys]
        found.update({identity.eid: identity for each in opened for identity in each.identities})
        registered = {code: at for each in opened for code, at in each.registered.items()}
        return Located(tuple(found[eid] for eid in sorted(found)), opened[-1].revision, registered)
    answer = client.batch_locate(keys, purpose)
    for identities in answer.answers:
        if isinstance(identities, RecordRejected):
            raise identities
        found.update({identity.eid: identity for identity in identities})
    return Located(tuple(found[eid] for eid in sorted(found)), answer.revision, answer.registered)


def _typed(argument: str) -> str:
    return sys.stdin.readline().strip() if argument == STANDARD_INPUT else argument


def purpose_named(word: str) -> PurposeOfUse:
    """The purpose of use that a word names; raises ConfigInvalid for none."""
    try:
        return PurposeOfUse(word.upper())
    except ValueError:
        raise ConfigInvalid("--purpose", f"is one of {', '.join(PurposeOfUse)}") from None


def _local_id(location: Location, ring: KeyRing | None) -> str | None:
    """Open a pointer if it is one of the key ring's own facility."""
    if ring is None:
        return None
    try:
        return PointerBox(ring.pointer_secret, location.facility, ring.earlier_pointer_secret).open(location.pointer)
    except InputRejected:
        return None


def _figures(located: Located, ring: KeyRing | None) -> dict[str, object]:
    return {
        "identities": [
            {
                "eid": identity.eid,
                "locations": [
                    {"facility": at.facility, "pointer": at.pointer.hex(), "local_id": _local_id(at, ring)}
                    for at in identity.locations
                ],
            }
            for identity in located.identities
        ],
        "registered": {code: at.isoformat() for code, at in located.registered.items()},
        "revision": located.revision.hex(),
    }


def _show(located: Located, ring: KeyRing | None) -> None:
    # Plain lines: an id or a pointer is of use only whole, and a table would cut it on a narrow terminal.
    if not located.identities:
        typer.echo("nothing is held under this key")
    for identity in located.identities:
        typer.echo(identity.eid)
        for at in identity.locations:
            local_id = _local_id(at, ring)
            typer.echo(
                f"  {at.facility}  " + (f"local id {local_id}  " if local_id else "") + f"pointer {at.pointer.hex()}"
            )
    for code, registered in located.registered.items():
        typer.echo(f"{code} registered last {registered:%Y-%m-%d %H:%M} UTC")
