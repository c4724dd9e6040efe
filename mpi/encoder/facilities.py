"""Facility codes: a facility has an old one, often a new one, and systems write either.

A code (hcode) is opaque: five digits of old, nine characters since 2024, never a number. Nothing in one code tells that
another is of the same facility, so a file that a network keeps says it, and only it::

    [codes]
    "10661" = ["EA0010661", "001066100"]   # the code of the network = the facility's other codes

Records, tokens of local ids and certificates bear the code of the network.
"""

from __future__ import annotations

import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mpi.domain.identifiers import is_facility_code
from mpi.errors import InputRejected

_MOST_BYTES = 1 << 24


@dataclass(frozen=True, slots=True)
class FacilityCodes:
    """Which codes are of one facility; `network` leads from each other code to that of the network."""

    network: Mapping[str, str] = field(default_factory=dict)

    def of(self, text: str) -> str:
        """Code of the network for a code as a source or a person writes it: spaces, small letters, Thai digits."""
        code = "".join(_ascii(character) for character in text.strip()).upper()
        return self.network.get(code, code)


NO_CODES = FacilityCodes()
"""Where nothing is said every code is a facility of its own."""


def load_facility_codes(path: Path | None) -> FacilityCodes:
    """Read the file of facility codes; `NO_CODES` without one.

    Raises:
        InputRejected: no such file, of another shape, or a code that stands for two facilities.
    """
    if path is None:
        return NO_CODES
    try:
        with path.open("rb") as file:
            table = tomllib.loads(file.read(_MOST_BYTES).decode())
    except OSError as error:
        raise InputRejected(f"{path}: {error.strerror or 'cannot be read'}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, ValueError, RecursionError):
        raise InputRejected(f"{path}: not a file of facility codes in TOML") from None
    return FacilityCodes(_network(path, table))


def _network(path: Path, table: dict[str, Any]) -> dict[str, str]:
    codes = table.get("codes")
    if table.keys() != {"codes"} or not isinstance(codes, dict):
        raise InputRejected(f"{path}: has one table, [codes]")
    network: dict[str, str] = {}
    for code, others in codes.items():
        if not isinstance(others, list) or not all(isinstance(other, str) for other in others):
            raise InputRejected(
                f'{path}: {code}: a code of the network = a list of others, as in "10661" = ["EA0010661"]'
            )
        for other in (code, *others):
            if not is_facility_code(other):
                raise InputRejected(f"{path}: under {code}: a code has 5 to 9 upper-case letters and digits")
            if network.setdefault(other, code) != code or (other != code and other in codes):
                raise InputRejected(f"{path}: {other} stands for two facilities")
    return network


def _ascii(character: str) -> str:
    """Digits of any script as ASCII."""
    digit = unicodedata.decimal(character, None)
    return character if digit is None else str(digit)
