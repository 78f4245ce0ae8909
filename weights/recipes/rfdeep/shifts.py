"""The shifts, which are made from an installation's own scans as well: `core.gates.scan.shifts`."""

from __future__ import annotations

from core.gates.scan.shifts import (
    CORRUPTIONS,
    CT_AS_MR,
    MR_AS_CT,
    MR_CORRUPTIONS,
    OTHER_BODY_AS_MR,
    OTHER_BODY_CT,
    OTHER_BODY_MR,
    Pair,
    brain_like_pet,
    focal_pet,
)

__all__ = [
    "CORRUPTIONS",
    "CT_AS_MR",
    "MR_AS_CT",
    "MR_CORRUPTIONS",
    "OTHER_BODY_AS_MR",
    "OTHER_BODY_CT",
    "OTHER_BODY_MR",
    "Pair",
    "brain_like_pet",
    "focal_pet",
]
