"""Encoding jobs: an extract in; an encoded file, a list of rows set aside and a quality report out.

The extract is read in order and cut into parts, which worker processes normalise and encode. Finished parts wait in a
folder beside the output until all of them are there, so memory stays flat however long the extract is, and a job that
was interrupted goes on where it stopped. The output appears under its name as a whole; until then an earlier one
stays as it was.
"""

from __future__ import annotations

import csv
import datetime
import fcntl
import functools
import hashlib
import json
import multiprocessing
import os
import secrets
import shutil
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from mpi.domain.identifiers import is_facility_code
from mpi.encoder.demographics import Demographics, normalize
from mpi.encoder.encoded_file import encoded_schema, to_batch, whole_file, write_encoded
from mpi.encoder.encoder import Encoder
from mpi.encoder.keys import KeyRing, load_key_ring
from mpi.encoder.report import Header, Report, ReportCounts, finish
from mpi.encoder.sealed import Masking, SealedViews, load_public_key
from mpi.encoder.sources import RejectedRow, RowReason, SourceRow, fhir, person43
from mpi.encoder.sources import csv as csv_source
from mpi.errors import ExtractUnreadable, InputRejected
from mpi.keyfiles import derive
from mpi.rules import load_rules, rule_file

SOURCES = ("person43", "fhir", "csv")
REPORT_ENDING = ".report.json"
ROWS_PER_PART = 2500
"""Rows that a worker takes at a time, and the most that an interruption loses of each worker's work."""
ROWS_PER_SLICE = 100
"""Rows encoded at once: enough for the arrays to pay, few enough for them to stay in the processor's cache."""
_PARTS_WAITING = 2
"""Parts beside those being worked on that may wait for a worker; bounds what is held in memory."""
_READ_BYTES = 1 << 20
_WORTH_BYTES = 1 << 20
"""Extracts smaller than this are done before further processes have started."""

Entry = SourceRow | RejectedRow
Part = tuple[int, list[Entry]]
"""Number of a part, and its rows."""


@dataclass(frozen=True, slots=True)
class EncodeJob:
    """What is to be encoded, and how.

    Attributes:
        extract: the facility's extract.
        keys: folder of the facility's key ring.
        facility: facility code.
        source: format of the extract, one of `SOURCES`.
        out: encoded file to write.
        profile: rule file, or the name of one that is shipped.
        mapping: mapping file of a csv source; None for the others.
        sealed_for: the stewards' public key; None reveals nothing to them.
        mask: what of the demographics a steward may see, a word of `Masking`.
        workers: processes that normalise and encode; 1 works in this one.
    """

    extract: Path
    keys: Path
    facility: str
    source: str
    out: Path
    profile: str
    mapping: Path | None = None
    sealed_for: Path | None = None
    mask: str = Masking.INITIALS
    workers: int = 1


@dataclass(slots=True)
class Encoded:
    """How a job went.

    Attributes:
        records: records written.
        quarantined: rows set aside, by reason.
        remarks: how often each remark of the normaliser was made.
        seconds: how long this run took.
        resumed: rows that an interrupted run had done before.
        quarantine: the list of rows set aside.
        report: the quality report; a later run is compared with it.
    """

    records: int = 0
    quarantined: Counter[str] = field(default_factory=Counter)
    remarks: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    resumed: int = 0
    quarantine: Path | None = None
    report: Report | None = None

    def figures(self) -> dict[str, object]:
        """The figures for a script."""
        fresh = self.records + sum(self.quarantined.values()) - self.resumed
        return {
            "records": self.records,
            "quarantined": sum(self.quarantined.values()),
            "reasons": dict(self.quarantined),
            "remarks": dict(sorted(self.remarks.items())),
            "resumed_rows": self.resumed,
            "seconds": round(self.seconds, 3),
            "records_per_second": round(fresh / self.seconds, 1) if self.seconds else None,
        }


class Progress(Protocol):
    """Whom a job tells how far it is."""

    def begin(self, total: int | None, done: int) -> None:
        """The extract has about so many rows (None: not known), of which so many were done before."""

    def advance(self, count: int) -> None:
        """So many more rows are done."""


class _Untold:
    def begin(self, total: int | None, done: int) -> None:
        pass

    def advance(self, count: int) -> None:
        pass


def workers_for(extract: Path) -> int:
    """Processes that an extract is worth: one for each processor, or this one alone where starting them costs more."""
    try:
        worth = extract.stat().st_size >= _WORTH_BYTES
    except OSError:
        worth = False
    return len(os.sched_getaffinity(0)) if worth else 1


def run_job(job: EncodeJob, progress: Progress | None = None) -> Encoded:
    """Run a job to its end, or go on with it where an interrupted run of the same job stopped.

    Raises:
        InputRejected: an unusable extract, key ring, rule file, mapping, facility code or format; or the output
            cannot be written.
    """
    begun = time.monotonic()
    told = progress or _Untold()
    _check(job)
    rows_of = _reader(job)
    survey = _survey(job.extract)
    with _writing(job.out), _workshop(job, survey) as shop:
        done = {number for number in shop.numbers() if shop.is_done(number)}
        told.begin(survey.lines, len(done) * ROWS_PER_PART)
        parts = _parts(rows_of(job.extract))
        worker = _Worker(shop)  # here first: what is wrong with keys and rules shows before a process is started
        count, resumed = 0, 0
        for number, rows in _worked(shop, worker, parts, done, told):
            count = number + 1
            resumed += rows if number in done else 0
        if _stamp(job.extract) != survey.stamp:
            raise ExtractUnreadable(job.extract, "changed while it was read; run the command again")
        outcome = _assemble(shop, worker, count)
        shop.finished = True
    outcome.resumed = resumed
    outcome.seconds = time.monotonic() - begun
    return outcome


def _check(job: EncodeJob) -> None:
    if not is_facility_code(job.facility):
        raise InputRejected("--facility: a code has 5 to 9 upper-case letters and digits")
    if job.source not in SOURCES:
        raise InputRejected(f"--source is one of {', '.join(SOURCES)}")
    if (job.source == "csv") != (job.mapping is not None):
        raise InputRejected("--mapping names the columns of a csv source, and goes with no other")
    if job.mask not in list(Masking):
        raise InputRejected(f"--mask is one of {', '.join(Masking)}")
    if job.workers < 1:
        raise InputRejected("--workers: at least one")
    if not job.out.parent.is_dir():
        raise InputRejected(f"--out: {job.out.parent} is not a folder")
    for path in (job.out, job.out.with_suffix(".quarantine.csv"), job.out.with_suffix(REPORT_ENDING)):
        refuse_to_overwrite(job, "--out", path)


def refuse_to_overwrite(job: EncodeJob, option: str, path: Path) -> None:
    """Refuse an output that would take the place of what the job reads, or of a key.

    Raises:
        InputRejected: the path is an input of the job, or lies in its key ring.
    """
    target = path.resolve()
    read = [each.resolve() for each in (job.extract, job.mapping, job.sealed_for) if each is not None]
    if target in read or job.keys.resolve() in target.parents:
        raise InputRejected(f"{option}: {path} is read by this run; it would be overwritten")


def _reader(job: EncodeJob) -> Callable[[Path], Iterator[Entry]]:
    if job.mapping is not None:
        return functools.partial(csv_source.read, mapping=csv_source.load_mapping(job.mapping))
    if job.source == "fhir":
        return functools.partial(fhir.read, facility=job.facility)
    return person43.read


@dataclass(frozen=True, slots=True)
class _Survey:
    """What an extract is before it is read: by its digest an interrupted job knows it again."""

    digest: str
    lines: int | None
    stamp: tuple[int, int]


def _survey(extract: Path) -> _Survey:
    digest, lines, last = hashlib.sha256(), 0, b"\n"
    try:
        stamp = _stamp(extract)
        with extract.open("rb") as file:
            while block := file.read(_READ_BYTES):
                digest.update(block)
                lines += block.count(b"\n")
                last = block
    except OSError as error:
        raise ExtractUnreadable(extract, error.strerror or "cannot be read") from None
    # A workbook or a Bundle has its rows elsewhere than in lines.
    known = lines > 1 and extract.suffix.lower() != ".xlsx"
    return _Survey(digest.hexdigest(), lines + (not last.endswith(b"\n")) if known else None, stamp)


def _stamp(extract: Path) -> tuple[int, int]:
    try:
        status = extract.stat()
    except OSError as error:
        raise ExtractUnreadable(extract, error.strerror or "cannot be read") from None
    return status.st_size, status.st_mtime_ns


class _Workshop:
    """The folder beside the output where finished parts wait, and what every process of the job has to know."""

    def __init__(self, job: EncodeJob, folder: Path, today: datetime.date, hashing_key: bytes, ring: KeyRing) -> None:
        self.job = job
        self.ring = ring
        self.folder = folder
        self.today = today
        self.hashing_key = hashing_key
        self.finished = False

    def encoded(self, number: int) -> Path:
        """Encoded rows of a part; it is written last, so where it is the part is done."""
        return self.folder / f"{number:06d}.arrow"

    def aside(self, number: int) -> Path:
        """Rows of a part that were set aside."""
        return self.folder / f"{number:06d}.csv"

    def counts(self, number: int) -> Path:
        """Counts of a part for the report."""
        return self.folder / f"{number:06d}.counts"

    def is_done(self, number: int) -> bool:
        """Say whether a part is done."""
        return self.encoded(number).exists()

    def numbers(self) -> Iterator[int]:
        """Numbers of the parts that are done."""
        return (int(path.stem) for path in self.folder.glob("[0-9]*.arrow"))


@contextmanager
def _workshop(job: EncodeJob, survey: _Survey) -> Iterator[_Workshop]:
    """Open the folder of an interrupted run of this very job, or a new one.

    What makes a job the same: the extract's content, everything that was asked for, the keys and this program.
    """
    ring, rules = load_key_ring(job.keys), load_rules(rule_file(job.profile))
    today = datetime.datetime.now(datetime.UTC).date()
    asked = {
        "extract": survey.digest,
        "facility": job.facility,
        "source": job.source,
        "mapping": _digest(job.mapping),
        "profile": rules.profile.digest.hex(),
        "key_epochs": [epoch.name for epoch in ring.epochs],
        "pointer_key": derive(ring.pointer_secret, "job").hex(),
        "sealed_for": _digest(job.sealed_for),
        "mask": job.mask,
        "version": version("thai-mpi"),
    }
    folder = job.out.with_name(f".{job.out.name}.parts")
    folder.mkdir(mode=0o700, exist_ok=True)
    begun = folder / "job.json"
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputRejected(f"--out: another run is writing {job.out}") from None
        before = _read_json(begun)
        if before.get("asked") != asked:
            for path in folder.iterdir():
                if path.name != "lock":
                    path.unlink()
            before = {"asked": asked, "today": today.isoformat(), "hashing_key": secrets.token_hex(16)}
            with whole_file(begun) as partial:
                partial.write_text(json.dumps(before), encoding="utf-8")
        shop = _Workshop(
            job, folder, datetime.date.fromisoformat(before["today"]), bytes.fromhex(before["hashing_key"]), ring
        )
        try:
            yield shop
        except ExtractUnreadable as error:
            # The extract has to be made anew, and then nothing of this fits.
            shop.finished = error.path == job.extract
            raise
        finally:
            if shop.finished or next(shop.numbers(), None) is None:
                shutil.rmtree(folder, ignore_errors=True)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _digest(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ExtractUnreadable(path, error.strerror or "cannot be read") from None


def _parts(rows: Iterator[Entry]) -> Iterator[Part]:
    number = 0
    while part := list(islice(rows, ROWS_PER_PART)):
        yield number, part
        number += 1


def _worked(
    shop: _Workshop, worker: _Worker, parts: Iterator[Part], done: set[int], told: Progress
) -> Iterator[tuple[int, int]]:
    """Work parts off, those that are done already excepted; gives each part's number and rows."""
    if shop.job.workers == 1:
        for number, rows in parts:
            if number not in done:
                worker.work(number, rows, told.advance)
            yield number, len(rows)
        return
    waiting: deque[tuple[int, int, Future[None]]] = deque()

    def oldest() -> tuple[int, int]:
        number, rows, future = waiting.popleft()
        future.result()
        told.advance(rows)
        return number, rows

    with _pool(shop) as pool:
        try:
            for number, rows in parts:
                if number in done:
                    yield number, len(rows)
                    continue
                waiting.append((number, len(rows), pool.submit(_work, number, rows)))
                if len(waiting) >= shop.job.workers + _PARTS_WAITING:
                    yield oldest()
            while waiting:
                yield oldest()
        except BrokenProcessPool:
            raise InputRejected(
                "a worker process ended by itself (out of memory?); run the command again to go on, or with --workers 1"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _pool(shop: _Workshop) -> Iterator[ProcessPoolExecutor]:
    # A forked process would inherit the threads' locks but not the threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(shop.job.workers, context, _begin_work, (shop,)) as pool:
        yield pool


class _Worker:
    """Normalises and encodes parts."""

    def __init__(self, shop: _Workshop) -> None:
        job = shop.job
        self.profile = profile = load_rules(rule_file(job.profile)).profile
        sealed = None
        if job.sealed_for is not None:
            sealed = SealedViews(load_public_key(job.sealed_for), Masking(job.mask), job.facility)
        self.encoder = Encoder(profile, shop.ring, job.facility, shop.today, sealed)
        self.schema = encoded_schema(self.encoder.header, profile.bits // 8)
        self._shop = shop

    def work(self, number: int, rows: Sequence[Entry], advance: Callable[[int], None]) -> None:
        """Work a part off; it counts as done when its encoded rows have their name."""
        shop = self._shop
        counts = ReportCounts(shop.hashing_key)
        slices = [
            self._slice(rows[at : at + ROWS_PER_SLICE], counts, advance) for at in range(0, len(rows), ROWS_PER_SLICE)
        ]
        with whole_file(shop.aside(number)) as partial, partial.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(row for _, aside in slices for row in aside)
        with whole_file(shop.counts(number)) as partial:
            partial.write_bytes(counts.to_bytes())
        with (
            whole_file(shop.encoded(number)) as partial,
            pa.OSFile(str(partial), "wb") as sink,
            pa.ipc.new_file(sink, self.schema) as writer,
        ):
            for batch, _ in slices:
                writer.write_batch(batch)

    def _slice(
        self, rows: Sequence[Entry], counts: ReportCounts, advance: Callable[[int], None]
    ) -> tuple[pa.RecordBatch, list[tuple[int, str]]]:
        people: list[tuple[int, str, Demographics]] = []
        aside: list[tuple[int, str]] = []
        for entry in rows:
            reason: RowReason | None = None
            if isinstance(entry, RejectedRow):
                reason = entry.reason
            else:
                person = normalize(entry.raw, self._shop.today)
                if person.identifiers or person.names:
                    people.append((entry.row, entry.raw.local_id, person))
                else:
                    reason = RowReason.NOTHING_TO_MATCH
            if reason is not None:
                aside.append((entry.row, reason.value))
                counts.set_aside(entry.row, reason)
        columns = self.encoder.columns(people)
        epochs = len(self.encoder.header.key_epochs)
        for place, (row, local_id, person) in enumerate(people):
            first, last = columns.channel_offsets[place * epochs : place * epochs + 2]
            names = [columns.channel_names[code] for code in columns.channels[first:last]]
            counts.add(row, local_id, person, names)
        advance(len(rows))
        return to_batch(columns, self.schema), aside


_worker: _Worker
"""The worker of a worker process."""


def _begin_work(shop: _Workshop) -> None:
    global _worker
    # An interruption at the terminal reaches every process: the first one ends the others in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # If that one is killed nobody does: a process that holds people's rows must not stay behind.
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker = _Worker(shop)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(number: int, rows: list[Entry]) -> None:
    _worker.work(number, rows, lambda _: None)


def _assemble(shop: _Workshop, worker: _Worker, count: int) -> Encoded:
    """Put the parts together to the output, the list of rows set aside, and the report."""
    job = shop.job
    counts = ReportCounts(shop.hashing_key)
    quarantine = job.out.with_suffix(".quarantine.csv")
    outcome = Encoded(quarantine=quarantine)
    with whole_file(quarantine) as partial, partial.open("wb") as file:
        file.write(b"row,reason\n")
        for number in range(count):
            file.write(shop.aside(number).read_bytes())
            counts.merge(ReportCounts.from_bytes(shop.counts(number).read_bytes()))
    rows = write_encoded(job.out, worker.schema, (_table(shop.encoded(number)) for number in range(count)))
    outcome.records = rows // len(worker.encoder.header.key_epochs)
    outcome.quarantined, outcome.remarks = counts.aside, counts.flags
    outcome.report = finish(counts, _header(shop, worker), _report_before(job))
    with whole_file(job.out.with_suffix(REPORT_ENDING)) as partial:
        partial.write_text(outcome.report.to_json() + "\n", encoding="utf-8")
    return outcome


def _header(shop: _Workshop, worker: _Worker) -> Header:
    job, profile = shop.job, worker.profile
    return Header(
        facility=job.facility,
        profile=profile.name,
        channels=profile.channel_names(),
        key_epochs=worker.encoder.header.key_epochs,
        source=job.source,
        extract=job.extract.name,
        made=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        version=version("thai-mpi"),
        normaliser=profile.normaliser,
    )


def _report_before(job: EncodeJob) -> Report | None:
    """The facility's latest report among those beside the output, whatever the outputs were called."""
    found = []
    for path in job.out.parent.glob(f"*{REPORT_ENDING}"):
        try:
            report = Report.from_json(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, InputRejected):
            continue  # another program's file, or a damaged one: there is nothing to compare with
        if report.header.facility == job.facility:
            found.append(report)
    return max(found, key=lambda report: report.header.made, default=None)


def _table(path: Path) -> pa.Table:
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all()


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ExtractUnreadable(
            out, f"cannot be written ({error.strerror or type(error).__name__}); run the command again to go on"
        ) from None
