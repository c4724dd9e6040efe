"""The page of an identity: its records, what was decided about it, and splitting, merging and taking back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from starlette.responses import Response
from starlette.routing import Route

from mpi.client import Client
from mpi.domain.changes import Change, Move, Placement, Regrouping, Selection, moves
from mpi.domain.identity import IdentityView
from mpi.errors import Conflict, InputRejected
from mpi.web import drawing
from mpi.web.sessions import Notice
from mpi.web.visits import Visit, action, local, page

MOST_ENTRIES = 200
"""Changes that a history shows, the newest."""
MOST_MOVES = 6
MOST_DATED = 500
"""Records of an identity whose dates are told."""
PAGE = 1000
"""Changes read at once."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A change as a history shows it.

    Attributes:
        revision: its number.
        action: what it was, in the words of the protos.
        why: the rule that decided; "" where people did.
        actor: the client that caused it.
        at: when.
        moves: records that changed their identities, the first few.
        moves_more: how many further ones there were.
        by_person: a steward made it.
        undone: the change that it took back; 0 for none.
        undone_by: the change that took it back; 0 for none.
        can_undo: an undo may be tried.
    """

    revision: int
    action: str
    why: str
    actor: str
    at: datetime | None
    moves: Sequence[Move]
    moves_more: int
    by_person: bool
    undone: int
    undone_by: int = 0
    can_undo: bool = False


def routes() -> list[Route]:
    """Give the pages about identities."""
    return [
        page("/identities", find),
        page("/identities/{eid}", show),
        action("/identities/{eid}/split", split),
        page("/merge", consider),
        action("/merge", merge),
        page("/changes/{revision:int}/undo", weigh),
        action("/undo", undo),
    ]


def find(visit: Visit) -> Response:
    """Offer to look an identity up, and show what the steward did in this session."""
    eid = visit.request.query_params.get("eid", "").strip()
    if eid:
        return visit.go(f"/identities/{_segment(eid)}")
    own = tuple(visit.session.changes)
    log = visit.client.changes(Selection(revisions=own)) if own else []
    return visit.page("identities.html", entries=history(log))


def show(visit: Visit) -> Response:
    """Show an identity, as it is or as it was after a revision."""
    asked = visit.request.path_params["eid"]
    text = visit.request.query_params.get("as_of", "")
    if text and not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise InputRejected("as_of: is the number of a change")
    as_of = int(text) if text else None
    view = visit.client.identity(asked, as_of)
    log = newest(visit.client, Selection(eid=view.eid), MOST_ENTRIES)
    return visit.page(
        "identity.html",
        view=view,
        asked=asked,
        as_of=as_of,
        revision=log[-1].revision if log else 0,
        entries=history(log),
        dates=dates(visit.client, view),
        older=len(log) == MOST_ENTRIES,
        graph=drawing.graph(visit.client.graph([view.eid]), view.eid) if as_of is None else None,
    )


def split(visit: Visit) -> Response:
    """Let the chosen records be another person, unless the identity has changed since the page was drawn."""
    eid = visit.request.path_params["eid"]
    chosen = visit.form.numbers("record")
    done = visit.client.split(eid, [chosen], seen=visit.form.number("revision"))
    away = next((each for each in done.eids if each != eid), eid)
    return visit.go(
        f"/identities/{_segment(eid)}",
        Notice("notice.split", {"count": str(len(chosen)), "eid": away.partition("-")[0]}, change=done.change),
    )


def consider(visit: Visit) -> Response:
    """Show two identities side by side, before they are said to be one person."""
    eid, other = (visit.request.query_params.get(name, "").strip() for name in ("eid", "other"))
    left, right = visit.client.identity(eid), visit.client.identity(other)
    if left.eid == right.eid:
        raise Conflict("they are one identity already")
    graph = drawing.graph(visit.client.graph([left.eid, right.eid]), left.eid)
    seen = max(_last(visit.client, each.eid) for each in (left, right))
    return visit.page(
        "merge.html", left=left, right=right, seen=seen, graph=graph, dates=dates(visit.client, left, right)
    )


def merge(visit: Visit) -> Response:
    """Say that two identities are one person, unless one has changed since the page was drawn."""
    done = visit.client.merge(visit.form.text("eid"), visit.form.text("other"), seen=visit.form.number("seen"))
    return visit.go(f"/identities/{_segment(done.eids[0])}", Notice("notice.merged", change=done.change))


def weigh(visit: Visit) -> Response:
    """Tell what taking a change back would touch."""
    revision = visit.request.path_params["revision"]
    selection = Selection(revisions=(revision,))
    preview = visit.client.undo(selection, preview=True)
    return visit.page(
        "undo.html",
        revision=revision,
        preview=preview,
        entries=history(visit.client.changes(selection)),
        next=local(visit.request.query_params.get("next", "/identities")),
    )


def undo(visit: Visit) -> Response:
    """Take a change back, or all changes of one call."""
    request = visit.form.text("request")
    selection = Selection(request=request) if request else Selection(revisions=(visit.form.number("change"),))
    done = visit.client.undo(selection)
    return visit.go(visit.form.text("next"), Notice("notice.undone", {"count": str(done.undone)}, request=done.request))


def newest(client: Client, selection: Selection, most: int) -> list[Change]:
    """Read the newest changes that are meant, the oldest of them first."""
    kept: list[Change] = []
    after = 0
    while True:
        read = client.changes(selection, after, PAGE)
        kept = [*kept, *read][-most:]
        if len(read) < PAGE:
            return kept
        after = read[-1].revision


def dates(client: Client, *views: IdentityView | None) -> dict[int, datetime]:
    """Tell when the records of identities were registered, by the revision that brought them."""
    members = [member for view in views if view for member in view.members[:MOST_DATED]]
    revisions = tuple(sorted({member.registered for member in members}))
    log = client.changes(Selection(revisions=revisions), 0, PAGE) if revisions else []
    return {change.revision: change.cause.at for change in log if change.cause and change.cause.at}


def history(log: Sequence[Change]) -> list[Entry]:
    """Prepare changes for a history, the newest first."""
    taken_back = {
        change.event.undone: change.revision
        for change in log
        if isinstance(change.event, Regrouping) and change.event.undone
    }
    return [_entry(change, taken_back.get(change.revision, 0)) for change in reversed(log)]


def _entry(change: Change, undone_by: int) -> Entry:
    event, cause = change.event, change.cause
    moved = moves(change.revision, event)
    actor = cause.actor if cause else ""
    return Entry(
        revision=change.revision,
        action="register" if isinstance(event, Placement) else event.action.value,
        why=event.why if isinstance(event, Placement) else "",
        actor=actor,
        at=cause.at if cause else None,
        moves=moved[:MOST_MOVES],
        moves_more=max(0, len(moved) - MOST_MOVES),
        by_person=":steward:" in actor,
        undone=0 if isinstance(event, Placement) else event.undone,
        undone_by=undone_by,
        can_undo=not undone_by,
    )


def _last(client: Client, eid: str) -> int:
    log = newest(client, Selection(eid=eid), 1)
    return log[-1].revision if log else 0


def _segment(eid: str) -> str:
    if not eid.isascii() or not all(each.isalnum() or each == "-" for each in eid) or len(eid) > 64:
        raise InputRejected("eid: has letters, digits and hyphens")
    return eid
