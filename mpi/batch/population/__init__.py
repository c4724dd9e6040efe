"""A seeded synthetic population: raw extracts of facilities of both platforms, with the truth about who is who.

The rates stand in `mpi/batch/population.toml`. People are made in chunks and written at once, each chunk with dice of
its own, so memory does not grow with the population and a seed gives the same bytes on every machine.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path

from mpi.batch.population.extracts import PERSON_COLUMNS, patient_line, person_line
from mpi.batch.population.model import Dice, Table, load_model
from mpi.batch.population.persons import People, check_digit
from mpi.batch.population.records import STRATA, Clerks, Facility, Record
from mpi.errors import InputRejected

__all__ = ["MOST_FACILITIES", "STRATA", "PopulationSummary", "check_digit", "generate"]

MANIFEST = "manifest.json"
TRUTH = "truth.csv"
MOST_FACILITIES = 500
"""Extracts are written side by side, each an open file; systems commonly allow 1,024 of them."""

_PEOPLE_DICE, _CLERK_DICE = 1, 2
"""Streams of dice within a chunk; 0 belongs to the office that issues numbers."""


@dataclass(frozen=True, slots=True)
class PopulationSummary:
    """What was written.

    Attributes:
        persons: people in the population.
        records: all records.
        by_facility: records by facility code.
        by_stratum: records by stratum, in the order of `STRATA`.
        extracts: path of the extract by facility code.
        truth: path of `truth.csv`.
        manifest: path of `manifest.json`.
    """

    persons: int
    records: int
    by_facility: dict[str, int]
    by_stratum: dict[str, int]
    extracts: dict[str, Path]
    truth: Path
    manifest: Path


def generate(
    persons: int, seed: int, out: Path, facilities: int = 2, on_progress: Callable[[int], None] | None = None
) -> PopulationSummary:
    """Write a population's extracts, `truth.csv` and `manifest.json` to a folder.

    Args:
        persons: people in the population; some have records at one facility only.
        seed: the same seed gives the same bytes.
        out: made if missing; must be empty, or hold an earlier population, which is written over.
        facilities: from 1; Mor Prom and Health Link in turn.
        on_progress: called now and then with how many more persons are done.

    Raises:
        InputRejected: numbers out of range, or a folder that holds anything else.
    """
    if persons < 1:
        raise InputRejected("a population needs at least one person")
    if not 1 <= facilities <= MOST_FACILITIES:
        raise InputRejected(f"facilities: from 1 to {MOST_FACILITIES}")
    if seed < 0:
        raise InputRejected("seed: a whole number from 0")
    _prepare(out)
    model = load_model()
    places = _facilities(facilities, model["facilities"]["private_every"])
    files = {facility.code: out / facility.code / _file_name(facility) for facility in places}
    try:
        written, strata = _write_extracts(model, persons, seed, out, places, files, on_progress)
    except BaseException:
        # half a population without a manifest would look like somebody's own files to the next run
        _remove([*files.values(), out / TRUTH], out)
        raise
    _write_manifest(out / MANIFEST, persons, seed, model["model"]["version"], places, files, written)
    return PopulationSummary(
        persons=persons,
        records=written.total(),
        by_facility={facility.code: written[facility.code] for facility in places},
        by_stratum={stratum: strata[stratum] for stratum in STRATA},
        extracts=files,
        truth=out / TRUTH,
        manifest=out / MANIFEST,
    )


def _write_extracts(
    model: Table,
    persons: int,
    seed: int,
    out: Path,
    places: list[Facility],
    files: dict[str, Path],
    on_progress: Callable[[int], None] | None,
) -> tuple[Counter[str], Counter[str]]:
    """Make people chunk by chunk and write their records; return records by facility code and by stratum."""
    people = People(model, seed, len(places))
    clerks = Clerks(model, people, places)
    chunk: int = model["model"]["chunk"]
    written: Counter[str] = Counter()
    strata: Counter[str] = Counter()
    with ExitStack() as stack:
        truth = stack.enter_context(_create(out / TRUTH))
        truth.write("record_id,person_id,stratum\n")
        extracts = []
        for facility in places:
            files[facility.code].parent.mkdir(exist_ok=True)
            extracts.append(stack.enter_context(_create(files[facility.code])))
            if not facility.fhir:
                extracts[-1].write("|".join(PERSON_COLUMNS) + "\n")
        for number, first in enumerate(range(0, persons, chunk)):
            members = people.chunk(first, min(chunk, persons - first), Dice(seed, _PEOPLE_DICE, number))
            dice = Dice(seed, _CLERK_DICE, number)
            registers: list[list[Record]] = [[] for _ in places]
            for person in members:
                for record in clerks.records(person, dice):
                    registers[record.place].append(record)
            for facility, register, extract in zip(places, registers, extracts, strict=True):
                # people do not come to a hospital house by house
                dice.shuffle(register)
                for record in register:
                    written[facility.code] += 1
                    strata[record.stratum] += 1
                    local_id = f"{written[facility.code]:09d}"
                    if facility.fhir:
                        line = patient_line(record, facility, local_id, model["places"])
                    else:
                        line = person_line(record, facility, local_id, model["model"]["reference_date"])
                    extract.write(line + "\n")
                    truth.write(f"{facility.code}/{local_id},p{record.person.serial:09d},{record.stratum}\n")
            if on_progress is not None:
                on_progress(len(members))
    return written, strata


def _facilities(count: int, private_every: int) -> list[Facility]:
    """Name the facilities: 10661, HL001, 10662, HL002 and so on."""
    found = []
    for place in range(count):
        turn = place // 2
        if place % 2:
            found.append(Facility(f"HL{turn + 1:03d}", fhir=True, private=turn % private_every == 0))
        else:
            found.append(Facility(f"{10661 + turn}", fhir=False, private=False))
    return found


def _file_name(facility: Facility) -> str:
    return "patient.ndjson" if facility.fhir else "person.txt"


def _create(path: Path) -> TextIOWrapper:
    """Open a text file whose bytes do not depend on the system."""
    return path.open("w", encoding="utf-8", newline="\n")


def _prepare(out: Path) -> None:
    """Make the folder, or clear it of an earlier population; refuse one that holds anything else."""
    if out.exists() and not out.is_dir():
        raise InputRejected(f"{out}: not a folder")
    if not out.exists() or not any(out.iterdir()):
        out.mkdir(parents=True, exist_ok=True)
        return
    try:
        manifest = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
        earlier = [out / facility["file"] for facility in manifest["facilities"] if manifest["version"]]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputRejected(f"{out}: not empty, and not an earlier population; choose another folder") from None
    _remove([*earlier, out / TRUTH, out / MANIFEST], out)


def _remove(paths: list[Path], out: Path) -> None:
    """Remove files of a population and folders that they leave empty; never anything outside its folder."""
    for path in paths:
        if not path.resolve().is_relative_to(out.resolve()):
            continue
        path.unlink(missing_ok=True)
        if path.parent != out and path.parent.is_dir() and not any(path.parent.iterdir()):
            path.parent.rmdir()


def _write_manifest(
    path: Path,
    persons: int,
    seed: int,
    version: str,
    places: list[Facility],
    files: dict[str, Path],
    written: Counter[str],
) -> None:
    manifest = {
        "version": version,
        "seed": seed,
        "persons": persons,
        "records": written.total(),
        "truth": TRUTH,
        "facilities": [
            {
                "code": facility.code,
                "platform": "Health Link" if facility.fhir else "Mor Prom",
                "format": "fhir" if facility.fhir else "person43",
                "file": files[facility.code].relative_to(path.parent).as_posix(),
                "records": written[facility.code],
            }
            for facility in places
        ],
    }
    path.write_text(json.dumps(manifest, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
