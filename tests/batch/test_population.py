"""The synthetic population: same seed, same bytes; a truth for every record; rates near those of the model."""

from __future__ import annotations

import csv
import datetime
import gc
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from mpi.batch.population import STRATA, PopulationSummary, check_digit, generate
from mpi.batch.population.errors import Slips, mistyped_invalid, mistyped_valid
from mpi.batch.population.model import Dice, load_model
from mpi.batch.population.names import NamePools
from mpi.batch.population.persons import People, Person, Window
from mpi.batch.population.records import Clerks, Facility
from mpi.batch.population.spelling import Speller
from mpi.cli.population import run
from mpi.encoder.demographics import normalize
from mpi.encoder.romanise import fold, romanise, skeleton
from mpi.encoder.sources import SourceRow, fhir, person43
from mpi.encoder.sources import csv as tables
from mpi.errors import InputRejected

PERSONS, SEED = 2000, 11
REFERENCE = datetime.date(2025, 12, 31)


@pytest.fixture(scope="module")
def population(tmp_path_factory: pytest.TempPathFactory) -> PopulationSummary:
    return generate(PERSONS, SEED, tmp_path_factory.mktemp("population"))


@pytest.fixture(scope="module")
def people() -> list[Person]:
    # persons only, without extracts: enough of them that a rate of a few percent is sure to a tenth of itself
    model = load_model()
    office = People(model, SEED, 2)
    return [person for first in range(0, 40_000, 2000) for person in office.chunk(first, 2000, Dice(SEED, 1, first))]


def truth_of(population: PopulationSummary) -> list[dict[str, str]]:
    with population.truth.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def person_rows(population: PopulationSummary) -> list[dict[str, str]]:
    header, *lines = population.extracts["10661"].read_text(encoding="utf-8").split("\n")[:-1]
    return [dict(zip(header.split("|"), line.split("|"), strict=True)) for line in lines]


def patients(population: PopulationSummary) -> list[dict[str, Any]]:
    return [json.loads(line) for line in population.extracts["HL001"].read_text(encoding="utf-8").splitlines()]


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def share(found: Iterator[bool]) -> float:
    values = list(found)
    return sum(values) / len(values)


def test_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    """Two runs with one seed write identical files; another seed writes others."""
    generate(300, 5, tmp_path / "a")
    generate(300, 5, tmp_path / "b")
    generate(300, 6, tmp_path / "c")
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert digests(tmp_path / "a")["truth.csv"] != digests(tmp_path / "c")["truth.csv"]
    generate(300, 5, tmp_path / "d", facilities=6, days=3)
    generate(300, 5, tmp_path / "e", facilities=6, days=3)
    generate(300, 5, tmp_path / "f", facilities=6, days=4)
    assert digests(tmp_path / "d") == digests(tmp_path / "e")
    assert digests(tmp_path / "d")["10661/person.txt"] != digests(tmp_path / "f")["10661/person.txt"]


def test_counts_agree(population: PopulationSummary) -> None:
    """The summary, the manifest, the extracts and the truth count the same records."""
    manifest = json.loads(population.manifest.read_text(encoding="utf-8"))
    assert manifest["seed"] == SEED
    assert manifest["persons"] == population.persons == PERSONS
    assert [facility["format"] for facility in manifest["facilities"]] == ["person43", "fhir"]
    assert {facility["code"]: facility["records"] for facility in manifest["facilities"]} == population.by_facility
    assert population.by_facility == {
        "10661": len(person_rows(population)),
        "HL001": len(patients(population)),
    }
    assert sum(population.by_stratum.values()) == population.records == len(truth_of(population))


def test_truth_covers_every_record_once(population: PopulationSummary) -> None:
    """Every record of an extract stands in the truth exactly once, and nothing else does."""
    told = [row["record_id"] for row in truth_of(population)]
    held = [f"10661/{row['PID']}" for row in person_rows(population)]
    held += [f"HL001/{patient['id']}" for patient in patients(population)]
    assert sorted(told) == sorted(held)
    assert len(set(told)) == len(told)
    assert len({row["person_id"] for row in truth_of(population)}) == PERSONS
    assert {row["stratum"] for row in truth_of(population)} <= set(STRATA)


def test_extracts_can_be_read(population: PopulationSummary) -> None:
    """The readers of both formats take every row and find the same local ids."""
    for code, read in (("10661", person43.read), ("HL001", fhir.read)):
        rows = list(read(population.extracts[code]))
        assert all(isinstance(row, SourceRow) for row in rows)
        found = {f"{code}/{row.raw.local_id}" for row in rows if isinstance(row, SourceRow)}
        assert found == {r["record_id"] for r in truth_of(population) if r["record_id"].startswith(code)}


def test_patients_follow_the_core_profile(population: PopulationSummary) -> None:
    """Identifiers, names, dates and addresses of patients have the systems and shapes of TH Core."""
    for patient in patients(population):
        systems = [identifier["system"] for identifier in patient["identifier"]]
        assert systems[0] == "https://terms.sil-th.org/hcode/5/HL001/HN"
        assert all(
            system == "https://terms.sil-th.org/id/th-cid"
            or re.fullmatch(r"http://hl7\.org/fhir/sid/passport-[A-Z]{3}", system)
            for system in systems[1:]
        )
        assert {name["extension"][0]["valueCode"] for name in patient["name"]} <= {"th", "en"}
        assert re.fullmatch(r"\d{4}(-\d{2}-\d{2})?", patient["birthDate"])
        assert re.fullmatch(r"\d{6}", patient["address"][0]["extension"][0]["valueCode"])


def test_national_ids_are_valid_and_unique(people: list[Person]) -> None:
    """Every true number has its check digit and one holder, and its first digit fits the birth year."""
    numbers = [number for person in people for number in person.numbers]
    assert len(set(numbers)) == len(numbers)
    assert all(check_digit(number[:12]) == number[12] for number in numbers)
    for person in people:
        if person.nation is None:
            assert len(person.numbers) == 1
            assert person.numbers[0][0] in ("12" if person.birth.year >= 1984 else "3458")
        else:
            assert {number[0] for number in person.numbers} <= set("067")


def test_check_digit_of_a_known_number() -> None:
    """The check digit is that of the Department of Provincial Administration."""
    assert check_digit("110370248899") == "2"


def test_mistyped_numbers() -> None:
    """A typo is caught by the check digit or passes it, as asked, and never gives the number back."""
    dice = Dice(3)
    number = "1103702488992"
    for _ in range(50):
        valid, invalid = mistyped_valid(number, dice), mistyped_invalid(number, dice)
        assert valid != number != invalid
        assert check_digit(valid[:12]) == valid[12]
        assert check_digit(invalid[:12]) != invalid[12]


def test_rates_of_persons(people: list[Person]) -> None:
    """Migrants, twins, ages, newborns and changed names are about as frequent as the model says."""
    model = load_model()
    assert share(p.nation is not None for p in people) == pytest.approx(model["migrants"]["share"], abs=0.01)
    assert share(p.twin for p in people) == pytest.approx(model["households"]["twins"], abs=0.003)
    assert 0.0005 < share(p.unnamed for p in people) < 0.003
    assert share(p.age < 15 for p in people) == pytest.approx(0.16, abs=0.03)
    assert share(p.age >= 60 for p in people) == pytest.approx(0.20, abs=0.03)
    thais = [p for p in people if p.nation is None]
    assert share(bool(p.former_given) for p in thais) == pytest.approx(0.09, abs=0.015)
    women = [p for p in thais if p.sex == "2" and p.age >= model["names"]["family_changed_from_age"]]
    assert share(bool(p.former_family) for p in women) == pytest.approx(0.35, abs=0.03)
    migrants = [p for p in people if p.nation is not None]
    assert share(not p.numbers for p in migrants) == pytest.approx(0.40, abs=0.03)
    assert share(len(p.tokens) == 1 for p in migrants) == pytest.approx(0.55, abs=0.03)


def test_persons_are_possible(people: list[Person]) -> None:
    """Nobody is born after the reference date, to a mother younger than 15, or shares a twin's given name."""
    today = load_model()["model"]["reference_date"]
    twins: dict[tuple[int, datetime.date, str], list[Person]] = {}
    for person in people:
        assert person.birth <= today
        assert person.mother is None or person.birth.year - person.mother.birth.year >= 15
        if person.twin:
            twins.setdefault((person.household.number, person.birth, person.family), []).append(person)
    pairs = [pair for pair in twins.values() if len(pair) == 2]
    assert len(pairs) > 100
    for one, other in pairs:
        assert one.sex == other.sex
        assert one.given != other.given
        assert one.given[:2] == other.given[:2]
        assert (one.phone, one.mother) == (other.phone, other.mother)


@pytest.fixture(scope="module")
def dense() -> list[Person]:
    # 2,200 people to a day, as the whole country has
    model = load_model()
    office = People(model, SEED, 2, Window(model, 10))
    return [person for first in range(0, 22_000, 2000) for person in office.chunk(first, 2000, Dice(SEED, 1, first))]


def households(people: list[Person]) -> list[list[Person]]:
    found: dict[int, list[Person]] = {}
    for person in people:
        found.setdefault(person.household.number, []).append(person)
    return list(found.values())


def test_few_days_are_as_dense_as_a_nation(dense: list[Person]) -> None:
    """With 2,200 people to a day, each date and sex holds about 1,100, and the first of the month somewhat more."""
    first = load_model()["births"]["window_first"]
    held = Counter((person.birth, person.sex) for person in dense)
    assert {day for day, _ in held} == {first + datetime.timedelta(days=day) for day in range(10)}
    for (day, _), count in held.items():
        assert count == pytest.approx(22_000 / 20 * (1.27 if day == first else 0.97), rel=0.12)


def test_dense_people_are_those_of_the_country(people: list[Person], dense: list[Person]) -> None:
    """Ages, migrants, twins, newborns and changed names are as frequent among people born in few days."""
    kinds: list[Callable[[Person], bool]] = [
        lambda person: person.age < 15,
        lambda person: person.age >= 60,
        lambda person: person.nation is not None,
        lambda person: bool(person.former_given),
        lambda person: bool(person.former_family),
        lambda person: person.default_day,
    ]
    for kind in kinds:
        assert share(map(kind, dense)) == pytest.approx(share(map(kind, people)), rel=0.15)
    assert share(person.twin for person in dense) == pytest.approx(load_model()["households"]["twins"], abs=0.004)
    assert any(person.unnamed for person in dense)


def test_in_few_days_only_twins_of_a_house_share_a_date(dense: list[Person]) -> None:
    """Twins have one birth date; all others of a household have different ones, as nationally they nearly always do."""
    pairs = 0
    for house in households(dense):
        by_date: dict[datetime.date, list[Person]] = {}
        for person in house:
            by_date.setdefault(person.birth, []).append(person)
        for born in by_date.values():
            # the last twin of a chunk may be cut off
            assert len(born) == 1 or (len(born) == 2 and all(person.twin for person in born))
            pairs += len(born) == 2
    assert pairs > 50
    alone = [person for person in dense if person.twin]
    assert len(alone) - 2 * pairs <= 11


def test_households_are_families(people: list[Person], dense: list[Person]) -> None:
    """Under one roof people share address and mostly family name and phone, also where all are born in few days."""
    for population in (people, dense):
        houses = [house for house in households(population) if len(house) > 1 and house[0].nation is None]
        pairs = [(one, other) for house in houses for one, other in pairwise(house)]
        assert all(one.household.address is other.household.address for one, other in pairs)
        assert 0.4 < share(one.family == other.family for one, other in pairs) < 0.8
        assert share(one.phone == other.phone for one, other in pairs) > 0.03
        children = [p for p in population if p.nation is None and p.age < 15]
        assert share(child.phone == child.household.phone for child in children) == 1.0


def test_few_days_in_the_files(tmp_path: Path) -> None:
    """The manifest tells the window, and nearly all rows are born in it; the others are defaults and mistakes."""
    population = generate(1500, SEED, tmp_path, days=3)
    manifest = json.loads(population.manifest.read_text(encoding="utf-8"))
    assert (manifest["days"], manifest["first_birth"]) == (3, "1985-06-01")
    born = Counter(row["BIRTH"] for row in person_rows(population))
    held = sum(born[f"198506{day:02d}"] for day in (1, 2, 3))
    assert 0.93 < held / born.total() < 0.99
    assert 0.005 < born["19850101"] / born.total() < 0.05
    assert {"newborn", "twin", "migrant"} <= {s for s, count in population.by_stratum.items() if count}


def test_names_are_at_home_in_regions() -> None:
    """Families of one province share names far more often than families of the country, whose frequencies stay."""
    pools, dice = NamePools(load_model()), Dice(SEED)
    drawn = 20_000

    def pairs(names: Counter[str]) -> float:
        return sum(count * (count - 1) for count in names.values())

    def commonest(names: Counter[str]) -> float:
        return sum(names[name] for name, _ in country.most_common(20)) / drawn

    country = Counter(pools.given("1", 1950, dice) for _ in range(drawn))
    mixed = Counter(pools.given("1", 1950, dice, turn % 77) for turn in range(drawn))
    at_home = Counter(pools.given("1", 1950, dice, 30) for _ in range(drawn))
    assert pairs(at_home) > 1.3 * pairs(country)
    assert pairs(mixed) == pytest.approx(pairs(country), rel=0.15)
    assert commonest(mixed) == pytest.approx(commonest(country), rel=0.1)
    assert at_home["สมชาย"] / drawn == pytest.approx(0.0075, abs=0.003)

    country = Counter(pools.family(dice) for _ in range(drawn))
    mixed = Counter(pools.family(dice, turn % 77) for turn in range(drawn))
    at_home = Counter(pools.family(dice, 30) for _ in range(drawn))
    assert pairs(at_home) > 5 * pairs(country)
    assert pairs(mixed) == pytest.approx(pairs(country), rel=0.25)
    assert len(at_home.keys() & Counter(pools.family(dice, 31) for _ in range(drawn)).keys()) < len(at_home) / 5


def test_full_names_are_shared_more_than_by_chance() -> None:
    """Regions make full names meet more often than parts drawn apart, though each part stays as frequent."""
    pools, dice = NamePools(load_model()), Dice(SEED)

    def namesakes(origins: list[int | None]) -> int:
        held = Counter((pools.given("1", 1950, dice, origin), pools.family(dice, origin)) for origin in origins)
        # clans live in all regions
        return sum(count for (_, family), count in held.items() if count > 1 and not family.startswith("แซ่"))

    assert namesakes([turn % 77 for turn in range(80_000)]) > 1.3 * namesakes([None] * 80_000)


def test_old_calendar(people: list[Person]) -> None:
    """Of those born in January to March before 1941, some records are a year early; in Buddhist years all are."""
    model = load_model()
    places = [
        Facility("10661", "Mor Prom", "person43", "utf-8", private=False),
        Facility("10662", "sso", "csv", "utf-8", private=False),
    ]
    clerks, dice = Clerks(model, People(model, SEED, 2), places), Dice(SEED)
    early: dict[tuple[bool, int], list[bool]] = {}
    for person in people:
        if person.birth.year < 1945 and person.birth.month <= 3 and person.birth.day > 1:
            for record in clerks.records(person, dice):
                year, month, day = record.birth
                if (month, day) == (person.birth.month, person.birth.day):
                    old = person.birth.year < 1941
                    early.setdefault((old, record.place), []).append(year % 543 == (person.birth.year - 1) % 543)
    assert share(iter(early[True, 0])) == pytest.approx(0.3, abs=0.1)
    assert share(iter(early[True, 1])) > 0.97
    assert share(iter(early[False, 0] + early[False, 1])) < 0.02


def test_all_kinds_of_extracts_can_be_read(tmp_path: Path) -> None:
    """Readers take every row of every kind, in both encodings and through the mappings beside the tables."""
    population = generate(400, SEED, tmp_path, facilities=6)
    manifest = json.loads(population.manifest.read_text(encoding="utf-8"))
    told = {row["record_id"] for row in truth_of(population)}
    assert {(entry["format"], entry["encoding"]) for entry in manifest["facilities"]} == {
        ("person43", "utf-8"),
        ("person43", "cp874"),
        ("fhir", "utf-8"),
        ("csv", "utf-8"),
        ("csv", "cp874"),
    }
    readers = {"person43": person43.read, "fhir": fhir.read}
    for entry in manifest["facilities"]:
        extract = tmp_path / entry["file"]
        if entry["format"] == "csv":
            assert population.mappings[entry["code"]] == tmp_path / entry["mapping"]
            rows = list(tables.read(extract, tables.load_mapping(tmp_path / entry["mapping"])))
        else:
            rows = list(readers[entry["format"]](extract))
        people = [normalize(row.raw, REFERENCE) for row in rows if isinstance(row, SourceRow)]
        assert len(people) == len(rows) == entry["records"]
        assert {f"{entry['code']}/{row.raw.local_id}" for row in rows if isinstance(row, SourceRow)} <= told
        assert share(person.birth_date is not None for person in people) > 0.97
        assert share(bool(person.names) and "ก" <= person.names[0].given[:1] <= "์" for person in people) > 0.6
        assert share(bool(person.sex) for person in people) > 0.97
        assert share(bool(person.identifiers) for person in people) > 0.9
        if entry["platform"] != "Mor Prom":
            assert share(len(person.subdistrict) == 6 for person in people) == 1.0
        text = extract.read_bytes()
        if entry["encoding"] == "cp874":
            with pytest.raises(UnicodeDecodeError):
                text.decode("utf-8")


def test_mappings_are_replaced_with_their_population(tmp_path: Path) -> None:
    """A population that is written over leaves none of its mappings behind."""
    generate(50, 1, tmp_path, facilities=6)
    assert len(list(tmp_path.rglob("columns.toml"))) == 2
    generate(50, 1, tmp_path, facilities=2)
    assert not list(tmp_path.rglob("columns.toml"))


def test_memory_does_not_grow_with_the_population(tmp_path: Path) -> None:
    """However many people were made, only those of one chunk are held."""

    def held() -> int:
        gc.collect()
        return sum(type(thing) is Person for thing in gc.get_objects())

    before = held()
    most: list[int] = []
    chunk = load_model()["model"]["chunk"]
    generate(3 * chunk, 1, tmp_path, on_progress=lambda _: most.append(held() - before))
    assert len(most) == 3
    assert max(most) < 1.5 * chunk


def test_rates_of_records(population: PopulationSummary) -> None:
    """Persons at both facilities, Latin names, missing numbers and phones are about as frequent as the model says."""
    places: dict[str, set[str]] = {}
    seen: Counter[tuple[str, str]] = Counter()
    for row in truth_of(population):
        facility = row["record_id"].split("/")[0]
        places.setdefault(row["person_id"], set()).add(facility)
        seen[row["person_id"], facility] += 1
    assert share(len(held) == 2 for held in places.values()) == pytest.approx(0.55, abs=0.04)
    assert share(count > 1 for count in seen.values()) == pytest.approx(0.04, abs=0.015)
    rows = person_rows(population)
    thai = [row for row in rows if row["NATION"] == "099"]
    assert share(row["NAME"].isascii() for row in thai) == pytest.approx(0.02, abs=0.012)
    assert share(row["CID"] == "" for row in thai) == pytest.approx(0.02, abs=0.012)
    assert share(row["MOBILE"] == "" for row in rows) == pytest.approx(0.25, abs=0.035)
    private = [p for p in patients(population) if "THA" in json.dumps(p["extension"])]
    latin = share(all(name["extension"][0]["valueCode"] == "en" for name in p["name"]) for p in private)
    assert latin == pytest.approx(0.25, abs=0.035)
    assert share(any("th-cid" in i["system"] for i in p["identifier"]) for p in private) == pytest.approx(
        0.88, abs=0.03
    )


def test_newborn_has_a_named_record_too(tmp_path: Path) -> None:
    """Whoever has a record from before the naming also has one with the name: otherwise nothing could be linked."""
    population = generate(2000, 4, tmp_path, facilities=1)
    strata: dict[str, list[str]] = {}
    for row in truth_of(population):
        strata.setdefault(row["person_id"], []).append(row["stratum"])
    newborns = [held for held in strata.values() if "newborn" in held]
    assert newborns
    for held in newborns:
        assert held.count("newborn") == 1
        assert len(held) > 1


def test_latin_spellings_agree_as_real_ones_do() -> None:
    """A name and its spelling meet as often as real pairs the romaniser was not tuned on: .852, .950, Dice .966."""
    model = load_model()
    pools, speller, dice = NamePools(model), Speller(model), Dice(SEED)
    same = skeletons = alike = 0
    names = sorted({pools.given(sex, year, dice) for sex in "12" for year in (1950, 1985, 2010) for _ in range(800)})
    for name in names:
        thai, latin = fold(romanise(name)), fold(speller.spell(name, dice))
        same += thai == latin
        skeletons += skeleton(thai) == skeleton(latin)
        alike += bigram_dice(thai, latin) >= 0.7
    assert same / len(names) == pytest.approx(0.852, abs=0.025)
    assert skeletons / len(names) == pytest.approx(0.950, abs=0.02)
    assert alike / len(names) == pytest.approx(0.966, abs=0.015)


def bigram_dice(one: str, other: str) -> float:
    def bigrams(text: str) -> set[str]:
        return {f"_{text}_"[place : place + 2] for place in range(len(text) + 1)}

    return 2 * len(bigrams(one) & bigrams(other)) / (len(bigrams(one)) + len(bigrams(other)))


def test_frequent_names_are_as_frequent_as_the_fit_says() -> None:
    """The commonest given name of a cohort has a share of a percent or less, and most family names are rare."""
    pools, dice = NamePools(load_model()), Dice(SEED)
    given = Counter(pools.given("1", 1950, dice) for _ in range(20_000))
    assert given["สมชาย"] / 20_000 == pytest.approx(0.0075, abs=0.003)
    family = Counter(pools.family(dice) for _ in range(20_000))
    assert sum(count == 1 for count in family.values()) / len(family) > 0.8


@pytest.mark.parametrize("text", ["สมชาย", "น้ำฝน", "พงษ์ศักดิ์", "มี", "แก้ว"])
def test_slips_change_a_name(text: str) -> None:
    """A slip never leaves the word as it was, nor empty."""
    slips, dice = Slips(load_model()), Dice(1)
    for _ in range(200):
        assert slips.thai(text, dice) not in (text, "")


def test_more_facilities(tmp_path: Path) -> None:
    """With more facilities, kinds of extracts take turns and a person has about 3.5 records."""
    population = generate(600, 2, tmp_path, facilities=12)
    manifest = json.loads(population.manifest.read_text(encoding="utf-8"))
    assert [(entry["code"], entry["platform"], entry["format"]) for entry in manifest["facilities"]][:7] == [
        ("10661", "Mor Prom", "person43"),
        ("HL001", "Health Link", "fhir"),
        ("10662", "nhso", "csv"),
        ("10663", "sso", "csv"),
        ("10664", "Mor Prom", "person43"),
        ("HL002", "Health Link", "fhir"),
        ("10665", "Mor Prom", "person43"),
    ]
    assert all(re.fullmatch(r"[A-Z0-9]{5,9}", facility["code"]) for facility in manifest["facilities"])
    assert population.records / 600 == pytest.approx(3.5 * 1.04, abs=0.4)


def test_refuses_a_folder_that_holds_something_else(tmp_path: Path) -> None:
    """A folder with other files is refused untouched; an earlier population is replaced."""
    generate(50, 1, tmp_path / "earlier", facilities=4)
    generate(50, 1, tmp_path / "earlier")
    assert sorted(path.name for path in (tmp_path / "earlier").iterdir()) == [
        "10661",
        "HL001",
        "manifest.json",
        "truth.csv",
    ]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("work", encoding="utf-8")
    with pytest.raises(InputRejected, match="not empty"):
        generate(50, 1, tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("days", [0, 100_000])
def test_refuses_impossible_days(tmp_path: Path, days: int) -> None:
    """A window without a day, or one that ends in the future, is refused before anything is written."""
    with pytest.raises(InputRejected, match="days"):
        generate(10, 1, tmp_path / "out", days=days)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("persons", "seed", "facilities"), [(0, 1, 2), (10, -1, 2), (10, 1, 0), (10, 1, 501)])
def test_refuses_impossible_numbers(tmp_path: Path, persons: int, seed: int, facilities: int) -> None:
    """Numbers out of range are refused before anything is written."""
    with pytest.raises(InputRejected):
        generate(persons, seed, tmp_path / "out", facilities)
    assert not (tmp_path / "out").exists()


def test_progress_counts_every_person(tmp_path: Path) -> None:
    """Progress is told of increments that add up to the population."""
    told: list[int] = []
    tell: Callable[[int], None] = told.append
    generate(2500, 1, tmp_path, on_progress=tell)
    assert sum(told) == 2500


def test_interruption_leaves_nothing_behind(tmp_path: Path) -> None:
    """When a run is broken off, no half population is left, so the same command works again."""

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(100, 1, tmp_path, on_progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_foreign_manifest_removes_nothing_outside(tmp_path: Path) -> None:
    """A manifest that names files outside its folder does not have them removed."""
    (tmp_path / "keep.txt").write_text("work", encoding="utf-8")
    (tmp_path / "out").mkdir()
    manifest = {"version": "population-th/1", "facilities": [{"file": "../keep.txt"}]}
    (tmp_path / "out" / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    generate(50, 1, tmp_path / "out")
    assert (tmp_path / "keep.txt").exists()


def test_command_prints_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --json the command prints counts that a script can read."""
    run(120, 1, tmp_path, 4, True, days=5)
    printed = json.loads(capsys.readouterr().out)
    assert (printed["persons"], printed["days"]) == (120, 5)
    assert set(printed["mappings"]) == {"10662", "10663"}
    assert sum(printed["by_facility"].values()) == printed["records"]
