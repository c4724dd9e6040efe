"""Purposes of use: why somebody asks about a person."""

from __future__ import annotations

from enum import StrEnum


class PurposeOfUse(StrEnum):
    """Why a lookup is made (HL7 v3 PurposeOfUse)."""

    TREAT = "TREAT"
    """Treatment."""
    ETREAT = "ETREAT"
    """Emergency treatment."""
    BTG = "BTG"
    """Break the glass."""
    HPAYMT = "HPAYMT"
    """Health care payment."""
    PUBHLTH = "PUBHLTH"
    """Public health."""
    HRESCH = "HRESCH"
    """Health care research."""
    PATRQT = "PATRQT"
    """Request of the patient."""
    HOPERAT = "HOPERAT"
    """Health care operations."""
