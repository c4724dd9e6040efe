"""`mpi demo`: the main job end to end, with the same parts that the commands by hand use."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from mpi.errors import IndexCorrupt, InputRejected, RecordRejected, ServiceUnavailable

if TYPE_CHECKING:
    from mpi.client import Client
    from mpi.encoder.identifiers import Identifier
    from mpi.encoder.tokens import PointerBox

DEFAULT_OUT = Path("mpi-demo")
EXCHANGE, STEWARD = "cdes", "somsri"
PROFILE = "th-v1"
_MARK = "demo.json"
_START_SECONDS = 60.0
_STOP_SECONDS = 15.0
_SINGLE_LOOKUPS = 2000
_KEYS_PER_CALL = 500
_SAMPLES = 3


@dataclass(frozen=True, slots=True)
class _Paths:
    """Where the demo leaves its data."""

    root: Path

    @property
    def population(self) -> Path:
        return self.root / "population"

    @property
    def certs(self) -> Path:
        return self.root / "certs"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def config(self) -> Path:
        return self.root / "mpi.toml"

    @property
    def log(self) -> Path:
        return self.root / "server.log"

    def keys(self, client: str) -> Path:
        return self.root / "keys" / client

    def encoded(self, facility: str) -> Path:
        return self.root / "encoded" / f"{facility}.parquet"


def run(persons: int, seed: int, out: Path | None, *, as_json: bool) -> int:
    """Run the demo; returns the exit code."""
    paths = _Paths((out or DEFAULT_OUT).absolute())
    _clear(paths.root)
    console = Console(stderr=as_json, highlight=False)
    begun = time.monotonic()
    figures: dict[str, Any] = {"persons": persons, "seed": seed}

    facilities = _make_population(console, paths, persons, seed)
    _make_keys_and_certificates(console, paths, [facility["code"] for facility in facilities])
    figures["encode"] = _encode(console, paths, facilities)
    with _server(paths) as address:
        console.print(f"[bold]4[/] the index listens on {address} (gRPC, mutual TLS)")
        figures["register"] = _register(console, paths, address, facilities)
        figures |= _measure(console, paths, address, facilities)
    figures["review_tasks"] = figures["register"]["review_tasks"]
    figures["seconds"] = round(time.monotonic() - begun, 1)
    figures["data"] = str(paths.root)
    (paths.root / _MARK).write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if as_json:
        print(json.dumps(figures, ensure_ascii=False))  # noqa: T201
    else:
        console.print(f"\n{figures['seconds']} s in all; everything is left in {paths.root}")
    return 0


def _clear(root: Path) -> None:
    """Make room for a demo: an earlier one is replaced, anything else is left alone."""
    if root.exists() and any(root.iterdir()):
        if not (root / _MARK).is_file():
            raise InputRejected(f"{root}: holds other files than a demo's; name another folder with --out")
        shutil.rmtree(root)
    root.mkdir(parents=True, exist_ok=True)
    (root / _MARK).write_text("{}\n", encoding="utf-8")
    (root / "encoded").mkdir()


def _make_population(console: Console, paths: _Paths, persons: int, seed: int) -> list[dict[str, Any]]:
    from mpi.batch.population import generate
    from mpi.cli.progress import progress

    with progress("making people", persons, quiet=not console.is_terminal) as advance:
        generate(persons, seed, paths.population, on_progress=advance)
    manifest = json.loads((paths.population / "manifest.json").read_text(encoding="utf-8"))
    listed: list[dict[str, Any]] = manifest["facilities"]
    console.print(f"[bold]1[/] {persons} synthetic people (seed {seed}), raw extracts as two platforms hold them")
    for facility in listed:
        platform = {"person43": "Mor Prom, 43-file PERSON text", "fhir": "Health Link, FHIR Patient NDJSON"}
        console.print(f"    {facility['code']}  {facility['records']:>6} records  {platform[facility['format']]}")
    return listed


def _make_keys_and_certificates(console: Console, paths: _Paths, codes: Sequence[str]) -> None:
    from mpi.encoder.keys import new_key_ring
    from mpi.server.certs import issue_dev_certificates

    first = paths.keys(codes[0])
    ring = new_key_ring(first)
    for client in (*codes[1:], EXCHANGE):
        new_key_ring(paths.keys(client), join=first)
    issue_dev_certificates(paths.certs, facilities=list(codes), exchanges=[EXCHANGE], stewards=[STEWARD])
    paths.config.write_text(
        "\n".join(
            (
                'listen = "127.0.0.1:0"',
                'service_key = "centre-keys/service.json"',
                f'key_epochs = "keys/{codes[0]}/epochs.json"',
                "",
                "[tls]",
                'certificate = "certs/server/cert.pem"',
                'key = "certs/server/key.pem"',
                'client_authority = "certs/server/ca.pem"',
                "",
            )
        ),
        encoding="utf-8",
    )
    console.print(f"[bold]2[/] key rings (epoch {ring.current.name}) and certificates for every client")


def _encode(console: Console, paths: _Paths, facilities: Sequence[dict[str, Any]]) -> dict[str, Any]:
    from mpi.cli.progress import progress
    from mpi.encoder.job import EncodeJob, run_job

    figures = {}
    console.print("[bold]3[/] each facility normalises and encodes its own extract")
    for facility in facilities:
        code = facility["code"]
        extract = paths.population / facility["file"]
        job = EncodeJob(extract, paths.keys(code), code, facility["format"], paths.encoded(code), PROFILE)
        with progress(f"encoding {code}", facility["records"], quiet=not console.is_terminal) as shown:
            done = run_job(job, shown)
        figures[code] = done.figures()
        aside = sum(done.quarantined.values())
        console.print(f"    {code}  {done.records:>6} records, {aside} set aside, {done.records / done.seconds:,.0f}/s")
    return figures


@contextmanager
def _server(paths: _Paths) -> Iterator[str]:
    """Run `mpi serve` in a process of its own; it is gone when the block ends, however it ends."""
    command = [sys.executable, "-m", "mpi", "serve", "--data", str(paths.data), "--config", str(paths.config), "--json"]
    with paths.log.open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL)  # noqa: S603
        try:
            yield _address(process, paths.log)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout:
                process.stdout.close()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    if process.stdout is None:
        raise ServiceUnavailable("the server's output cannot be read")
    line = process.stdout.readline()
    try:
        return str(json.loads(line)["listening"])
    except (ValueError, KeyError):
        raise ServiceUnavailable(f"the server did not start; {log} says why") from None


def _register(console: Console, paths: _Paths, address: str, facilities: Sequence[dict[str, Any]]) -> dict[str, Any]:
    from mpi.cli.progress import progress
    from mpi.cli.register import register_files

    console.print("[bold]5[/] each facility registers its encodings; the index links them as they come")
    figures: dict[str, Any] = {}
    total, seconds = 0, 0.0
    for facility in facilities:
        code = facility["code"]
        with progress(f"registering {code}", facility["records"], quiet=not console.is_terminal) as advance:
            done = register_files([paths.encoded(code)], address, paths.certs / f"facility-{code}", advance)
        figures[code] = done.figures()
        total, seconds = total + done.records, seconds + done.seconds
        outcomes = ", ".join(f"{count} {kind}" for kind, count in sorted(done.outcomes.items()))
        console.print(f"    {code}  {done.records:>6} records: {outcomes}")
    figures["records_per_second"] = round(total / seconds, 1)
    figures["review_tasks"] = tasks = _waiting(paths, address)
    console.print(f"    {total / seconds:,.0f} records/s; {tasks} possible links wait for a data steward")
    return figures


def _waiting(paths: _Paths, address: str) -> int:
    """Count the possible links that wait, as a data steward sees them; facilities are not told."""
    from mpi.client import Client

    count, cursor = 0, b""
    with Client(address=address, certificates=paths.certs / f"steward-{STEWARD}") as client:
        while True:
            listed, cursor = client.tasks(cursor=cursor)
            count += len(listed)
            if not cursor:
                return count


def _measure(console: Console, paths: _Paths, address: str, facilities: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Look every record up, compare with truth, and show three lookups as an exchange would make them."""
    from mpi.batch.evaluation import pair_quality, read_truth
    from mpi.client import Client
    from mpi.domain.identifiers import LocalIdToken
    from mpi.domain.purpose import PurposeOfUse
    from mpi.encoder.encoded_file import read_encoded
    from mpi.encoder.keys import load_key_ring
    from mpi.encoder.tokens import PointerBox

    boxes = {
        facility["code"]: PointerBox(load_key_ring(paths.keys(facility["code"])).pointer_secret, facility["code"])
        for facility in facilities
    }
    records = [r for f in facilities for batch in read_encoded(paths.encoded(f["code"])) for r in batch]
    names = [f"{record.facility}/{boxes[record.facility].open(record.pointer)}" for record in records]
    keys = [LocalIdToken(record.local_id_token) for record in records]
    found: dict[str, str] = {}
    members: Counter[str] = Counter()
    platforms: dict[str, set[str]] = {}
    with Client(address=address, certificates=paths.certs / f"exchange-{EXCHANGE}") as client:
        begun = time.monotonic()
        for start in range(0, len(keys), _KEYS_PER_CALL):
            part = client.batch_locate(keys[start : start + _KEYS_PER_CALL], PurposeOfUse.TREAT)
            for name, identities in zip(names[start:], part.answers, strict=False):
                if isinstance(identities, RecordRejected) or len(identities) != 1:
                    raise IndexCorrupt("a record that was registered is not in exactly one identity")
                (identity,) = identities
                found[name] = identity.eid
                members[identity.eid] += 1
                platforms[identity.eid] = {at.facility for at in identity.locations}
        batch_rate = len(keys) / (time.monotonic() - begun)
        singles = keys[:_SINGLE_LOOKUPS]
        begun = time.monotonic()
        for key in singles:
            client.locate(key, PurposeOfUse.TREAT)
        single_rate = len(singles) / (time.monotonic() - begun)
        quality = pair_quality(read_truth(paths.population / "truth.csv").persons, found)
        across = sum(len(places) > 1 for places in platforms.values())
        console.print("[bold]6[/] the index against the truth")
        table = Table(show_header=False, box=None, padding=(0, 2))
        rows = [
            ("records", f"{len(records):,}"),
            ("identities", f"{len(members):,}"),
            ("of them with records on both platforms", f"{across:,}"),
            ("precision (pairs)", f"{quality.precision:.5f}  ({quality.links - quality.true_links} wrong pairs)"),
            ("recall (pairs)", f"{quality.recall:.5f}  ({quality.matches:,} true pairs)"),
            ("lookups, one by one, one connection", f"{single_rate:,.0f}/s"),
            ("lookups, in batches", f"{batch_rate:,.0f}/s"),
        ]
        for name, value in rows:
            table.add_row(name, value)
        console.print(table)
        samples = _samples(console, paths, client, boxes, facilities)
    return {
        "records": len(records),
        "identities": len(members),
        "across_platforms": across,
        "precision": quality.precision,
        "recall": quality.recall,
        "f1": quality.f1,
        "wrong_pairs": quality.links - quality.true_links,
        "true_pairs": quality.matches,
        "lookups_per_second": round(single_rate, 1),
        "batch_lookups_per_second": round(batch_rate, 1),
        "samples": samples,
    }


def _samples(
    console: Console,
    paths: _Paths,
    client: Client,
    boxes: dict[str, PointerBox],
    facilities: Sequence[dict[str, Any]],
) -> list[dict[str, Any]]:
    """Three people looked up by national id, as an exchange would, and the pointers as their facilities open them."""
    from mpi.domain.purpose import PurposeOfUse
    from mpi.encoder.keys import load_key_ring
    from mpi.encoder.tokens import Tokeniser

    tokens = Tokeniser(load_key_ring(paths.keys(EXCHANGE)).current)
    console.print("\n[bold]7[/] three lookups by national id, as an exchange makes them")
    shown: list[dict[str, Any]] = []
    for number in _numbers(paths, facilities):
        identities = client.locate(tokens.identifier(number.kind, number.value), PurposeOfUse.TREAT).identities
        if len(identities) != 1 or len(identities[0].locations) < len(facilities):
            continue  # a person of one facility only shows less
        identity = identities[0]
        console.print(f"    {number.value[0]}-{number.value[1:5]}-*****-**-*  is  {identity.eid}")
        opened = [(at.facility, boxes[at.facility].open(at.pointer)) for at in identity.locations]
        for facility, local_id in opened:
            console.print(f"        {facility}  local id {local_id}  (pointer opened by the facility)")
        shown.append({"eid": identity.eid, "locations": [f"{place}/{local_id}" for place, local_id in opened]})
        if len(shown) == _SAMPLES:
            break
    return shown


def _numbers(paths: _Paths, facilities: Sequence[dict[str, Any]]) -> Iterator[Identifier]:
    """Usable national ids of the last facility's extract."""
    from mpi.encoder.identifiers import IdentifierRejected, parse_national_id
    from mpi.encoder.sources import SourceRow, fhir, person43

    facility = facilities[-1]
    read = {"person43": person43.read, "fhir": fhir.read}[facility["format"]]
    for row in read(paths.population / facility["file"]):
        if isinstance(row, SourceRow):
            try:
                yield parse_national_id(row.raw.national_id)
            except IdentifierRejected:
                continue
