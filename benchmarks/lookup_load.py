"""Load for lookups, from a process of its own that `loaded` starts with one line of JSON.

In a closed loop so many calls are kept under way; in an open loop calls begin at a rate, whether the others have been
answered or not, so that whoever answers late is not asked less. `loaded_by_h2load` is another generator that knows
nothing of this one: h2load (Debian: nghttp2-client), one request over and over, without client certificates.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import shutil
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import ngh2
import uvloop
from register import START_SECONDS, processor_seconds

from mpi.client import Client
from mpi.client.channel import SERVICE_CONFIG
from mpi.domain.purpose import PurposeOfUse
from mpi.errors import MpiError

LOCATE = "/mpi.v1.LocatorService/Locate"
UNDER_WAY = 64
"""Calls that a generator keeps under way in a closed loop."""
H2LOAD_CONNECTIONS = 4
HERE = Path(__file__).resolve()


def channel(address: str, certificates: Path | None) -> grpc.aio.Channel:
    """Open a channel, with a client's certificate or in plain text."""
    options = (("grpc.max_receive_message_length", 64 << 20), ("grpc.service_config", SERVICE_CONFIG))
    if certificates is None:
        return grpc.aio.insecure_channel(address, options)
    files = ((certificates / name).read_bytes() for name in ("ca.pem", "key.pem", "cert.pem"))
    return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(*files), options)


async def closed_loop(
    call: Callable[[bytes], Any], requests: Sequence[bytes], seconds: float, calls: int
) -> list[float]:
    """Keep so many calls under way for so long; gives their latencies in seconds."""
    found: list[float] = []
    end = time.perf_counter() + seconds

    async def loop(turn: int) -> None:
        at, begun = turn * len(requests) // calls, time.perf_counter()
        while begun < end:
            await call(requests[at % len(requests)])
            at, since = at + 1, begun
            begun = time.perf_counter()
            found.append(begun - since)

    await asyncio.gather(*(loop(turn) for turn in range(calls)))
    return found


class Quick(asyncio.Protocol):
    """A client of one method on nghttp2, that costs less than gRPC's own.

    In an open loop the generator must be quick on the same cores that the server and registrations run on; else it is
    its own waiting that is measured.
    """

    def __init__(self, method: str, authority: str) -> None:
        self.latencies: list[float] = []
        self._http = ngh2.Connection(ngh2.Role.CLIENT)
        self._headers = (
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":path", method.encode()),
            (b":authority", authority.encode()),
            (b"content-type", b"application/grpc"),
            (b"te", b"trailers"),
        )
        self._since: dict[int, float] = {}
        self._failed: Exception | None = None

    def connection_made(self, transport: Any) -> None:
        """Say hello."""
        self._transport = transport
        self._http.initiate_connection({})
        transport.write(self._http.data_to_send())

    def begin(self, requests: Sequence[tuple[bytes, float]]) -> None:
        """Begin calls, each of which has waited since a time."""
        for request, since in requests:
            stream = self._http.send_request(self._headers)
            self._since[stream] = since
            self._http.send_data(stream, b"\0" + len(request).to_bytes(4, "big") + request, end_stream=True)
        self._transport.write(self._http.data_to_send())

    def data_received(self, data: bytes) -> None:
        """Take answers."""
        self._http.receive_data(data)
        now = time.perf_counter()
        for event in self._http.events():
            if isinstance(event, ngh2.TrailersReceived):
                self.latencies.append(now - self._since.pop(event.stream_id))
                if dict(event.headers)[b"grpc-status"] != b"0":
                    self._failed = RuntimeError("a lookup was refused")
            elif isinstance(event, ngh2.ResponseReceived) and event.end_stream:
                self._failed = RuntimeError("a lookup was refused")
        if ready := self._http.data_to_send():
            self._transport.write(ready)

    async def ended(self) -> list[float]:
        """Wait for the last answer; gives the latencies of all calls in seconds."""
        until = time.perf_counter() + START_SECONDS
        while self._since and self._failed is None and time.perf_counter() < until:
            await asyncio.sleep(0.005)
        self._transport.close()
        if self._failed is not None or self._since:
            raise self._failed or RuntimeError("a lookup was not answered")
        return self.latencies


def streamed(opened: grpc.aio.Channel, method: str, count: int) -> Callable[[bytes], Any]:
    """Make calls of so many streams: each takes the next request when it has answered the last."""
    idle: asyncio.Queue[grpc.aio.StreamStreamCall[bytes, bytes]] = asyncio.Queue()
    for _ in range(count):
        idle.put_nowait(opened.stream_stream(method)())

    async def call(request: bytes) -> None:
        stream = await idle.get()
        await stream.write(request)
        if await stream.read() is grpc.aio.EOF:
            raise RuntimeError("a stream has ended")
        idle.put_nowait(stream)

    return call


async def open_loop(asked: dict[str, Any], requests: Sequence[bytes]) -> list[float]:
    """Begin calls at a rate, whether the others have been answered or not; gives their latencies in seconds."""
    host, _, port = asked["address"].rpartition(":")
    context = None
    if asked["certificates"]:
        folder = Path(asked["certificates"])
        context = ssl.create_default_context(cafile=folder / "ca.pem")
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        context.set_alpn_protocols(["h2"])
    _, client = await asyncio.get_running_loop().create_connection(
        lambda: Quick(asked["method"], asked["address"]), host, int(port), ssl=context
    )
    dice = random.Random(1)
    due = begun = time.perf_counter()
    while due - begun < asked["seconds"]:
        wait = due - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        calls = []
        while due <= time.perf_counter():  # a call that begins late has waited already
            calls.append((dice.choice(requests), due))
            due += dice.expovariate(asked["rate"])
        client.begin(calls)
    return await client.ended()


async def generate(asked: dict[str, Any]) -> dict[str, Any]:
    """Load a server as one line of JSON says."""
    requests = [bytes.fromhex(each) for each in json.loads(Path(asked["requests"]).read_text())]
    if asked["protocol"] == "http":
        return await _http(asked, requests)
    async with channel(asked["address"], Path(asked["certificates"]) if asked["certificates"] else None) as opened:
        if asked["protocol"] == "stream":
            call = streamed(opened, asked["method"], asked["under_way"])
        else:
            call = opened.unary_unary(asked["method"])
        await closed_loop(call, requests, 0.5, UNDER_WAY)
        print(json.dumps("ready"), flush=True)
        sys.stdin.readline()
        if asked["rate"]:
            latencies = await open_loop(asked, requests)
            return {"calls": len(latencies), "latencies": latencies}
        begun = time.perf_counter()
        latencies = await closed_loop(call, requests, asked["seconds"], asked["under_way"])
        return {"calls": len(latencies), "seconds": time.perf_counter() - begun, "latencies": latencies}


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
    latencies = await closed_loop(call, requests, asked["seconds"], asked["under_way"])
    return {"calls": len(latencies), "seconds": time.perf_counter() - begun, "latencies": latencies}


@contextmanager
def watching(address: str, certificates: Path | None) -> Iterator[None]:
    """Keep a feed of changes open meanwhile, as an exchange does."""
    with Client(address=address, certificates=certificates) as client:
        pages = client.watch(PurposeOfUse.TREAT)
        next(pages)

        def take() -> None:
            with suppress(MpiError):  # the client is closed
                for _ in pages:
                    pass

        taker = threading.Thread(target=take, daemon=True)
        taker.start()
        yield
    taker.join(START_SECONDS)


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
        protocol: "grpc" for a call for each request, "stream" for many requests a call, or "http".
        under_way: calls that are kept under way in a closed loop; of "stream", streams.
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
    command = [sys.executable, str(HERE), json.dumps(asked)]
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


def loaded_by_h2load(target: Target, seconds: float) -> dict[str, Any] | None:
    """Load a target in plain text with h2load, if it is there; gives what `loaded` gives."""
    program = shutil.which("h2load")
    if program is None:
        return None
    request = bytes.fromhex(json.loads(target.requests.read_text())[0])
    body = target.requests.with_suffix(".grpc")
    body.write_bytes(b"\0" + len(request).to_bytes(4, "big") + request)
    command = [program, "-c", str(H2LOAD_CONNECTIONS), "-m", str(target.under_way // H2LOAD_CONNECTIONS)]
    command += ["-H", "content-type: application/grpc", "-H", "te: trailers", "-d", str(body)]
    where = f"http://{target.address}{target.method}"
    subprocess.run([*command, "-n", "500", where], check=True, capture_output=True)
    before = sum(map(processor_seconds, target.pids))
    done = subprocess.run(
        [*command, "-D", str(max(1, round(seconds))), where], check=True, capture_output=True, text=True
    )
    spent = sum(map(processor_seconds, target.pids)) - before
    counted = re.search(r"(\d+) succeeded, (\d+) failed", done.stdout)
    rate = re.search(r"([\d.]+) req/s", done.stdout)
    if counted is None or rate is None or int(counted[2]):
        sys.exit(f"h2load did not get its answers from {target.name}")
    return {
        "lookups": int(counted[1]),
        "per_second": float(rate[1]),
        "microseconds": 1e6 * spent / int(counted[1]),
        "latencies": [],
    }


if __name__ == "__main__":
    print(json.dumps(uvloop.run(generate(json.loads(sys.argv[1])))), flush=True)
