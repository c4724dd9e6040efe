"""Encoding jobs: parts, processes, interruptions, and everything that can go wrong while files are written."""

from __future__ import annotations

import csv
import fcntl
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import stat
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
from mpi.encoder.keys import load_key_ring, new_key_ring, rotate
from mpi.encoder.report import KEY_BYTES, ReportCounts
from mpi.errors import ExtractUnreadable, InputRejected, KeyRingUnusable
from mpi.keyfiles import derive

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
        (tmp_path / "other.toml").write_text('[codes]\n"10662" = ["10661"]\n')
        job = replace(job, facility="10662", facility_codes=tmp_path / "other.toml")
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


def interrupted(job: EncodeJob) -> Path:
    """The folder of a run that was interrupted when two parts were done."""
    with pytest.raises(KeyboardInterrupt):
        run_job(job, Stopping(after=2 * PART + 1))
    return job.out.with_name(f".{job.out.name}.parts")


@pytest.mark.parametrize("kind", ["arrow", "counts", "csv"])
@pytest.mark.parametrize("damage", [b"", b"cut", b"changed", None])
def test_a_damaged_part_is_done_again(job: EncodeJob, tmp_path: Path, kind: str, damage: bytes | None) -> None:
    """A file of a part that is empty, cut, changed or missing costs the work of this part, and nothing else."""
    whole = replace(job, out=tmp_path / "whole.parquet")
    run_job(whole)
    file = interrupted(job) / f"000001.{kind}"
    content = bytearray(file.read_bytes())
    if damage is None:
        file.unlink()
    elif damage == b"changed":
        content[-1] ^= 1
        file.write_bytes(content)
    else:
        file.write_bytes(content[: len(content) // 2] if damage else b"")
    assert run_job(job).resumed == PART
    assert contents(job.out) == contents(whole.out)
    assert left(job) == ["a.parquet", "a.quarantine.csv", "a.report.json"]


def test_a_part_is_trusted_under_its_own_number_only(job: EncodeJob) -> None:
    """Whole files of another part in the place of a part's own are noticed."""
    folder = interrupted(job)
    for kind in ("arrow", "counts", "csv"):
        (folder / f"000001.{kind}").write_bytes((folder / f"000000.{kind}").read_bytes())
    assert run_job(job).resumed == PART
    rows = [row for row, _ in contents(job.out)]
    assert rows == sorted(set(rows))


@pytest.mark.parametrize("content", ["", "[]", "{}", "[" * 100_000, '{"asked": 1, "nonce": [], "today": "x"}'])
def test_a_job_whose_beginning_is_damaged_starts_anew(job: EncodeJob, content: str) -> None:
    """Parts of which nobody can say what they are of are not taken over."""
    (interrupted(job) / "job.json").write_text(content)
    assert run_job(job).resumed == 0
    assert left(job) == ["a.parquet", "a.quarantine.csv", "a.report.json"]


def test_a_folder_that_cannot_be_repaired_is_named(job: EncodeJob) -> None:
    """Where something else than a file lies among the parts, the error says which folder to delete."""
    folder = interrupted(job)
    (folder / "000001.arrow").unlink()
    (folder / "000001.arrow").mkdir()
    with pytest.raises(InputRejected, match=rf"delete {folder}$"):
        run_job(job)
    shutil.rmtree(folder)
    assert run_job(job).resumed == 0


def test_a_folder_of_parts_that_leads_elsewhere_is_refused(job: EncodeJob, tmp_path: Path) -> None:
    """Nothing is deleted behind a link that bears the folder's name."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept").write_text("kept")
    job.out.with_name(".a.parquet.parts").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputRejected, match="delete it"):
        run_job(job)
    assert (tmp_path / "elsewhere" / "kept").read_text() == "kept"
    job.out.with_name(".a.parquet.parts").unlink()
    job.out.with_name(".a.parquet.parts").write_text("a file")
    with pytest.raises(InputRejected, match="delete it"):
        run_job(job)


def test_the_folder_of_an_interrupted_run_is_worth_nothing_alone(job: EncodeJob) -> None:
    """Its files are their owner's alone, and the report's hashes cannot be made again with what lies beside them."""
    mask = os.umask(0)
    try:
        folder = interrupted(job)
    finally:
        os.umask(mask)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert set(modes.values()) == {0o600}
    assert modes.keys() >= {"job.json", "lock", "000000.arrow", "000000.counts", "000000.csv"}
    counts = (folder / "000000.counts").read_bytes()[hashlib.sha256().digest_size :]
    told = (folder / "job.json").read_text()
    nonce = json.loads(told)["nonce"]
    secret = load_key_ring(job.keys).pointer_secret
    assert ReportCounts.from_bytes(counts, derive(secret, f"report/{nonce}", KEY_BYTES)).aside is not None
    beside = [bytes.fromhex(word) for word in re.findall(r"\b(?:[0-9a-f]{2})+\b", told)]
    assert bytes.fromhex(nonce) in beside
    for word in beside:
        for key in {word[at : at + KEY_BYTES] for at in range(max(1, len(word) - KEY_BYTES + 1))}:
            with pytest.raises(InputRejected):
                ReportCounts.from_bytes(counts, key.ljust(KEY_BYTES, b"\0"))


def test_what_dead_runs_left_half_done_is_cleared(job: EncodeJob) -> None:
    """Files that a killed run was writing do not outlive the next one."""
    folder = interrupted(job)
    stale = [folder / name for name in (".000007.csv.99999.partial", "a.parquet.partial", "a.report.json.earlier")]
    for path in stale:
        path.write_text("half")
    with pytest.raises(KeyboardInterrupt):
        run_job(job, Stopping(after=1))
    assert (folder / "000001.arrow").exists()
    assert not any(path.exists() for path in stale)


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


def earlier_outputs(job: EncodeJob, tmp_path: Path) -> dict[str, bytes]:
    """Let an earlier run have written other contents to all outputs; gives them by name."""
    shorter = tmp_path / "person-0.txt"
    shorter.write_bytes(b"".join(job.extract.read_bytes().splitlines(keepends=True)[:60]) + b"x|y\n")
    run_job(replace(job, extract=shorter))
    return outputs(job)


def outputs(job: EncodeJob) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in job.out.parent.iterdir() if path.is_file()}


@pytest.mark.parametrize("limit", [20_000, 200_000])
def test_a_disk_without_room(job: EncodeJob, tmp_path: Path, limit: int) -> None:
    """When a part or the output does not fit, the error says so, earlier outputs stay, and the run can go on."""
    before = earlier_outputs(job, tmp_path)
    with file_size_limit(limit), pytest.raises(ExtractUnreadable, match="cannot be written"):
        run_job(job)
    assert outputs(job) == before
    run_job(job)
    after = outputs(job)
    assert after.keys() == before.keys()
    assert all(after[name] != before[name] for name in before)


@pytest.mark.parametrize("earlier", [True, False])
@pytest.mark.parametrize("name", ["a.parquet", "a.quarantine.csv", "a.report.json"])
def test_outputs_change_together(
    job: EncodeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, earlier: bool
) -> None:
    """When one output cannot take its place, all of them are as they were before the run."""
    before = earlier_outputs(job, tmp_path) if earlier else {}
    replaced = Path.replace

    def failing(self: Path, target: Path) -> Path:
        if Path(target).name == name and self.suffix == ".partial":
            raise OSError(28, "No space left on device")
        return replaced(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", failing)
        with pytest.raises(ExtractUnreadable, match="No space left"):
            run_job(job)
    assert outputs(job) == before
    assert run_job(job).resumed > 0


@pytest.mark.parametrize("name", ["a.b", "a", "report.json", "a.parquet.gz"])
def test_outputs_that_would_share_a_list_are_refused(job: EncodeJob, name: str) -> None:
    """Two outputs have two lists and two reports, because all outputs have one ending."""
    with pytest.raises(InputRejected, match=r"ends in \.parquet"):
        run_job(replace(job, out=job.out.with_name(name)))
    assert left(job) == []


@pytest.mark.parametrize("name", ["a.parquet", "a.quarantine.csv", "a.report.json"])
def test_a_folder_in_an_outputs_place_is_noticed_first(job: EncodeJob, name: str) -> None:
    """Before anything is encoded the error names what is in the way."""
    job.out.with_name(name).mkdir()
    watched = Stopping(after=10**9)
    with pytest.raises(InputRejected, match=re.escape(name)):
        run_job(job, watched)
    assert watched.rows == 0


def told_before(job: EncodeJob, name: str, **header: str) -> str:
    """When the run was made that this one is compared with, after one whose report has another name and header."""
    first = run_job(replace(job, out=job.out.with_name("first.parquet"))).report
    assert first is not None
    earlier = replace(first, header=replace(first.header, made="2026-01-01", **header))
    job.out.with_name("first.report.json").unlink()
    job.out.with_name(name).write_text(earlier.to_json(), encoding="utf-8")
    report = run_job(job).report
    assert report is not None
    return report.before


def test_a_run_is_compared_with_its_own_series_only(job: EncodeJob) -> None:
    """An extract that differs by digits is of one series, as by its month; another table or format is not."""
    assert job.extract.name == "person.txt"
    numbered = replace(job, extract=job.extract.with_name("person_202606.txt"))
    numbered.extract.write_bytes(job.extract.read_bytes())
    name = "x.report.json"
    assert told_before(numbered, name, extract="Person_202605.txt") == "2026-01-01"
    for change in ({"extract": "death_202605.txt"}, {"source": "csv"}, {"facility": "10662"}):
        job.out.with_name("a.report.json").unlink()
        assert told_before(numbered, name, **{"extract": "person_202605.txt", **change}) == ""


def test_what_only_bears_a_reports_name_is_passed_over(job: EncodeJob) -> None:
    """Pipes, folders, endless nesting and numbers beyond all bounds neither stop nor delay a run."""
    first = run_job(replace(job, out=job.out.with_name("first.parquet"))).report
    assert first is not None
    content = json.loads(first.to_json())
    content["header"]["made"] = "9999"
    figure = content["figures"][0]
    strange = {
        "nested": "[" * 100_000,
        "figure": json.dumps({**content, "figures": [{**figure, "count": 10**400, "base": 1}]}),
        "digits": json.dumps({**content, "rows": 0}).replace('"rows": 0', f'"rows": {"9" * 5000}'),
        "surrogate": json.dumps({**content, "header": {**content["header"], "made": "9999\ud800"}}),
        "long": first.to_json() + " " * jobs.LARGEST_REPORT,
    }
    for name, text in strange.items():
        job.out.with_name(f"{name}.report.json").write_text(text)
    os.mkfifo(job.out.with_name("pipe.report.json"))
    job.out.with_name("folder.report.json").mkdir()
    job.out.with_name("device.report.json").symlink_to("/dev/zero")
    report = run_job(job).report
    assert report is not None
    assert report.before == first.header.made


def test_an_unusable_stewards_key_is_named_before_anything_is_encoded(job: EncodeJob, keys: Path) -> None:
    """A key file that is none ends the run with its name, with one process and with several."""
    for workers in (1, 2):
        with pytest.raises(KeyRingUnusable, match=r"linkage\.json"):
            run_job(replace(job, sealed_for=keys / "linkage.json", workers=workers))
        assert left(job) == []


@pytest.mark.parametrize("mapping", ["a = " + "[" * 100_000, "a = " + "{a = " * 50_000, "local_id = " + "9" * 5000])
def test_an_endless_mapping_is_refused(job: EncodeJob, tmp_path: Path, mapping: str) -> None:
    """Endless nesting and endless numbers are no mapping, and the error names the file."""
    (tmp_path / "mapping.toml").write_text(mapping)
    with pytest.raises(ExtractUnreadable, match=r"mapping\.toml: not TOML"):
        run_job(replace(job, source="csv", mapping=tmp_path / "mapping.toml"))


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
    assert len(workers) == 1  # the other one of the two is the command itself
