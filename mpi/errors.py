"""Every error of the project, each with a reason code that a program can act on.

::

    MpiError
     ├─ InputRejected            the caller sent something that cannot be accepted; sending it again cannot help
     │   ├─ ExtractUnreadable    an extract, mapping or encoded file that cannot be read (path, line)
     │   ├─ RuleFileInvalid      a linkage rule file that breaks its format (path, every problem found)
     │   ├─ KeyRingUnusable      a key file that is missing, malformed or readable by others (path)
     │   ├─ ConfigInvalid        a setting that cannot be used (setting)
     │   └─ RecordRejected       one encoded record that the index cannot take (reason, field)
     ├─ AccessDenied             the caller is known but may not do this
     ├─ NotFound                 nothing is held under the key that was asked for
     ├─ Conflict                 what was asked contradicts a later change or what a person decided
     ├─ RateLimited              the caller has asked too much; it may come back later
     ├─ IndexBehind              the index has not reached the revision asked for in time
     ├─ StoreUnusable            the system of record cannot be read or written
     ├─ AuditUnusable            the audit journal cannot be opened, or lacks what it held
     ├─ IndexCorrupt             the index disagrees with the store
     └─ ServiceUnavailable       the server cannot be reached or is stopping; try again

Messages never hold a name, a birth date, a number of a person, a token or a key: they name files, lines, fields
and reasons. Catch `MpiError` to catch all of them.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path


class Reason(StrEnum):
    """Reason codes; the same names stand in `ErrorReason` of the protos and in quarantine files."""

    EXTRACT_UNREADABLE = "EXTRACT_UNREADABLE"
    RULE_FILE_INVALID = "RULE_FILE_INVALID"
    KEY_RING_UNUSABLE = "KEY_RING_UNUSABLE"
    CONFIG_INVALID = "CONFIG_INVALID"
    AUDIT_UNUSABLE = "AUDIT_UNUSABLE"
    REQUEST_INVALID = "REQUEST_INVALID"
    PROFILE_MISMATCH = "PROFILE_MISMATCH"
    KEY_EPOCH_UNKNOWN = "KEY_EPOCH_UNKNOWN"
    RECORD_MALFORMED = "RECORD_MALFORMED"
    BATCH_TOO_LARGE = "BATCH_TOO_LARGE"
    CLIENT_UNKNOWN = "CLIENT_UNKNOWN"
    FACILITY_MISMATCH = "FACILITY_MISMATCH"
    ROLE_MISSING = "ROLE_MISSING"
    PURPOSE_MISSING = "PURPOSE_MISSING"
    PURPOSE_DENIED = "PURPOSE_DENIED"
    IDENTITY_NOT_FOUND = "IDENTITY_NOT_FOUND"
    CONFLICT = "CONFLICT"
    RATE_LIMITED = "RATE_LIMITED"
    INDEX_BEHIND = "INDEX_BEHIND"
    STORE_UNUSABLE = "STORE_UNUSABLE"
    INDEX_CORRUPT = "INDEX_CORRUPT"
    SERVICE_UNAVAILABLE = "SERVICE_UNAVAILABLE"


class MpiError(Exception):
    """Base of every error that this project raises on purpose."""

    reason: Reason

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InputRejected(MpiError):
    """The caller sent something that cannot be accepted; sending it again cannot help."""

    def __init__(self, message: str, reason: Reason = Reason.REQUEST_INVALID) -> None:
        super().__init__(message)
        self.reason = reason


class ExtractUnreadable(InputRejected):
    """An extract, mapping or encoded file that cannot be read.

    Attributes:
        path: the file.
        line: 1-based line (or row) where reading stopped; None when the whole file is meant.
    """

    def __init__(self, path: Path, problem: str, line: int | None = None) -> None:
        where = f"{path}" if line is None else f"{path}, line {line}"
        super().__init__(f"{where}: {problem}", Reason.EXTRACT_UNREADABLE)
        self.path = path
        self.line = line


class RuleFileInvalid(InputRejected):
    """A linkage rule file that breaks its format; `problems` lists everything that is wrong, not only the first."""

    def __init__(self, path: Path, problems: list[str]) -> None:
        super().__init__(f"{path}: " + "; ".join(problems), Reason.RULE_FILE_INVALID)
        self.path = path
        self.problems = problems


class KeyRingUnusable(InputRejected):
    """A key file that is missing, malformed, or that others than its owner may read."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}", Reason.KEY_RING_UNUSABLE)
        self.path = path


class ConfigInvalid(InputRejected):
    """A setting that cannot be used."""

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(f"{setting}: {problem}", Reason.CONFIG_INVALID)
        self.setting = setting


class RecordRejected(InputRejected):
    """One encoded record that the index cannot take.

    Attributes:
        field: the part of the record at fault, in the words of the protos; "" where it is none of them.
    """

    def __init__(self, reason: Reason, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}" if field else problem, reason)
        self.field = field


class AccessDenied(MpiError):
    """The caller is known but may not do this."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class NotFound(MpiError):
    """Nothing is held under the key that was asked for."""

    reason = Reason.IDENTITY_NOT_FOUND


class Conflict(MpiError):
    """What was asked contradicts a later change, or what a person decided.

    Attributes:
        revisions: changes that could not be taken back; empty when nothing was to be.
    """

    reason = Reason.CONFLICT

    def __init__(self, message: str, revisions: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.revisions = revisions


class RateLimited(MpiError):
    """The caller has asked too much, or too much that found nothing.

    Attributes:
        retry_after: seconds until it may ask again.
    """

    reason = Reason.RATE_LIMITED

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class IndexBehind(MpiError):
    """The index has not reached the revision that the caller demanded within its deadline."""

    reason = Reason.INDEX_BEHIND


class StoreUnusable(MpiError):
    """The system of record cannot be read or written."""

    reason = Reason.STORE_UNUSABLE


class AuditUnusable(MpiError):
    """The audit journal cannot be opened, or lacks entries that it held."""

    reason = Reason.AUDIT_UNUSABLE


class IndexCorrupt(MpiError):
    """The index disagrees with the store; `mpi index rebuild` makes it anew."""

    reason = Reason.INDEX_CORRUPT


class ServiceUnavailable(MpiError):
    """The server cannot be reached or is stopping; the same call may succeed later."""

    reason = Reason.SERVICE_UNAVAILABLE
