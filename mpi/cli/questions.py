"""`mpi questions`: what stewards ask a facility about its own records, answered from its own papers."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mpi.domain.review import Answer
from mpi.errors import ConfigInvalid, InputRejected, NotFound

if TYPE_CHECKING:
    from mpi.client import Client
    from mpi.domain.task_detail import AskedQuestion
    from mpi.encoder.papers import Paper, Proposal

questions_app = typer.Typer(help="What stewards ask about this facility's own records.", no_args_is_help=True)

Server = Annotated[str, typer.Option("--server", help="Address of the index.", metavar="HOST:PORT")]
Certificates = Annotated[
    Path | None,
    typer.Option("--certs", help="Folder with ca.pem, cert.pem and key.pem of this client.", metavar="DIR"),
]
Facility = Annotated[str, typer.Option("--facility", help="Code of this facility.", metavar="CODE")]
AsJson = Annotated[bool, typer.Option("--json", help="Print figures for a script instead of for a person.")]

PAGE = 1000
"""Questions asked for at a time, and the most that one run answers: their papers are held in memory."""
NOT_OURS = "of another key ring"


class Word(StrEnum):
    """What a person may say to a proposal."""

    YES = "yes"
    NO = "no"
    UNSURE = "unsure"
    SKIP = "skip"


@questions_app.command(
    "list",
    epilog="Example: mpi questions list --server 127.0.0.1:7443 --certs certs/facility-10661 --facility 10661 "
    "--keys keys/10661",
)
def list_questions(
    server: Server,
    certs: Certificates = None,
    keys: Annotated[
        Path | None, typer.Option("--keys", help="Key ring that opens pointers into local ids.", metavar="DIR")
    ] = None,
    facility: Facility = "",
    after: Annotated[int, typer.Option(min=0, help="Number of the last question that is known already.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=PAGE, help="The most questions to show.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List the questions that wait, the oldest first: which record is doubted, and what speaks for and against it."""
    from mpi.client import Client

    if (keys is None) != (not facility):
        raise ConfigInvalid("--keys", "goes with --facility: a pointer opens for its own facility alone")
    with Client(address=server, certificates=certs) as client:
        asked = client.questions(after, limit)
    local_ids = _opened(asked, keys, facility) if keys else {}
    for each in asked:
        local_id = local_ids.get(each.question.number, "")
        typer.echo(json.dumps(_figures(each, local_id), ensure_ascii=False) if as_json else _told(each, local_id))
    if not asked and not as_json:
        typer.echo("no question waits")


@questions_app.command(
    "answer",
    epilog="Example: mpi questions answer --server 127.0.0.1:7443 --certs certs/facility-10661 --facility 10661 "
    "--keys keys/10661 --source person43 --extract person.txt --extract person-today.txt",
)
def answer_questions(
    server: Server,
    keys: Annotated[Path, typer.Option("--keys", help="Folder of this facility's key ring.", metavar="DIR")],
    facility: Facility,
    extract: Annotated[
        list[Path],
        typer.Option(help="The extract that was encoded; several times for further papers.", metavar="FILE"),
    ],
    source: Annotated[str, typer.Option(help="Format of the extracts: person43, fhir or csv.")],
    certs: Certificates = None,
    mapping: Annotated[
        Path | None, typer.Option(help="Which column is which field, for csv: a TOML file.", metavar="FILE")
    ] = None,
    facility_codes: Annotated[
        Path | None, typer.Option("--facility-codes", help="Which codes are of one facility: TOML.", metavar="FILE")
    ] = None,
    preview: Annotated[bool, typer.Option("--preview", help="Send nothing; say what would be proposed.")] = False,
    as_proposed: Annotated[
        bool, typer.Option("--as-proposed", help="Send every yes and no that is proposed; leave the unsure ones.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Answer the questions that wait from this facility's own extracts.

    Each record is held against the other papers about it, the differences are shown here, and an answer is proposed.
    What is sent is one word and a reason code, with the facility's certificate; no name, number or date leaves.
    """
    import datetime

    from mpi.client import Client
    from mpi.encoder.facilities import load_facility_codes
    from mpi.encoder.job import reader
    from mpi.encoder.papers import find_papers, propose

    if as_json and not (preview or as_proposed):
        raise ConfigInvalid("--json", "asks nobody: it goes with --preview or --as-proposed")
    codes = load_facility_codes(facility_codes)
    facility = codes.of(facility)
    read = reader(source, mapping, facility, codes)
    with Client(address=server, certificates=certs) as client:
        asked = client.questions(0, PAGE)
        local_ids = _opened(asked, keys, facility)
        today = datetime.datetime.now(datetime.UTC).date()
        papers = find_papers(extract, read, frozenset(local_ids.values()), today) if asked else {}
        sent = 0
        for each in asked:
            local_id = local_ids.get(each.question.number, "")
            proposal = propose(papers.get(local_id, []))
            if not as_json:
                _show(each, local_id, proposal)
            answer = None if preview or not local_id else _decided(proposal, as_proposed)
            done = answer is not None and _send(client, each, answer, proposal, quiet=as_json)
            sent += done
            if as_json:
                figures = {**_figures(each, local_id), **_proposed(proposal), "sent": str(answer) if done else None}
                typer.echo(json.dumps(figures, ensure_ascii=False))
    if not as_json:
        typer.echo(f"{sent} of {len(asked)} questions answered" if asked else "no question waits")


def _opened(asked: list[AskedQuestion], keys: Path, facility: str) -> dict[int, str]:
    """Local ids by question; none for pointers that another key ring sealed."""
    from mpi.encoder.keys import load_key_ring
    from mpi.encoder.tokens import PointerBox

    ring = load_key_ring(keys)
    box = PointerBox(ring.pointer_secret, facility, ring.earlier_pointer_secret)
    found = {}
    for each in asked:
        try:
            found[each.question.number] = box.open(each.pointer)
        except InputRejected:
            continue
    return found


def _decided(proposal: Proposal, as_proposed: bool) -> Answer | None:
    """The answer to send; None for none."""
    if as_proposed:
        return None if proposal.answer is Answer.UNSURE else proposal.answer
    words = ", ".join(Word)
    while True:
        said = str(typer.prompt(f"  answer ({words})", default=str(proposal.answer))).strip().lower()
        word = next((each for each in Word if said and each.startswith(said)), None)
        if word is not None:
            return None if word is Word.SKIP else Answer(word.value)
        typer.echo(f"  one of {words}")


def _send(client: Client, asked: AskedQuestion, answer: Answer, proposal: Proposal, *, quiet: bool) -> bool:
    """Send an answer; a question that was taken back meanwhile is told and left."""
    reason = proposal.reason if answer is proposal.answer else "seen_by_a_person"
    try:
        client.answer(asked.question.number, answer, reason)
    except NotFound:
        if not quiet:
            typer.echo("  it no longer waits: the task was decided meanwhile")
        return False
    return True


def _told(asked: AskedQuestion, local_id: str) -> str:
    head = f"{asked.question.number}  {asked.question.asked:%Y-%m-%d %H:%M} UTC  {asked.kind.replace('_', ' ')}"
    lines = [f"{head}  {f'record {local_id}' if local_id else 'pointer ' + asked.pointer.hex()}"]
    return "\n".join([*lines, *(f"  {term.weight:+6.1f} bits  {term.english}" for term in asked.terms)])


def _show(asked: AskedQuestion, local_id: str, proposal: Proposal) -> None:
    from mpi.encoder.papers import facts

    typer.echo(_told(asked, local_id))
    if not local_id:
        typer.echo(f"  its pointer is {NOT_OURS}; left alone")
        return
    if proposal.own is not None:
        typer.echo(f"  {_place(proposal.own)}")
        for field, value in facts(proposal.own):
            typer.echo(f"    {field.replace('_', ' '):<19} {value}")
    for paper, differences in proposal.others:
        typer.echo(f"  {_place(paper)}, record {paper.local_id}")
        for each in differences:
            values = each.here if each.here == each.there else f"{each.here} | {each.there}"
            typer.echo(f"    {each.field.replace('_', ' '):<12} {each.likeness.value:<6} {values}")
    typer.echo(f"  proposed: {proposal.answer} ({proposal.reason.replace('_', ' ')})")


def _place(paper: Paper) -> str:
    return f"{paper.extract}, row {paper.row}"


def _figures(asked: AskedQuestion, local_id: str) -> dict[str, object]:
    return {
        "number": asked.question.number,
        "asked": asked.question.asked.isoformat(),
        "kind": str(asked.kind),
        "local_id": local_id or None,
        "pointer": asked.pointer.hex(),
        "reasons": [{"on": each.comparison, "level": each.level, "bits": each.weight} for each in asked.terms],
    }


def _proposed(proposal: Proposal) -> dict[str, object]:
    """The proposal for a script: how fields compare, and never what stands in them."""
    papers = [{each.field: str(each.likeness) for each in differences} for _, differences in proposal.others]
    return {"proposed": str(proposal.answer), "reason": proposal.reason, "papers": papers}
