"""The hard pairs of the vector standard: what must link, what must not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mpi.domain.identity import Decision, Registration
from mpi.encoder.demographics import RawDemographics
from tests.building import ACTOR, centre, encoded, key_ring, raw

PAIRS = [json.loads(line) for line in (Path(__file__).parent.parent / "vectors/pairs.jsonl").read_text().splitlines()]
ALLOWED = {
    "link": {Decision.LINK},
    "review": {Decision.REVIEW},
    "new": {Decision.NEW},
    "not_link": {Decision.REVIEW, Decision.NEW},
    "not_new": {Decision.LINK, Decision.REVIEW},
}


def _row(fields: dict[str, str]) -> RawDemographics:
    known = {key: value for key, value in fields.items() if key not in ("name", "province")}
    return raw(fields["name"], **known)


@pytest.mark.parametrize("pair", PAIRS, ids=[pair["why"] for pair in PAIRS])
def test_pair(pair: dict[str, dict[str, str]], tmp_path: Path) -> None:
    """Two records registered by two facilities come out as the vector standard expects."""
    ring = key_ring(tmp_path)
    first = encoded(ring, "10661", _row(pair["a"]))
    second = encoded(ring, "HL001", _row(pair["b"]))
    with centre(tmp_path, (ring.current.name,)) as at:
        at.registry.register(first, ACTOR)
        (outcome,), _ = at.registry.register(second, ACTOR)
        assert isinstance(outcome, Registration)
        candidates, _ = at.matcher.match(second[0].demographics, 5)
    seen = [(round(c.weight, 1), [(e.comparison, e.level) for e in c.evidence], c.veto) for c in candidates]
    assert outcome.decision in ALLOWED[str(pair["expect"])], (outcome.why, seen)
