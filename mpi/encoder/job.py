"""Encoding jobs: an extract in; an encoded file, a list of rows set aside and a quality report out.

The extract is read in order and cut into parts, which are normalised and encoded here and by further processes.
Finished parts wait in a folder beside the output until all of them are there, so memory stays flat however long the
extract is, and a job that was interrupted goes on where it stopped. The output appears under its name as a whole,
behind its list and report; until then earlier ones stay as they were.
"""

from __future__ import annotations

import csv
import datetime
import functools
import hashlib
import io
import multiprocessing
import os
import signal
import stat
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from mpi.domain.identifiers import is_facility_code
from mpi.encoder.demographics import Demographics, normalize
from mpi.encoder.encoded_file import encoded_schema, to_batch, write_tables
from mpi.encoder.encoder import Encoder
from mpi.encoder.facilities import FacilityCodes, load_facility_codes
from mpi.encoder.keys import KeyRing, load_key_ring
from mpi.encoder.parts import Parts, forget, open_parts, publish
from mpi.encoder.report import KEY_BYTES, Header, Report, ReportCounts, finish
from mpi.encoder.sealed import Masking, SealedViews, load_public_key
from mpi.encoder.sources import RejectedRow, RowReason, SourceRow, fhir, person43
from mpi.encoder.sources import csv as csv_source
from mpi.errors import ExtractUnreadable, InputRejected
from mpi.keyfiles import derive
from mpi.rules import load_rules, rule_file

SOURCES = ("person43", "fhir", "csv")
ENDING, QUARANTINE_ENDING, REPORT_ENDING = ".parquet", ".quarantine.csv", ".report.json"
LARGEST_REPORT = 1 << 22
"""Bytes of a report that is worth comparing with; ours have a fiftieth."""
ROWS_PER_PART = 1000
"""Rows that a worker takes at a time, and about the most that an interruption loses of each worker's work."""
ROWS_PER_SLICE = 100
"""Rows encoded at once: enough for the arrays to pay, few enough for them to stay in the processor's cache."""
_PARTS_AHEAD = 2
"""Parts that each further process has been given: one to work on, and one lest it wait for the next."""
_READ_BYTES = 1 << 20
_WORTH_BYTES = 1 << 20
"""Extracts smaller than this are done before further processes have started."""

Entry = SourceRow | RejectedRow
Part = tuple[int, list[Entry]]
"""Number of a part, and its rows."""
Done = tuple[int, int]
"""Number of a part that is done, and how many rows it has."""


@dataclass(frozen=True, slots=True)
class EncodeJob:
    """What is to be encoded, and how.

    Attributes:
        extract: the facility's extract.
        keys: folder of the facility's key ring.
        facility: facility code.
        source: format of the extract, one of `SOURCES`.
        out: encoded file to write, its name ending in `ENDING`; list and report get their names from it.
        profile: rule file, or the name of one that is shipped.
        mapping: mapping file of a csv source; None for the others.
        sealed_for: the stewards' public key; None reveals nothing to them.
        mask: what of the demographics a steward may see, a word of `Masking`.
        workers: processes that normalise and encode, this one among them.
        facility_codes: which codes are of one facility; None where each has one.
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
    facility_codes: Path | None = None

    @property
    def quarantine(self) -> Path:
        """List of the rows set aside."""
        return self.out.with_suffix(QUARANTINE_ENDING)

    @property
    def report(self) -> Path:
        """Quality report, for a later run to compare with."""
        return self.out.with_suffix(REPORT_ENDING)


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
    if not is_facility_code(job.facility):
        raise InputRejected("--facility: a code has 5 to 9 upper-case letters and digits")
    codes = load_facility_codes(job.facility_codes)
    job = replace(job, facility=codes.of(job.facility))
    _check(job)
    rows_of = reader(job.source, job.mapping, job.facility, codes)
    survey = _survey(job.extract)
    with _writing(job.out), _opened(job, survey) as shop:
        done = shop.parts.done()
        told.begin(survey.lines, len(done) * ROWS_PER_PART)
        try:
            outcome = _encode(shop, _parts(rows_of(job.extract)), done, told, survey)
        except ExtractUnreadable as error:
            if error.path == job.extract:
                forget(shop.parts)  # it has to be made anew, and then nothing of this fits
            raise
    outcome.seconds = time.monotonic() - begun
    return outcome


def _check(job: EncodeJob) -> None:
    _check_source(job.source, job.mapping)
    if job.mask not in list(Masking):
        raise InputRejected(f"--mask is one of {', '.join(Masking)}")
    if job.mask != Masking.INITIALS and job.sealed_for is None:
        raise InputRejected("--mask says what stewards may see: it goes with --sealed-for, their public key")
    if job.workers < 1:
        raise InputRejected("--workers: at least one")
    if not job.out.parent.is_dir():
        raise InputRejected(f"--out: {job.out.parent} is not a folder")
    refuse_to_overwrite(job, "--out", job.out)
    if job.out.suffix != ENDING:
        # Outputs that differ in their endings alone would share the list of rows set aside and the report.
        raise InputRejected(f"--out: {job.out}: the name of an encoded file ends in {ENDING}")
    for path in (job.out, job.quarantine, job.report):
        refuse_to_overwrite(job, "--out", path)
        if path.exists() and not path.is_file():
            raise InputRejected(f"--out: {path} is there and no file")


def refuse_to_overwrite(job: EncodeJob, option: str, path: Path) -> None:
    """Refuse an output that would take the place of what the job reads, or of a key.

    Raises:
        InputRejected: the path is an input of the job, or lies in its key ring.
    """
    target = path.resolve()
    read = [
        each.resolve() for each in (job.extract, job.mapping, job.sealed_for, job.facility_codes) if each is not None
    ]
    if target in read or job.keys.resolve() in target.parents:
        raise InputRejected(f"{option}: {path} is read by this run; it would be overwritten")


def reader(source: str, mapping: Path | None, facility: str, codes: FacilityCodes) -> Callable[[Path], Iterator[Entry]]:
    """Say how extracts of a source are read.

    Args:
        source: format of the extract, one of `SOURCES`.
        mapping: mapping file of a csv source; None for the others.
        facility: code of the facility whose extracts they are.
        codes: which codes are of one facility.

    Raises:
        InputRejected: the source is unknown, or the mapping is missing, too many or unusable.
    """
    _check_source(source, mapping)
    if mapping is not None:
        return functools.partial(csv_source.read, mapping=csv_source.load_mapping(mapping))
    read = fhir.read if source == "fhir" else person43.read
    return functools.partial(read, facility=facility, codes=codes)


def _check_source(source: str, mapping: Path | None) -> None:
    if source not in SOURCES:
        raise InputRejected(f"--source is one of {', '.join(SOURCES)}")
    if (source == "csv") != (mapping is not None):
        raise InputRejected("--mapping names the columns of a csv source, and goes with no other")


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
        if not extract.is_file():  # it is read twice: once to know it again, once for its rows
            raise ExtractUnreadable(extract, "not a file; write the extract to one first")
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


@dataclass(frozen=True, slots=True, repr=False)
class _Workshop:
    """What every process of a job has to know."""

    job: EncodeJob
    parts: Parts
    ring: KeyRing

    @property
    def hashing_key(self) -> bytes:
        """Key of the report's hashes; the parts, which hold the hashes, hold no secret that it is derived from."""
        return derive(self.ring.pointer_secret, f"report/{self.parts.nonce.hex()}", KEY_BYTES)


@contextmanager
def _opened(job: EncodeJob, survey: _Survey) -> Iterator[_Workshop]:
    """Open what an interrupted run of this very job has done, or begin.

    What makes a job the same: the extract's content, everything that was asked for, the keys and this program.
    """
    ring, rules = load_key_ring(job.keys), load_rules(rule_file(job.profile))
    asked = {
        "extract": survey.digest,
        "facility": job.facility,
        "source": job.source,
        "mapping": _digest(job.mapping),
        "facility_codes": _digest(job.facility_codes),
        "profile": rules.profile.digest.hex(),
        "key_epochs": [epoch.name for epoch in ring.epochs],
        "pointer_key": derive(ring.pointer_secret, "job").hex(),
        "sealed_for": _digest(job.sealed_for),
        "mask": job.mask,
        "version": version("thai-mpi"),
        "rows_per_part": ROWS_PER_PART,
    }
    with open_parts(job.out, asked) as parts:
        yield _Workshop(job, parts, ring)


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
) -> Generator[Done, None, None]:
    """Work parts off, those that are done already excepted; gives them in their order."""
    if shop.job.workers == 1:
        for number, rows in parts:
            if number not in done:
                worker.work(number, rows, told.advance)
            yield number, len(rows)
        return
    given: deque[tuple[Done, Future[None] | None]] = deque()
    room = _PARTS_AHEAD * (shop.job.workers - 1)

    def oldest() -> Done:
        part, future = given.popleft()
        if future is not None:
            future.result()
            told.advance(part[1])
        return part

    with _pool(shop) as pool:
        try:
            for number, rows in parts:
                future = None
                if number not in done:
                    # This process is one of the workers: it takes what the others have no room for.
                    if sum(each is not None and not each.done() for _, each in given) < room:
                        future = pool.submit(_work, number, rows)
                    else:
                        worker.work(number, rows, told.advance)
                given.append(((number, len(rows)), future))
                while given and ((first := given[0][1]) is None or first.done()):
                    yield oldest()
            while given:
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
    with ProcessPoolExecutor(shop.job.workers - 1, context, _begin_work, (shop,)) as pool:
        yield pool


class _Worker:
    """Normalises and encodes parts."""

    def __init__(self, shop: _Workshop) -> None:
        job = shop.job
        self.profile = profile = load_rules(rule_file(job.profile)).profile
        sealed = None
        if job.sealed_for is not None:
            sealed = SealedViews(load_public_key(job.sealed_for), Masking(job.mask), job.facility)
        self.encoder = Encoder(profile, shop.ring, job.facility, shop.parts.today, sealed)
        self.schema = encoded_schema(self.encoder.header, profile.bits // 8)
        self._parts = shop.parts
        self._hashing_key = shop.hashing_key

    def work(self, number: int, rows: Sequence[Entry], advance: Callable[[int], None]) -> None:
        """Work a part off and keep it."""
        counts = ReportCounts(self._hashing_key)
        slices = [
            self._slice(rows[at : at + ROWS_PER_SLICE], counts, advance) for at in range(0, len(rows), ROWS_PER_SLICE)
        ]
        aside = io.StringIO(newline="")
        csv.writer(aside).writerows(row for _, rows_aside in slices for row in rows_aside)
        encoded = pa.BufferOutputStream()
        with pa.ipc.new_file(encoded, self.schema) as writer:
            for batch, _ in slices:
                writer.write_batch(batch)
        self._parts.save(
            number,
            {"csv": aside.getvalue().encode(), "counts": counts.to_bytes(), "arrow": memoryview(encoded.getvalue())},
        )

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
                person = normalize(entry.raw, self._parts.today)
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


def _encode(shop: _Workshop, parts: Iterator[Part], done: set[int], told: Progress, survey: _Survey) -> Encoded:
    """Work all parts off, and put them together to the output, the list of rows set aside, and the report."""
    job = shop.job
    worker = _Worker(shop)  # here first: what is wrong with keys and rules shows before a process is started
    counts = ReportCounts(shop.hashing_key)
    outcome = Encoded(quarantine=job.quarantine)
    prepared = {place: shop.parts.prepare(place.name) for place in (job.report, job.quarantine, job.out)}

    def tables(worked: Iterator[Done]) -> Generator[pa.Table, None, None]:
        with prepared[job.quarantine].open("wb") as quarantine:
            quarantine.write(b"row,reason\n")
            for number, rows in worked:
                outcome.resumed += rows if number in done else 0
                quarantine.write(shop.parts.read(number, "csv"))
                counts.merge(ReportCounts.from_bytes(bytes(shop.parts.read(number, "counts"))))
                yield pa.ipc.open_file(pa.py_buffer(shop.parts.read(number, "arrow"))).read_all()

    with closing(_worked(shop, worker, parts, done, told)) as worked, closing(tables(worked)) as made:
        rows = write_tables(prepared[job.out], worker.schema, made)
    if _stamp(job.extract) != survey.stamp:
        raise ExtractUnreadable(job.extract, "changed while it was read; run the command again")
    outcome.records = rows // len(worker.encoder.header.key_epochs)
    outcome.quarantined, outcome.remarks = counts.aside, counts.flags
    if not outcome.records and counts.aside[RowReason.OTHER_FACILITY]:
        raise InputRejected(
            f"{job.extract}: every person in it is of another facility than {job.facility}; give that code, or say in "
            "--facility-codes that both are one facility's"
        )
    header = _header(shop, worker)
    outcome.report = finish(counts, header, _report_before(job, header))
    prepared[job.report].write_text(outcome.report.to_json() + "\n", encoding="utf-8")
    publish([(file, place) for place, file in prepared.items()])
    return outcome


def _header(shop: _Workshop, worker: _Worker) -> Header:
    job, profile = shop.job, worker.profile
    return Header(
        facility=job.facility,
        profile=profile.name,
        channels=profile.channel_names(),
        key_epochs=worker.encoder.header.key_epochs,
        source=job.source,
        extract=os.fsencode(job.extract.name).decode(errors="replace"),
        made=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        version=version("thai-mpi"),
        normaliser=profile.normaliser,
    )


def _report_before(job: EncodeJob, header: Header) -> Report | None:
    """The latest report beside the output that can be compared with, whatever its output was called."""
    found = []
    for path in job.out.parent.glob(f"*{REPORT_ENDING}"):
        try:
            report = Report.from_json(_report_text(path))
        except (OSError, UnicodeDecodeError, InputRejected):
            continue  # another program's file, or a damaged one: there is nothing to compare with
        if header.continues(report.header):
            found.append(report)
    return max(found, key=lambda report: report.header.made, default=None)


def _report_text(path: Path) -> str:
    # Without waiting: what bears the name may be a pipe that nobody writes to.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST_REPORT:
            raise InputRejected("no report")
        return file.read(LARGEST_REPORT).decode()


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ExtractUnreadable(
            out, f"cannot be written ({error.strerror or type(error).__name__}); run the command again to go on"
        ) from None
