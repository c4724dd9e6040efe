"""`mpi import`: a population that was linked in one batch becomes the store's identities."""

from __future__ import annotations

import csv
import hashlib
import json
import multiprocessing
import os
import signal
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
import typer

from mpi.at_rest import AtRest
from mpi.cli.progress import Shown, progress
from mpi.config import StoreConfig, load_gateway_config
from mpi.domain.identifiers import is_eid
from mpi.domain.record import RecordName
from mpi.encoder.encoded_file import count_encoded, group_sizes, read_group, read_header, read_pointers
from mpi.encoder.keys import load_key_ring
from mpi.encoder.tokens import PointerBox
from mpi.errors import IndexCorrupt, InputRejected, RecordRejected
from mpi.index.lmdb_index import Index
from mpi.index.projector import rebuild, sampled
from mpi.rules import Rules, load_rules, rule_file
from mpi.server.bootstrap import index_folder, keys_at_rest, open_store
from mpi.service.gateway import Gateway
from mpi.service.initial_load import InitialLoad, Preparing
from mpi.service.keys import service_keys
from mpi.store.loading import SealedRows
from mpi.store.sql import Store

RECORDS_PER_TRANSACTION = 20_000
_SMALL = 5_000
"""Records for which no further process is worth its start."""
_COLUMNS = ["record_id", "eid"]
_EID_BYTES = 16


@dataclass(frozen=True, slots=True, repr=False)
class Clusters:
    """A clusters file that fits its encoded files, record by record.

    Attributes:
        name: digest of the file, the name of its import.
        eids: identity of each record, 16 bytes one after the other.
        begins: for each record, whether it is the first of its identity.
    """

    name: str
    eids: bytes
    begins: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.begins)


@dataclass(frozen=True, slots=True, repr=False)
class _Task:
    """Records that are made ready together: one row group of a file.

    Attributes:
        path: the file.
        group: the row group.
        first: place of its first record in the file.
        eids: identities of its records, 16 bytes one after the other.
        begins: whether each is the first of its identity.
    """

    path: Path
    group: int
    first: int
    eids: bytes
    begins: list[bool]

    def __len__(self) -> int:
        return len(self.begins)


@dataclass(slots=True)
class Imported:
    """Figures of a run.

    Attributes:
        records: records of the files.
        imported: those that this run wrote.
        before: those that an earlier run of the same import had done with.
        kept: those that were held already, or came twice, and stayed as they were.
        identities: identities that the clusters file names.
        revision: of the store afterwards.
        checked: records that were looked up in the new index; None when the index was not made anew.
        writing_seconds: until the last record was durable.
        index_seconds: for making the index and checking it.
    """

    records: int
    imported: int = 0
    before: int = 0
    kept: int = 0
    identities: int = 0
    revision: int = 0
    checked: int | None = None
    writing_seconds: float = 0.0
    index_seconds: float = 0.0
    request: str = field(default="")

    def figures(self) -> dict[str, object]:
        """The figures for a script."""
        seconds = self.writing_seconds + self.index_seconds
        return {
            "records": self.records,
            "imported": self.imported,
            "done_before": self.before,
            "kept": self.kept,
            "identities": self.identities,
            "request": self.request,
            "revision": self.revision,
            "checked": self.checked,
            "writing_seconds": round(self.writing_seconds, 2),
            "index_seconds": round(self.index_seconds, 2),
            "records_per_second": round(self.imported / seconds, 1) if seconds else None,
        }


def run(
    files: Sequence[Path],
    clusters: Path,
    data: Path,
    config: Path | None,
    keys: Sequence[Path],
    workers: int | None,
    *,
    as_json: bool,
) -> None:
    """Import linked files into an empty store, or go on with an import that was interrupted.

    Args:
        files: the encoded files, in the order in which they were linked.
        clusters: what `mpi link` wrote about them.
        data: folder of the store and the index.
        config: settings.
        keys: key rings with which the clusters' local ids were opened; none where they are pointers.
        workers: processes that make records ready; None for as many as there are processors.
        as_json: print figures for a script.

    Raises:
        InputRejected: the files cannot be imported, or the store holds other records; nothing was changed.
        StoreUnusable: the store cannot be written.
    """
    store_config, epochs = load_gateway_config(data, config)
    rules = load_rules(rule_file(store_config.rules))
    total = _check_files(files, rules, epochs)
    rings = [secret for folder in keys for secret in load_key_ring(folder).pointer_secrets]
    with progress("reading clusters", total, quiet=as_json) as shown:
        read = read_clusters(clusters, files, rings, total, shown)
        done = Imported(total, identities=int(read.begins.sum()), request=read.name)
        with open_store(store_config) as store:
            load = InitialLoad(store, read.name, rules.model.digest)
            done.before = load.position
            shown.step("importing", load.position, total)
            begun = time.monotonic()
            workers = workers or len(os.sched_getaffinity(0))
            several = workers if total - load.position > _SMALL else 1
            with _preparing(store_config, epochs, store.sealed_with(), several) as pool:
                _take(load, pool, files, read, shown)
            done.kept = load.kept
            done.imported = load.written
            done.writing_seconds = time.monotonic() - begun
            begun = time.monotonic()
            shown.step("making the index", 0, done.imported)
            done.checked = _index(store_config, store, shown)
            done.index_seconds = time.monotonic() - begun
            done.revision = store.head()
    if as_json:
        typer.echo(json.dumps(done.figures()))
        return
    _show(done)


def read_clusters(
    clusters: Path, files: Sequence[Path], rings: Sequence[bytes], total: int, on_progress: Shown
) -> Clusters:
    """Read a clusters file and hold it against the encoded files, record by record.

    It takes 17 bytes of memory a record, and 32 more for a moment.

    Raises:
        InputRejected: it is missing, or not about these files in this order.
    """
    eids, place = bytearray(), 0
    names = _names(files, rings)
    digest = hashlib.sha256()
    try:
        with clusters.open("rb") as file:
            rows = csv.reader(_lines(file, digest.update))
            if next(rows, None) != _COLUMNS:
                raise InputRejected(f"{clusters}: is no clusters file of `mpi link` (record_id,eid)")
            for row in rows:
                path, number, name = next(names, (None, 0, ""))
                if path is None:
                    raise InputRejected(f"{clusters}: names more records than the files hold ({total}); {_ALL}")
                if len(row) != len(_COLUMNS) or not is_eid(row[1]):
                    raise InputRejected(f"{clusters}, record {place + 1}: is not a record id and an enterprise id")
                if row[0] != name:
                    raise InputRejected(
                        f"{clusters}, record {place + 1}: is not about record {number} of {path}; {_ALL}"
                    )
                eids += bytes.fromhex(row[1].replace("-", ""))
                place += 1
                if not place % RECORDS_PER_TRANSACTION:
                    on_progress(RECORDS_PER_TRANSACTION)
    except OSError as error:
        raise InputRejected(f"{clusters}: cannot be read ({error.strerror})") from None
    except (csv.Error, UnicodeDecodeError):
        raise InputRejected(f"{clusters}: is no clusters file of `mpi link`") from None
    if place < total:
        raise InputRejected(f"{clusters}: names {place} records, and the files hold {total}; {_ALL}")
    return Clusters(digest.hexdigest()[:32], bytes(eids), _first_of_each(bytes(eids)))


_ALL = (
    "give all the files that were linked, in that order, as they were then; where `mpi link` was given --keys, give "
    "the same ones"
)


def _lines(file: IO[bytes], seen: Callable[[bytes], object]) -> Iterator[str]:
    for line in file:
        seen(line)
        yield line.decode()


def _names(files: Sequence[Path], rings: Sequence[bytes]) -> Iterator[tuple[Path, int, str]]:
    """For each record its file, its place there from 1 on, and the record id that `mpi link` gave it."""
    for path in files:
        facility = read_header(path).facility
        boxes = [PointerBox(secret, facility) for secret in rings]
        for number, pointer in enumerate(read_pointers(path), 1):
            yield path, number, f"{facility}/{_local_id(boxes, pointer)}"


def _local_id(boxes: Sequence[PointerBox], pointer: bytes) -> str:
    for box in boxes:
        try:
            return box.open(pointer)
        except InputRejected:
            continue
    return pointer.hex()


def _first_of_each(eids: bytes) -> npt.NDArray[np.bool_]:
    halves = np.frombuffer(eids, "<u8").reshape(-1, 2)
    order = np.lexsort((halves[:, 1], halves[:, 0]))  # stable: of equal ones the first stands first
    new = np.ones(len(order), bool)
    new[1:] = (halves[order[1:]] != halves[order[:-1]]).any(axis=1)
    begins = np.zeros(len(order), bool)
    begins[order[new]] = True
    return begins


def _check_files(files: Sequence[Path], rules: Rules, epochs: Sequence[str]) -> int:
    for path in files:
        header = read_header(path)
        if header.profile_digest != rules.profile.digest:
            raise InputRejected(f"{path}: encoded by profile {header.profile}, not by that of the rules; encode again")
        unknown = sorted(set(header.key_epochs) - set(epochs))
        if unknown:
            raise InputRejected(
                f"{path}: encoded under key epoch {unknown[0]}, and the setting `key_epochs` accepts "
                f"{', '.join(sorted(epochs))}"
            )
    return sum(map(count_encoded, files))


# --- making ready and writing --------------------------------------------------------------------------------------


def _tasks(files: Sequence[Path], clusters: Clusters, position: int) -> Iterator[_Task]:
    """What is left to do after so many records. An import stops between row groups only."""
    at = 0
    for path in files:
        first = 0
        for group, count in enumerate(group_sizes(path)):
            if at >= position and count:
                eids = clusters.eids[at * _EID_BYTES : (at + count) * _EID_BYTES]
                yield _Task(path, group, first, eids, clusters.begins[at : at + count].tolist())
            first += count
            at += count


def _take(load: InitialLoad, pool: _Pool, files: Sequence[Path], clusters: Clusters, shown: Shown) -> None:
    """Make records ready ahead of the writer, and write them in their order in large transactions."""
    waiting: deque[tuple[_Task, Future[SealedRows | None]]] = deque()
    tasks = _tasks(files, clusters, load.position)
    number, revision = load.next_place()
    ready: list[tuple[SealedRows | None, int, partial[SealedRows | None]]] = []
    count, ended = 0, False
    while not ended:
        while len(waiting) < pool.ahead and (task := next(tasks, None)) is not None:
            waiting.append((task, pool.submit(task, number, revision)))
            number, revision = number + len(task), revision + len(task)
        if waiting:
            task, future = waiting.popleft()
            ready.append((pool.result(future), len(task), partial(pool.again, task)))
            count += len(task)
        else:
            ended = True
        if ready and (ended or count >= RECORDS_PER_TRANSACTION):
            reached = load.take(ready)
            shown(count)
            ready.clear()
            count = 0
            # Rows under way were sealed for the places after these, which are others when some were not written.
            ahead = sum(len(task) for task, _ in waiting)
            number, revision = reached[0] + ahead, reached[1] + ahead


class _Workshop:
    """Makes row groups ready, with keys of its own: opened here, never handed from process to process."""

    def __init__(self, config: StoreConfig, epochs: Sequence[str], at_rest: Sequence[str]) -> None:
        keys = service_keys(config.service_key, config.service_key_command)
        gateway = Gateway(keys.gateway, load_rules(rule_file(config.rules)), epochs)
        self._preparing = Preparing(gateway, AtRest(lambda: keys.at_rest).named(at_rest))

    def rows(
        self, task: _Task, number: int, revision: int, leave_out: frozenset[RecordName] = frozenset()
    ) -> SealedRows | None:
        records = read_group(task.path, task.group)
        eids = [str(uuid.UUID(bytes=task.eids[at : at + _EID_BYTES])) for at in range(0, len(task.eids), _EID_BYTES)]
        try:
            return self._preparing.rows(list(zip(records, eids, task.begins, strict=True)), number, revision, leave_out)
        except RecordRejected as rejected:
            last = task.first + len(task)
            raise InputRejected(f"{task.path}, one of records {task.first + 1} to {last}: {rejected.message}") from None


class _Pool:
    """Workshops: processes, or this one alone."""

    def __init__(self, here: _Workshop, processes: ProcessPoolExecutor | None, workers: int) -> None:
        self._here = here
        self._processes = processes
        self.ahead = 1 if processes is None else workers + 2

    def submit(self, task: _Task, number: int, revision: int) -> Future[SealedRows | None]:
        if self._processes is not None:
            return self._processes.submit(_work, task, number, revision)
        future: Future[SealedRows | None] = Future()
        future.set_result(self._here.rows(task, number, revision))
        return future

    def result(self, future: Future[SealedRows | None]) -> SealedRows | None:
        try:
            return future.result()
        except BrokenProcessPool:
            raise InputRejected(
                "a worker process ended by itself (out of memory?); run the command again to go on, or with --workers 1"
            ) from None

    def again(self, task: _Task, number: int, revision: int, leave_out: frozenset[RecordName]) -> SealedRows | None:
        return self._here.rows(task, number, revision, leave_out)


@contextmanager
def _preparing(config: StoreConfig, epochs: Sequence[str], at_rest: Sequence[str], workers: int) -> Iterator[_Pool]:
    here = _Workshop(config, epochs, at_rest)
    if workers == 1:
        yield _Pool(here, None, 1)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _begin_work, (config, tuple(epochs), tuple(at_rest))) as processes:
        try:
            yield _Pool(here, processes, workers)
        finally:
            processes.shutdown(cancel_futures=True)


_workshop: _Workshop


def _begin_work(config: StoreConfig, epochs: Sequence[str], at_rest: Sequence[str]) -> None:
    global _workshop
    # The command stops its workers itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _workshop = _Workshop(config, epochs, at_rest)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(task: _Task, number: int, revision: int) -> SealedRows | None:
    return _workshop.rows(task, number, revision)


# --- the index -----------------------------------------------------------------------------------------------------


def _index(config: StoreConfig, store: Store, shown: Shown) -> int | None:
    """Make the index anew unless it stands where the store does, and look records up in it.

    Returns:
        How many records were looked up; None when the index was left as it is.
    """
    at_rest = keys_at_rest(config)
    folder = index_folder(config)
    index = Index(folder, at_rest)
    try:
        with index.reading() as reader:
            if reader.revision() == store.head():
                return None
        rebuild(folder, at_rest, store, shown)
        checked, findings = sampled(index, store)
    finally:
        index.close()
    if findings:
        raise IndexCorrupt(f"the new index differs from the store ({findings[0]}); run `mpi index rebuild`")
    return checked


def _show(done: Imported) -> None:
    figures = done.figures()
    rate = figures["records_per_second"]
    seconds = done.writing_seconds + done.index_seconds
    typer.echo(f"{done.imported} of {done.records} records imported in {seconds:.1f} s ({rate} records/s)")
    if done.before:
        typer.echo(f"  {done.before} were imported before")
    if done.kept:
        typer.echo(f"  {done.kept} were held already or come twice, and stay as they were held")
    typer.echo(f"  {done.identities} identities; in the log they are the changes of request {done.request}")
    if done.checked is not None:
        typer.echo(f"  the index was made; {done.checked} records were looked up in it")
