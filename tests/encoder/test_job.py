"""Encoding jobs: parts, processes, interruptions, and everything that can go wrong while files are written."""

from __future__ import annotations

import csv
import fcntl
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from mpi.batch.population import generate
from mpi.domain.record import EncodedRecord
from mpi.encoder import job as jobs
from mpi.encoder.encoded_file import read_header, read_numbered
from mpi.encoder.job import Encoded, EncodeJob, run_job
from mpi.encoder.keys import new_key_ring, rotate
from mpi.errors import ExtractUnreadable, InputRejected, KeyRingUnusable

ROOT = Path(__file__).parent.parent.parent
FACILITY = "10661"
PART = 100
"""Rows a part in these tests."""


@pytest.fixture(scope="module")
def extract(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PERSON file of a few hundred rows, one of them unusable."""
    path = generate(300, 5, tmp_path_factory.mktemp("population") / "out").extracts[FACILITY]
    rows = path.read_bytes().splitlines(keepends=True)
    rows.insert(150, rows[150].rstrip(b"\n") + b"|one column too many\n")
    path.write_bytes(b"".join(rows))
    return path


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ring") / "keys"
    new_key_ring(folder)
    return folder


@pytest.fixture
def job(extract: Path, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EncodeJob:
    monkeypatch.setattr(jobs, "ROWS_PER_PART", PART)
    (tmp_path / "out").mkdir()
    return EncodeJob(extract, keys, FACILITY, "person43", tmp_path / "out" / "a.parquet", "th-v1")


def contents(path: Path) -> list[tuple[int, EncodedRecord]]:
    return [record for batch in read_numbered(path) for record in batch]


def aside(done: Encoded) -> list[list[str]]:
    assert done.quarantine is not None
    with done.quarantine.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def left(job: EncodeJob) -> list[str]:
    """Names of what lies in the output's folder."""
    return sorted(path.name for path in job.out.parent.iterdir())


class Stopping:
    """Stops the run after so many rows."""

    def __init__(self, after: int) -> None:
        self.rows, self.done, self.after = 0, 0, after

    def begin(self, total: int | None, done: int) -> None:
        self.total, self.done = total, done

    def advance(self, count: int) -> None:
        self.rows += count
        if self.rows >= self.after:
            raise KeyboardInterrupt


def test_parts_come_together_in_order(job: EncodeJob, extract: Path) -> None:
    """Every row of the extract is in the output or set aside, once, in its order, and nothing else is left."""
    done = run_job(job)
    rows = [row for row, _ in contents(job.out)]
    lines = extract.read_bytes().count(b"\n")
    assert rows == sorted(set(rows))
    assert aside(done) == [["row", "reason"], ["151", "COLUMN_COUNT"]]
    assert done.records == len(rows)
    assert sorted([*rows, 151]) == list(range(lines - len(rows), lines + 1))
    assert left(job) == ["a.parquet", "a.quarantine.csv", "a.report.json"]


def test_processes_give_what_one_gives(job: EncodeJob, tmp_path: Path) -> None:
    """Two worker processes write the same records in the same order as one."""
    alone = run_job(job)
    together = run_job(replace(job, out=tmp_path / "b.parquet", workers=2))
    assert contents(tmp_path / "b.parquet") == contents(job.out)
    assert together.figures().keys() == alone.figures().keys()
    assert (together.records, together.remarks, together.quarantined) == (
        alone.records,
        alone.remarks,
        alone.quarantined,
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupted_job_goes_on(job: EncodeJob, tmp_path: Path, workers: int) -> None:
    """After an interruption the same command does only what is missing, and the output is as if nothing had been."""
    job = replace(job, workers=workers)
    whole = replace(job, out=tmp_path / "whole.parquet", workers=1)
    run_job(whole)
    with pytest.raises(KeyboardInterrupt):
        run_job(job, Stopping(after=2 * PART + 1))
    assert left(job) == [".a.parquet.parts"]
    resumed = run_job(job)
    assert resumed.resumed >= 2 * PART
    assert contents(job.out) == contents(whole.out)
    assert left(job) == ["a.parquet", "a.quarantine.csv", "a.report.json"]


def test_progress_begins_where_the_interrupted_job_stopped(job: EncodeJob, extract: Path) -> None:
    """Whoever watches learns how many rows there are and how many were done before."""
    with pytest.raises(KeyboardInterrupt):
        run_job(job, Stopping(after=2 * PART + 1))
    watched = Stopping(after=10**9)
    run_job(job, watched)
    assert watched.total == extract.read_bytes().count(b"\n")
    assert watched.done == 2 * PART
    assert 0 < watched.rows <= watched.total - watched.done


@pytest.mark.parametrize("change", ["extract", "facility", "keys"])
def test_another_job_starts_anew(job: EncodeJob, tmp_path: Path, change: str) -> None:
    """Parts of another extract, facility or key are never taken over."""
    with pytest.raises(KeyboardInterrupt):
        run_job(job, Stopping(after=2 * PART + 1))
    if change == "extract":
        (tmp_path / "other.txt").write_bytes(job.extract.read_bytes().replace(b"|1|19", b"|2|19"))
        job = replace(job, extract=tmp_path / "other.txt")
    elif change == "facility":
        job = replace(job, facility="10662")
    else:
        new_key_ring(tmp_path / "other")
        job = replace(job, keys=tmp_path / "other")
    assert run_job(job).resumed == 0
    assert read_header(job.out).facility == job.facility


def test_a_part_without_its_name_is_not_there(job: EncodeJob) -> None:
    """A part that was being written when the machine stopped is done again."""
    with pytest.raises(KeyboardInterrupt):
        run_job(job, Stopping(after=2 * PART + 1))
    parts = job.out.with_name(".a.parquet.parts")
    (parts / "000001.arrow").rename(parts / ".000001.arrow.123.partial")
    assert run_job(job).resumed == PART


def test_both_epochs_while_they_change(job: EncodeJob, keys: Path, tmp_path: Path) -> None:
    """A ring with two epochs encodes every record under both, and the file says so."""
    new_key_ring(tmp_path / "changing", join=keys)
    ring = rotate(tmp_path / "changing")
    run_job(job)
    amid = replace(job, keys=tmp_path / "changing", out=tmp_path / "amid.parquet")
    done = run_job(amid)
    assert read_header(amid.out).key_epochs == (ring.epochs[1].name, ring.epochs[0].name)
    before, during = contents(job.out), contents(amid.out)
    assert done.records == len(during) == len(before)
    for (row, old), (same_row, new) in zip(before, during, strict=True):
        assert row == same_row
        assert new.earlier is not None
        assert (new.earlier.local_id_token, new.earlier.demographics) == (old.local_id_token, old.demographics)
        assert new.demographics.key_epoch == ring.current.name


def test_two_runs_never_write_one_output(job: EncodeJob) -> None:
    """A second run on the same output is told so and changes nothing."""
    folder = job.out.with_name(".a.parquet.parts")
    folder.mkdir()
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(InputRejected, match="another run"):
            run_job(job)


def test_an_extract_that_changes_meanwhile_is_noticed(job: EncodeJob, tmp_path: Path) -> None:
    """What was read is not one state of the file, so nothing of it is given out."""
    moving = tmp_path / "moving.txt"
    moving.write_bytes(job.extract.read_bytes())

    class Touching(Stopping):
        def advance(self, count: int) -> None:
            os.utime(moving, ns=(1, 1))

    with pytest.raises(ExtractUnreadable, match="changed while it was read"):
        run_job(replace(job, extract=moving), Touching(0))
    assert left(job) == []


def test_an_extract_that_vanishes_is_noticed(job: EncodeJob, tmp_path: Path) -> None:
    """A file that is deleted amid the run ends it with its name; an earlier output stays."""
    vanishing = tmp_path / "vanishing.txt"
    vanishing.write_bytes(job.extract.read_bytes())
    run_job(job)
    before = job.out.read_bytes()

    class Deleting(Stopping):
        def advance(self, count: int) -> None:
            vanishing.unlink(missing_ok=True)

    with pytest.raises(ExtractUnreadable, match=r"vanishing\.txt"):
        run_job(replace(job, extract=vanishing), Deleting(0))
    assert job.out.read_bytes() == before


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes, as on a disk that is nearly full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


@pytest.mark.parametrize("limit", [20_000, 200_000])
def test_a_disk_without_room(job: EncodeJob, limit: int) -> None:
    """When a part or the output does not fit, the error says so, the earlier output stays, and the run can go on."""
    first = run_job(job)
    before = contents(job.out)
    job.extract.touch()
    with file_size_limit(limit), pytest.raises(ExtractUnreadable, match="cannot be written"):
        run_job(job)
    assert contents(job.out) == before
    again = run_job(job)
    assert again.records == first.records
    assert contents(job.out) == before


def test_an_unusable_stewards_key_is_named_before_anything_is_encoded(job: EncodeJob, keys: Path) -> None:
    """A key file that is none ends the run with its name, with one process and with several."""
    for workers in (1, 2):
        with pytest.raises(KeyRingUnusable, match=r"linkage\.json"):
            run_job(replace(job, sealed_for=keys / "linkage.json", workers=workers))
        assert left(job) == []


def test_what_is_read_is_never_overwritten(job: EncodeJob, keys: Path, tmp_path: Path) -> None:
    """An output that names the extract, or a file of the key ring, is refused and both stay as they are."""
    extract = tmp_path / "p.quarantine.csv"
    extract.write_bytes(job.extract.read_bytes())
    before = {path: path.read_bytes() for path in (extract, keys / "pointer.json")}
    for out in (extract, tmp_path / "p.parquet", keys / "pointer.json"):
        with pytest.raises(InputRejected, match="would be overwritten"):
            run_job(replace(job, extract=extract, out=out))
    assert {path: path.read_bytes() for path in before} == before


def workers_of(pid: int) -> list[int]:
    """Worker processes of the process `pid`."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


@contextmanager
def encoding(extract: Path, keys: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The command at work on a long extract with two workers, its first parts done."""
    many = tmp_path / "many.txt"
    many.write_bytes(extract.read_bytes() * 60)
    command = [
        sys.executable, "-m", "mpi", "encode", str(many), "--keys", str(keys), "--facility", FACILITY,
        "--source", "person43", "--out", str(tmp_path / "a.parquet"), "--workers", "2",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            while not list((tmp_path / ".a.parquet.parts").glob("*.arrow")):
                assert process.poll() is None
            yield process
        finally:
            process.kill()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds processes in /proc")
def test_a_worker_that_dies_is_reported(extract: Path, keys: Path, tmp_path: Path) -> None:
    """A killed worker process ends the run with the way out, and what was done stays for the next run."""
    with encoding(extract, keys, tmp_path) as process:
        os.kill(workers_of(process.pid)[0], signal.SIGKILL)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "--workers 1" in said
    assert "Traceback" not in said
    assert list((tmp_path / ".a.parquet.parts").glob("*.arrow"))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds processes in /proc")
def test_workers_end_with_the_command(extract: Path, keys: Path, tmp_path: Path) -> None:
    """When the command itself is killed, no process that holds people's rows stays behind."""
    with encoding(extract, keys, tmp_path) as process:
        workers = workers_of(process.pid)
        process.kill()
        process.wait(60)
        until = time.monotonic() + 60
        while any(Path(f"/proc/{worker}").exists() for worker in workers):
            assert time.monotonic() < until
            time.sleep(0.05)
    assert workers
