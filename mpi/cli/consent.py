"""`mpi consent`: what citizens say, and what privacy officers judge and lift.

A person's number is read from standard input, or asked for without showing it; it is no option of any command, so no
shell history and no list of processes can hold it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mpi.domain.consent import Consent, Opening
from mpi.domain.purpose import PurposeOfUse
from mpi.errors import ConfigInvalid

if TYPE_CHECKING:
    from mpi.domain.identifiers import IdentifierToken, LocalIdToken

consent_app = typer.Typer(help="What citizens say about who may locate their records.", no_args_is_help=True)

Server = Annotated[str, typer.Option("--server", help="Address of the index.", metavar="HOST:PORT")]
Certificates = Annotated[
    Path | None,
    typer.Option("--certs", help="Folder with ca.pem, cert.pem and key.pem of this client.", metavar="DIR"),
]
Keys = Annotated[Path, typer.Option("--keys", help="Key ring, or the look-up keys of one.", metavar="DIR")]
AsJson = Annotated[bool, typer.Option("--json", help="Print figures for a script instead of for a person.")]
Network = Annotated[str, typer.Option("--network", help="Network of facilities, as the policy names it.")]
Purposes = Annotated[list[str], typer.Option("--purpose", help="Purpose, such as TREAT; several times for more.")]
Reference = Annotated[str, typer.Option("--reference", help="Where it is documented; never a name or a number.")]


@consent_app.command(
    "set",
    epilog="Example: mpi consent set --server 127.0.0.1:7443 --certs certs/exchange-cdes --keys keys/cdes "
    "--network health-link --purpose TREAT < number.txt",
)
def set_consent(
    server: Server,
    keys: Keys,
    network: Network,
    purpose: Purposes,
    certs: Certificates = None,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Keep an objection instead of a consent.")] = False,
    once: Annotated[bool, typer.Option("--once", help="It holds for one lookup of each purpose.")] = False,
    sensitive: Annotated[
        bool, typer.Option("--sensitive", help="It includes facilities of sensitive classes, such as psychiatry.")
    ] = False,
    reference: Reference = "",
    as_json: AsJson = False,
) -> None:
    """Keep what the person with the number on standard input says; while key epochs change, under each of them."""
    from mpi.client import Client

    if withdraw and (once or sensitive):
        raise ConfigInvalid("--withdraw", "goes with neither --once nor --sensitive")
    purposes = _purposes(purpose)
    revision = b""
    tokens = _tokens(keys)
    with Client(address=server, certificates=certs) as client:
        for token in tokens:
            if withdraw:
                revision = client.withdraw_consent(token, network, purposes, reference=reference)
            else:
                revision = client.give_consent(
                    token, network, purposes, once=once, includes_sensitive=sensitive, reference=reference
                )
    if as_json:
        typer.echo(json.dumps({"epochs": len(tokens), "revision": revision.hex()}))
    else:
        typer.echo(f"{'objection' if withdraw else 'consent'} kept, in force from revision {revision.hex()} on")


@consent_app.command(
    "show",
    epilog="Example: mpi consent show --server 127.0.0.1:7443 --certs certs/privacy-officer-pim --keys keys/cdes "
    "< number.txt",
)
def show(server: Server, keys: Keys, certs: Certificates = None, as_json: AsJson = False) -> None:
    """Show what holds under the number on standard input: all of it, or to an exchange what it brought."""
    from mpi.client import Client

    with Client(address=server, certificates=certs) as client:
        held = {(each.network, each.purpose): each for token in _tokens(keys) for each in client.consents(token)}
    said = [held[about] for about in sorted(held)]
    if as_json:
        typer.echo(json.dumps([_figures(each) for each in said]))
        return
    for each in said:
        words = [each.network, each.purpose.value, each.stance.value]
        words += ["once"] * each.once + ["with sensitive facilities"] * each.sensitive
        typer.echo("  ".join([*words, each.recorder, each.reference]).rstrip())
    if not said:
        typer.echo("nothing is held under this number that you may see")


@consent_app.command(
    "openings", epilog="Example: mpi consent openings --server 127.0.0.1:7443 --certs certs/privacy-officer-pim"
)
def openings(server: Server, certs: Certificates = None, as_json: AsJson = False) -> None:
    """List every lookup that broke the glass and waits to be judged, the oldest first."""
    from mpi.client import Client

    found: list[Opening] = []
    with Client(address=server, certificates=certs) as client:
        while page := client.openings(found[-1].number if found else 0):
            found += page
    if as_json:
        typer.echo(json.dumps([_opening(each) for each in found], ensure_ascii=False))
        return
    for each in found:
        at = each.at.isoformat(timespec="seconds") if each.at else ""
        typer.echo(f"{each.number}  {at}  {each.client}  {len(each.eids)} identities  {each.reason}")
    if not found:
        typer.echo("no opening waits to be judged")


@consent_app.command(
    "judge", epilog="Example: mpi consent judge 3 --justified --server 127.0.0.1:7443 --certs certs/privacy-officer-pim"
)
def judge(
    number: Annotated[int, typer.Argument(min=1, help="Number of the opening.")],
    server: Server,
    justified: Annotated[
        bool, typer.Option("--justified/--unjustified", help="Whether it was right to look.", show_default=False)
    ],
    certs: Certificates = None,
) -> None:
    """Say whether it was right to break the glass."""
    from mpi.client import Client

    with Client(address=server, certificates=certs) as client:
        client.judge_opening(number, justified=justified)
    typer.echo("justified" if justified else "unjustified")


@consent_app.command(
    "carried",
    epilog="Example: mpi consent carried --server 127.0.0.1:7443 --certs certs/privacy-officer-pim --keys keys/cdes "
    "--facility 10661 < local-id.txt",
)
def carried(
    server: Server,
    keys: Keys,
    certs: Certificates = None,
    facility: Annotated[
        str, typer.Option("--facility", help="Standard input holds a local id of this facility.", metavar="CODE")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """List objections that records of the person keep by themselves, since they were parted from the number."""
    from mpi.client import Client

    with Client(address=server, certificates=certs) as client:
        found = {
            (each.said.subject, each.said.network, each.said.purpose): each
            for key in (_local_ids(keys, facility) if facility else _tokens(keys))
            for each in client.carried(key)
        }
    rows = [
        {"record": each.said.subject, "facility": each.facility, "network": each.said.network,
         "purpose": each.said.purpose.value, "reference": each.said.reference}
        for each in found.values()
    ]  # fmt: skip
    if as_json:
        typer.echo(json.dumps(rows))
        return
    for row in rows:
        typer.echo("  ".join(map(str, row.values())).rstrip())
    if not rows:
        typer.echo("no record keeps an objection by itself")


@consent_app.command(
    "lift",
    epilog="Example: mpi consent lift 17 --network mor-prom --purpose TREAT --reference case-9 "
    "--server 127.0.0.1:7443 --certs certs/privacy-officer-pim",
)
def lift(
    record: Annotated[int, typer.Argument(min=1, help="Number of the record, as `carried` shows it.")],
    server: Server,
    network: Network,
    purpose: Purposes,
    certs: Certificates = None,
    reference: Reference = "",
) -> None:
    """Take an objection back that a record keeps by itself; what the person says under a number counts as before."""
    from mpi.client import Client

    with Client(address=server, certificates=certs) as client:
        revision = client.lift_carried(record, network, _purposes(purpose), reference=reference)
    typer.echo(f"lifted, from revision {revision.hex()} on")


def _tokens(keys: Path) -> list[IdentifierToken]:
    """Tokens of the number on standard input, one for each key epoch, the newest first."""
    from mpi.encoder.identifiers import IdentifierRejected, parse_national_id
    from mpi.encoder.keys import load_lookup_keys
    from mpi.encoder.tokens import Tokeniser
    from mpi.errors import InputRejected

    epochs = load_lookup_keys(keys)
    try:
        number = parse_national_id(_typed("National id"))
    except IdentifierRejected as rejected:
        raise InputRejected(f"the number is not usable: {rejected.flag.value}") from None
    return [Tokeniser(epoch).identifier(number.kind, number.value) for epoch in reversed(epochs)]


def _local_ids(keys: Path, facility: str) -> list[LocalIdToken]:
    """Tokens of the local id on standard input, as `_tokens` makes them."""
    from mpi.encoder.keys import load_lookup_keys
    from mpi.encoder.tokens import Tokeniser

    epochs, typed = load_lookup_keys(keys), _typed("Local id")
    return [Tokeniser(epoch).local_id(facility, typed) for epoch in reversed(epochs)]


def _typed(what: str) -> str:
    return str(typer.prompt(what, hide_input=True) if sys.stdin.isatty() else sys.stdin.readline()).strip()


def _purposes(words: list[str]) -> list[PurposeOfUse]:
    try:
        return [PurposeOfUse(word.upper()) for word in words]
    except ValueError:
        raise ConfigInvalid("--purpose", f"is one of {', '.join(PurposeOfUse)}") from None


def _figures(consent: Consent) -> dict[str, object]:
    return {
        "network": consent.network,
        "purpose": consent.purpose.value,
        "stance": consent.stance.value,
        "once": consent.once,
        "sensitive": consent.sensitive,
        "recorder": consent.recorder,
        "reference": consent.reference,
    }


def _opening(opening: Opening) -> dict[str, object]:
    return {
        "number": opening.number,
        "at": opening.at.isoformat() if opening.at else None,
        "client": opening.client,
        "reason": opening.reason,
        "eids": list(opening.eids),
        "request": opening.request,
    }
