"""Facility codes: several of one facility, said by a file and by nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpi.encoder.encoded_file import read_header
from mpi.encoder.facilities import NO_CODES, load_facility_codes
from mpi.encoder.job import EncodeJob, run_job
from mpi.encoder.keys import new_key_ring
from mpi.errors import InputRejected

FILE = '[codes]\n"10661" = ["EA0010661", "001066100"]\n"10662" = []\n'


def codes(folder: Path, text: str) -> Path:
    path = folder / "codes.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_codes_of_one_facility(tmp_path: Path) -> None:
    """Every code leads to that of the network, however it is written; a code that nobody listed is its own."""
    known = load_facility_codes(codes(tmp_path, FILE))
    for text in ("10661", "EA0010661", "ea0010661", " 001066100\t", "๑๐๖๖๑"):
        assert known.of(text) == "10661"
    assert [known.of(text) for text in ("10662", "1066", "00010661")] == ["10662", "1066", "00010661"]
    assert NO_CODES.of("EA0010661") == "EA0010661"
    assert load_facility_codes(None) is NO_CODES


@pytest.mark.parametrize(
    "text",
    [
        "codes = 3",
        "[codes]\n10661 = 'EA0010661'",
        "[codes]\n10661 = [5]",
        "[codes]\n10661 = ['ea0010661']",
        "[codes]\n106 = []",
        "[codes]\n10661 = ['EA0010661']\n10662 = ['EA0010661']",
        "[codes]\n10661 = ['10662']\n10662 = []",
        "[codes]\n[more]",
        "[codes",
        "\0",
    ],
)
def test_bad_files(tmp_path: Path, text: str) -> None:
    """A file that cannot be meant is refused, and so is a code that stands for two facilities."""
    with pytest.raises(InputRejected, match=r"codes\.toml"):
        load_facility_codes(codes(tmp_path, text))
    with pytest.raises(InputRejected, match="No such file"):
        load_facility_codes(tmp_path / "none.toml")


def test_encoding_under_another_code(tmp_path: Path) -> None:
    """Whichever of its codes a facility gives, its file bears that of the network; others' rows are set aside."""
    new_key_ring(tmp_path / "keys")
    extract = tmp_path / "person.txt"
    rows = ["HOSPCODE|PID|NAME|LNAME|BIRTH", "EA0010661|1|สมชาย|ใจดี|19820315", "10662|2|วรรณา|ศรีสุข|19870720"]
    extract.write_text("\n".join(rows) + "\n", encoding="utf-8")

    def job(facility: str, known: Path | None) -> EncodeJob:
        return EncodeJob(
            extract, tmp_path / "keys", facility, "person43", tmp_path / "out.parquet", "th-v1", facility_codes=known
        )

    done = run_job(job("001066100", codes(tmp_path, FILE)))
    assert read_header(tmp_path / "out.parquet").facility == "10661"
    assert (done.records, dict(done.quarantined)) == (1, {"OTHER_FACILITY": 1})
    with pytest.raises(InputRejected, match="every person in it is of another facility than 10663"):
        run_job(job("10663", None))
    assert read_header(tmp_path / "out.parquet").facility == "10661"
