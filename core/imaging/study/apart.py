"""Surveys and looks into series, in the reader's own process (`core.imaging.reading_apart`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from core.errors import TwinReviewError
from core.imaging.reading_apart import ask
from core.imaging.study.examining import examined
from core.imaging.study.found import PatientFound, Preview, Refused, SegmentFound, SeriesFound, StudyFound
from core.imaging.study.gathering import GivenFile, gather
from core.imaging.study.survey import survey
from core.imaging.study.ticks import with_ticks
from core.remembered.untyped import JsonDict, JsonObject
from core.types import Progress, no_progress


def preview(paths: Sequence[Path], scratch: Path, progress: Progress = no_progress) -> tuple[Preview, list[GivenFile]]:
    """What lies in the files, each series looked into; and the files, zips unpacked into `scratch`.

    Args:
        scratch: an empty folder of the store's own, in which unpacked files stay as long as it is there.

    Raises:
        InputError: nothing is handed in, a zip cannot be opened, or reading ended as `read_scan` tells.
    """
    progress(0.0, "sorting the files")
    sorted_files, files = survey_apart(paths, scratch)
    home = scratch / "given"
    total = sum(1 for _ in sorted_files.series())
    done = 0

    def look(series: SeriesFound) -> SeriesFound:
        nonlocal done
        progress(0.1 + 0.9 * done / max(total, 1), f"looking into series {done + 1} of {total}")
        done += 1
        return _examined_apart(series, files, home)

    return with_ticks(each_series(sorted_files, look)), files


def survey_apart(paths: Sequence[Path], scratch: Path) -> tuple[Preview, list[GivenFile]]:
    """`core.imaging.study.survey.survey` of what is handed in. Arguments and errors as `preview`."""
    home = scratch / "given"
    home.mkdir()
    found = ask("survey", paths, home)
    return preview_of(found["preview"]), [GivenFile(Path(path), label) for path, label in found["files"]]


def _examined_apart(series: SeriesFound, files: Sequence[GivenFile], scratch: Path) -> SeriesFound:
    own = [files[number].path for number in series.files]
    if not own or series.becomes is None:
        return series
    try:
        answer = ask("examine", own, scratch, series=asdict(replace(series, files=tuple(range(len(own))))))
    except TwinReviewError as error:  # its reader did not survive it, or took too long: this series alone is refused
        return replace(series, becomes=None, ticked=False, why_not=_with_labels(str(error), files, series))
    found = replace(series_of(answer["series"]), files=series.files)
    return replace(found, why_not=found.why_not and _with_labels(found.why_not, files, series))


def _with_labels(text: str, files: Sequence[GivenFile], series: SeriesFound) -> str:
    """A sentence that names files as the person knows them: those of a zip were renamed when it was unpacked."""
    for number in series.files:
        if files[number].path.name != files[number].name:
            text = text.replace(files[number].path.name, files[number].name)
    return text


def each_series(found: Preview, change: Callable[[SeriesFound], SeriesFound]) -> Preview:
    """The preview with every series changed."""
    patients = [
        replace(p, studies=tuple(replace(s, series=tuple(change(one) for one in s.series)) for s in p.studies))
        for p in found.patients
    ]
    return replace(found, patients=tuple(patients))


def answer_survey(request: Mapping[str, Sequence[str]], scratch: Path) -> JsonDict:
    """In the reader: the files and what their headers say."""
    files = gather([Path(path) for path in request["files"]], scratch)
    return {"files": [[str(file.path), file.label] for file in files], "preview": asdict(survey(files))}


def answer_examine(request: JsonObject) -> JsonDict:
    """In the reader: one series with what reading it shows."""
    return {"series": asdict(examined(series_of(request["series"]), [Path(path) for path in request["files"]]))}


def series_of(values: JsonObject) -> SeriesFound:
    """A series from its fields in JSON."""
    lists = {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
    segments = tuple(SegmentFound(**one) for one in values.get("segments", ()))
    return SeriesFound(**{**values, **lists, "segments": segments})


def preview_of(values: JsonObject) -> Preview:
    """A preview from its fields in JSON."""
    return Preview(
        tuple(
            PatientFound(
                patient["patient"],
                tuple(
                    StudyFound(
                        study["date"],
                        study["date_from"],
                        tuple(series_of(one) for one in study["series"]),
                        tuple((name, date) for name, date in study["other_dates"]),
                    )
                    for study in patient["studies"]
                ),
                patient["birth_year"],
            )
            for patient in values["patients"]
        ),
        tuple(Refused(**one) for one in values["refused"]),
    )
