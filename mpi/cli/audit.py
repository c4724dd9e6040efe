"""`mpi audit`: holding the journal against itself, and reading from it who looked where."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from mpi.config import StoreConfig, load_store_config
from mpi.errors import ConfigInvalid, InputRejected, NotFound

if TYPE_CHECKING:
    from mpi.audit.verify import Examination
    from mpi.domain.identifiers import LocateKey

audit_app = typer.Typer(help="The audit journal: who looked, when and why.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print figures for a script instead of for a person.")]
Data = Annotated[Path, typer.Option("--data", help="Folder of the store and the index.", metavar="DIR")]
MaybeData = Annotated[Path | None, typer.Option("--data", help="Folder of the store and the index.", metavar="DIR")]
Config = Annotated[Path | None, typer.Option("--config", help="Settings, a TOML file.", metavar="FILE")]
Journal = Annotated[
    Path | None, typer.Option("--journal", help="Folder of a journal, such as a copy of one.", metavar="DIR")
]
Heads = Annotated[Path | None, typer.Option("--heads", help="Folder of the heads that go with it.", metavar="DIR")]
PublicKey = Annotated[Path | None, typer.Option("--public-key", help="The journal's public key.", metavar="FILE.pem")]
Since = Annotated[datetime | None, typer.Option(help="Entries of this time or later, UTC.")]
Until = Annotated[datetime | None, typer.Option(help="Entries before this time, UTC.")]

_DATA, _KEYS = "mpi audit verify --data data --config mpi.toml", "--journal copy --public-key audit.pub.pem"
_EVERY = 1000
REPORT = "mpi audit/report"
"""What the journal calls a report in the place of a service and a method."""
_COLUMNS = ("at", "caller", "call", "purpose", "basis", "status", "results", "request")


@audit_app.command("verify", epilog=f"Example: {_DATA}; a court: mpi audit verify {_KEYS} --heads heads")
def verify(
    data: MaybeData = None,
    config: Config = None,
    journal: Journal = None,
    heads: Heads = None,
    public_key: PublicKey = None,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(help="What `mpi audit checkpoint` printed earlier; may be given several times.", metavar="FILE"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find any entry, segment or checkpoint that was removed, altered, repeated, moved or cut off; servers may run."""
    examination = _examination(data, config, journal, heads, public_key, checkpoint or [])
    with _counted(examination, quiet=as_json) as entries:
        for _ in entries:
            pass
    if as_json:
        typer.echo(json.dumps(_figures(examination)))
    else:
        typer.echo(_summary(examination))
    _conclude(examination)


@audit_app.command(
    "checkpoint", epilog="Example: mpi audit checkpoint --data data --config mpi.toml >> elsewhere.jsonl"
)
def checkpoint(data: Data, config: Config = None) -> None:
    """Print the signed head of every chain, to be kept where the operator of the index cannot change it."""
    from mpi.audit.heads import read_head
    from mpi.audit.keys import public_key_file, read_public_key

    settings = load_store_config(data, config)
    key = read_public_key(public_key_file(settings.journal_key))
    paths = sorted(settings.journal_heads.iterdir()) if settings.journal_heads.is_dir() else []
    if not paths:
        raise ConfigInvalid("--data", f"{settings.journal_heads}: there is no head of a journal there")
    for path in paths:
        try:
            head = read_head(path, key)
        except ValueError as problem:
            raise InputRejected(f"{path}: {problem}") from None
        if head is not None:
            typer.echo(json.dumps(head, sort_keys=True, separators=(",", ":")))


@audit_app.command("export", epilog="Example: mpi audit export --data data --config mpi.toml --out audit.ndjson")
def export(
    data: MaybeData = None,
    config: Config = None,
    journal: Journal = None,
    heads: Heads = None,
    public_key: PublicKey = None,
    out: Annotated[
        Path | None, typer.Option(help="File to write; left out, standard output.", metavar="FILE.ndjson")
    ] = None,
    since: Since = None,
    until: Until = None,
    as_json: AsJson = False,
) -> None:
    """Write entries as FHIR R4 AuditEvent, one on a line, in the shapes of IHE BALP; patients are pseudonyms."""
    from mpi.audit.fhir_export import audit_events

    examination = _examination(data, config, journal, heads, public_key, [])
    events = 0
    with _written(out) as file, _counted(examination, quiet=as_json or out is None) as entries:
        for chain, entry in entries:
            if _within(entry, since, until):
                for event in audit_events(chain, entry):
                    file.write(json.dumps(event, separators=(",", ":")) + "\n")
                    events += 1
    if as_json:
        typer.echo(json.dumps({"events": events, **_figures(examination)}), err=out is None)
    elif out is not None:
        typer.echo(f"{out}: {events:,} events")
    _conclude(examination)


@audit_app.command(
    "report",
    epilog="Example: mpi audit report --data data --config mpi.toml --keys keys/cdes --national-id -",
)
def report(
    data: Data,
    config: Config = None,
    eid: Annotated[str | None, typer.Option(help="Enterprise id.")] = None,
    national_id: Annotated[
        str | None, typer.Option("--national-id", help="Number or G code; - reads it from standard input.")
    ] = None,
    facility: Annotated[str | None, typer.Option(help="Facility code, with --local-id.", metavar="CODE")] = None,
    local_id: Annotated[
        str | None, typer.Option("--local-id", help="Local id (HN); - reads it from standard input.")
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option("--keys", help="Key ring or look-up keys, for a number or local id.", metavar="DIR|FILE"),
    ] = None,
    since: Since = None,
    until: Until = None,
    as_json: AsJson = False,
) -> None:
    """Say for one person who looked, when and why, also under enterprise ids that were merged into theirs.

    The report is an access itself, and leaves an entry before it is shown.
    """
    from mpi.audit.keys import read_journal_keys

    settings = load_store_config(data, config)
    pseudonyms = read_journal_keys(settings.journal_key)
    eids = _persons(settings, eid, national_id, facility, local_id, keys)
    wanted = {pseudonyms.pseudonym(each) for each in eids}
    examination = _examination(data, config, None, None, None, [])
    found = []
    with _counted(examination, quiet=as_json) as entries:
        for chain, entry in entries:
            if not wanted.isdisjoint(entry["identities"]) and _within(entry, since, until):
                found.append({"chain": chain, "sequence": entry["sequence"]} | {name: entry[name] for name in _COLUMNS})
    found.sort(key=lambda each: (each["at"], each["sequence"]))
    _account(settings, eids)
    if as_json:
        typer.echo(json.dumps({"eids": sorted(eids), "accesses": found, **_figures(examination)}))
    else:
        for each in found:
            typer.echo(_told(each))
        typer.echo(f"{len(found):,} accesses" if found else "nobody has looked")
    _conclude(examination)


@audit_app.command("expire", epilog="Example: mpi audit expire --data data --config mpi.toml --years 10 --preview")
def expire(
    data: Data,
    years: Annotated[float, typer.Option(min=0, help="How long entries are kept.")],
    config: Config = None,
    preview: Annotated[bool, typer.Option("--preview", help="Remove nothing; say what would go.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove sealed segments that are older; a signed stub of each stays, so that the chain still verifies."""
    from mpi.audit import retention
    from mpi.audit.keys import read_journal_keys

    settings = load_store_config(data, config)
    keys = read_journal_keys(settings.journal_key)
    gone = retention.expire(settings.journal, settings.journal_heads, keys, years, preview=preview)
    if as_json:
        segments = [
            {"chain": each.chain.name, "segment": each.number, "entries": each.entries, "ended": each.ended}
            for each in gone
        ]
        typer.echo(json.dumps({"preview": preview, "segments": segments}))
        return
    for each in gone:
        typer.echo(f"{each.chain.name}/{each.path.name}: {each.entries:,} entries, the last of {each.ended}")
    typer.echo(f"{len(gone)} segments {'would go' if preview else 'went'}")


def _examination(
    data: Path | None,
    config: Path | None,
    journal: Path | None,
    heads: Path | None,
    public_key: Path | None,
    checkpoints: list[Path],
) -> Examination:
    from mpi.audit.keys import public_key_file, read_public_key
    from mpi.audit.segments import chains_of
    from mpi.audit.verify import Examination

    if data is not None:
        if journal or heads or public_key:
            raise ConfigInvalid("--data", "names the journal already; give --data, or --journal with --public-key")
        settings = load_store_config(data, config)
        journal, heads = settings.journal, settings.journal_heads
        public_key = public_key_file(settings.journal_key)
    elif journal is None or public_key is None:
        raise ConfigInvalid("--data", "is missing; give --data, or --journal with --public-key")
    key = read_public_key(public_key)
    if heads is not None and not heads.is_dir():
        raise ConfigInvalid("--heads", f"{heads}: no such folder")
    if not chains_of(journal) and not (heads is not None and any(heads.iterdir())):
        raise ConfigInvalid("--journal", f"{journal}: there is no audit journal there")
    return Examination(journal, heads, key, [head for path in checkpoints for head in _checkpoints(path, key)])


def _checkpoints(path: Path, key: Any) -> Iterator[dict[str, Any]]:
    from mpi.audit.heads import checked_head

    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigInvalid("--checkpoint", f"{path}: {error.strerror}") from None
    for number, line in enumerate(content.splitlines(), 1):
        try:
            yield checked_head(line, key)
        except ValueError as problem:
            raise ConfigInvalid("--checkpoint", f"{path}, line {number}: {problem} of this journal") from None


@contextmanager
def _counted(examination: Examination, *, quiet: bool) -> Iterator[Iterator[tuple[str, dict[str, Any]]]]:
    """Entries as they are read, with a count on a terminal."""
    from mpi.cli.progress import progress

    with progress("entries", None, quiet=quiet) as shown:

        def entries() -> Iterator[tuple[str, dict[str, Any]]]:
            for number, entry in enumerate(examination.entries(), 1):
                if number % _EVERY == 0:
                    shown.advance(_EVERY)
                yield entry

        yield entries()


@contextmanager
def _written(out: Path | None) -> Iterator[TextIO]:
    from mpi.encoder.encoded_file import whole_file

    if out is None:
        yield sys.stdout
        return
    try:
        with whole_file(out) as partial, partial.open("w", encoding="utf-8") as file:
            yield file
    except OSError as error:
        raise InputRejected(f"{out}: cannot be written ({error.strerror})") from None


def _persons(
    settings: StoreConfig,
    eid: str | None,
    national_id: str | None,
    facility: str | None,
    local_id: str | None,
    keys: Path | None,
) -> set[str]:
    """Enterprise ids that stand, or stood before a merge, for the person who is meant."""
    from mpi.cli.locate import locate_keys
    from mpi.domain.identifiers import EnterpriseId, is_eid
    from mpi.encoder.keys import load_lookup_keys
    from mpi.server.bootstrap import open_store
    from mpi.store.history import identity_now

    if eid is not None and not is_eid(eid):
        raise ConfigInvalid("--eid", "is not an enterprise id")
    look_up = locate_keys(load_lookup_keys(keys) if keys else (), national_id, facility, local_id, eid)
    if not settings.data.is_dir():
        raise ConfigInvalid("--data", f"{settings.data}: no such folder")
    eids = {each.value for each in look_up if isinstance(each, EnterpriseId)} or _held(settings, look_up)
    with open_store(settings) as store, store.reading() as reading:
        views = [view for each in sorted(eids) if (view := identity_now(reading, each))]
    for view in views:
        eids |= {view.eid, *view.retired}
    return eids


def _account(settings: StoreConfig, eids: set[str]) -> None:
    """Enter in the journal that somebody on this machine read a person's accesses."""
    from mpi.domain.accounting import Access
    from mpi.server.bootstrap import open_journal

    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # as in a container
        user = str(os.getuid())
    access = Access(
        REPORT,
        uuid.uuid4().hex,
        "OK",
        caller=f"urn:mpi:local:{user}",
        identities=tuple(sorted(eids)),
        results=len(eids),
    )
    with open_journal(settings) as journal:
        asyncio.run(journal.write(access))


def _held(settings: StoreConfig, look_up: Sequence[LocateKey]) -> set[str]:
    """Enterprise ids that tokens lead to."""
    from mpi.rules import load_rules, rule_file
    from mpi.server.bootstrap import opened
    from mpi.service.gateway import Gateway
    from mpi.service.keys import service_keys
    from mpi.service.location import Locator

    gateway = Gateway(
        service_keys(settings.service_key, settings.service_key_command, make=False).gateway,
        load_rules(rule_file(settings.rules)),
        (),
    )
    with opened(settings) as (_, index):
        locator = Locator(gateway, index)
        eids = {each.eid for key in look_up for each in locator.locate(key)}
    if not eids:
        raise NotFound("nobody is held under this number or local id")
    return eids


def _within(entry: dict[str, Any], since: datetime | None, until: datetime | None) -> bool:
    # Times of entries are UTC in one form, so they compare as text.
    return (since is None or entry["at"] >= _text(since)) and (until is None or entry["at"] < _text(until))


def _text(moment: datetime) -> str:
    return moment.replace(tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _told(each: dict[str, Any]) -> str:
    why = " ".join(filter(None, (each["purpose"], each["basis"]))) or "no purpose"
    return f"{each['at'][:19]}Z  {each['caller']}  {each['call']}  {why}  {each['status']}  request {each['request']}"


def _figures(examination: Examination) -> dict[str, Any]:
    return {
        "whole": not examination.findings,
        "chains": len({each.chain for each in examination.segments}),
        "segments": len(examination.segments),
        "expired": sum(each.expired for each in examination.segments),
        "entries": examination.accesses,
        "restarts": examination.restarts,
        "cut_bytes": examination.cut_bytes,
        "refused": examination.refused,
        "unconfirmed": examination.unconfirmed,
        "ends_checked": examination.heads is not None,
        "findings": [
            {"chain": each.chain, "file": each.file, "problem": each.problem} for each in examination.findings
        ],
    }


def _summary(examination: Examination) -> str:
    figures = _figures(examination)
    told = [
        f"{figures['entries']:,} entries in {figures['segments']} segments of {figures['chains']} chains",
        f"{figures['expired']} segments expired",
        f"{figures['restarts']} restarts after a crash, which cut {figures['cut_bytes']} bytes",
        f"{figures['refused']} calls refused while the journal could not be written",
        f"{figures['unconfirmed']} lines not yet confirmed",
    ]
    if examination.heads is None:
        told.append("the ends were not checked: give --heads")
    return "\n".join((*told, "the journal is whole" if figures["whole"] else "the journal is NOT whole"))


def _conclude(examination: Examination) -> None:
    for finding in examination.findings:
        typer.echo(f"mpi: {finding}", err=True)
    if examination.findings:
        raise typer.Exit(1)
