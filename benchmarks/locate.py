"""How fast record-location lookups are: ``python benchmarks/locate.py [--held N ...]``.

An index of so many records (made, linked and imported as `benchmarks/register.py` does it) is served by `mpi serve`
with mutual TLS, authorisation, consent, limits and the audit journal on; one in a hundred of the people that are asked
for has said something about consent. Beside it run, on the same cores and in turns:
a bare grpc.aio server on uvloop that answers the same bytes to the same requests; what most teams would build, FastAPI
with SQLAlchemy on PostgreSQL and an index on the token; and Redis, where a `redis-server` is found. The measure is the
processor time that the server's processes spend on one lookup, so that the load generator beside it does not count; a
ratio is the median of the ratios of neighbouring runs. Latencies are taken in an open loop at half of the capacity,
also while registrations run at full rate. A client keeps a feed of changes open at every server of ours. Where `h2load`
is found it loads both sides of one row as well.

``--data DIR`` keeps populations and imports for the next run. ``--small`` takes seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import uvloop
from lookup_load import LOCATE, Target, channel, loaded, loaded_by_h2load, watching
from lookup_rivals import (
    BATCH,
    START_SECONDS,
    beside,
    many_from_postgres,
    many_from_redis,
    postgres,
    redis,
)
from register import RULES, Prepared, import_once, prepared, served

from mpi.client import Client
from mpi.domain.identifiers import IdentifierKind, IdentifierToken
from mpi.domain.purpose import PurposeOfUse
from mpi.encoder.encoded_file import read_encoded
from mpi.server.certs import issue_dev_certificates
from mpi.v1 import locator_service_pb2 as pb2
from mpi.wire import convert

BATCH_LOCATE = "/mpi.v1.LocatorService/BatchLocate"
LOCATE_STREAM = "/mpi.v1.LocatorService/LocateStream"
REGISTER = "/mpi.v1.RegistryService/RegisterBatch"
KEYS = 20_000
OF_THE_PEOPLE = 100
"""One of so many has said something about consent."""
QUANTILES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
HERE = Path(__file__).resolve()


def tokens_of(made: Prepared, count: int) -> list[bytes]:
    """National ids of people who are held, as facilities encode them."""
    found: list[bytes] = []
    for file in made.held:
        for batch in read_encoded(file):
            for record in batch:
                found += [t.value for t in record.demographics.tokens if t.kind is IdentifierKind.NATIONAL_ID]
        if len(found) > 3 * count:
            break
    found = sorted(set(found))
    random.Random(7).shuffle(found)
    return found[:count]


def settings(folder: Path, made: Prepared, tls: bool) -> Path:
    """Write a settings file."""
    path = folder / ("tls.toml" if tls else "plain.toml")
    path.write_text(
        f'listen = "127.0.0.1:0"\nrules = "{RULES}"\nservice_key = "{folder}/centre/service.json"\n'
        f'key_epochs = "{made.keys.resolve()}/epochs.json"\n'
        "[limits]\nlookups = 1e9\nlookups_at_once = 1e9\nmisses = 1e9\nmisses_at_once = 1e9\n"
        + (
            '[tls]\ncertificate = "certs/server/cert.pem"\nkey = "certs/server/key.pem"\n'
            'client_authority = "certs/server/ca.pem"\n'
            if tls
            else ""
        )
    )
    return path


def written(folder: Path, name: str, requests: Sequence[bytes]) -> Path:
    """Write requests where the generator reads them."""
    path = folder / f"{name}.json"
    path.write_text(json.dumps([each.hex() for each in requests]))
    return path


def consenting(address: str, certificates: Path, tokens: Sequence[bytes]) -> None:
    """Let some of the people say something that changes no answer: it has to be weighed for them all the same."""
    with Client(address=address, certificates=certificates) as client:
        for each in tokens[::OF_THE_PEOPLE]:
            token = IdentifierToken(IdentifierKind.NATIONAL_ID, each)
            client.give_consent(token, "health-link", [PurposeOfUse.TREAT], reference="benchmark")


def answered(address: str, certificates: Path, requests: Sequence[bytes]) -> list[bytes]:
    """Ask for every answer once."""

    async def ask() -> list[bytes]:
        async with channel(address, certificates) as opened:
            call = opened.unary_unary(LOCATE)
            return [await call(request) for request in requests]

    return uvloop.run(ask())


def interleaved(ours: Callable[[], dict[str, Any]], theirs: Callable[[], dict[str, Any]], runs: int) -> dict[str, Any]:
    """Run two in turns, each as often before the other as after it.

    Gives the median of both and of the ratios of neighbours: theirs by ours, in processor time.
    """
    pairs = []
    for run in range(runs):
        if run % 2:
            reference = theirs()
            pairs.append((ours(), reference))
        else:
            pairs.append((ours(), theirs()))
    return {
        "ours": median([one for one, _ in pairs]),
        "reference": median([other for _, other in pairs]),
        "ratio": statistics.median(other["microseconds"] / one["microseconds"] for one, other in pairs),
        "ratios": [other["microseconds"] / one["microseconds"] for one, other in pairs],
    }


def median(runs: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Median of each figure, and of the quantiles of the latencies where every run knows them."""
    figures = [{**run, **(quantiles(run["latencies"]) if run["latencies"] else {})} for run in runs]
    known = [key for key in ("per_second", "microseconds", *QUANTILES) if all(key in each for each in figures)]
    return {key: statistics.median(each[key] for each in figures) for key in known}


def quantiles(latencies: Sequence[float]) -> dict[str, float]:
    """Milliseconds that half, 99 % and 99.9 % of the calls did not exceed."""
    ordered = sorted(latencies)
    return {name: 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] for name, share in QUANTILES.items()}


@contextmanager
def registering(address: str, certificates: Path, newcomers: Path) -> Iterator[None]:
    """Register at full rate meanwhile."""
    # Facilities have machines of their own: theirs must not take the processor from lookups here.
    command = ["nice", "-n", "10", sys.executable, str(HERE), "--register", address, str(certificates), str(newcomers)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        try:
            assert writer.stdout is not None
            writer.stdout.readline()
            yield
        finally:
            writer.terminate()
            writer.wait(START_SECONDS)


def register_on(address: str, certificates: Path, newcomers: Path) -> None:
    """Register records of a facility again and again, each time under other local ids, so that all of them are new."""
    records = [record for batch in read_encoded(newcomers) for record in batch]
    with Client(address=address, certificates=certificates, timeout=600) as client:
        turn = 0
        print(json.dumps("ready"), flush=True)
        while True:
            renamed = [replace(each, local_id_token=os.urandom(32)) for each in records[turn : turn + BATCH]]
            if not renamed:
                turn = 0
                continue
            list(client.register_batches([(b"1", renamed)]))
            turn += BATCH


def measure(held: int, seed: int, data: Path, runs: int, seconds: float, only: bool) -> dict[str, Any]:
    """Measure one size; `only` the lookups themselves and nothing beside them."""
    made = prepared(held, seed, data)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="mpi-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        facility = made.newcomers.stem
        certs = folder / "certs"
        issue_dev_certificates(certs, [facility], ["cdes"], [])
        exchange = certs / "exchange-cdes"
        tls, plain = (settings(folder, made, each) for each in (True, False))
        figures["held"] = import_once(made, tls, folder / "data")["imported"]
        address, pid = stack.enter_context(served(folder / "data", tls))
        stack.enter_context(watching(address, exchange))
        tokens = tokens_of(made, KEYS)
        consenting(address, exchange, tokens)
        keys = [convert.key_to_proto(IdentifierToken(IdentifierKind.NATIONAL_ID, each)) for each in tokens]
        treat = convert.purpose_to_proto(PurposeOfUse.TREAT)
        requests = [pb2.LocateRequest(key=key, purpose=treat).SerializeToString() for key in keys]
        answers = answered(address, exchange, requests)
        known = {
            t: answer
            for t, answer in zip(tokens, answers, strict=True)
            if pb2.LocateResponse.FromString(answer).identities
        }
        if len(known) < len(tokens) // 2:
            sys.exit("most of the lookups found nothing")
        size = min(BATCH, len(known))
        batches = [
            pb2.BatchLocateRequest(keys=keys[at : at + size], purpose=treat).SerializeToString()
            for at in range(0, len(keys) - size + 1, size)
        ]
        one, many = written(folder, "one", requests), written(folder, "many", batches)
        typical = sorted(answers, key=len)[len(answers) // 2]
        figures["answer_bytes"] = len(typical)
        (folder / "answer").write_bytes(typical)
        with_tls = Target("Locate", address, (pid,), one, LOCATE, exchange)
        batch = Target("BatchLocate", address, (pid,), many, BATCH_LOCATE, exchange, size, under_way=4)
        if only:
            figures["unary_mtls"] = {"ours": median([loaded(with_tls, seconds) for _ in range(runs)])}
            figures["batch"] = {"ours": median([loaded(batch, seconds) for _ in range(runs)])}
            return figures
        echo_tls = Target("echo", *_server(stack, "echo", folder / "answer", certs / "server"), one, LOCATE, exchange)
        figures["unary_mtls"] = interleaved(lambda: loaded(with_tls, seconds), lambda: loaded(echo_tls, seconds), runs)
        show("unary Locate, mutual TLS : bare echo, mutual TLS", figures["unary_mtls"])
        with ExitStack() as without:
            open_address, open_pid = without.enter_context(served(folder / "data", plain, insecure=True))
            without.enter_context(watching(open_address, None))
            open_ours = Target("Locate", open_address, (open_pid,), one)
            bare = Target("echo", *_server(without, "echo", folder / "answer"), one)
            figures["unary"] = interleaved(lambda: loaded(open_ours, seconds), lambda: loaded(bare, seconds), runs)
            show("unary Locate, everything on but TLS : bare echo", figures["unary"])
            if loaded_by_h2load(bare, 1) is None:
                print("  h2load is not installed: no row of another generator", flush=True)
            else:
                figures["unary_h2load"] = interleaved(
                    lambda: loaded_by_h2load(open_ours, seconds), lambda: loaded_by_h2load(bare, seconds), runs
                )
                show("the same, load by h2load : bare echo", figures["unary_h2load"])
        # A request of either reads the same in bytes.
        stream = replace(batch, name="LocateStream", method=LOCATE_STREAM, protocol="stream")
        figures["stream"] = interleaved(lambda: loaded(stream, seconds), lambda: loaded(batch, seconds), runs)
        show("LocateStream, 500 keys at a time : BatchLocate", figures["stream"])
        with redis(folder, known) as found:
            if found is not None:
                sizes = [len(known[token]) for token in known]
                figures["batch_redis"] = interleaved(
                    lambda: loaded(batch, seconds), lambda: many_from_redis(*found, list(known), sizes, seconds), runs
                )
                show("BatchLocate, 500 keys : redis GET, 16 in a pipeline", figures["batch_redis"])
        with postgres(folder, known) as url:
            figures["batch_postgres"] = interleaved(
                lambda: loaded(batch, seconds), lambda: many_from_postgres(url, list(known), size, seconds), runs
            )
            show("BatchLocate, 500 keys : PostgreSQL = ANY(500)", figures["batch_postgres"])
            figures["usual"] = against_the_usual(folder, url, with_tls, list(known), runs, seconds)
    with tempfile.TemporaryDirectory(prefix="mpi-bench-") as name:
        figures |= with_workers(made, Path(name), runs, seconds)
    return figures


def with_workers(made: Prepared, folder: Path, runs: int, seconds: float) -> dict[str, Any]:
    """Hold two workers against one, and lookups while registrations run at full rate against lookups alone."""
    facility = made.newcomers.stem
    certs = folder / "certs"
    issue_dev_certificates(certs, [facility], ["cdes"], [])
    exchange, tls = certs / "exchange-cdes", settings(folder, made, True)
    tokens, treat = tokens_of(made, KEYS), convert.purpose_to_proto(PurposeOfUse.TREAT)
    data = {count: folder / f"data-{count}" for count in (1, 2)}
    for each in data.values():
        import_once(made, tls, each)
        with served(each, tls) as (address, _):
            consenting(address, exchange, tokens)
    keys = [convert.key_to_proto(IdentifierToken(IdentifierKind.NATIONAL_ID, each)) for each in tokens]
    one = written(folder, "one", [pb2.LocateRequest(key=key, purpose=treat).SerializeToString() for key in keys])
    with ExitStack() as stack:
        # Both stand beside each other, so that neighbouring runs differ in nothing but the workers.
        targets = []
        for count, each in data.items():
            address, _, pid = stack.enter_context(workers(each, tls, count))
            stack.enter_context(watching(address, exchange))
            targets.append(Target(f"{count} workers", address, (pid,), one, LOCATE, exchange))
        alone, two = targets
        found = interleaved(lambda: loaded(alone, seconds), lambda: loaded(two, seconds), runs)
    figures: dict[str, Any] = {
        "workers": {"one": found["ours"], "two": found["reference"], "ratio": found["ratio"], "ratios": found["ratios"]}
    }
    print(f"  processor time a lookup, two workers : one                {found['ratio']:.2f}", flush=True)
    with workers(data[1], tls, 1) as (address, registrar, pid), watching(address, exchange):
        target = Target("one worker", address, (pid,), one, LOCATE, exchange)
        rate = loaded(target, seconds)["per_second"] / 2
        idle, busy = list[dict[str, Any]](), list[dict[str, Any]]()
        for _ in range(runs):
            idle.append(loaded(target, 2 * seconds, rate))
            with registering(registrar, certs / f"facility-{facility}", made.newcomers):
                busy.append(loaded(target, 2 * seconds, rate))
    figures["latency"] = {"rate": rate, "idle": median(idle), "registering": median(busy)}
    pairs = [
        (quantiles(one["latencies"]), quantiles(other["latencies"])) for one, other in zip(idle, busy, strict=True)
    ]
    figures["latency"]["ratio"] = statistics.median(other["p99"] / one["p99"] for one, other in pairs)
    figures["latencies"] = {name: _some(runs_of) for name, runs_of in (("idle", idle), ("registering", busy))}
    for when in ("idle", "registering"):
        spread = ", ".join(f"{name} {figures['latency'][when][name]:.1f} ms" for name in QUANTILES)
        print(f"  at {rate:,.0f}/s, {when}: {spread}", flush=True)
    spent = figures["latency"]["idle"]["microseconds"]
    print(f"  processor time a lookup at that rate, idle                {spent:.0f} us", flush=True)
    print(f"  p99, registering : idle                                   {figures['latency']['ratio']:.2f}", flush=True)
    return figures


def _some(runs: Sequence[dict[str, Any]]) -> list[float]:
    """Some hundred latencies of all runs, in order, to draw."""
    every = sorted(each for run in runs for each in run["latencies"])
    return every[:: max(1, len(every) // 500)]


@contextmanager
def workers(data: Path, config: Path, count: int) -> Iterator[tuple[str, str, int]]:
    """Serve with so many workers; gives the addresses of lookups and of the registrar, and the supervisor's number."""
    command = [sys.executable, "-m", "mpi", "serve", "--data", str(data), "--config", str(config), "--json"]
    command += ["--workers", str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            if not line:
                sys.exit(f"mpi serve ended with {server.wait()}")
            where = json.loads(line)
            yield where["listening"], where["registrar"], server.pid
        finally:
            server.terminate()
            server.wait(START_SECONDS)


def _server(stack: ExitStack, *arguments: object) -> tuple[str, tuple[int, ...]]:
    address, pid = stack.enter_context(beside(*arguments))
    return address, (pid,)


def against_the_usual(
    folder: Path, url: str, ours: Target, tokens: Sequence[bytes], runs: int, seconds: float
) -> dict[str, Any] | None:
    """Hold unary lookups against a web application on PostgreSQL, whose backends' time counts too."""
    try:
        import fastapi  # noqa: F401
        import httptools  # noqa: F401
    except ImportError:
        print("  FastAPI and httptools are not installed: no row for the usual way", flush=True)
        return None
    server_pid = int((folder / "pg" / "postmaster.pid").read_text().split()[0])
    with ExitStack() as stack:
        address, pid = stack.enter_context(beside("usual", url))
        theirs = Target(
            "FastAPI", address, (pid, server_pid), written(folder, "http", tokens), protocol="http", under_way=16
        )
        found = interleaved(lambda: loaded(ours, seconds), lambda: loaded(theirs, seconds), runs)
    show("unary Locate : FastAPI, SQLAlchemy, PostgreSQL", found)
    return found


def show(what: str, row: dict[str, Any]) -> None:
    """Print one line of the table."""
    ours, other = row["ours"], row["reference"]
    print(
        f"  {what:<52} {ours['per_second']:>9,.0f}/s {ours['microseconds']:>8.1f} us : {other['per_second']:>9,.0f}/s "
        f"{other['microseconds']:>8.1f} us = {row['ratio']:.2f}",
        flush=True,
    )
    for name, side in (("ours", ours), ("beside it", other)):
        if "p99" in side:
            print(f"    {name}: " + ", ".join(f"{each} {side[each]:.1f} ms" for each in QUANTILES), flush=True)


def plot(path: Path, figures: dict[str, Any]) -> None:
    """Draw the latencies, idle and while registrations run."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axis = plt.subplots(figsize=(7, 4))
    for name, latencies in figures["latencies"].items():
        share = [at / len(latencies) for at in range(len(latencies))]
        axis.plot([1000 * each for each in latencies], share, label=name)
    axis.set(
        title=f"unary Locate at {figures['latency']['rate']:,.0f}/s, open loop",
        xlabel="ms",
        ylabel="share of calls",
        xscale="log",
    )
    axis.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def versions() -> dict[str, str]:
    """Versions of what this runs on."""
    found = {"python": platform.python_version()}
    for name in (
        "thai-mpi",
        "grpcio",
        "protobuf",
        "uvloop",
        "lmdb",
        "cryptography",
        "fastapi",
        "uvicorn",
        "sqlalchemy",
        "psycopg",
    ):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found


def main() -> None:
    """Measure and print, or be one of the processes of a measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--held",
        type=int,
        nargs="+",
        default=[100_000],
        help="records held, roughly; the first is held against the others",
    )
    parser.add_argument("--runs", type=int, default=5, help="runs in turns")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each run")
    parser.add_argument("--seed", type=int, default=501)
    parser.add_argument("--data", type=Path, metavar="DIR", help="where populations and encoded files are kept")
    parser.add_argument("--small", action="store_true", help="few records: seconds instead of minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the latencies; wants matplotlib")
    parser.add_argument("--register", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.register:
        register_on(asked.register[0], *map(Path, asked.register[1:]))
        return
    if asked.small:
        asked.held, asked.runs, asked.seconds = [800], 1, 0.3
    figures: dict[str, Any] = {"seed": asked.seed, "cores": len(os.sched_getaffinity(0)), "versions": versions()}
    print(f"seed {asked.seed}, {figures['cores']} cores, load {os.getloadavg()[0]:.1f} at the beginning")
    print(", ".join(f"{name} {each}" for name, each in figures["versions"].items()))
    figures["sizes"] = []
    with tempfile.TemporaryDirectory(prefix="mpi-bench-") as scratch:
        for place, held in enumerate(asked.held):
            found = measure(held, asked.seed, asked.data or Path(scratch), asked.runs, asked.seconds, only=place > 0)
            figures["sizes"].append(found)
            print(f"  {found['held']:,} records held: Locate {found['unary_mtls']['ours']}", flush=True)
    if asked.plot:
        plot(asked.plot, figures["sizes"][0])
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
