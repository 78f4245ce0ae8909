"""What a tab remembers from one run of a page to the next: every key of Streamlit's session, in this file alone.

What is about a patient is remembered by patient, what is about a timepoint by both, so that nothing chosen for one
shows up for another. A key of a widget is one of these too: its choice is read and set here before it is drawn.
`tests/pages/frame/test_session.py` holds that Streamlit's session occurs nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

import streamlit as st

from core.imaging.study.found import Preview

T = TypeVar("T")


class SessionKey(Generic[T]):
    """One thing that is remembered, or one for each place that it is about: a typed getter and setter.

    Args:
        name: unique among all keys; the whole key where it is about no place.
        kind: the type of its values; a value of another type counts as none.
        about: what its place consists of, as ("patient", "timepoint").
    """

    def __init__(self, name: str, kind: type[T], *about: str) -> None:
        self.name, self.kind, self.about = name, kind, about

    def key(self, *place: str | int) -> str:
        """The key itself, for the `key` of a widget. Ids and dates hold no "/", so no two places share one.

        Raises:
            ValueError: for a place of another length than `about`: a fault of the page.
        """
        if len(place) != len(self.about):
            raise ValueError(f"{self.name} is about {self.about}, got {len(place)} of them. Give one value for each.")
        return "/".join([self.name, *map(str, place)])

    def get(self, *place: str | int) -> T | None:
        """The value remembered for the place; None for nothing."""
        value = st.session_state.get(self.key(*place))
        return value if isinstance(value, self.kind) else None

    def set(self, value: T | None, *place: str | int) -> None:
        """Remember a value. The choice of a widget is set before the widget is drawn; None is nothing chosen."""
        st.session_state[self.key(*place)] = value

    def drop(self, *place: str | int) -> None:
        """Forget it, so that the widget opens at its default."""
        st.session_state.pop(self.key(*place), None)

    def take(self, *place: str | int) -> T | None:
        """The value remembered, which is then forgotten."""
        value = self.get(*place)
        self.drop(*place)
        return value


@dataclass(frozen=True)
class Visit:
    """Who sees which page: with another of either, the address tells the place."""

    person: str
    page: str


@dataclass
class Arrival:
    """Parameters of an address that the page has not taken over yet.

    Args:
        alone: whether what the address leaves out counts as not chosen; otherwise it is as it was left.
        settled: names of the parameters that were taken over.
    """

    parameters: dict[str, str]
    alone: bool
    settled: set[str] = field(default_factory=set)


@dataclass
class Place:
    """What a run of a page shows, as the parameters of its address; `refused` where the address names what is not."""

    parameters: dict[str, str] = field(default_factory=dict)
    refused: bool = False


@dataclass(frozen=True)
class Departure:
    """A click's destination: a page, and the parameters of its address."""

    page: str
    parameters: dict[str, str]


@dataclass(frozen=True)
class StartedJob:
    """A job that was started on the Review page, and what it is in words."""

    job_id: str
    what: str


@dataclass(frozen=True)
class StudyPreview:
    """What lies in the files that an uploader holds, and a number of its own for each time that it was looked at.

    Args:
        sent: ids of the files.
    """

    sent: tuple[str, ...]
    found: Preview
    turn: int


@dataclass(frozen=True)
class ImportedStudy:
    """What was just imported, and the job that scores it; "" for none."""

    patient_id: str
    timepoint: str
    scans: tuple[str, ...]
    versions: tuple[int, ...]
    job_id: str


@dataclass(frozen=True)
class QuestionedNames:
    """Names (dataset, patient, sequence) that were questioned, and a number of its own for each question."""

    question: str = ""
    names: tuple[str, ...] = ()
    turn: int = 0


@dataclass(frozen=True)
class PlacesMarked:
    """Places that were marked in two scans, in the order in which they were: side (0 left, 1 right), and RAS mm."""

    marks: tuple[tuple[int, tuple[float, float, float]], ...] = ()

    def of(self, side: int) -> list[tuple[float, float, float]]:
        """The places of one side; the n-th of each side are a pair."""
        return [mm for one, mm in self.marks if one == side]


# The frame and the address
PATIENT = SessionKey("patient_id", str)
VISIT = SessionKey("visit", Visit)
ARRIVAL = SessionKey("arrival", Arrival)
PLACE = SessionKey("place", Place)
DEPARTURE = SessionKey("departure", Departure)
ADDRESS_SAID = SessionKey("address-said", str)
OPEN_INSTEAD: SessionKey[object] = SessionKey("open-instead", object, "parameter")

# Review
TIMEPOINT = SessionKey("timepoint", str, "patient")
VERSION = SessionKey("version", int, "patient", "timepoint")
BESIDE = SessionKey("beside", str, "patient", "timepoint")
REVIEW_TAB = SessionKey("review-tab", str, "with or without a mask")
REVIEW_JOB = SessionKey("review-job", StartedJob, "patient", "timepoint")
JOB_TO_SHOW = SessionKey("review-job-to-show", str, "patient", "timepoint")
SAVED_FIRST = SessionKey("saved-first", str, "mask id")
DECIDE_TO_OPEN = SessionKey("decide-to-open", bool, "patient", "timepoint")
DECIDED_VERSION = SessionKey("decided-version", int, "patient", "timepoint")
HISTORY_TREE: SessionKey[object] = SessionKey("tree", object, "patient", "timepoint")
LESION_TO_DECIDE = SessionKey("lesion-to-decide", str, "decision")
LESION_ASKED_FOR = SessionKey("lesion-asked-for", str, "mask id")
LINK_CHOICE = SessionKey("link-choice", str, "mask id", "row")
LINK_ROW = SessionKey("link-row", str, "mask id")
LINKS_TOLD = SessionKey("links-told", str, "mask id")
ENDED_SEEN = SessionKey("ended-seen", str, "patient", "timepoint")
TYPED_BOX = SessionKey("typed-box", str, "patient", "timepoint", "field")

# Compare
COMPARED = SessionKey("compare-what", str)
LEFT_TIMEPOINT = SessionKey("compare-left", str, "patient")
RIGHT_TIMEPOINT = SessionKey("compare-right", str, "patient", "left timepoint")
VERSIONS_TIMEPOINT = SessionKey("compare-timepoint", str, "patient")
LEFT_VERSION = SessionKey("compare-v1", int, "patient", "timepoint")
RIGHT_VERSION = SessionKey("compare-v2", int, "patient", "timepoint", "left version")
READERS_TIMEPOINT = SessionKey("readers-timepoint", str, "patient")
LEFT_READER = SessionKey("reader-1", str, "patient", "timepoint")
RIGHT_READER = SessionKey("reader-2", str, "patient", "timepoint", "left reader")
CORRECTED_BY = SessionKey("correct-by", str, "patient", "left timepoint", "right timepoint")
MOVED_BY = SessionKey("moved-by", float, "patient", "left timepoint", "right timepoint", "field")
PLACES_MARKED = SessionKey("places-marked", PlacesMarked, "patient", "left timepoint", "right timepoint")
CORRECTION_TURN = SessionKey("correction-turn", int, "patient", "left timepoint", "right timepoint")
MOVES_HEARD = SessionKey("moves-heard", int, "patient", "left timepoint", "right timepoint")
REFUSED_BECAUSE = SessionKey("refused-because", str, "patient", "transform")
ADJUDICATED_VERSION = SessionKey("adjudicate", int, "patient", "timepoint")

# Trajectory, Evidence, Cohort, Quality, System, Intake
TRAJECTORY_LESION = SessionKey("trajectory-lesion", str, "patient")
VOLUME_AXIS = SessionKey("axis", str)
FORECAST_WEEKS = SessionKey("reach", str)
TIME_SHOWN = SessionKey("time-shown", str, "patient")
WHAT_IF = SessionKey("what-if", str, "patient", "field")
MEASUREMENT_REASON = SessionKey("measurement-reason", str, "measurement id")
MEASUREMENT_WITHDRAWN = SessionKey("measurement-withdrawn", str, "patient", "timepoint")
TRAJECTORY_OPEN = SessionKey("trajectory-open", bool, "section")
CHART_POINT: SessionKey[object] = SessionKey("chart-point", object, "chart")
LESION_SHOWN = SessionKey("lesion-shown", str, "patient")
LESION_VISITS = SessionKey("lesion-visits", int, "patient")
LESION_TIMEPOINT = SessionKey("lesion-timepoint", str, "patient")
LESION_VERSION = SessionKey("lesion-version", int, "patient", "timepoint")
LABEL_IS = SessionKey("label-is", str, "mask id", "row", "as it stands")
LINK_REASON = SessionKey("link-reason", str, "mask id")
FLIPS_SHOWN = SessionKey("flips-shown", str, "mask id", "edit")
FLIPS_MOVED = SessionKey("flips-moved", str, "mask id")
LINKS_CHANGED = SessionKey("links-changed", str, "patient")
EVIDENCE_TIMEPOINT = SessionKey("evidence-timepoint", str, "patient")
EVIDENCE_LESION = SessionKey("evidence-lesion", str, "mask id")
EVIDENCE_SPACE = SessionKey("evidence-by", str)
EVIDENCE_FILTER = SessionKey("evidence-filter", str, "choice")
EVIDENCE_TAB = SessionKey("evidence-tab", str)
EVIDENCE_EXAMPLE = SessionKey("evidence-example", str)
EVIDENCE_QUERY = SessionKey("evidence-query", str)
EVIDENCE_AMONG = SessionKey("evidence-among", str)
EVIDENCE_NAMES = SessionKey("evidence-names", str)
EVIDENCE_ANSWER: SessionKey[object] = SessionKey("evidence-answer", object)
LEARNING_JOB = SessionKey("learning-job", str)
COHORT_DATASETS: SessionKey[list[str]] = SessionKey("cohort-datasets", list)
COHORT_CRITERION = SessionKey("cohort-criterion", str)
COHORT_PATIENT = SessionKey("cohort-patient", str)
COHORT_TAB = SessionKey("cohort-tab", str)
QUALITY_MASK = SessionKey("quality-mask", str)
QUALITY_TAB = SessionKey("quality-tab", str)
EVALUATION_JOB = SessionKey("evaluation-job", str)
REFERENCE_JOB = SessionKey("reference-job", str)
REFERENCE_TOLD = SessionKey("reference-told", str)
MARK_SET = SessionKey("mark-set", str)
MARK_PLACE: SessionKey[object] = SessionKey("mark-place", object)
MARK_KIND = SessionKey("mark-kind", str)
FIT_SET = SessionKey("fit-set", str)
FIT_FAULTS: SessionKey[object] = SessionKey("fit-faults", object)
FIT_SHIPPED = SessionKey("fit-shipped", bool)
SYSTEM_TAB = SessionKey("system-tab", str)
INTAKE_TAB = SessionKey("intake-tab", str)
STUDY_PREVIEW = SessionKey("study-preview", StudyPreview)
STUDY_SHOWN = SessionKey("study-shown", int, "preview")
SERIES_TICKED = SessionKey("series-ticked", bool, "preview", "series", "whether it may be stored")
SERIES_MODALITY = SessionKey("series-modality", str, "preview", "series")
SERIES_SEQUENCE = SessionKey("series-sequence", str, "preview", "series")
MASK_SEGMENTS: SessionKey[object] = SessionKey("mask-segments", object, "preview", "series")
WITHOUT_BROKEN = SessionKey("without-broken", bool, "preview", "series")
STUDY_PATIENT = SessionKey("study-patient", str, "preview", "patient")
STUDY_DATE: SessionKey[object] = SessionKey("study-date", object, "preview", "date")
DATE_DIFFERS = SessionKey("date-differs", bool, "preview", "date")
DATE_REASON = SessionKey("date-reason", str, "preview")
PUT_RIGHT_ACTION = SessionKey("put-right-action", str, "patient")
PUT_RIGHT_DAY = SessionKey("put-right-day", str, "patient", "action")
PUT_RIGHT_SCAN = SessionKey("put-right-scan", str, "patient", "action", "timepoint")
PUT_RIGHT_DATE: SessionKey[object] = SessionKey("put-right-date", object, "patient", "timepoint")
PUT_RIGHT_PATIENT = SessionKey("put-right-patient", str, "patient")
PUT_RIGHT_INTO = SessionKey("put-right-into", str, "patient")
PUT_RIGHT_CONFIRM = SessionKey("put-right-confirm", str, "patient")
PUT_RIGHT_REASON = SessionKey("put-right-reason", str, "patient", "action")
PUT_RIGHT_DONE = SessionKey("put-right-done", str)
RESTORED = SessionKey("restored", str, "patient")
IMPORTED_STUDY = SessionKey("arrived", ImportedStudy)
QUESTIONED_NAMES = SessionKey("name-question", QuestionedNames)
MASK_TIMEPOINT = SessionKey("mask-timepoint", str, "patient")
IMPORTED_MASK = SessionKey("mask-arrived", str, "patient")
FILES_FOR_PATIENT = SessionKey("files-for-patient", str, "uploader")

# Forms of Trajectory
PROTOCOL_FIELD: SessionKey[object] = SessionKey("protocol-field", object, "patient", "turn", "field")
PROTOCOL_TURN = SessionKey("protocol-turn", int, "patient")
PROTOCOL_TOLD = SessionKey("protocol-told", str, "patient")
DATASET_PROTOCOL: SessionKey[object] = SessionKey("dataset-protocol", object, "dataset", "turn", "field")
EVENT_FORM = SessionKey("event-form", str, "patient")
EVENT_CHOSEN = SessionKey("event-chosen", str, "patient", "form")
EVENT_FIELD: SessionKey[object] = SessionKey("event-field", object, "patient", "turn", "form", "field")
EVENT_TURN = SessionKey("event-turn", int, "patient")
EVENT_TOLD = SessionKey("event-told", str, "patient")

# Every page with figures
PICTURE_FORMAT = SessionKey("picture-format", str)
