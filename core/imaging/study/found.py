"""What lies in the files that a person hands in: patients, study dates, series; and what each would become.

Nothing of it is stored. The numbers of patients and the descriptions of series are for the person who has the files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Literal

from core.remembered.untyped import JsonDict

Becomes = Literal["scan", "mask"]


@dataclass(frozen=True)
class SegmentFound:
    """One segment, structure or label of a mask, where it was drawn.

    Args:
        number: within the file; never an identity.
        name: what the file calls it; "" for nothing that may be shown.
    """

    number: int
    name: str
    volume_mm3: float


@dataclass(frozen=True)
class Refused:
    """A file that is passed over, and why.

    Args:
        label: its path within what was handed in.
        why: a sentence, or the end of one.
    """

    label: str
    why: str


@dataclass(frozen=True)
class SeriesFound:
    """One series of DICOM, or one image file.

    Args:
        key: names it within one preview, and in the next of the same files: its SeriesInstanceUID; where a series holds
            several masks, with "#" and a number; of an image file, its label.
        modality: "CT", "PET", "MR"; of DICOM also another code, as "RTSTRUCT"; None where nothing tells.
        files: numbers of its files in the survey's list.
        images: how many slices, frames or contours' files.
        becomes: what it would be stored as; None for nothing.
        ticked: whether it is taken unless a person says otherwise.
        why_not: why it becomes nothing.
        warnings: sentences.
        sequence: of an MR, what its description calls it, as "T1"; "" where it says nothing.
        about: a short excerpt of its description, for the person who has the files.
        of_series: of a mask, the SeriesInstanceUID of the series that it was drawn on.
        shape: voxels along i, j, k; None where it has no volume, or none that can be read.
        spacing_mm: likewise.
        broken: labels of files that look like slices of it and cannot be read. broken_files: their numbers.
        asked: what a person has to say before it can be stored, as "modality".
        segments: of a mask, what it holds.
        thumbnail: its middle slice as a PNG, base64; "" for none.
        facts: what is shown of it beside that, in words: the factors of a PET.
    """

    key: str
    modality: str | None
    files: tuple[int, ...]
    images: int
    becomes: Becomes | None = None
    ticked: bool = False
    why_not: str | None = None
    warnings: tuple[str, ...] = ()
    sequence: str = ""
    about: str = ""
    of_series: str | None = None
    shape: tuple[int, int, int] | None = None
    spacing_mm: tuple[float, float, float] | None = None
    broken: tuple[str, ...] = ()
    broken_files: tuple[int, ...] = ()
    asked: tuple[str, ...] = ()
    segments: tuple[SegmentFound, ...] = ()
    thumbnail: str = field(default="", repr=False)
    facts: tuple[str, ...] = ()

    @property
    def uid(self) -> str:
        """Its SeriesInstanceUID, or an image file's label."""
        return self.key.partition("#")[0]

    def to_json(self) -> JsonDict:
        """As `scan preview --json` prints it."""
        return {
            "uid": self.key,
            "modality": self.modality,
            "images": self.images,
            "shape": None if self.shape is None else list(self.shape),
            "spacing_mm": None if self.spacing_mm is None else list(self.spacing_mm),
            "becomes": self.becomes,
            "ticked": self.ticked,
            "sequence": self.sequence,
            "of_series": self.of_series,
            "description": self.about,
            "segments": [asdict(segment) for segment in self.segments],
            "asked": list(self.asked),
            "facts": list(self.facts),
            "warnings": list(self.warnings),
            "why_not": self.why_not,
        }


@dataclass(frozen=True)
class StudyFound:
    """What was taken of a patient on one day.

    Args:
        date: YYYY-MM-DD as the files say; None where they say nothing, or dates are shifted.
        date_from: the attribute that says it, as "StudyDate".
        other_dates: where another attribute says another day: attribute -> YYYY-MM-DD.
    """

    date: str | None
    date_from: str | None
    series: tuple[SeriesFound, ...]
    other_dates: tuple[tuple[str, str], ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about its date."""
        if self.date is None or not self.other_dates:
            return ()
        others = ", ".join(f"{name} {date}" for name, date in self.other_dates)
        return (f"{self.date_from} says {self.date}, but {others}. Check which day the patient was scanned.",)

    def to_json(self) -> JsonDict:
        """As `scan preview --json` prints it."""
        return {
            "date": self.date,
            "date_from": self.date_from,
            "warnings": list(self.warnings),
            "series": [series.to_json() for series in self.series],
        }


@dataclass(frozen=True)
class PatientFound:
    """A patient of the files.

    Args:
        patient: PatientID of the files; None where they name nobody, as image files do.
        birth_year: where the files say it; no scan is older.
    """

    patient: str | None
    studies: tuple[StudyFound, ...]
    birth_year: int | None = None

    def to_json(self) -> JsonDict:
        """As `scan preview --json` prints it."""
        return {"patient": self.patient, "studies": [study.to_json() for study in self.studies]}


@dataclass(frozen=True)
class Preview:
    """All that was found, in the order of patients, dates and series."""

    patients: tuple[PatientFound, ...]
    refused: tuple[Refused, ...] = ()

    def series(self) -> Iterator[tuple[PatientFound, StudyFound, SeriesFound]]:
        """Every series, with whose and of when it is."""
        for patient in self.patients:
            for study in patient.studies:
                for series in study.series:
                    yield patient, study, series

    def to_json(self) -> JsonDict:
        """As `scan preview --json` prints it."""
        return {
            "patients": [patient.to_json() for patient in self.patients],
            "refused": [{"path": one.label, "why": one.why} for one in self.refused],
        }
