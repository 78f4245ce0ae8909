"""Self-grade: how well changes of known size are measured on simulated follow-ups of the patient's own scan.

Nothing of it enters a curve, a gate's reference or learning: it is only shown, beside the assumed noise rule.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from core.errors import InputError
from core.growth.rates import Z95
from core.lesions.matching import components
from core.remembered.untyped import JsonDict
from core.simulation.followups import SIMULATED, Visit, simulated_visit
from core.twin.measured_end import MeasuredEnd
from core.twin.noise import repeatability
from core.types import LabelMap, Progress, Volume, no_progress

#: Known changes of volume, percent; no change is simulated `ZERO_RUNS` times, for its spread.
CHANGES_PERCENT = (-50.0, -30.0, -20.0, -10.0, 10.0, 20.0, 30.0, 50.0, 100.0)
ZERO_RUNS = 8
#: How visits differ: the patient's shift and turn are drawn from these; every other run has slices so much thicker.
SHIFT_MM, TURN_DEG, THICKER = (5.0, 30.0), (2.0, 10.0), 1.5
#: (scans, true lesions) -> label of the true lesion -> measured volume, mm3; a lesion that was not found is left out.
Measure = Callable[[Sequence[Volume], LabelMap], Mapping[int, float]]
#: Told with every grade.
LEFT_OUT = (
    "the tissue is that of one scan: no other scanner, contrast phase or true change of shape",
    "the first visit is the same scan every time, so its own noise is not in the spread",
    "a lesion's identity is taken from the truth: registration and links are not graded",
    "readers are not graded",
)
GIVEN_CONTOUR = "the contour is given, so that only sampling on other voxels is graded: neither a network nor a reader"


@dataclass(frozen=True)
class GradedRun:
    """One simulated follow-up of one lesion.

    Args:
        known_percent: the change that was asked for. true_percent: that the simulated lesion has, which is within 1 %
            of its volume of it; None: not simulated. measured_percent: that was measured; None: not measured.
        volume_error_percent: measured over known volume of that visit, less 1; None likewise.
        slice_mm: of that visit.
        why_not: why it was not measured, in words; "" where it was.
    """

    known_percent: float
    true_percent: float | None
    measured_percent: float | None
    volume_error_percent: float | None
    slice_mm: float
    why_not: str = ""


@dataclass(frozen=True)
class AssumedRule:
    """What `core.twin.noise` assumes for a lesion of that size on that modality.

    Args:
        rule: its name. why_no_verdict: "" where it gives verdicts. log_sd: of one volume; None: nothing is assumed.
        smallest_growth_percent, smallest_loss_percent: beyond which a change is real by it; None without a log-SD.
    """

    rule: str
    why_no_verdict: str
    log_sd: float | None
    smallest_growth_percent: float | None
    smallest_loss_percent: float | None


@dataclass(frozen=True)
class LesionGrade:
    """How one lesion's changes were measured. None: too few runs to say.

    Args:
        lesion_id: "L1" and so on. true_mm3: in the accepted mask; measured_mm3: on the scan itself; None: not found.
        volume_bias_percent: of the measured volumes, from the known ones, over all runs (geometric mean).
        change_bias_percent: of the measured changes from the true ones, likewise.
        spread_log_sd: SD of ln(measured change / true change) over all runs.
        zero_log_sd: SD of ln(measured change) over the runs without change.
        smallest_growth_percent, smallest_loss_percent: the smallest simulated change that, with every larger one, comes
            out beyond 1.96 * zero_log_sd; None: none does.
        assumed: the rule beside it. runs: in the order of the known change.
    """

    lesion_id: str
    true_mm3: float
    measured_mm3: float | None
    volume_bias_percent: float | None
    change_bias_percent: float | None
    spread_log_sd: float | None
    zero_log_sd: float | None
    smallest_growth_percent: float | None
    smallest_loss_percent: float | None
    assumed: AssumedRule
    runs: tuple[GradedRun, ...]


@dataclass(frozen=True)
class SelfGrade:
    """The grade of one accepted mask.

    Args:
        measured_by: "nnunet" with the model's id, or "true masks".
        left_out: what the grade does not cover, in sentences without a full stop.
        kind: always "simulated follow-up".
    """

    measured_by: str
    lesions: tuple[LesionGrade, ...]
    left_out: tuple[str, ...]
    kind: str = SIMULATED

    def to_json(self) -> JsonDict:
        """Plain JSON values."""
        return asdict(self)


def true_masks(volumes: Sequence[Volume], truth: LabelMap) -> dict[int, float]:
    """The volumes of the true masks themselves, by counting voxels, mm3; a `Measure`."""
    counts = truth.voxel_counts
    return {label: float(counts[label]) * truth.grid.voxel_volume_mm3 for label in truth.labels}


def network_measure(model_id: str) -> Measure:
    """The network as the pipeline runs it; each piece that it finds counts for the true lesion that it overlaps most.

    Raises:
        ModelError: as `core.engines.auto.nnunet.load_segmenter`.
    """
    from core.engines.auto.nnunet import load_segmenter
    from core.jobs.stages.segment import MIN_LESION_MM3

    segmenter = load_segmenter(model_id)

    def measure(volumes: Sequence[Volume], truth: LabelMap) -> dict[int, float]:
        answer = segmenter.segment(volumes).labels
        pieces = components(segmenter.lesion_mask(answer.array), answer.grid, min_volume_mm3=MIN_LESION_MM3)
        return on_lesions(LabelMap(pieces, answer.grid), truth)

    return measure


def on_lesions(pieces: LabelMap, truth: LabelMap) -> dict[int, float]:
    """Volumes of found pieces by the true lesion that each overlaps most, mm3; pieces that overlap none count nowhere.

    Args:
        pieces, truth: on one grid.
    """
    out: dict[int, float] = {}
    for piece, voxels in zip(pieces.labels, pieces.voxel_counts[list(pieces.labels)], strict=True):
        shared = np.bincount(truth.array[pieces.array == piece], minlength=256)
        shared[0] = 0
        if shared.any():
            lesion = int(shared.argmax())
            out[lesion] = out.get(lesion, 0.0) + float(voxels) * pieces.grid.voxel_volume_mm3
    return out


def grade(
    volumes: Sequence[Volume],
    mask: LabelMap,
    lesion_of: Mapping[int, str],
    ends: Mapping[str, MeasuredEnd],
    measure: Measure = true_masks,
    measured_by: str = "true masks",
    *,
    left_out: Sequence[str] = (),
    seed: int = 0,
    progress: Progress = no_progress,
) -> SelfGrade:
    """Simulates follow-ups of known change, measures them, and says how far off that is.

    Args:
        volumes: the visit's scans, the reference scan first. mask: accepted, on its grid.
        lesion_of: label -> lesion; labels that are not in it stay as they are. Labels of one lesion are added up.
        ends: lesion -> how it was measured, which the assumed rule is asked with.
        measure, measured_by: what measures, and its name.
        left_out: more that the grade does not cover.
        progress: told before every run; may raise `JobCancelled`.

    Returns:
        The grade. A run that cannot be simulated, or a lesion that is not found, is told in its `why_not`.

    Raises:
        InputError: no label of the mask is a lesion.
    """
    wanted = {label: lesion for label, lesion in lesion_of.items() if label in mask.labels}
    if not wanted:
        raise InputError("Expected an accepted mask that holds a lesion, got none. Accept one with a lesion first.")
    rng = np.random.default_rng([seed, 31])
    plan = sorted([*CHANGES_PERCENT, *[0.0] * ZERO_RUNS])
    progress(0.0, "measuring the scan itself")
    first = _by_lesion(measure(volumes, mask), wanted)
    true_first = _by_lesion(true_masks(volumes, mask), wanted)
    runs: dict[str, list[GradedRun]] = {lesion: [] for lesion in true_first}
    for n, percent in enumerate(plan):
        progress((n + 1) / (len(plan) + 1), f"{SIMULATED} {n + 1} of {len(plan)}, {percent:+.0f} %")
        visit = _visit(mask, wanted, percent, n, rng, seed)
        slices = visit.slice_mm or mask.grid.spacing_mm[2]
        found, known, why_not = _measured(volumes, mask, visit, measure, wanted)
        for lesion, rows in runs.items():
            volumes_mm3 = found.get(lesion), known.get(lesion), first.get(lesion), true_first[lesion]
            rows.append(_run(percent, slices, volumes_mm3, why_not))
    lesions = tuple(
        _graded(lesion, true_first[lesion], first.get(lesion), rows, assumed_rule(ends[lesion]))
        for lesion, rows in runs.items()
    )
    few = f"the spread without change rests on {ZERO_RUNS} runs, so its 95 % interval is wide (about 0.7 to 2 times)"
    not_done = sum(bool(row.why_not) for row in next(iter(runs.values())))
    missed = (f"{not_done} of {len(plan)} follow-ups were not measured, see the runs",) if not_done else ()
    return SelfGrade(measured_by, lesions, (*LEFT_OUT, few, *missed, *left_out))


def _by_lesion(volumes: Mapping[int, float], lesion_of: Mapping[int, str]) -> dict[str, float]:
    out: dict[str, float] = {}
    for label, lesion in lesion_of.items():
        if volumes.get(label, 0.0) > 0:
            out[lesion] = out.get(lesion, 0.0) + volumes[label]
    return out


def _visit(
    mask: LabelMap, lesion_of: Mapping[int, str], percent: float, n: int, rng: np.random.Generator, seed: int
) -> Visit:
    """The visit of one run: every lesion changes alike; motion is drawn, and every other run has thicker slices."""
    shift, turn = (_three(rng, rng.uniform(*limits)) for limits in (SHIFT_MM, TURN_DEG))
    growth = {label: 1 + percent / 100 for label in lesion_of} if percent else {}
    thick = THICKER * mask.grid.spacing_mm[2] if n % 2 else None
    return Visit(growth=growth, shift_mm=shift, rotation_deg=turn, slice_mm=thick, seed=1000 * seed + n, follows=0.7)


def _three(rng: np.random.Generator, length: float) -> tuple[float, float, float]:
    vector = rng.normal(size=3)
    x, y, z = (vector * length / np.linalg.norm(vector)).tolist()
    return x, y, z


def _measured(
    volumes: Sequence[Volume], mask: LabelMap, visit: Visit, measure: Measure, lesion_of: Mapping[int, str]
) -> tuple[dict[str, float], dict[str, float], str]:
    """Measured and known volumes by lesion, of those wholly in view; and why there are none, in words."""
    try:
        seen = simulated_visit(volumes, mask, visit)
    except InputError as error:
        return {}, {}, f"not simulated: {error}"
    cut = {lesion for label, lesion in lesion_of.items() if seen.in_view.get(label, 0.0) < 0.999}
    known = {k: v for k, v in _by_lesion(seen.volumes_mm3, lesion_of).items() if k not in cut}
    return _by_lesion(measure(seen.volumes, seen.truth), lesion_of), known, ""


def _run(
    percent: float, slice_mm: float, volumes_mm3: tuple[float | None, float | None, float | None, float], why_not: str
) -> GradedRun:
    """One row, from the volumes found and known of the follow-up, and found and true of the first visit."""
    found, known, first, true_first = volumes_mm3
    if known is None:
        return GradedRun(percent, None, None, None, slice_mm, why_not or "a part of it lies outside the scan")
    true_percent = 100 * (known / true_first - 1)
    if found is None or first is None:
        where = "the scan itself" if first is None else "the follow-up"
        return GradedRun(percent, true_percent, None, None, slice_mm, f"not found on {where}")
    return GradedRun(percent, true_percent, 100 * (found / first - 1), 100 * (found / known - 1), slice_mm)


def _graded(
    lesion: str, true_mm3: float, measured_mm3: float | None, runs: Sequence[GradedRun], assumed: AssumedRule
) -> LesionGrade:
    changes, off, volumes = [], [], []
    for run in runs:
        if run.true_percent is None or run.measured_percent is None or run.volume_error_percent is None:
            continue
        changes.append((run.known_percent, math.log1p(run.measured_percent / 100)))
        off.append(changes[-1][1] - math.log1p(run.true_percent / 100))
        volumes.append(math.log1p(run.volume_error_percent / 100))
    zero_log_sd = _deviation([change for known, change in changes if known == 0])
    limit = None if zero_log_sd is None else Z95 * zero_log_sd
    return LesionGrade(
        lesion,
        true_mm3,
        measured_mm3,
        _percent(volumes),
        _percent(off),
        _deviation(off),
        zero_log_sd,
        _smallest([(k, c) for k, c in changes if k > 0], limit),
        _smallest([(-k, -c) for k, c in changes if k < 0], limit),
        assumed,
        tuple(runs),
    )


def _percent(logs: Sequence[float]) -> float | None:
    return 100 * math.expm1(float(np.mean(logs))) if logs else None


def _deviation(logs: Sequence[float]) -> float | None:
    return float(np.std(logs, ddof=1)) if len(logs) > 1 else None


def _smallest(changes: Sequence[tuple[float, float]], limit: float | None) -> float | None:
    """Of (size in percent, log change in its direction): the smallest size that is beyond the limit with all larger."""
    smallest = None
    for size, log_change in sorted(changes, reverse=True):
        if limit is None or log_change <= limit:
            break
        smallest = size
    return smallest


def assumed_rule(end: MeasuredEnd) -> AssumedRule:
    """What is assumed of measuring that lesion twice in the same way (`core.twin.noise.repeatability`)."""
    rule = repeatability(end, end)
    if rule.log_sd is None:
        return AssumedRule(rule.rule, rule.why_no_verdict, None, None, None)
    limit = Z95 * math.sqrt(2) * rule.log_sd
    return AssumedRule(rule.rule, rule.why_no_verdict, rule.log_sd, 100 * math.expm1(limit), -100 * math.expm1(-limit))
