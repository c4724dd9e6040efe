"""What lookups found, as a table of pandas: a row for each record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from mpi.domain.identity import Identity
from mpi.errors import ConfigInvalid, RecordRejected

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("position", "eid", "facility", "pointer", "registered", "refused")

Answer = tuple[Identity, ...] | RecordRejected
Row = tuple[int, str | None, str | None, bytes | None, datetime | None, str | None]


def to_frame(answers: Iterable[tuple[Answer, Mapping[str, datetime]]]) -> pd.DataFrame:
    """Make a table of answers in the order of their keys, each with when the facilities in it registered last.

    Raises:
        ConfigInvalid: pandas is not installed.
    """
    try:
        import pandas as pd
    except ModuleNotFoundError:
        raise ConfigInvalid("pandas", 'is needed: pip install "thai-mpi[frames]"') from None
    rows: list[Row] = []
    for position, (found, registered) in enumerate(answers):
        if isinstance(found, RecordRejected):
            rows.append((position, None, None, None, None, found.reason.value))
            continue
        for identity in found:
            rows.extend(
                (position, identity.eid, at.facility, at.pointer, registered.get(at.facility), None)
                for at in identity.locations
            )
    columns = {name: [row[place] for row in rows] for place, name in enumerate(COLUMNS)}
    return pd.DataFrame(columns, dtype=object).astype({"position": "int64", "registered": "datetime64[ns, UTC]"})
