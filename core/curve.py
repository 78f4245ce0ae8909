"""What a growth curve needs beside its points: who accepted them, their noise, what happened, what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from core.decisions import rejected, withdrawn
from core.growth.rates import noise_log_sd
from core.twin import accepted, by_lesion, diameter_mm, step
from core.types import Decision, MaskRecord, Scan, Verdict, VolumePoint, parse_date


class CurveStore(Protocol):
    """What is read here."""

    def timepoints(self, patient_id: str) -> list[str]: ...
    def masks(self, patient_id: str, timepoint: str | None = None) -> list[MaskRecord]: ...
    def final_mask(self, patient_id: str, timepoint: str) -> MaskRecord | None: ...
    def reference_scan(self, patient_id: str, timepoint: str) -> Scan: ...
    def volume_points(self, patient_id: str) -> list[VolumePoint]: ...
    def decisions(self, patient_id: str, timepoint: str | None = None) -> list[Decision]: ...


def left_out(store: CurveStore, patient_id: str) -> dict[str, str]:
    """Timepoint -> why it, or a lesion of it, is not in the curve, by date; {} when every timepoint has an accepted
    mask without rejected lesions."""
    out = {}
    back = withdrawn(store.decisions(patient_id))
    for timepoint in sorted(store.timepoints(patient_id)):
        records = store.masks(patient_id, timepoint)
        statuses = {record.version: record.status for record in records}
        final = next((record for record in records if record.status == "accepted"), None)
        if final is not None:
            if rejected(final):
                lesions = ", ".join(sorted(rejected(final)))
                out[timepoint] = f"{lesions} of version {final.version}: rejected, and not in that total"
            continue
        proposed = [version for version, status in statuses.items() if status == "proposed"]
        if not statuses:
            out[timepoint] = "no mask yet"
        elif proposed:
            reopened = any(record.version == proposed[-1] and record.mask_id in back for record in records)
            why = "its acceptance was withdrawn" if reopened else "nobody has decided"
            out[timepoint] = f"version {proposed[-1]} is proposed, {why}"
        else:
            out[timepoint] = "every version was rejected"
    return out


def accepted_by(decisions: Iterable[Decision]) -> dict[str, str]:
    """Mask id -> who accepted it (the whole version) last; decisions in any order."""
    ordered = sorted((d for d in decisions if d.lesion_id is None), key=lambda d: d.created_at)
    return {d.mask_id: d.reviewer for d in ordered if d.verdict == "accept"}


def noise_by_mask(records: Iterable[MaskRecord], lesion_id: str, modality: str) -> dict[str, float]:
    """Mask id -> log-SD of that lesion's volume in it (`core.growth.rates.noise_log_sd`), by its diameter there."""
    return {record.mask_id: noise_log_sd(diameter_mm(record, lesion_id), modality)[0] for record in records}


def events_on_axis(events: Iterable[Mapping[str, Any]], first_timepoint: str) -> list[tuple[float, str]]:
    """(days since the first timepoint, text) of each event as the store lists them; negative before it."""
    zero = parse_date(first_timepoint)
    return [
        (float((parse_date(str(event["date"])) - zero).days), f"{event['kind']}: {_words(event['detail'])}")
        for event in events
    ]


def _words(detail: Any) -> str:
    if isinstance(detail, Mapping):
        return ", ".join(f"{key} {value}" for key, value in detail.items())
    return str(detail)


@dataclass(frozen=True)
class Outcome:
    """What became of a lesion by the next accepted timepoint.

    Args:
        timepoint, days: the next one, and the days until then.
        volume_mm3: there; 0 when the lesion is gone.
        percent_change: None when it had no volume before.
        verdict, rule: whether the change is real, by which rule.
    """

    timepoint: str
    days: float
    volume_mm3: float
    percent_change: float | None
    verdict: Verdict
    rule: str


def what_became(store: CurveStore, patient_id: str, timepoint: str, lesion_id: str) -> Outcome | None:
    """The lesion's change from an accepted timepoint to the next accepted one; None where there is no later one."""
    points: Sequence[VolumePoint] = by_lesion(store.volume_points(patient_id)).get(lesion_id, [])
    here = next((n for n, point in enumerate(points) if point.timepoint == timepoint), None)
    if here is None or here + 1 == len(points):
        return None
    before, after = points[here], points[here + 1]
    modality = store.reference_scan(patient_id, timepoint).modality
    change = step(before, after, accepted(store, patient_id), modality)["change"]
    return Outcome(
        after.timepoint, after.days - before.days, after.volume_mm3, change["percent_change"], change["verdict"],
        change["rule"],
    )  # fmt: skip
