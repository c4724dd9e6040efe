"""What lookups found, as a table of pandas: a row for each record."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mpi.domain.identifiers import LocateKey
from mpi.domain.identity import Identity
from mpi.errors import ConfigInvalid, RecordRejected

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("position", "eid", "facility", "pointer", "refused")


def to_frame(answers: Iterable[tuple[LocateKey, tuple[Identity, ...] | RecordRejected]]) -> pd.DataFrame:
    """Make a table of what `Client.locate_many` gives; the keys are not in it.

    Raises:
        ConfigInvalid: pandas is not installed.
    """
    try:
        import pandas as pd
    except ModuleNotFoundError:
        raise ConfigInvalid("pandas", 'is needed: pip install "thai-mpi[frames]"') from None
    rows: list[tuple[int, str | None, str | None, bytes | None, str | None]] = []
    for position, (_, found) in enumerate(answers):
        if isinstance(found, RecordRejected):
            rows.append((position, None, None, None, found.reason.value))
            continue
        for identity in found:
            rows.extend((position, identity.eid, at.facility, at.pointer, None) for at in identity.locations)
    columns = {name: [row[place] for row in rows] for place, name in enumerate(COLUMNS)}
    return pd.DataFrame(columns, dtype=object).astype({"position": "int64"})
