"""How each accepted mask was measured, from stored rows: what `core.twin.change` asks of both ends of a change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from core.remembered.rows import MaskVerdict, ScanVerdict
from core.remembered.sources import MeasuredMask, TimepointSource
from core.remembered.untyped import JsonObject
from core.remembered.vocabulary import MaskMethod
from core.review.decisions import counted_lesions
from core.review.doubt_words import SaidOfMask, said_of_mask
from core.review.doubts import gate_verdicts
from core.twin.measured_end import MeasuredEnd
from core.types import TOTAL_LESION_ID, Decision

#: Ways of changing a mask that keep what they do not touch: the contour stays that of the version they began with.
_EDITS = (MaskMethod.MANUAL, MaskMethod.MEDSAM_MANUAL)


class TracedMask(MeasuredMask, Protocol):
    """A mask version with what it was made from; `MaskRecord` has it and more."""

    @property
    def patient_id(self) -> str: ...
    @property
    def mask_sha256(self) -> str: ...
    @property
    def parent_version(self) -> int | None: ...
    @property
    def author(self) -> str: ...
    @property
    def checkpoint_sha256(self) -> str | None: ...
    @property
    def voxels_added(self) -> int: ...
    @property
    def voxels_removed(self) -> int: ...
    @property
    def scan_sha256(self) -> str: ...


class ScanFacts(Protocol):
    """How an image was made; `Scan` has it and more."""

    @property
    def timepoint(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def modality(self) -> str: ...
    @property
    def sequence(self) -> str: ...
    @property
    def spacing_mm(self) -> tuple[float, float, float]: ...
    @property
    def metadata(self) -> JsonObject: ...


class TracedMaskSource(Protocol):
    """Mask versions with what they were made from."""

    def of(self, patient_id: str, timepoint: str | None = None) -> Sequence[TracedMask]: ...
    def problems(self, patient_id: str | None = None) -> dict[str, str]: ...


class ScanFactsSource(Protocol):
    """How a patient's images were made."""

    def of(self, patient_id: str, timepoint: str | None = None) -> Sequence[ScanFacts]: ...
    def reference(self, patient_id: str, timepoint: str) -> ScanFacts: ...


class VerdictOfPatientSource(Protocol):
    """Verdicts of the gates on one patient's scans and masks, oldest first."""

    def of_masks(self, patient_id: str) -> Sequence[MaskVerdict]: ...
    def of_scans(self, patient_id: str) -> Sequence[ScanVerdict]: ...


class DecisionOfPatientSource(Protocol):
    """Decisions about one patient's masks, oldest first, and which masks wait to be affirmed since a rebuild."""

    def of(self, patient_id: str) -> Sequence[Decision]: ...
    def to_affirm(self) -> dict[str, str]: ...


class MeasuredVisitStore(Protocol):
    """The parts of a store that say how a volume was measured."""

    @property
    def patients(self) -> TimepointSource: ...
    @property
    def masks(self) -> TracedMaskSource: ...
    @property
    def scans(self) -> ScanFactsSource: ...
    @property
    def verdicts(self) -> VerdictOfPatientSource: ...
    @property
    def decisions(self) -> DecisionOfPatientSource: ...


@dataclass(frozen=True)
class MeasuredVisit:
    """One accepted mask with all that says how its lesions were measured.

    Args:
        record: the mask; versions: of its timepoint, itself among them.
        scan: on whose grid it lies.
        accepted_by: who accepted it; None: not known.
        said: what the gates say against the scan and the mask, and who answered it. What no gate could judge widens
            nothing: it would widen every change of an installation that begins. What is doubtful or was said of other
            files does, answered or not.
    """

    record: TracedMask
    versions: Sequence[TracedMask]
    scan: ScanFacts
    accepted_by: str | None = None
    said: SaidOfMask = field(default_factory=SaidOfMask)


@dataclass(frozen=True)
class Contour:
    """Whose a contour is.

    Args:
        base: the version that made it: a network's, an imported or a drawn one.
        hands: who changed it since. changed_voxels: at most so many since; None: not known.
    """

    base: TracedMask
    hands: tuple[str, ...]
    changed_voxels: int | None

    @property
    def is_automatic(self) -> bool:
        """Whether a network drew it, whatever a person changed since."""
        return self.base.method == MaskMethod.NNUNET


def contour_of(record: TracedMask, versions: Sequence[TracedMask]) -> Contour:
    """The version that a mask's contour comes from, back through what persons changed.

    What several changes moved together is at most their sum, so the sum is a bound that no order of them escapes.
    """
    known = {version.version: version for version in versions}
    hands: list[str] = []
    changed = 0
    while record.method in _EDITS and record.parent_version is not None:
        parent = known.get(record.parent_version)
        if parent is None or parent.version >= record.version:  # not to be seen, or lost
            return Contour(record, tuple(hands), None)
        hands.append(record.author)
        changed += record.voxels_added + record.voxels_removed
        record = parent
    return Contour(record, tuple(hands), changed)


def _lesions(record: MeasuredMask, lesion_id: str) -> list[JsonObject]:
    return [x for x in counted_lesions(record) if lesion_id in (TOTAL_LESION_ID, str(x["lesion_id"]))]


def _same_voxels(lesion: JsonObject, others: Iterable[JsonObject]) -> bool:
    """A lesion of as many voxels, as long and with the same centre: nobody touched it."""
    keys = ("voxels", "volume_mm3", "longest_diameter_mm", "centroid_mm")
    return any(all(key in lesion and lesion[key] == other.get(key) for key in keys) for other in others)


def edited_share(record: TracedMask, versions: Sequence[TracedMask], lesion_id: str) -> float | None:
    """At most which share of a lesion's voxels a person changed, 0..1; None where that is not known.

    0 for a network's own mask, and for a lesion that is just as the network made it, whatever else was changed; 1 where
    a person drew, prompted or imported it. All changes of the mask may have been in this lesion, so they count as if.
    """
    contour = contour_of(record, versions)
    if contour.changed_voxels is None:
        return None
    if not contour.is_automatic:
        return 1.0
    now, then = _lesions(record, lesion_id), _lesions(contour.base, lesion_id)
    labels = {lesion["label"] for lesion in now if "label" in lesion}
    if labels and lesion_id != TOTAL_LESION_ID:  # an edit keeps the labels; which lesions they are may be said anew
        then = [lesion for lesion in counted_lesions(contour.base) if lesion.get("label") in labels]
    if all(_same_voxels(lesion, contour.base.lesions) for lesion in now) and len(now) >= len(then):
        return 0.0
    if any("voxels" not in lesion for lesion in (*now, *then)):
        return None
    voxels = max(sum(int(lesion["voxels"]) for lesion in lesions) for lesions in (now, then))
    return min(1.0, contour.changed_voxels / voxels) if voxels else 0.0


def diameter_mm(record: MeasuredMask, lesion_id: str) -> float:
    """Longest axial diameter of the lesion in that mask, mm, its labels added up (RECIST 1.1: fragments); the largest
    lesion's for "total"; 0 when it is not there or was rejected."""
    sums: dict[str, float] = {}
    for lesion in _lesions(record, lesion_id):
        name = str(lesion["lesion_id"])
        sums[name] = sums.get(name, 0.0) + float(lesion["longest_diameter_mm"])
    return max(sums.values(), default=0.0)


def counted_volume_mm3(record: MeasuredMask, lesion_id: str) -> float:
    """Volume of the lesion in that mask, or of all that count for "total"; 0 when it is not there or was rejected."""
    return sum(float(lesion["volume_mm3"]) for lesion in _lesions(record, lesion_id))


def measured_end(visit: MeasuredVisit, lesion_id: str, volume_mm3: float, day: float) -> MeasuredEnd:
    """One end of a change of a lesion, or of the total; the volume as the curve has it."""
    contour = contour_of(visit.record, visit.versions)
    share = edited_share(visit.record, visit.versions, lesion_id)
    hands = {*contour.hands, *(() if contour.is_automatic else (contour.base.author,))}
    return MeasuredEnd(
        volume_mm3,
        diameter_mm(visit.record, lesion_id),
        visit.scan.modality,
        visit.scan.sequence,
        slice_thickness_mm=slice_thickness_mm(visit.scan),
        spacing_mm=visit.scan.spacing_mm,
        method=str(contour.base.method),
        checkpoint_sha256=contour.base.checkpoint_sha256,
        reader=visit.accepted_by if share == 0 else ", ".join(sorted(hands)) or None,
        edited_share=share,
        doubts=standing_doubts(visit, lesion_id),
        mask_id=visit.record.mask_id,
        day=day,
    )


def standing_doubts(visit: MeasuredVisit, lesion_id: str) -> tuple[str, ...]:
    """What stands against a lesion there, or against any of them for "total", each once."""
    of_lesions = visit.said.of_lesions or {}
    names = of_lesions if lesion_id == TOTAL_LESION_ID else [lesion_id]
    named = (doubt for name in names for doubt in of_lesions.get(name, ()))
    return tuple(dict.fromkeys((*visit.said.doubts, *named)))


def told_doubts(visit: MeasuredVisit, lesion_id: str) -> tuple[str, ...]:
    """The same with what no gate could judge, what was doubted when it was accepted, and who answered it."""
    answers = visit.said.answers or {}
    standing = (*standing_doubts(visit, lesion_id), *visit.said.not_judged)
    return (*(f"{doubt}; {answers[doubt]}" if doubt in answers else doubt for doubt in standing), *visit.said.once)


def slice_thickness_mm(scan: ScanFacts) -> float | None:
    """As the scanner said it, > 0; None where it said nothing that can be."""
    thickness = scan.metadata.get("slice_thickness_mm")
    return float(thickness) if isinstance(thickness, int | float) and thickness > 0 else None


def measured_visits(store: MeasuredVisitStore, patient_id: str) -> dict[str, MeasuredVisit]:
    """The accepted mask of each timepoint that has one, with how it was measured; by timepoint in order of time."""
    versions, scans = store.masks.of(patient_id), store.scans.of(patient_id)
    finals = sorted((v for v in versions if v.status == "accepted"), key=lambda version: version.timepoint)
    acceptances = standing_acceptances(store.decisions.of(patient_id))
    of_masks, of_scans = store.verdicts.of_masks(patient_id), store.verdicts.of_scans(patient_id)
    newest = {verdict.mask_id: verdict for verdict in of_masks}
    visits = {}
    for record in finals:
        day = record.timepoint
        there = [scan for scan in scans if scan.timepoint == day]
        own = [scan for scan in there if scan.sha256 == record.scan_sha256]
        acceptance = acceptances.get(record.mask_id)
        verdicts = gate_verdicts(record, [scan.sha256 for scan in there], of_scans, of_masks)
        visits[day] = MeasuredVisit(
            record,
            [version for version in versions if version.timepoint == day],
            own[0] if own else store.scans.reference(patient_id, day),
            None if acceptance is None else acceptance.reviewer,
            said_of_mask(verdicts, newest.get(record.mask_id), acceptance),
        )
    return visits


def standing_acceptances(decisions: Iterable[Decision]) -> dict[str, Decision]:
    """Mask id -> the decision that accepted it (the whole version) last; decisions oldest first, as the store lists
    them."""
    return {d.mask_id: d for d in decisions if d.lesion_id is None and d.verdict == "accept"}


def accepted_by(decisions: Iterable[Decision]) -> dict[str, str]:
    """Mask id -> who accepted it last."""
    return {mask_id: decision.reviewer for mask_id, decision in standing_acceptances(decisions).items()}
