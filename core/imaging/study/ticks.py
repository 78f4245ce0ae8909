"""Which series of a study are taken unless a person says otherwise."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from core.imaging.reference_scan import reference_of
from core.imaging.study.found import Preview, SeriesFound

#: Of these modalities one scan a day is taken: a network could not tell which of two it is to read.
_ONE_A_DAY = ("CT", "PET")
#: Names of MR sequences in a description, the more particular before the less.
_SEQUENCES = (
    ("FLAIR", re.compile(r"flair|dark.?fluid", re.IGNORECASE)),
    ("ADC", re.compile(r"\badc\b", re.IGNORECASE)),
    ("DWI", re.compile(r"\b(?:dwi|ep2d_?diff|b ?\d{3,4})\b", re.IGNORECASE)),
    ("SWI", re.compile(r"\bswi\b", re.IGNORECASE)),
    ("T1c", re.compile(r"t1.*?(?:\+ ?c\b|ce\b|gd\b|gad|post|contrast|\bkm\b)|t1c|(?:gd|post).*t1", re.IGNORECASE)),
    ("T1", re.compile(r"t1|mprage|spgr|bravo", re.IGNORECASE)),
    ("T2", re.compile(r"t2", re.IGNORECASE)),
)


def sequence_in(description: str) -> str:
    """The name of the MR sequence that a description holds, as "T1" or "FLAIR"; "" where it holds none."""
    text = description.replace("_", " ")
    return next((name for name, pattern in _SEQUENCES if pattern.search(text)), "")


def with_ticks(found: Preview) -> Preview:
    """The preview, in which of several CT (or PET) of one day the one of the thinnest slices is ticked, all MR, and
    the masks that were drawn on what will be the reference scan."""
    patients = [
        replace(patient, studies=tuple(replace(study, series=_ticked(study.series)) for study in patient.studies))
        for patient in found.patients
    ]
    return replace(found, patients=tuple(patients))


def _ticked(series: Sequence[SeriesFound]) -> tuple[SeriesFound, ...]:
    taken = {one.key for one in series if one.becomes == "scan" and one.modality not in _ONE_A_DAY}
    for modality in _ONE_A_DAY:
        fits = [one for one in series if one.becomes == "scan" and one.modality == modality]
        if fits:
            taken.add(min(fits, key=lambda one: (one.spacing_mm or (0, 0, 99))[2]).key)
    scans = [_Scan(one) for one in series if one.key in taken and one.modality is not None]
    reference = reference_of(scans).series.uid if scans else None
    return tuple(sorted((_with_words(one, one.key in taken, reference) for one in series), key=_order))


def _order(one: SeriesFound) -> tuple[int, int]:
    """Scans, masks, then what becomes nothing; first the scans that masks lie on, and the masks that are taken."""
    kind = ("scan", "mask", None).index(one.becomes)
    if kind == 0:
        return kind, ("CT", "MR", "PET").index(one.modality) if one.modality in ("CT", "MR", "PET") else 3
    return kind, not one.ticked


class _Scan:
    """A series as `reference_of` wants it."""

    def __init__(self, series: SeriesFound) -> None:
        self.series, self.modality = series, series.modality or ""


def _with_words(one: SeriesFound, taken: bool, reference: str | None) -> SeriesFound:
    if one.becomes == "mask":
        own = one.of_series is not None and one.of_series == reference
        words = (
            () if own or one.of_series is None else ("Drawn on another series than the one that masks lie on here.",)
        )
        return replace(one, ticked=own, warnings=(*one.warnings, *words))
    if one.becomes == "scan" and not taken:
        return replace(
            one,
            ticked=False,
            warnings=(
                *one.warnings,
                f"Another {one.modality} of this study is ticked: thinner, or the first.",
            ),
        )
    return replace(one, ticked=taken and one.becomes == "scan")
