"""Reading a journal and holding every line of it against the one before, the signatures and the heads.

What is removed, altered, put elsewhere, repeated or cut off is found, by whoever has the public key. The end of a
chain is held against its head. Against one who has the signing key only what was handed out earlier helps: give
checkpoints that were kept elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from mpi.audit import lines
from mpi.audit.heads import read_head
from mpi.audit.keys import fingerprint
from mpi.audit.lines import Fields
from mpi.audit.segments import chains_of, files_of, is_stub, read_lines, segment_name, stub_name
from mpi.errors import AuditUnusable

MOST_FINDINGS = 1000
"""Findings that are kept; a journal with more is beyond telling apart."""
_KINDS = frozenset({"access", "refused", "open", "start", "checkpoint", "seal", "stop"})


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that must not be.

    Attributes:
        chain: the chain's name.
        file: name of the segment, "" where the chain as a whole is meant.
        problem: what is wrong, in words.
    """

    chain: str
    file: str
    problem: str

    def __str__(self) -> str:
        return f"{self.chain}{'/' if self.file else ''}{self.file}: {self.problem}"


@dataclass(slots=True)
class Segment:
    """What a segment holds, or held.

    Attributes:
        first, last: numbers of its lines.
        previous, digest: hash of the line before the first one, and of the last one.
        begun, ended: times of these lines.
        entries: how many accesses it holds.
        sealed: whether it ends in its seal.
        expired: whether a stub stands for it.
    """

    chain: Path
    number: int
    path: Path
    first: int = 0
    last: int = 0
    previous: str = ""
    digest: str = ""
    begun: str = ""
    ended: str = ""
    entries: int = 0
    sealed: bool = False
    expired: bool = False


@dataclass(slots=True)
class _State:
    """How far the reading of a chain has come."""

    chain: Path
    wanted: dict[int, set[str]]
    sequence: int = 0
    digest: str = lines.BEGINNING
    adrift: bool = False
    """Whether a break was reported at the last line, so that the next one cannot follow it."""


@dataclass(slots=True)
class Examination:
    """One reading of a journal. Iterate `entries` to its end; then the other attributes hold.

    Attributes:
        journal: folder of the journal.
        heads: folder of the heads; None where there is none at hand, and then a chain's end cannot be checked.
        key: the journal's public key.
        checkpoints: heads that were handed out earlier.
        findings: what is wrong.
        segments: every segment, in order.
        accesses: how many entries of accesses were read.
        restarts: starts that did not follow an orderly stop.
        cut_bytes: what these starts cut off torn tails.
        refused: calls that were refused because the journal could not be written.
        unconfirmed: lines after the last head: of answers that had not left when the head was read.
    """

    journal: Path
    heads: Path | None
    key: Ed25519PublicKey
    checkpoints: Sequence[Fields] = ()
    findings: list[Finding] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    accesses: int = 0
    restarts: int = 0
    cut_bytes: int = 0
    refused: int = 0
    unconfirmed: int = 0

    def entries(self) -> Iterator[tuple[str, Fields]]:
        """Read all chains; gives each entry of an access with its chain's name.

        Raises:
            AuditUnusable: a file cannot be read.
        """
        kept: dict[str, list[Fields]] = {}
        for checkpoint in self.checkpoints:
            kept.setdefault(str(checkpoint.get("chain")), []).append(checkpoint)
        try:
            yield from self._journal(kept)
        except OSError as error:
            raise AuditUnusable(f"{error.filename or self.journal}: {error.strerror or 'cannot be read'}") from None

    def _journal(self, kept: dict[str, list[Fields]]) -> Iterator[tuple[str, Fields]]:
        chains = {chain.name: chain for chain in chains_of(self.journal)}
        named = set(kept)
        if self.heads is not None and self.heads.is_dir():
            named |= {path.name for path in self.heads.iterdir()}
        for name in sorted(named - chains.keys()):
            self._found(name, "", "the chain is missing, but its head or a checkpoint of it is there")
        for name, chain in chains.items():
            yield from self._chain(chain, kept.get(name, []))

    def run(self) -> Examination:
        """Read everything, for the findings alone."""
        for _ in self.entries():
            pass
        return self

    def _found(self, chain: str, file: str, problem: str) -> None:
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(Finding(chain, file, problem))

    def _chain(self, chain: Path, kept: list[Fields]) -> Iterator[tuple[str, Fields]]:
        head = self._head(chain)
        state = _State(chain, {})
        for each in (*kept, *([head] if head else [])):
            state.wanted.setdefault(each["sequence"], set()).add(each["hash"])
        files = files_of(chain)
        expected = 1
        for position, (number, path) in enumerate(files):
            if number != expected:
                self._found(chain.name, "", f"segments {expected} to {number - 1} are missing")
                state.adrift = True
            expected = number + 1
            if not path.exists():
                path = chain / stub_name(number)  # expired since the folder was listed
            segment = Segment(chain, number, path)
            self.segments.append(segment)
            if is_stub(path):
                self._stub(state, segment)
            else:
                yield from self._segment(state, segment, newest=position == len(files) - 1)
        for sequence in sorted(state.wanted):
            if sequence > state.sequence:
                self._found(
                    chain.name, "", f"it ends at entry {state.sequence}, but entry {sequence} was on disk: it was cut"
                )
        if head:
            self.unconfirmed += max(0, state.sequence - head["sequence"])

    def _head(self, chain: Path) -> Fields | None:
        if self.heads is None:
            return None
        try:
            head = read_head(self.heads / chain.name, self.key)
        except ValueError:
            self._found(chain.name, "", "its head is not signed by this key")
            return None
        if head is None:
            self._found(chain.name, "", "its head is missing, so what was cut off its end cannot be told")
        elif head.get("chain") != chain.name:
            self._found(chain.name, "", "its head is of another chain")
            return None
        return head

    def _stub(self, state: _State, segment: Segment) -> None:
        stub = lines.parsed(segment.path.read_bytes()[: lines.MAX_LINE_BYTES].strip())
        if stub is None or stub.get("kind") != "expired" or not lines.is_signed(stub, self.key):
            self._found(state.chain.name, segment.path.name, "is not signed by this key")
            state.adrift = True
            return
        if stub["chain"] != state.chain.name or stub["segment"] != segment.number:
            self._found(state.chain.name, segment.path.name, "stands for another segment")
        self._join(state, segment, int(stub["first"]), str(stub["previous"]))
        segment.first, segment.last = int(stub["first"]), int(stub["last"])
        segment.previous, segment.digest = str(stub["previous"]), str(stub["hash"])
        segment.begun, segment.ended, segment.entries = str(stub["begun"]), str(stub["ended"]), int(stub["entries"])
        segment.sealed = segment.expired = True
        state.sequence, state.digest = segment.last, segment.digest
        self._hold(state, segment)

    def _segment(self, state: _State, segment: Segment, *, newest: bool) -> Iterator[tuple[str, Fields]]:
        name, file = state.chain.name, segment.path.name
        with segment.path.open("rb") as content:
            for line, whole in read_lines(content):
                fields = lines.parsed(line) if whole else None
                if not whole and newest and not segment.sealed:
                    break  # what is being written, or what a crash has left torn: the next start cuts and notes it
                if fields is None:
                    self._found(name, file, f"after entry {state.sequence}: not a whole line of a journal")
                    state.adrift = True
                    continue
                if segment.sealed:
                    self._found(name, file, f"after entry {state.sequence}: the segment goes on after its seal")
                self._line(state, segment, line, fields)
                if lines.is_access(fields):
                    yield name, fields
        if not segment.first and not newest:
            self._found(name, file, "is empty")
        elif not segment.sealed and not newest:
            self._found(name, file, "does not end in its seal: its end was cut off")

    def _line(self, state: _State, segment: Segment, line: bytes, fields: Fields) -> None:
        name, file, kind = state.chain.name, segment.path.name, fields.get("kind")
        sequence, previous = fields.get("sequence"), fields.get("previous")
        if not isinstance(sequence, int) or not isinstance(previous, str) or not isinstance(kind, str):
            self._found(name, file, f"after entry {state.sequence}: not a line of a chain")
            state.adrift = True
            return
        self._join(state, segment, sequence, previous)
        if kind not in _KINDS or (kind == "open") != (segment.first == 0):
            self._found(name, file, f"entry {sequence} does not belong there")
        if (kind == "access") != lines.is_access(fields):
            self._found(name, file, f"entry {sequence} lacks what an entry holds")
        if kind in lines.SIGNED and not lines.is_signed(fields, self.key):
            self._found(name, file, f"entry {sequence} is not signed by this key")
        if kind == "open" and not self._opens(segment, fields):
            self._found(name, file, f"entry {sequence} opens another segment")
        if not segment.first:
            segment.first, segment.previous, segment.begun = sequence, previous, str(fields.get("at"))
        segment.last, segment.digest, segment.ended = sequence, lines.digest(line), str(fields.get("at"))
        segment.sealed = kind == "seal"
        if segment.sealed and fields.get("next") != segment_name(segment.number + 1):
            self._found(name, file, f"entry {sequence} names another segment as the next")
        state.sequence, state.digest = sequence, segment.digest
        self._hold(state, segment)
        self._count(segment, fields)

    def _join(self, state: _State, segment: Segment, sequence: int, previous: str) -> None:
        """Hold the number and the previous hash of a line against the line before."""
        name, file, expected = state.chain.name, segment.path.name, state.sequence + 1
        if state.adrift:
            state.adrift = False
        elif sequence > expected:
            self._found(name, file, f"entries {expected} to {sequence - 1} are missing")
        elif sequence < expected:
            self._found(name, file, f"entry {sequence} stands after entry {state.sequence}: repeated or moved")
        elif previous != state.digest:
            self._found(name, file, f"entry {sequence} does not follow: it or the one before it was altered")

    def _hold(self, state: _State, segment: Segment) -> None:
        """Hold a line against the heads that name it."""
        if state.wanted.get(state.sequence, {state.digest}) != {state.digest}:
            self._found(
                state.chain.name,
                segment.path.name,
                f"entry {state.sequence} is not the one that its head or a checkpoint names: the chain was altered",
            )

    def _opens(self, segment: Segment, fields: Fields) -> bool:
        expected = (lines.FORMAT, segment.chain.name, segment.number, fingerprint(self.key))
        return tuple(fields.get(name) for name in ("format", "chain", "segment", "key")) == expected

    def _count(self, segment: Segment, fields: Fields) -> None:
        kind = fields.get("kind")
        if kind == "access":
            self.accesses += 1
            segment.entries += 1
        elif kind == "start" and not fields.get("clean"):
            self.restarts += 1
            cut = fields.get("cut")
            self.cut_bytes += _number(cut.get("bytes")) if isinstance(cut, dict) else 0
        elif kind == "refused":
            self.refused += _number(fields.get("calls"))


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
