"""A seeded synthetic population: raw extracts of facilities of both platforms, with the truth about who is who.

The rates stand in `mpi/batch/population.toml`. People are made in chunks and written at once, each chunk with dice of
its own, so memory does not grow with the population and a seed gives the same bytes on every machine.

A population of the whole country is thin: a thousandth of the people share a birth date. With `days` all are born in
so few days that each birth date and sex holds as many as nationally (1,100 where there are 2,200 people to a day),
while names, households, ages, numbers and errors stay those of the whole country.
"""

from __future__ import annotations

import datetime
import json
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path

from mpi.batch.population.extracts import PERSON_COLUMNS, patient_line, person_line
from mpi.batch.population.insurers import header_line, mapping, nhso_line, sso_line
from mpi.batch.population.model import Dice, Table, load_model
from mpi.batch.population.persons import People, Window, check_digit
from mpi.batch.population.records import STRATA, Clerks, Facility, Record
from mpi.errors import InputRejected

__all__ = ["MOST_FACILITIES", "STRATA", "PopulationSummary", "check_digit", "generate"]

MANIFEST = "manifest.json"
TRUTH = "truth.csv"
MAPPING = "columns.toml"
_FILES = {"person43": "person.txt", "fhir": "patient.ndjson", "csv": "register.csv"}
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
        mappings: path of the file that names its columns, by code of each facility with a csv extract.
        truth: path of `truth.csv`.
        manifest: path of `manifest.json`.
    """

    persons: int
    records: int
    by_facility: dict[str, int]
    by_stratum: dict[str, int]
    extracts: dict[str, Path]
    mappings: dict[str, Path]
    truth: Path
    manifest: Path


def generate(
    persons: int,
    seed: int,
    out: Path,
    facilities: int = 2,
    on_progress: Callable[[int], None] | None = None,
    *,
    days: int | None = None,
) -> PopulationSummary:
    """Write a population's extracts, `truth.csv` and `manifest.json` to a folder.

    Args:
        persons: people in the population; some have records at one facility only.
        seed: the same seed gives the same bytes.
        out: made if missing; must be empty, or hold an earlier population, which is written over.
        facilities: from 1; Mor Prom and Health Link in turn, from four on also csv extracts for the insurers.
        on_progress: called now and then with how many more persons are done.
        days: all persons are born within so many days in a row; None for the ages of the whole country. People keep
            the ages of the country for everything else (titles, households, changed names); only given names and the
            first digit of numbers go by the date. Nobody is then old enough for the old calendar or young enough to be
            compared with unnamed newborns.

    Raises:
        InputRejected: numbers out of range, or a folder that holds anything else.
    """
    if persons < 1:
        raise InputRejected("a population needs at least one person")
    if not 1 <= facilities <= MOST_FACILITIES:
        raise InputRejected(f"facilities: from 1 to {MOST_FACILITIES}")
    if seed < 0:
        raise InputRejected("seed: a whole number from 0")
    model = load_model()
    longest = Window.longest(model)
    if days is not None and not 1 <= days <= longest:
        raise InputRejected(f"days: from 1 to {longest}")
    window = None if days is None else Window(model, days)
    _prepare(out)
    places = _facilities(facilities, model["facilities"])
    files = {facility.code: out / facility.code / _FILES[facility.format] for facility in places}
    mappings = {place.code: out / place.code / MAPPING for place in places if place.format == "csv"}
    people = People(model, seed, facilities, window)
    try:
        written, strata = _write_extracts(model, people, persons, seed, out, places, files, on_progress)
        for facility in places:
            if facility.code in mappings:
                with _create(mappings[facility.code]) as file:
                    file.write(mapping(facility.platform))
    except BaseException:
        # half a population without a manifest would look like somebody's own files to the next run
        _remove([*files.values(), *mappings.values(), out / TRUTH], out)
        raise
    manifest = {
        "version": model["model"]["version"],
        "seed": seed,
        "persons": persons,
        "days": days,
        "first_birth": window.first.isoformat() if window else None,
        "records": written.total(),
        "truth": TRUTH,
        "facilities": [
            _entry(facility, out, files[facility.code], mappings.get(facility.code), written[facility.code])
            for facility in places
        ],
    }
    text = json.dumps(manifest, ensure_ascii=False, indent=2)
    (out / MANIFEST).write_text(text + "\n", encoding="utf-8")
    return PopulationSummary(
        persons=persons,
        records=written.total(),
        by_facility={facility.code: written[facility.code] for facility in places},
        by_stratum={stratum: strata[stratum] for stratum in STRATA},
        extracts=files,
        mappings=mappings,
        truth=out / TRUTH,
        manifest=out / MANIFEST,
    )


def _write_extracts(
    model: Table,
    people: People,
    persons: int,
    seed: int,
    out: Path,
    places: list[Facility],
    files: dict[str, Path],
    on_progress: Callable[[int], None] | None,
) -> tuple[Counter[str], Counter[str]]:
    """Make people chunk by chunk and write their records; return records by facility code and by stratum."""
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
            extracts.append(stack.enter_context(_create(files[facility.code], facility.encoding)))
            if facility.format == "person43":
                extracts[-1].write("|".join(PERSON_COLUMNS) + "\n")
            elif facility.format == "csv":
                extracts[-1].write(header_line(facility.platform) + "\n")
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
                    extract.write(_line(record, facility, local_id, model) + "\n")
                    truth.write(f"{facility.code}/{local_id},p{record.person.serial:09d},{record.stratum}\n")
            if on_progress is not None:
                on_progress(len(members))
    return written, strata


def _line(record: Record, facility: Facility, local_id: str, model: Table) -> str:
    if facility.format == "fhir":
        return patient_line(record, facility, local_id, model["places"])
    if facility.format == "person43":
        updated: datetime.date = model["model"]["reference_date"]
        return person_line(record, facility, local_id, updated)
    return (nhso_line if facility.platform == "nhso" else sso_line)(record, facility, local_id)


def _facilities(count: int, rules: Table) -> list[Facility]:
    """Name the facilities: HL001, HL002 and so on those of Health Link; 10661, 10662 and so on all others."""
    kinds = rules["kinds"] if count >= rules["kinds_from"] else rules["kinds"][:2]
    found: list[Facility] = []
    linked = 0
    for place in range(count):
        kind = kinds[place % len(kinds)]
        if kind["format"] == "fhir":
            linked += 1
            found.append(Facility(f"HL{linked:03d}", **kind, private=(linked - 1) % rules["private_every"] == 0))
        else:
            found.append(Facility(f"{10661 + place - linked}", **kind, private=False))
    return found


def _create(path: Path, encoding: str = "utf-8") -> TextIOWrapper:
    """Open a text file whose bytes do not depend on the system; what the encoding lacks becomes "?", as in old ones."""
    return path.open("w", encoding=encoding, errors="replace", newline="\n")


def _prepare(out: Path) -> None:
    """Make the folder, or clear it of an earlier population; refuse one that holds anything else."""
    if out.exists() and not out.is_dir():
        raise InputRejected(f"{out}: not a folder")
    if not out.exists() or not any(out.iterdir()):
        out.mkdir(parents=True, exist_ok=True)
        return
    try:
        manifest = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
        listed = [facility for facility in manifest["facilities"] if manifest["version"]]
        earlier = [out / facility["file"] for facility in listed]
        earlier += [out / facility["mapping"] for facility in listed if "mapping" in facility]
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


def _entry(facility: Facility, out: Path, file: Path, columns: Path | None, records: int) -> Table:
    """Describe a facility in the manifest; only csv extracts have a mapping."""
    entry: Table = {
        "code": facility.code,
        "platform": facility.platform,
        "format": facility.format,
        "encoding": facility.encoding,
        "file": file.relative_to(out).as_posix(),
    }
    if columns is not None:
        entry["mapping"] = columns.relative_to(out).as_posix()
    return entry | {"records": records}
