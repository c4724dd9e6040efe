"""`python -m mpi` as a user meets it when something is wrong: one line, the right exit code, and nothing half-done."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mpi.batch.population import generate
from mpi.encoder.encoded_file import count_encoded, read_numbered
from mpi.encoder.keys import new_key_ring
from mpi.encoder.sources.person43 import COLUMNS

ROOT = Path(__file__).parent.parent.parent
SECONDS = 60
MANY_ROWS = 20_000
MORPROM, HEALTHLINK = "10661", "HL001"

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes and signals are POSIX")


@pytest.fixture(scope="module")
def extracts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Extracts of a small population by format."""
    made = generate(60, 5, tmp_path_factory.mktemp("population") / "out").extracts
    return {"person43": made[MORPROM], "fhir": made[HEALTHLINK]}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ring") / "keys"
    new_key_ring(folder)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a run writes to; nothing else lies there."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}


def mpi(*arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mpi", *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=SECONDS, stdin=subprocess.DEVNULL
    )


def encode(
    extract: Path, keys: Path, out: Path, source: str = "person43", facility: str = MORPROM
) -> subprocess.CompletedProcess[str]:
    return mpi("encode", extract, "--keys", keys, "--facility", facility, "--source", source, "--out", out)


def assert_refused(done: subprocess.CompletedProcess[str], *said: str) -> None:
    """Exit code 1 and one line on standard error that says all of `said`."""
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert done.stderr.endswith("\n")
    (line,) = done.stderr.splitlines()
    assert line.startswith("mpi: ")
    for words in said:
        assert words in line


def bad_extract(case: str, extracts: dict[str, Path], path: Path) -> tuple[str, int | None]:
    """Write an unusable extract; returns its format, and the line that an error has to name."""
    person, patients = extracts["person43"].read_bytes(), extracts["fhir"].read_bytes()
    last = person.count(b"\n")
    content, source, line = {
        "person43 cut short": (person[:-60], "person43", last),
        "fhir in Windows-874": (patients.decode().encode("cp874", "replace"), "fhir", 1),
        "fhir line cut short": (patients[:-50], "fhir", patients.count(b"\n")),
        "binary junk as person43": (bytes(range(256)) * 40, "person43", 1),
        "binary junk as fhir": (bytes(range(255, -1, -1)) * 40, "fhir", 1),
        "empty": (b"", "person43", None),
        "fhir given as person43": (patients, "person43", 1),
        "person43 given as fhir": (person, "fhir", 1),
    }[case]
    path.write_bytes(content)
    return source, line


@pytest.mark.parametrize(
    "case",
    [
        "person43 cut short",
        "fhir in Windows-874",
        "fhir line cut short",
        "binary junk as person43",
        "binary junk as fhir",
        "empty",
        "fhir given as person43",
        "person43 given as fhir",
    ],
)
def test_unusable_extract(case: str, extracts: dict[str, Path], keys: Path, folder: Path, tmp_path: Path) -> None:
    """An extract that cannot be read ends the run with its name and line, and leaves no file behind."""
    extract = tmp_path / "extract"
    source, line = bad_extract(case, extracts, extract)
    done = encode(extract, keys, folder / "out.parquet", source)
    assert_refused(done, str(extract), *([] if line is None else [f"line {line}:"]))
    assert list(folder.iterdir()) == []


def test_missing_extract(keys: Path, folder: Path, tmp_path: Path) -> None:
    """A file that is not there is named."""
    assert_refused(encode(tmp_path / "nowhere.txt", keys, folder / "out.parquet"), str(tmp_path / "nowhere.txt"))
    assert_refused(encode(tmp_path / "n.txt", keys, folder / "out.parquet", "fhir"), str(tmp_path / "n.txt"))
    assert list(folder.iterdir()) == []


def test_wrong_facility_code_and_source(extracts: dict[str, Path], keys: Path, folder: Path) -> None:
    """A facility code of the wrong shape and an unknown format are refused by the name of the option."""
    extract, out = extracts["person43"], folder / "out.parquet"
    assert_refused(encode(extract, keys, out, facility="hospital"), "--facility")
    assert_refused(encode(extract, keys, out, source="hl7v2"), "--source", "person43, fhir")
    assert list(folder.iterdir()) == []


def test_unusable_keys(extracts: dict[str, Path], folder: Path, tmp_path: Path) -> None:
    """A key file that others may read, and one that is missing, are named and nothing is encoded."""
    extract, out = extracts["person43"], folder / "out.parquet"
    new_key_ring(tmp_path / "open")
    (tmp_path / "open" / "linkage.json").chmod(0o644)
    assert_refused(encode(extract, tmp_path / "open", out), str(tmp_path / "open" / "linkage.json"), "chmod 600")
    assert_refused(encode(extract, tmp_path / "none", out), str(tmp_path / "none" / "linkage.json"))
    assert list(folder.iterdir()) == []


def test_unwritable_out_folder(extracts: dict[str, Path], keys: Path, folder: Path, tmp_path: Path) -> None:
    """A folder that is missing, is a file, or cannot be written is named, and nothing is left in it."""
    extract = extracts["person43"]
    assert_refused(encode(extract, keys, tmp_path / "missing" / "out.parquet"), str(tmp_path / "missing"))
    (tmp_path / "file").write_text("kept")
    assert_refused(encode(extract, keys, tmp_path / "file" / "out.parquet"), str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "kept"
    assert_refused(encode(extract, keys, folder), str(folder))  # the name of a folder for the file


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="the superuser may write everywhere")
def test_read_only_out_folder(extracts: dict[str, Path], keys: Path, folder: Path) -> None:
    """A folder without write permission is refused like any other mistake."""
    folder.chmod(0o500)
    try:
        assert_refused(encode(extracts["person43"], keys, folder / "out.parquet"), str(folder))
    finally:
        folder.chmod(0o700)


def test_out_folder_that_no_one_can_write(extracts: dict[str, Path], keys: Path) -> None:
    """Where not even the superuser can make files, the run ends with one line that names the file."""
    out = Path("/proc/out.parquet")
    if not out.parent.is_dir():
        pytest.skip("needs /proc")
    assert_refused(encode(extracts["person43"], keys, out), "/proc/")


def test_bad_row_is_set_aside_and_the_run_goes_on(extracts: dict[str, Path], keys: Path, folder: Path) -> None:
    """Rows that cannot be used stand in the quarantine file by number and reason; all others are encoded."""
    lines = extracts["person43"].read_text(encoding="utf-8").splitlines()
    without_id = lines[3].split("|")
    without_id[COLUMNS.index("PID")] = ""
    lines[3] = "|".join(without_id)
    lines[5] += "|one more"
    extract = folder.parent / "person.txt"
    extract.write_text("\n".join(lines) + "\n", encoding="utf-8")
    out = folder / "out.parquet"
    done = encode(extract, keys, out)
    assert done.returncode == 0, done.stderr
    with (folder / "out.quarantine.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [["row", "reason"], ["4", "LOCAL_ID_MISSING"], ["6", "COLUMN_COUNT"]]
    rows = [row for batch in read_numbered(out) for row, _ in batch]
    assert rows == [row for row in range(2, len(lines) + 1) if row not in (4, 6)]


def test_bad_fhir_line_is_set_aside(extracts: dict[str, Path], keys: Path, folder: Path) -> None:
    """A line in the middle that is no JSON or no text is set aside with its number."""
    lines = extracts["fhir"].read_bytes().splitlines()
    lines[2], lines[4] = lines[2][:-10], lines[4][:-2] + b"\xff}"
    extract = folder.parent / "patient.ndjson"
    extract.write_bytes(b"\n".join(lines) + b"\n")
    done = encode(extract, keys, folder / "out.parquet", "fhir", HEALTHLINK)
    assert done.returncode == 0, done.stderr
    with (folder / "out.quarantine.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [["row", "reason"], ["3", "NOT_JSON"], ["5", "NOT_DECODABLE"]]
    assert count_encoded(folder / "out.parquet") == len(lines) - 2


def test_earlier_output_stays_after_a_failing_run(extracts: dict[str, Path], keys: Path, folder: Path) -> None:
    """A run that fails at its very end leaves the files of the run before it byte for byte."""
    out = folder / "out.parquet"
    assert encode(extracts["person43"], keys, out).returncode == 0
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(kept) == {"out.parquet", "out.quarantine.csv", "out.report.json"}
    cut = folder.parent / "cut.txt"
    cut.write_bytes(extracts["person43"].read_bytes()[:-60])
    assert_refused(encode(cut, keys, out), str(cut))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == kept


def many_rows(extract: Path, path: Path) -> None:
    """Repeat the rows of a PERSON file under new local ids."""
    header, *rows = extract.read_text(encoding="utf-8").splitlines()
    place = COLUMNS.index("PID")
    cells = [row.split("|") for row in rows]
    with path.open("w", encoding="utf-8") as file:
        file.write(header + "\n")
        for number in range(MANY_ROWS):
            row = cells[number % len(cells)]
            file.write("|".join((*row[:place], f"{number:09d}", *row[place + 1 :])) + "\n")


def test_an_interrupted_run_goes_on(extracts: dict[str, Path], keys: Path, folder: Path) -> None:
    """Ctrl-C in the middle of a long run: exit code 130 and one line; the same command does the rest."""
    extract = folder.parent / "many.txt"
    many_rows(extracts["person43"], extract)
    command = [sys.executable, "-m", "mpi", "encode", extract, "--keys", keys, "--facility", MORPROM]
    process = subprocess.Popen(
        [*map(str, command), "--source", "person43", "--out", str(folder / "out.parquet")],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Where the tests run in the background, children would ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        until = time.monotonic() + SECONDS
        while not list(folder.glob(".out.parquet.parts/*.arrow")):
            assert process.poll() is None, "ended before it could be interrupted"
            assert time.monotonic() < until
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        printed, said = process.communicate(timeout=SECONDS)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    assert process.returncode == 130, said
    assert printed == ""
    assert said == "mpi: interrupted; run the same command again to go on\n"
    assert [path.name for path in folder.iterdir()] == [".out.parquet.parts"]
    again = encode(extract, keys, folder / "out.parquet")
    assert again.returncode == 0, again.stderr
    assert "were done by an interrupted run" in again.stdout
    assert sorted(path.name for path in folder.iterdir()) == ["out.parquet", "out.quarantine.csv", "out.report.json"]


def test_other_commands_refuse_in_one_line(extracts: dict[str, Path], keys: Path, tmp_path: Path) -> None:
    """Registering what is no encoded file, serving without settings and overwriting keys end in one line."""
    person = extracts["person43"]
    assert_refused(mpi("register", "--server", "127.0.0.1:1", person), str(person))
    assert_refused(mpi("keys", "new", "--keys", keys), "never overwritten")
    assert_refused(mpi("serve", "--data", tmp_path / "data", "--config", person), str(person))
    assert not (tmp_path / "data").exists()


def test_encode_checks_first(tmp_path: Path, keys: Path) -> None:
    """What cannot end well is refused before the work: a report without a folder, a mask for nobody, a pipe."""
    extract, out = tmp_path / "person.txt", tmp_path / "out.parquet"
    extract.write_text("HOSPCODE|PID|NAME|LNAME|BIRTH\n10661|1|สมชาย|ใจดี|19820315\n", encoding="utf-8")
    os.mkfifo(tmp_path / "pipe")
    common = ("encode", "--keys", str(keys), "--facility", "10661", "--source", "person43", "--out", str(out))
    for more, told in (
        ((str(extract), "--report", str(tmp_path / "none" / "r.html")), "not a folder"),
        ((str(extract), "--mask", "full"), "--sealed-for"),
        ((str(tmp_path / "pipe"),), "not a file"),
        ((str(extract), "--facility-codes", str(tmp_path / "none.toml")), "No such file"),
    ):
        done = mpi(*common, *more)
        assert done.returncode == 1
        assert told in done.stderr
        assert "Traceback" not in done.stderr
        assert not out.exists()


def test_an_extract_whose_name_is_no_text(tmp_path: Path, keys: Path) -> None:
    """A name in another encoding is no reason to fail: it stands in the report as far as it can be read."""
    out = tmp_path / "out.parquet"
    extract = tmp_path / os.fsdecode("สมชาย.txt".encode("cp874"))
    extract.write_text("HOSPCODE|PID|NAME|LNAME|BIRTH\n10661|1|สมชาย|ใจดี|19820315\n", encoding="utf-8")
    done = mpi(
        "encode", "--keys", str(keys), "--facility", "10661", "--source", "person43", str(extract), "--out", str(out)
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "�" in json.loads(out.with_suffix(".report.json").read_text(encoding="utf-8"))["header"]["extract"]
