"""`mpi normalize`: JSON lines in, JSON lines out."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpi.cli.normalize import normalize_lines

VECTORS = Path(__file__).parent.parent / "vectors"
KEYS = (
    "given middle family aliases other_names birth_date birth_date_alternatives sex national_id passport "
    "passport_country phone flags"
).split()


def run(*lines: str | bytes) -> tuple[list[dict[str, Any]], int]:
    data = b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines)
    out = io.StringIO()
    bad = normalize_lines(io.BytesIO(data), out)
    return [json.loads(line) for line in out.getvalue().splitlines()], bad


def normalized(**fields: object) -> dict[str, Any]:
    (answer,), bad = run(json.dumps(fields, ensure_ascii=False))
    assert not bad
    return answer


def vectors(name: str) -> list[Any]:
    return [json.loads(line) for line in (VECTORS / name).read_text("utf-8").splitlines()]


@pytest.mark.parametrize("vector", vectors("names.jsonl"), ids=[vector["name"] for vector in vectors("names.jsonl")])
def test_names(vector: dict[str, Any]) -> None:
    """Every name of the vector standard comes out in its parts."""
    answer = normalized(name=vector["name"])
    assert {key: answer[key] for key in vector if key != "name"} == {
        key: vector[key] for key in vector if key != "name"
    }


@pytest.mark.parametrize("vector", vectors("birth_dates.jsonl"), ids=lambda vector: vector["birth_date"])
def test_birth_dates(vector: dict[str, str]) -> None:
    """Every birth date of the vector standard comes out with its alternative and flag."""
    answer = normalized(birth_date=vector["birth_date"])
    assert answer["birth_date"] == vector["expected"]
    assert answer["birth_date_alternatives"] == ([vector["alternative"]] if "alternative" in vector else [])
    if "flag" in vector:
        assert f"birth_date:{vector['flag']}" in answer["flags"]


@pytest.mark.parametrize("vector", vectors("national_ids.jsonl"), ids=lambda vector: vector["national_id"])
def test_national_ids(vector: dict[str, str]) -> None:
    """Every national id of the vector standard comes out, or null with its reason as a flag."""
    answer = normalized(national_id=vector["national_id"])
    assert answer["national_id"] == vector["expected"]
    assert (f"national_id:{vector['rejected']}" in answer["flags"]) == (vector["expected"] is None)


def test_whole_answer() -> None:
    """An answer has every key, whatever the line has."""
    answer = normalized(
        name="นายสมชาย ใจดี", birth_date="15/01/2530", national_id=1103702488992, passport="mb123456",
        passport_country="MMR", phone="081-234-5678",
    )  # fmt: skip
    assert list(answer) == KEYS
    assert answer == {
        "given": "สมชาย", "middle": "", "family": "ใจดี", "aliases": [], "other_names": [],
        "birth_date": "1987-01-15", "birth_date_alternatives": [], "sex": "1", "national_id": "1103702488992",
        "passport": "MB123456", "passport_country": "MMR", "phone": "0812345678", "flags": ["passport:maybe_truncated"],
    }  # fmt: skip
    assert list(normalized()) == KEYS


def test_name_in_parts() -> None:
    """A name may come in parts."""
    answer = normalized(prefix="น.ส.", given="วรรณา", family="ศรีสุข")
    assert (answer["given"], answer["family"], answer["sex"]) == ("วรรณา", "ศรีสุข", "2")


@pytest.mark.parametrize(
    ("fields", "others"),
    [
        ({"previous_family": "ใจดี"}, [("สมหญิง", "ใจดี")]),
        ({"previous_given": ["สมศรี", "สมใจ"]}, [("สมศรี", "มั่นคง"), ("สมใจ", "มั่นคง")]),
        ({"previous_name": "น.ส.สมศรี ใจดี"}, [("สมศรี", "ใจดี")]),
        ({"latin_given": "Somying", "latin_family": "MANKONG"}, [("somying", "mankong")]),
        ({"latin_name": "Ms. Somying Mankong"}, [("somying", "mankong")]),
        ({"alias": "หญิง, ดาว ดารา"}, [("หญิง", "มั่นคง"), ("ดาว", "ดารา")]),
        ({"alias": "สมหญิง"}, []),
        ({"alias": ["", None, "-"]}, []),
    ],
)
def test_other_names(fields: dict[str, Any], others: list[tuple[str, str]]) -> None:
    """Earlier, Latin and other names come behind the present one, which lends them what they lack."""
    answer = normalized(prefix="นาง", given="สมหญิง", family="มั่นคง", **fields)
    assert (answer["given"], answer["family"]) == ("สมหญิง", "มั่นคง")
    assert [(name["given"], name["family"]) for name in answer["other_names"]] == others


def test_aliases_are_further_names() -> None:
    """What stands in parentheses is shown as it is and as the name that is encoded; a nickname is only shown."""
    answer = normalized(name="สมหญิง มั่นคง (สกุลเดิม ใจดี) (ชื่อเล่น ดาว)")
    assert answer["aliases"] == ["ใจดี", "ดาว"]
    assert answer["other_names"] == [{"given": "สมหญิง", "middle": "", "family": "ใจดี"}]


@pytest.mark.parametrize(
    "bad", ["{oops", "[1]", '"text"', b"\xff", "[" * 9999, '{"name": "\\ud800"}', "9" * 5000, b" " * (3 << 20) + b"{}"],
    ids=["broken", "list", "text", "bytes", "deep", "surrogate", "number", "long"],
)  # fmt: skip
def test_bad_line(bad: str | bytes) -> None:
    """A line that is no JSON object is answered by its number, and the next one is read."""
    answers, count = run("{}", "", bad, '{"sex": "1"}')
    assert count == 1
    assert answers[1] == {"error": "not JSON", "line": 3}
    assert answers[2]["sex"] == "1"


def test_text_stream() -> None:
    """A text stream is read as a byte stream is."""
    out = io.StringIO()
    assert normalize_lines(io.StringIO('{"sex": "F"}\n'), out) == 0
    assert json.loads(out.getvalue())["sex"] == "2"


@given(
    st.lists(
        st.binary(max_size=40)
        | st.dictionaries(st.sampled_from(KEYS), st.text(max_size=15)).map(lambda d: json.dumps(d).encode())
    )
)
def test_any_lines(lines: list[bytes]) -> None:
    """Any bytes give one answer a line that can be encoded, and never an exception."""
    answers, bad = run(*lines)
    assert sum("error" in answer for answer in answers) == bad
    assert len(answers) == sum(bool(line.strip()) for line in b"\n".join(lines).split(b"\n"))
