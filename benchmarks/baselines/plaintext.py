"""A population as one plaintext table: ``python -m benchmarks.baselines.plaintext POPULATION_DIR --out TABLE.parquet``.

The folder is what `mpi population` writes, or any like it: a manifest.json that lists facilities, their extracts of
the formats person43, fhir or csv (with a mapping file), and a truth.csv. Rows are read, normalised and romanised by
the encoder's own modules, so that a baseline starts from exactly what the encoded path starts from.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mpi.domain.identifiers import IdentifierKind
from mpi.encoder.dates import iso
from mpi.encoder.demographics import Demographics, normalize
from mpi.encoder.encoder import field_views
from mpi.encoder.sources import RejectedRow, SourceRow, fhir, person43
from mpi.encoder.sources import csv as tables

TEXT = pa.string()
SCHEMA = pa.schema(
    [
        ("record_id", TEXT),
        ("given", TEXT),
        ("family", TEXT),
        ("given_latin", TEXT),
        ("family_latin", TEXT),
        ("given_skeleton", TEXT),
        ("family_skeleton", TEXT),
        ("given_forms", pa.list_(TEXT)),
        ("family_forms", pa.list_(TEXT)),
        ("birth_date", TEXT),
        ("birth_dates", pa.list_(TEXT)),
        ("birth_year", pa.int16()),
        ("birth_month", pa.int8()),
        ("birth_day", pa.int8()),
        ("sex", TEXT),
        ("subdistrict", TEXT),
        ("house", TEXT),
        *((kind.value, TEXT) for kind in IdentifierKind),
    ]
)
"""One row a record; what is missing is null.

`record_id` is facility/local id. Names are those of the present name: `given` and `family` normalised in their own
script, `_latin` folded after romanising, `_skeleton` their consonants; `_forms` are the folded forms of all names.
`birth_dates` are all that a written date may stand for, a year alone among them as its 1 January.
"""


def read_table(folder: Path, today: datetime.date) -> pa.Table:
    """Read a population; rows that an encoder would set aside are left out.

    Args:
        folder: where manifest.json lies.
        today: the day that nobody is born after.

    Raises:
        ExtractUnreadable: an extract is not what the manifest says.
    """
    rows = [
        row(f"{code}/{source.raw.local_id}", normalize(source.raw, today), today)
        for code, source in sources(folder)
        if isinstance(source, SourceRow)
    ]
    return pa.Table.from_pylist(rows, SCHEMA)


def sources(folder: Path) -> Iterator[tuple[str, SourceRow | RejectedRow]]:
    """Rows of every extract with the code of its facility."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    for facility in manifest["facilities"]:
        for read in _read(folder, facility):
            yield facility["code"], read


def _read(folder: Path, facility: dict[str, Any]) -> Iterator[SourceRow | RejectedRow]:
    extract = folder / facility["file"]
    match facility["format"]:
        case "person43":
            return person43.read(extract)
        case "fhir":
            return fhir.read(extract)
        case "csv":
            return tables.read(extract, tables.load_mapping(folder / facility["mapping"]))
        case other:
            raise ValueError(f"manifest.json: {other} is no format of extracts")


def row(record_id: str, person: Demographics, today: datetime.date) -> dict[str, Any]:
    """One row of the table."""
    views = list(field_views(person, today))
    first = views[0].fields
    date = person.birth_date
    numbers: dict[str, str] = {}
    for identifier in person.identifiers:
        numbers.setdefault(identifier.kind.value, identifier.value)
    name = person.names[0] if person.names else None
    written = {
        "record_id": record_id,
        "given": name.given if name else "",
        "family": name.family if name else "",
        "given_latin": first.get("given"),
        "family_latin": first.get("family"),
        "given_skeleton": first.get("given_skeleton"),
        "family_skeleton": first.get("family_skeleton"),
        "birth_date": first.get("birth_date"),
        "birth_year": date.year if date else None,
        "birth_month": date.month if date else None,
        "birth_day": date.day if date else None,
        "sex": person.sex,
        "subdistrict": person.subdistrict,
        "house": person.house,
        **numbers,
    }
    lists = {
        "given_forms": _each(view.fields.get("given") for view in views),
        "family_forms": _each(view.fields.get("family") for view in views),
        "birth_dates": _each(
            [first.get("birth_date"), *(iso(*other) for other in (date.alternatives if date else ()))]
        ),
    }
    # 0 stands for an unknown month or day as "" does for an unknown text.
    return {field: value or None for field, value in written.items()} | lists


def _each(values: Any) -> list[str]:
    """Values that are there, each once."""
    return list(dict.fromkeys(value for value in values if value))


def read_truth(folder: Path) -> dict[str, tuple[str, str]]:
    """Person and stratum of each record of a population, by record id."""
    with (folder / "truth.csv").open(encoding="utf-8", newline="") as file:
        return {line["record_id"]: (line["person_id"], line["stratum"]) for line in csv.DictReader(file)}


def main() -> None:
    """Write the table of a population."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("population", type=Path, help="folder with manifest.json")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="Parquet file")
    asked = parser.parse_args()
    made = read_table(asked.population, datetime.datetime.now(datetime.UTC).date())
    pq.write_table(made, asked.out)
    print(f"{asked.out}: {made.num_rows:,} records")


if __name__ == "__main__":
    main()
