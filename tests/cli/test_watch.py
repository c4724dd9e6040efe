"""`mpi watch`: what it prints, where it goes on, and what it says of arguments that cannot be used."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mpi.cli import watch
from mpi.cli.main import app
from mpi.domain.consent import Asking
from mpi.domain.watching import EventKind, IdentityEvent, Wanted
from mpi.errors import AccessDenied, ConfigInvalid, Reason, RecordRejected
from mpi.server import watches
from mpi.server.certs import issue_dev_certificates
from tests.server.running import running, server_tls
from tests.server.test_watch_calls import MadeUp, Page

EIDS = [f"00000000-0000-0000-0000-{turn:012}" for turn in range(1, 41)]


class Story(MadeUp):
    """A centre in memory whose every revision is one event."""

    def opened(self, client: str, cursor: bytes) -> int:
        """Read a cursor, which is a number."""
        if not cursor.isdigit():
            raise RecordRejected(Reason.REQUEST_INVALID, "cursor", "is none")
        return int(cursor)

    def page(self, asking: Asking, wanted: Wanted, after: int, *, outside: bool) -> Page:
        """Tell one change."""
        kind = EventKind.LINK if after % 2 else EventKind.MERGE
        event = IdentityEvent(EIDS[after], EIDS[0] if kind is EventKind.MERGE else "", kind, ("10661",))
        return Page((event,) if wanted.has(kind, event.facilities) else (), after + 1)


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certs")
    issue_dev_certificates(folder, ["10661"], ["cdes"], [])
    return folder


@pytest.fixture
def at(certs: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Story, list[str]]]:
    monkeypatch.setattr(watches, "TICK_SECONDS", 0.01)
    monkeypatch.setattr(watches, "EVENTS_OF_ONE", 1)
    index = Story(len(EIDS))
    with running(index.application(), server_tls(certs)) as address:
        yield index, ["watch", "--server", address, "--certs", str(certs / "exchange-cdes"), "--purpose", "treat"]


def done(command: list[str], *more: str) -> Result:
    return CliRunner().invoke(app, [*command, *more], catch_exceptions=False)


def cursor_of(path: Path) -> bytes:
    return base64.b64decode(path.read_bytes())


def put(path: Path, cursor: bytes) -> None:
    path.write_bytes(base64.b64encode(cursor))


def eids_of(output: str) -> list[str]:
    return [json.loads(line)["eid"] for line in output.splitlines()]


def test_events_are_printed_and_the_next_run_goes_on(at, tmp_path):
    """A line an event, as JSON or for a person; the cursor is kept after them, for nobody else to read."""
    _, command = at
    since = tmp_path / "cursor.txt"
    put(since, b"0")
    first = done(command, "--since", str(since), "--most", "3", "--json")
    assert first.exit_code == 0
    assert eids_of(first.stdout) == EIDS[:3]
    assert json.loads(first.stdout.splitlines()[0]) == {
        "kind": "merge",
        "eid": EIDS[0],
        "source": EIDS[0],
        "facilities": ["10661"],
    }
    assert cursor_of(since) == b"3"
    assert since.stat().st_mode & 0o777 == 0o600
    second = done(command, "--since", str(since), "--most", "2")
    assert second.stdout.splitlines() == [
        f"link        {EIDS[3]}  10661",
        f"merge       {EIDS[4]}  from {EIDS[0]}  10661",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["cursor.txt"]


def test_without_a_file_it_begins_now(at, tmp_path):
    """The file is written at once, so that a run that saw nothing goes on from there too."""
    index, command = at
    index.last = 5
    since = tmp_path / "cursor.txt"
    process = subprocess.Popen(
        [sys.executable, "-m", "mpi", *command, "--since", str(since), "--json"], stdout=subprocess.PIPE, text=True
    )
    try:
        for _ in range(2000):
            if since.exists() or process.poll() is not None:
                break
            time.sleep(0.01)
        assert cursor_of(since) == b"5"
        index.last = 7
        assert process.stdout is not None
        assert eids_of(process.stdout.readline() + process.stdout.readline()) == EIDS[5:7]
    finally:
        process.kill()
        process.communicate()


def test_a_run_that_is_killed_repeats_its_last_page_and_loses_none(at, tmp_path, monkeypatch):
    """Killed between the events and the cursor, at every page: every event is printed, in order, at most twice."""
    _, command = at
    since = tmp_path / "cursor.txt"
    put(since, b"0")
    kept, printed = watch._write, []
    for turn in range(1, 9):
        written = iter(range(turn))

        def killed(path: Path, cursor: bytes, written: Iterator[int] = written) -> None:
            if next(written, None) is None:
                raise KeyboardInterrupt
            kept(path, cursor)

        monkeypatch.setattr(watch, "_write", killed)
        result = CliRunner().invoke(app, [*command, "--since", str(since), "--json"])
        printed += eids_of(result.stdout)
    monkeypatch.setattr(watch, "_write", kept)
    printed += eids_of(done(command, "--since", str(since), "--most", "1", "--json").stdout)
    assert list(dict.fromkeys(printed)) == EIDS[: len(set(printed))]
    assert max(printed.count(eid) for eid in printed) == 2
    assert len(set(printed)) > 8


def test_a_filter(at, tmp_path):
    """By kind and facility, in the words of the output."""
    _, command = at
    since = tmp_path / "cursor.txt"
    put(since, b"0")
    result = done(command, "--since", str(since), "--most", "2", "--json", "--kind", "link", "--facility", "10661")
    assert eids_of(result.stdout) == [EIDS[1], EIDS[3]]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--kind", "marriage"], "--kind"),
        (["--purpose", "CURIOSITY"], "--purpose"),
        (["--since", "/there/is/no/folder/cursor.txt"], "is no folder"),
        (["--since", "/"], "--since"),
    ],
)
def test_arguments_that_cannot_be_used(at, more, told):
    """The error names the option."""
    with pytest.raises(ConfigInvalid, match=told):
        done(at[1], *more)


def test_a_file_that_holds_no_cursor(at, tmp_path):
    """It stays as it is, and its content is not quoted."""
    since = tmp_path / "cursor.txt"
    since.write_text("no cursor at all!")
    with pytest.raises(ConfigInvalid, match="holds no cursor") as caught:
        done(at[1], "--since", str(since))
    assert "at all" not in caught.value.message
    assert since.read_text() == "no cursor at all!"


def test_a_refusal_ends_the_run(at, certs, tmp_path):
    """A client that may not watch is told at once, and no file is left."""
    command = ["--certs" if word == "--certs" else word for word in at[1]]
    command[command.index("--certs") + 1] = str(certs / "facility-10661")
    since = tmp_path / "cursor.txt"
    with pytest.raises(AccessDenied):
        done(command, "--since", str(since))
    assert not since.exists()
