"""`mpi changes` and `mpi retract`: what happened to identities, taking it back, and taking a record back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from mpi.domain import changes as changes_of
from mpi.domain.changes import Change, Placement, Selection
from mpi.errors import ConfigInvalid

changes_app = typer.Typer(help="The log of changes, for data stewards.", no_args_is_help=True)

Server = Annotated[str, typer.Option("--server", help="Address of the index.", metavar="HOST:PORT")]
Certificates = Annotated[
    Path | None,
    typer.Option("--certs", help="Folder with ca.pem, cert.pem and key.pem of this client.", metavar="DIR"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print figures for a script instead of for a person.")]
Revisions = Annotated[list[int] | None, typer.Option("--revision", help="Number of a change; several times for more.")]
Eid = Annotated[str, typer.Option(help="Those that touched this identity.", metavar="EID")]
Actor = Annotated[str, typer.Option(help="Those of this client, such as urn:mpi:facility:10661.", metavar="URN")]
RulesDigest = Annotated[str, typer.Option(help="Those that these rules decided.", metavar="DIGEST")]
Request = Annotated[str, typer.Option(help="Those of this call, as Register answers it.", metavar="ID")]
Facility = Annotated[str, typer.Option(help="Those of this facility's records.", metavar="CODE")]
Since = Annotated[datetime | None, typer.Option(help="Those made at this time or later, UTC.")]
Until = Annotated[datetime | None, typer.Option(help="Those made before this time, UTC.")]


@changes_app.command(
    "list", epilog="Example: mpi changes list --server 127.0.0.1:7443 --certs certs/steward-somsri --facility 10661"
)
def list_changes(
    server: Server,
    certs: Certificates = None,
    revision: Revisions = None,
    eid: Eid = "",
    actor: Actor = "",
    rules_digest: RulesDigest = "",
    request: Request = "",
    facility: Facility = "",
    since: Since = None,
    until: Until = None,
    after: Annotated[int, typer.Option(min=0, help="Number of the last change that is known already.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The most changes to show.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List changes, the oldest first: who caused them, and what they did to which records and identities."""
    from mpi.client import Client

    meant = _selection(revision, eid, actor, rules_digest, request, facility, since, until)
    with Client(address=server, certificates=certs) as client:
        changes = client.changes(meant, after, limit)
    for change in changes:
        typer.echo(json.dumps(_figures(change)) if as_json else _line(change))
    if not changes and not as_json:
        typer.echo("no such change")


@changes_app.command(
    "undo",
    epilog="Example: mpi changes undo --server 127.0.0.1:7443 --certs certs/steward-somsri --request ID --preview",
)
def undo(
    server: Server,
    certs: Certificates = None,
    revision: Revisions = None,
    eid: Eid = "",
    actor: Actor = "",
    rules_digest: RulesDigest = "",
    request: Request = "",
    facility: Facility = "",
    since: Since = None,
    until: Until = None,
    preview: Annotated[bool, typer.Option("--preview", help="Change nothing; say what would be done.")] = False,
    keep_later: Annotated[
        bool, typer.Option("--keep-later", help="Leave the changes that later ones build on.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Take changes back, by number or by cause; an undo can be undone itself."""
    from mpi.client import Client

    meant = _selection(revision, eid, actor, rules_digest, request, facility, since, until)
    with Client(address=server, certificates=certs, timeout=60.0) as client:
        done = client.undo(meant, preview=preview, keep_later=keep_later)
    if as_json:
        fields = ("undone", "left", "identities", "look_ups", "tasks", "request")
        typer.echo(json.dumps({field: getattr(done, field) for field in fields}))
        return
    typer.echo(
        f"{'would take' if preview else 'took'} {done.undone} changes back; "
        f"{done.identities} identities, {done.look_ups} look-up keys and {done.tasks} open tasks are touched"
    )
    if done.left:
        typer.echo(f"left, because later changes build on them: {', '.join(map(str, done.left))}")
    if done.request:
        typer.echo(f"to undo this undo: --request {done.request}")


def retract(
    server: Server,
    keys: Annotated[Path, typer.Option("--keys", help="Key ring that makes the token.", metavar="DIR")],
    facility: Annotated[str, typer.Option(help="Code of the facility whose record it is.", metavar="CODE")],
    local_id: Annotated[str, typer.Option(help="Local id; - reads it from standard input.")],
    certs: Certificates = None,
    erase: Annotated[bool, typer.Option("--erase", help="Destroy the record's key: nothing brings it back.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take a record back: no lookup finds it any more."""
    import sys

    from mpi.client import Client
    from mpi.encoder.keys import load_key_ring
    from mpi.encoder.tokens import Tokeniser

    typed = sys.stdin.readline().strip() if local_id == "-" else local_id
    done = False
    with Client(address=server, certificates=certs) as client:
        # While epochs change, records of both are held.
        for epoch in load_key_ring(keys).epochs:
            done |= client.retract(facility, Tokeniser(epoch).local_id(facility, typed), erase=erase).retracted
    if as_json:
        typer.echo(json.dumps({"retracted": done}))
    else:
        typer.echo(("erased" if erase else "retracted") if done else "no such record is held")


def _selection(
    revisions: list[int] | None,
    eid: str,
    actor: str,
    rules_digest: str,
    request: str,
    facility: str,
    since: datetime | None,
    until: datetime | None,
) -> Selection:
    if revisions and min(revisions) < 1:
        raise ConfigInvalid("--revision", "counts from 1")
    return Selection(tuple(revisions or ()), eid, actor, rules_digest, request, facility, _utc(since), _utc(until))


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)


def _line(change: Change) -> str:
    figures = _figures(change)
    moves = changes_of.moves(change.revision, change.event)
    moved = ", ".join(f"{move.record}: {move.source or '-'} > {move.target or '-'}" for move in moves)
    return f"{change.revision}  {figures['at']}  {figures['action']}  {figures['actor']}  {moved}"


def _figures(change: Change) -> dict[str, object]:
    event, cause = change.event, change.cause
    return {
        "revision": change.revision,
        "at": cause.at.isoformat(timespec="seconds") if cause and cause.at else "",
        "action": "register" if isinstance(event, Placement) else event.action.value,
        "actor": cause.actor if cause else "",
        "request": cause.request if cause else "",
        "facility": cause.facility if cause else "",
        "rules_digest": cause.rules_digest if cause else "",
        "moves": [
            {"record": move.record, "source": move.source, "target": move.target}
            for move in changes_of.moves(change.revision, event)
        ],
        "why": event.why if isinstance(event, Placement) else "",
    }
