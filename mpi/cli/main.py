"""The `mpi` command. Each command imports what it needs when it runs, so a facility needs no server packages."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from mpi.cli.audit import audit_app
from mpi.cli.changes import changes_app, retract
from mpi.cli.clients import clients_app
from mpi.cli.consent import consent_app
from mpi.cli.questions import questions_app
from mpi.errors import MpiError

app = typer.Typer(
    name="mpi",
    help="Master patient index for Thailand that never sees who the patients are.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    add_completion=False,
)
certs_app = typer.Typer(help="Certificates for mutual TLS.", no_args_is_help=True)
keys_app = typer.Typer(help="Key rings of facilities.", no_args_is_help=True)
index_app = typer.Typer(help="The fast index, which the store can always make anew.", no_args_is_help=True)
rekey_app = typer.Typer(help="New keys for the centre, while it is served.", no_args_is_help=True)
rules_app = typer.Typer(help="Linkage rule files.", no_args_is_help=True)
app.add_typer(certs_app, name="certs")
app.add_typer(keys_app, name="keys")
app.add_typer(index_app, name="index")
app.add_typer(rekey_app, name="rekey")
app.add_typer(rules_app, name="rules")
app.add_typer(changes_app, name="changes")
app.add_typer(clients_app, name="clients")
app.add_typer(consent_app, name="consent")
app.add_typer(audit_app, name="audit")
app.add_typer(questions_app, name="questions")

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 and the number of SIGINT."""

AsJson = Annotated[bool, typer.Option("--json", help="Print figures for a script instead of for a person.")]
FacilityCodesFile = Annotated[
    Path | None,
    typer.Option(
        "--facility-codes",
        help='Which codes are of one facility: a TOML file, as in [codes] "10661" = ["EA0010661"].',
        metavar="FILE",
    ),
]
Keys = Annotated[Path, typer.Option("--keys", help="Folder of this facility's key ring.", metavar="DIR")]
Certificates = Annotated[
    Path | None,
    typer.Option("--certs", help="Folder with ca.pem, cert.pem and key.pem of this client.", metavar="DIR"),
]
Server = Annotated[
    str,
    typer.Option(
        "--server",
        help="Address of the index; of several replicas [NAME=]ADDRESS:PORT,ADDRESS:PORT.",
        metavar="HOST:PORT",
    ),
]
Data = Annotated[Path, typer.Option("--data", help="Folder of the store and the index.", metavar="DIR")]
Config = Annotated[Path | None, typer.Option("--config", help="Settings, a TOML file.", metavar="FILE")]


def main() -> NoReturn:
    """Run the command line: our own errors are one line on standard error and exit code 1."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file's name may be no text
    try:
        app()
    except MpiError as error:
        print(f"mpi: {error.message}", file=sys.stderr)  # noqa: T201
        sys.exit(1)
    except SystemExit as ended:
        # Typer turns an interruption into this exit code and says nothing.
        if ended.code == INTERRUPTED:
            print("mpi: interrupted; run the same command again to go on", file=sys.stderr)  # noqa: T201
        raise
    except BrokenPipeError:
        sys.exit(1)
    sys.exit(0)


@app.command(epilog="Example: mpi demo --persons 3000 --seed 7")
def demo(
    persons: Annotated[int, typer.Option(min=50, max=200_000, help="People in the synthetic population.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same population.")] = 7,
    out: Annotated[
        Path | None, typer.Option(help="Where to leave the data; replaced by the next demo.", metavar="DIR")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run the main job end to end: two facilities' raw extracts in, record locations out."""
    from mpi.cli.demo import run

    sys.exit(run(persons, seed, out, as_json=as_json))


@app.command(epilog="Example: mpi serve --data data --config mpi.toml --workers 4")
def serve(
    data: Data,
    config: Config = None,
    listen: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Replaces the setting `listen`.")] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="No certificates; loopback addresses only.")] = False,
    workers: Annotated[
        int, typer.Option(min=0, max=64, help="Processes that answer lookups, beside one that writes.")
    ] = 0,
    registrar: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="With --workers: where the rest is served; the next port by default."),
    ] = None,
    role: Annotated[
        str, typer.Option(help="all, or locator: a replica that answers lookups and follows the store.", metavar="ROLE")
    ] = "all",
    supervised: Annotated[bool, typer.Option("--supervised", hidden=True)] = False,
    as_json: AsJson = False,
) -> None:
    """Serve registrations and lookups over gRPC until interrupted."""
    from mpi.cli.serve import run

    run(
        data,
        config,
        listen,
        insecure=insecure,
        as_json=as_json,
        role=role,
        workers=workers,
        registrar=registrar,
        supervised=supervised,
    )


@certs_app.command("dev", epilog="Example: mpi certs dev --out certs --facility 10661 --exchange cdes")
def certs_dev(
    out: Annotated[Path, typer.Option(help="Folder to write to.", metavar="DIR")],
    facility: Annotated[list[str] | None, typer.Option(help="Facility code; may be given several times.")] = None,
    exchange: Annotated[list[str] | None, typer.Option(help="Name of an exchange service.")] = None,
    steward: Annotated[list[str] | None, typer.Option(help="Name of a data steward.")] = None,
    auditor: Annotated[list[str] | None, typer.Option(help="Name of an auditor.")] = None,
    privacy_officer: Annotated[list[str] | None, typer.Option(help="Name of a privacy officer.")] = None,
    admin: Annotated[list[str] | None, typer.Option(help="Name of an administrator of the centre.")] = None,
) -> None:
    """Make certificates for development: an authority, this machine's server, and the clients that are named."""
    from mpi.server.certs import issue_dev_certificates

    people = {"auditor": auditor or [], "privacy-officer": privacy_officer or [], "admin": admin or []}
    for folder in issue_dev_certificates(out, facility or [], exchange or [], steward or [], people):
        typer.echo(str(folder))


@keys_app.command("new", epilog="Example: mpi keys new --keys keys/HL001 --join keys/10661")
def keys_new(
    keys: Keys,
    join: Annotated[
        Path | None,
        typer.Option(help="Key ring of a facility in the network to join; without it a new network begins."),
    ] = None,
) -> None:
    """Make a facility's key ring: the network's linkage key, and a pointer key of its own."""
    from mpi.encoder.keys import new_key_ring

    ring = new_key_ring(keys, join)
    typer.echo(f"{keys}: key epoch {ring.current.name}")


@keys_app.command("rotate", epilog="Example: mpi keys rotate --keys keys/HL001 --join keys/10661")
def keys_rotate(
    keys: Keys,
    join: Annotated[
        Path | None,
        typer.Option(help="Key ring of a facility that has the new epoch; without it this one begins it."),
    ] = None,
) -> None:
    """Begin a new key epoch: records are encoded under both until the earlier one is retired."""
    from mpi.encoder.keys import rotate

    earlier, newer = rotate(keys, join).epochs
    typer.echo(f"{keys}: key epoch {newer.name} beside {earlier.name}; encode and register every record again")


@keys_app.command("retire", epilog="Example: mpi keys retire --keys keys/10661")
def keys_retire(keys: Keys) -> None:
    """End the earlier key epoch, once every facility has registered its records under the newer one."""
    from mpi.encoder.keys import retire

    typer.echo(f"{keys}: key epoch {retire(keys).current.name}")


@keys_app.command("pointers", epilog="Example: mpi keys pointers --keys keys/10661")
def keys_pointers(
    keys: Keys,
    end: Annotated[
        bool, typer.Option("--end", help="Delete the earlier pointer key, once every record was registered again.")
    ] = False,
) -> None:
    """Make a fresh pointer key, as after a theft: pointers made from now on are opened by nobody else.

    The earlier key opens the pointers that are still in the index until it is deleted with --end.
    """
    from mpi.encoder.keys import end_pointers, renew_pointers

    if end:
        end_pointers(keys)
        typer.echo(f"{keys}: pointers open with the newest key alone")
    else:
        renew_pointers(keys)
        typer.echo(f"{keys}: a fresh pointer key; encode and register every record again, then end the earlier one")


@keys_app.command("export", epilog="Example: mpi keys export --keys keys/10661 --out cdes-lookup.json")
def keys_export(
    keys: Keys,
    out: Annotated[Path, typer.Option(help="File to write; it is secret, and readable by you alone.", metavar="FILE")],
) -> None:
    """Write the keys that a consumer needs for lookups, and none that encodes a record or opens a pointer."""
    from mpi.encoder.keys import export_lookup_keys

    exported = export_lookup_keys(keys, out)
    typer.echo(f"{out}: look-up keys of {', '.join(epoch.name for epoch in exported)}")


@keys_app.command("steward", epilog="Example: mpi keys steward --private somsri.json --public somsri.pub.json")
def keys_steward(
    private: Annotated[Path, typer.Option(help="Private key to write; the steward alone keeps it.", metavar="FILE")],
    public: Annotated[Path, typer.Option(help="Public key to write, for the facilities.", metavar="FILE")],
) -> None:
    """Make a steward's key pair: facilities seal masked fields to the public key, the private one opens them."""
    from mpi.encoder.sealed import fingerprint, new_steward_key

    typer.echo(f"{public}: key {fingerprint(new_steward_key(private, public)).hex()}")


@keys_app.command("show", epilog="Example: mpi keys show --keys keys/10661")
def keys_show(keys: Keys, as_json: AsJson = False) -> None:
    """Show the public part of a key ring: its epochs, the newest last."""
    from mpi.encoder.keys import load_key_ring

    epochs = [epoch.name for epoch in load_key_ring(keys).epochs]
    typer.echo(json.dumps({"epochs": epochs}) if as_json else "\n".join(epochs))


@app.command(epilog="""Example: echo '{"name": "นายสมชาย ใจดี", "birth_date": "15/01/2530"}' | mpi normalize""")
def normalize() -> None:
    """Normalise demographics: JSON lines on standard input to JSON lines on standard output."""
    from mpi.cli.normalize import normalize_lines

    bad = normalize_lines(sys.stdin.buffer, sys.stdout)
    if bad:
        typer.echo(f"mpi: {bad} lines are not JSON objects", err=True)
        raise typer.Exit(1)


@app.command(
    epilog="Example: mpi encode --keys keys/10661 --facility 10661 --source person43 person.txt --out 10661.parquet"
)
def encode(
    extract: Annotated[Path, typer.Argument(help="The extract.", metavar="IN")],
    keys: Keys,
    facility: Annotated[str, typer.Option(help="Code of the facility whose extract it is.", metavar="CODE")],
    source: Annotated[str, typer.Option(help="Format of the extract: person43, fhir or csv.")],
    out: Annotated[Path, typer.Option(help="Encoded file to write.", metavar="OUT.parquet")],
    profile: Annotated[str, typer.Option(help="Rule file, or the name of one that is shipped.")] = "th-v1",
    mapping: Annotated[
        Path | None, typer.Option(help="Which column is which field, for csv: a TOML file.", metavar="FILE")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Where to write the quality report: a page or JSON.", metavar="FILE.html|FILE.json"),
    ] = None,
    sealed_for: Annotated[
        Path | None,
        typer.Option(help="Stewards' public key, to whom masked fields are sealed.", metavar="STEWARD.pub.json"),
    ] = None,
    mask: Annotated[str, typer.Option(help="What stewards may see: initials, partial or full.")] = "initials",
    facility_codes: FacilityCodesFile = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes to work with; as many as there are processors.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Encode an extract on the facility's side: no name and no number leaves this machine.

    An interrupted run goes on where it stopped when the same command is given again.
    """
    from mpi.cli.encode import run
    from mpi.encoder.job import EncodeJob, workers_for

    job = EncodeJob(
        extract,
        keys,
        facility,
        source,
        out,
        profile,
        mapping,
        sealed_for,
        mask,
        workers or workers_for(extract),
        facility_codes,
    )
    run(job, report, as_json=as_json)


@app.command(epilog="Example: mpi register --server 127.0.0.1:7443 --certs certs/facility-10661 10661.parquet")
def register(
    files: Annotated[list[Path], typer.Argument(help="Encoded files.", metavar="OUT.parquet...")],
    server: Server,
    certs: Certificates = None,
    as_json: AsJson = False,
) -> None:
    """Register encoded files. Running it again changes nothing, so an interrupted run is simply repeated."""
    from mpi.cli.register import run

    sys.exit(run(files, server, certs, as_json=as_json))


@app.command(epilog="Example: mpi review --server 127.0.0.1:7443 --as somsri --certs certs/steward-somsri")
def review(
    server: Annotated[str | None, typer.Option("--server", help="Address of the index.", metavar="HOST:PORT")] = None,
    steward: Annotated[str, typer.Option("--as", help="Name of the steward whose page it is.", metavar="NAME")] = "",
    certs: Annotated[
        Path | None,
        typer.Option("--certs", help="Folder of the steward's certificate; certs/steward-NAME if it is there."),
    ] = None,
    listen: Annotated[str, typer.Option(help="Address and port on this machine; port 0 takes any.")] = "127.0.0.1:8480",
    config: Annotated[
        Path | None,
        typer.Option("--config", help="Settings of a page for many stewards, who sign in by OpenID Connect: TOML."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Serve the stewards' page: the queue of doubtful matches, the evidence, deciding and taking back."""
    from mpi.cli.review import run, run_for_all
    from mpi.errors import ConfigInvalid

    if config is not None:
        if server or steward or certs:
            raise ConfigInvalid("--config", "names the index and the certificates itself")
        run_for_all(config, as_json=as_json)
    elif server is None:
        raise ConfigInvalid("--server", "is missing: the address of the index")
    else:
        run(server, steward, certs, listen, as_json=as_json)


@app.command(epilog="Example: mpi link 10661.parquet HL001.parquet --keys keys/10661 --out clusters.csv")
def link(
    files: Annotated[list[Path], typer.Argument(help="Encoded files.", metavar="A.parquet...")],
    out: Annotated[Path, typer.Option(help="Who belongs together: record_id,eid.", metavar="clusters.csv")],
    rules: Annotated[str, typer.Option(help="Rule file, or the name of one that is shipped.")] = "th-v1",
    keys: Annotated[
        list[Path] | None,
        typer.Option(help="Key ring whose pointers are opened into local ids; may be given several times."),
    ] = None,
    pairs: Annotated[
        Path | None, typer.Option(help="Every pair that was weighed, with its evidence.", metavar="pairs.parquet")
    ] = None,
    service_key: Annotated[
        Path | None,
        typer.Option(help="The centre's key file: weights are then those of its index to the last bit."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Link whole encoded files by the rules of the index, without an index."""
    from mpi.cli.link import run

    run(files, rules, out, keys or [], pairs, service_key, as_json=as_json)


@app.command(
    "import", epilog="Example: mpi import A.parquet B.parquet --clusters clusters.csv --data data --config mpi.toml"
)
def import_(
    files: Annotated[
        list[Path],
        typer.Argument(help="Encoded files, in the order in which they were linked.", metavar="A.parquet..."),
    ],
    clusters: Annotated[Path, typer.Option(help="What `mpi link` wrote about these files.", metavar="clusters.csv")],
    data: Data,
    config: Config = None,
    keys: Annotated[
        list[Path] | None,
        typer.Option(help="Key ring that `mpi link` was given; may be given several times. None: ids are pointers."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that re-key and seal; as many as there are processors.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Take a population that `mpi link` grouped into an empty store: the initial load, before facilities register.

    An interrupted run goes on where it stopped when the same command is given again; one that is done changes nothing.
    """
    from mpi.cli.load import run

    run(files, clusters, data, config, keys or [], workers, as_json=as_json)


@app.command(epilog="Example: mpi train --rules th-v1 10661.parquet HL001.parquet --out th-v1-2026.toml")
def train(
    files: Annotated[list[Path], typer.Argument(help="Encoded files.", metavar="A.parquet...")],
    out: Annotated[Path, typer.Option(help="Rule file to write.", metavar="NEW.toml")],
    rules: Annotated[str, typer.Option(help="Rule file to begin with, or the name of one that is shipped.")] = "th-v1",
    note: Annotated[str, typer.Option(help="What the files were, for the provenance.")] = "",
    labels: Annotated[
        Path | None,
        typer.Option("--labels", help="What stewards decided, as `mpi labels` writes it.", metavar="LABELS.jsonl"),
    ] = None,
    calibrate_on: Annotated[
        list[Path] | None,
        typer.Option(
            help="Encoded file of people as dense as those who will be linked, from which to learn what weights mean; "
            "may be given several times. Left out, the files themselves."
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Page of the weights and of what they mean, to write.", metavar="FILE.html")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Estimate a model's probabilities from encoded files; nobody needs to know who is who."""
    from mpi.cli.train import run

    run(files, rules, out, note, report, calibrate_on or (), labels=labels, as_json=as_json)


@app.command(epilog="Example: mpi evaluate --truth population/truth.csv clusters.csv")
def evaluate(
    clusters: Annotated[Path, typer.Argument(help="Who was put together: record_id,eid.", metavar="clusters.csv")],
    truth: Annotated[Path, typer.Option(help="Who is who: record_id,person_id,stratum.", metavar="truth.csv")],
    pairs: Annotated[
        Path | None,
        typer.Option(help="Every pair that was weighed: what other thresholds would give.", metavar="pairs.parquet"),
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Page with plots to write.", metavar="FILE.html")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare a grouping with the truth: precision and recall by stratum, with intervals and examples of errors."""
    from mpi.cli.evaluate import run

    run(truth, clusters, pairs, report, as_json=as_json)


@app.command(epilog="Example: mpi explain --pairs pairs.parquet 10661/000000001 HL001/000000001")
def explain(
    one: Annotated[str, typer.Argument(help="A record id, as it stands in the file of pairs.", metavar="RECORD_ID")],
    other: Annotated[str, typer.Argument(help="The other one.", metavar="RECORD_ID")],
    pairs: Annotated[
        Path, typer.Option(help="Every pair that was weighed, as `mpi link --pairs` wrote it.", metavar="pairs.parquet")
    ],
    rules: Annotated[str, typer.Option(help="Rule file, or the name of one that is shipped.")] = "th-v1",
    language: Annotated[str, typer.Option(help="Of the sentences: en or th.")] = "en",
    as_json: AsJson = False,
) -> None:
    """Say why a pair weighs what it weighs: term by term, and in sentences for a data steward."""
    from mpi.cli.explain import run

    run(rules, pairs, one, other, language, as_json=as_json)


@app.command(
    epilog="Example: echo 1103702488992 | mpi locate --server 127.0.0.1:7443 --certs certs/exchange-cdes "
    "--keys keys/cdes --national-id - --purpose TREAT"
)
def locate(
    server: Server,
    purpose: Annotated[str, typer.Option(help="Purpose of use (HL7), such as TREAT or ETREAT.")],
    certs: Certificates = None,
    keys: Annotated[Path | None, typer.Option("--keys", help="Key ring that makes the token.", metavar="DIR")] = None,
    national_id: Annotated[
        str | None, typer.Option(help="National id; - reads it from standard input, out of the shell's history.")
    ] = None,
    facility: Annotated[str | None, typer.Option(help="Facility code, with --local-id.")] = None,
    local_id: Annotated[str | None, typer.Option(help="Local id; - reads it from standard input.")] = None,
    eid: Annotated[str | None, typer.Option(help="Enterprise id.")] = None,
    reason: Annotated[
        str, typer.Option(help="Why the glass is broken, with purpose BTG; the privacy officer reads it.")
    ] = "",
    facility_codes: FacilityCodesFile = None,
    as_json: AsJson = False,
) -> None:
    """Find out which facilities hold records of a person.

    The person is named by one of --national-id, --facility with --local-id, or --eid.
    """
    from mpi.cli.locate import run

    run(
        server,
        purpose,
        certs,
        keys,
        national_id,
        facility,
        local_id,
        eid,
        facility_codes,
        reason=reason,
        as_json=as_json,
    )


@app.command(
    epilog="Example: mpi watch --server 127.0.0.1:7443 --certs certs/exchange-cdes --purpose TREAT --since cursor.txt"
)
def watch(
    server: Server,
    purpose: Annotated[str, typer.Option(help="Purpose of use (HL7), such as TREAT.")],
    certs: Certificates = None,
    since: Annotated[
        Path | None,
        typer.Option(help="Go on from this file's cursor, and keep it there; without the file from now on."),
    ] = None,
    kind: Annotated[
        list[str] | None, typer.Option(help="Only these kinds of event, such as merge; several times for more.")
    ] = None,
    facility: Annotated[
        list[str] | None, typer.Option(help="Only what concerns a record of this facility; several times for more.")
    ] = None,
    most: Annotated[int | None, typer.Option(min=1, help="End after so many events.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print changes of identities as they happen, as far as this client may learn of them.

    Every event names an identity to look up again. After a crash the last events may be printed a second time; none is
    left out.
    """
    from mpi.cli.watch import run

    run(server, purpose, certs, since, kind or (), facility or (), most, as_json=as_json)


@app.command(epilog="Example: mpi population --persons 3000 --seed 7 --out population")
def population(
    persons: Annotated[int, typer.Option(min=1, help="How many people.")],
    out: Annotated[Path, typer.Option(help="Empty folder, or an earlier population to replace.", metavar="DIR")],
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same files.")] = 1,
    facilities: Annotated[int, typer.Option(min=2, max=500, help="How many facilities.")] = 2,
    days: Annotated[
        int | None,
        typer.Option(
            min=1, help="All people are born within so many days: with 2,200 people to a day, as dense as the nation."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a synthetic population: raw extracts of facilities of both platforms, and truth.csv."""
    from mpi.cli.population import run

    run(persons, seed, out, facilities, as_json, days=days)


@app.command(epilog="Example: mpi backup --data data --config mpi.toml centre-2026-11-23.backup")
def backup(
    out: Annotated[Path, typer.Argument(help="File to write; it must not be there yet.", metavar="OUT.backup")],
    data: Data,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Write everything that the store holds at one moment to a file; servers may run meanwhile.

    The rows stay as sealed as they are. The centre's key file is not in it, and without that file nobody opens them.
    """
    from mpi.cli.backup import run_backup

    run_backup(data, config, out, as_json=as_json)


@app.command(epilog="Example: mpi restore --data data --config mpi.toml centre-2026-11-23.backup")
def restore(
    file: Annotated[Path, typer.Argument(help="What `mpi backup` wrote.", metavar="IN.backup")],
    data: Data,
    config: Config = None,
    check: Annotated[bool, typer.Option("--check", help="Only see whether it is whole and opens.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fill an empty data folder or database from a backup, row by row checked, and make its index.

    A backup of SQLite can be restored to PostgreSQL, and the other way round.
    """
    from mpi.cli.backup import run_restore

    run_restore(data, config, file, only_check=check, as_json=as_json)


@index_app.command("verify", epilog="Example: mpi index verify --data data --config mpi.toml")
def index_verify(data: Data, config: Config = None) -> None:
    """Hold the index against the store, row by row; exit code 1 when anything differs."""
    from mpi.cli.index import run_verify

    sys.exit(run_verify(data, config))


@index_app.command("rebuild", epilog="Example: mpi index rebuild --data data --config mpi.toml")
def index_rebuild(data: Data, config: Config = None) -> None:
    """Make the index anew from the store; servers that run on it go on with the new one."""
    from mpi.cli.index import run_rebuild

    run_rebuild(data, config)


@rekey_app.command("at-rest", epilog="Example: mpi rekey at-rest --data data --config mpi.toml")
def rekey_at_rest(data: Data, config: Config = None, as_json: AsJson = False) -> None:
    """Seal everything that the centre holds under a fresh key at rest, while it is served; the old key is destroyed.

    Servers that run read the fresh key by themselves. Every row is opened with it before the old key goes. An
    interrupted run goes on where it stopped when the same command is given again.
    """
    from mpi.cli.rekey import run_at_rest

    run_at_rest(data, config, as_json=as_json)


@rekey_app.command("gateway", epilog="Example: mpi rekey gateway --data data --config mpi.toml")
def rekey_gateway(
    data: Data,
    config: Config = None,
    end: Annotated[
        bool, typer.Option("--end", help="Destroy the older gateway key, once no record that is held needs it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make the gateway key for the key epoch that the facilities begin next.

    What arrives under that epoch is re-keyed with it, what is held under the epochs before with the key before. With
    --end the older key goes, after every record that is held was looked at.
    """
    from mpi.cli.rekey import run_gateway

    run_gateway(data, config, end=end, as_json=as_json)


@rules_app.command("check", epilog="Example: mpi rules check linkage_rules/th-v1.toml")
def rules_check(
    file: Annotated[Path, typer.Argument(help="Rule file.", metavar="FILE")], as_json: AsJson = False
) -> None:
    """Check a rule file, listing everything that is wrong with it."""
    from mpi.rules import load_rules, rule_file

    rules = load_rules(rule_file(str(file)))
    figures = {
        "profile": rules.profile.name,
        "profile_digest": rules.profile.digest.hex(),
        "model_digest": rules.model.digest,
        "channels": list(rules.profile.channel_names()),
    }
    typer.echo(json.dumps(figures) if as_json else "\n".join(f"{key}: {value}" for key, value in figures.items()))


@rules_app.command("preview", epilog="Example: mpi rules preview th-v1-2026.toml --data data --config mpi.toml")
def rules_preview(
    file: Annotated[str, typer.Argument(help="New rule file, or the name of one that is shipped.", metavar="NEW.toml")],
    data: Data,
    config: Config = None,
    sample: Annotated[int, typer.Option(min=1, max=1_000_000, help="Records to look at.")] = 2000,
    as_json: AsJson = False,
) -> None:
    """Say what new rules would change: links gained and lost among a sample of records; servers may run meanwhile."""
    from mpi.cli.labels import run_preview

    run_preview(data, config, file, sample, as_json=as_json)


@rules_app.command("promote", epilog="Example: mpi rules promote th-v1-2026.toml --config mpi.toml")
def rules_promote(
    file: Annotated[str, typer.Argument(help="New rule file, or the name of one that is shipped.", metavar="NEW.toml")],
    config: Annotated[Path, typer.Option("--config", help="Settings, a TOML file.", metavar="FILE")],
    as_json: AsJson = False,
) -> None:
    """Put new rules into the settings; servers go by them from their next start. Look at `mpi rules preview` first."""
    from mpi.cli.promotion import run_promote

    run_promote(config, file, as_json=as_json)


@rules_app.command("rollback", epilog="Example: mpi rules rollback --config mpi.toml")
def rules_rollback(
    config: Annotated[Path, typer.Option("--config", help="Settings, a TOML file.", metavar="FILE")],
    as_json: AsJson = False,
) -> None:
    """Put the rules back that the last promotion left; what they decided is taken back by `mpi changes undo`."""
    from mpi.cli.promotion import run_rollback

    run_rollback(config, as_json=as_json)


@app.command(epilog="Example: mpi labels --data data --config mpi.toml --out labels.jsonl")
def labels(
    data: Data,
    out: Annotated[Path, typer.Option(help="File to write; it must not be there yet.", metavar="LABELS.jsonl")],
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Write what stewards decided as labels for `mpi train`: levels of agreement and the answer, nobody's number."""
    from mpi.cli.labels import run

    run(data, config, out, as_json=as_json)


app.command(
    epilog="Example: mpi retract --server 127.0.0.1:7443 --certs certs/facility-10661 --keys keys/10661 "
    "--facility 10661 --local-id 000000001"
)(retract)
