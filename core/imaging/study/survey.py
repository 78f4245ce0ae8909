"""Sorting files into patients, study dates and series, by what their headers say. No voxel is read here."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pydicom import Dataset
from pydicom.uid import UID

from core.errors import TwinReviewError
from core.imaging.dicom_files import is_dicom, read_headers
from core.imaging.headers.image_header import code_word
from core.imaging.image_files import image_suffix
from core.imaging.masks.origin import KEYWORDS, origin_of
from core.imaging.scan_dates import DateFound, birth_year_of, date_of
from core.imaging.scanner_facts import date_mode
from core.imaging.study.found import PatientFound, Preview, Refused, SeriesFound, StudyFound
from core.imaging.study.gathering import GivenFile
from core.imaging.study.ticks import sequence_in

#: DICOM's modalities that are volumes here, and what they are called.
SCANS = {"CT": "CT", "PT": "PET", "MR": "MR"}
MASKS = ("RTSTRUCT", "SEG")
_TAGS = (
    "Modality",
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "SeriesDescription",
    "StructureSetLabel",
    "ImageType",
    "Rows",
    "NumberOfFrames",
    "PatientID",
    "PatientBirthDate",
    "StudyDate",
    "SeriesDate",
    "AcquisitionDate",
    "ContentDate",
    *KEYWORDS,
)
#: In the key of a series without a UID.
NO_UID = "no UID"
#: A description is for recognising a series, not for reading.
_ABOUT = 64
_NO_IMAGES = {
    "SR": "a structured report",
    "PR": "a presentation state",
    "KO": "a selection of images",
    "OT": "a picture",
    "SC": "a secondary capture",
    "US": "an ultrasound",
    "XC": "a photograph",
    "DOC": "a document",
    "RTPLAN": "a treatment plan",
    "RTDOSE": "a dose distribution",
    "REG": "a registration",
    "CR": "a radiograph",
    "DX": "a radiograph",
    "MG": "a mammogram",
    "XA": "an angiogram",
    "NM": "a scintigram or SPECT",
}


@dataclass
class _Series:
    """The files of one series while they are being sorted."""

    header: Dataset
    files: list[int] = field(default_factory=list)
    broken: list[int] = field(default_factory=list)
    frames: int = 0
    scouts: int = 0


def survey(files: Sequence[GivenFile]) -> Preview:
    """What lies in files, as far as their headers say it: each series with what it may become, not yet looked into."""
    series: dict[tuple[str, str], _Series] = {}
    images: list[int] = []
    broken: list[tuple[int, str]] = []
    refused: list[Refused] = []
    for number, file in enumerate(files):
        if file.name.upper() == "DICOMDIR":
            continue
        if not is_dicom(file.path):
            if image_suffix(file.name):
                images.append(number)
            else:
                broken.append((number, "empty (0 bytes)" if file.path.stat().st_size == 0 else "no image and no DICOM"))
            continue
        header = _header_of(file)
        if header is None:
            broken.append((number, "a damaged DICOM file"))
            continue
        one = series.setdefault(_key(header), _Series(header))
        one.files.append(number)
        one.frames += _frames(header)
        one.scouts += "LOCALIZER" in (header.get("ImageType") or ())
    refused = _passed_over(files, broken, series.values())
    patients = [*_patients(files, series), *_of_images(files, images)]
    return Preview(tuple(patients), tuple(refused))


def _header_of(file: GivenFile) -> Dataset | None:
    try:
        slices, _ = read_headers([file.path], file.name, _TAGS)
    except TwinReviewError:
        return None
    return slices[0].header if slices else None


def _key(header: Dataset) -> tuple[str, str]:
    """What belongs together: a series of one patient. Each mask's file is one of its own."""
    uid = str(header.get("SeriesInstanceUID") or NO_UID)
    if header.get("Modality") in MASKS:
        uid = f"{uid}#{header.get('SOPInstanceUID') or 'no UID'}"
    return _patient_of(header), uid


def _patient_of(header: Dataset) -> str:
    return str(header.get("PatientID") or "").strip()


def _frames(header: Dataset) -> int:
    try:
        return max(1, int(header.get("NumberOfFrames") or 1))
    except (TypeError, ValueError):
        return 1


def _pattern(file: GivenFile) -> tuple[str, str]:
    return file.folder, re.sub(r"\d+", "#", file.name)


def _passed_over(
    files: Sequence[GivenFile], broken: Iterable[tuple[int, str]], series: Iterable[_Series]
) -> list[Refused]:
    """The files that are nothing, each with why. One that is called like the slices of a series is also noted there:
    the series may lack it."""
    homes: dict[tuple[str, str], list[_Series]] = defaultdict(list)
    for one in series:
        for pattern in {_pattern(files[number]) for number in one.files}:
            homes[pattern].append(one)
    refused = []
    for number, what in broken:
        near = [one for one in homes[_pattern(files[number])] if one.header.get("Modality") in SCANS]
        for one in near:
            one.broken.append(number)
        lies = " It is called like the slices beside it, which may lack it." if near else ""
        refused.append(Refused(files[number].label, f"It is {what}.{lies}"))
    return refused


def _patients(files: Sequence[GivenFile], series: Mapping[tuple[str, str], _Series]) -> list[PatientFound]:
    of_patient: dict[str, list[tuple[DateFound, SeriesFound]]] = defaultdict(list)
    born: dict[str, int | None] = {}
    dates = {(patient, uid): _date(one.header) for (patient, uid), one in series.items()}
    counts = Counter(key[1].partition("#")[0] for key in series)
    seen: Counter[str] = Counter()
    for (patient, uid), one in series.items():
        # A careless anonymiser leaves two patients under one UID: they are two series, each with a key of its own.
        seen[uid] += 1
        key = uid if counts[uid.partition("#")[0]] > 1 else uid.partition("#")[0]
        found = _described(files, f"{key}#{seen[uid]}" if seen[uid] > 1 else key, one)
        # A contour is drawn long after the scan: it belongs to the day of the series that it was drawn on.
        date = dates.get((patient, found.of_series or ""), _date(one.header))
        of_patient[patient].append((date, found))
        born[patient] = born.get(patient) or birth_year_of(one.header)
    return [
        PatientFound(patient or None, _studies(of_patient[patient]), born[patient]) for patient in sorted(of_patient)
    ]


def _date(header: Dataset) -> DateFound:
    """The day that a header says; nothing where dates are shifted, as the person's date is another on purpose."""
    return date_of(header) if date_mode() == "keep" else DateFound(None, None)


def _studies(found: Sequence[tuple[DateFound, SeriesFound]]) -> tuple[StudyFound, ...]:
    days: dict[str | None, list[tuple[DateFound, SeriesFound]]] = defaultdict(list)
    for date, series in found:
        days[date.date].append((date, series))
    return tuple(
        StudyFound(
            day,
            days[day][0][0].source,
            tuple(series for _, series in days[day]),
            tuple(sorted({other for date, _ in days[day] for other in date.others})),
        )
        for day in sorted(days, key=lambda day: (day is None, day or ""))
    )


def _described(files: Sequence[GivenFile], key: str, one: _Series) -> SeriesFound:
    header = one.header
    code = str(header.get("Modality") or "")
    is_scan = code in SCANS and "Rows" in header
    becomes, why_not = ("scan" if is_scan else "mask" if code in MASKS else None), None
    if is_scan and one.scouts == len(one.files):
        becomes, why_not = None, "A scout, no volume."
    elif becomes is None:
        why_not = _what_it_is(code, header)
    about = " ".join(str(header.get("SeriesDescription") or header.get("StructureSetLabel") or "").split())[:_ABOUT]
    return SeriesFound(
        key=key,
        modality=SCANS.get(code, code_word(code) if code else None),
        files=tuple(one.files),
        images=one.frames,
        becomes=becomes,  # type: ignore[arg-type]  # mypy takes the tuple's texts for any
        ticked=becomes == "scan",
        why_not=why_not,
        sequence=sequence_in(about) if code == "MR" else "",
        about=about if date_mode() == "keep" else "",
        of_series=next(iter(origin_of(header).series), None) if code in MASKS else None,
        broken=tuple(files[number].label for number in one.broken),
        broken_files=tuple(one.broken),
    )


def _what_it_is(code: str, header: Dataset) -> str:
    kind = _NO_IMAGES.get(code)
    if kind is None:
        name = UID(str(header.get("SOPClassUID") or "")).name
        kind = f"of a kind that is not read here ({name[:60]})" if name and name[0].isalpha() else "of an unknown kind"
    return f"It is {kind}: no CT, PET or MR volume, and no mask."


def _of_images(files: Sequence[GivenFile], images: Sequence[int]) -> list[PatientFound]:
    """Image files name neither patient nor day."""
    found = tuple(SeriesFound(files[n].label, None, (n,), 1, "scan", ticked=True) for n in images)
    return [PatientFound(None, (StudyFound(None, None, found),))] if found else []
