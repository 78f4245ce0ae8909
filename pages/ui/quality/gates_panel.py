"""The parts of the quality page: what each gate knows, how well it does, and whom it flagged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import streamlit as st

from core.gates.mask import verdicts
from core.gates.mask.conformal import scores_needed
from core.gates.mask.fitted import FittedGate
from core.gates.scan.measuring import RESAMPLINGS, TREES
from core.gates.scan.reference import Reference
from core.gates.scan.scan_gate import MODEL_ID
from core.remembered.judgements import DOUBTS, JUDGED, PASSES, UNJUDGED
from core.remembered.lists import QualityRow
from core.remembered.rows import ScanVerdict
from core.remembered.untyped import JsonObject, Voxels
from core.review.doubts import scan_judgement
from pages.ui.frame import address, opening, resources, session, shell
from pages.ui.guard import rights
from pages.ui.shared import charts, job_panel, plotting
from pages.ui.shared.text import cells, plain
from store import SeenStore
from weights import registry

JOB = "evaluate_ood"
#: A verdict, of several.
WORDS = {PASSES: "passing", DOUBTS: "doubtful", UNJUDGED: "not to be judged"}
AUROC_HELP = (
    "Chance that an out-of-distribution scan scores above an in-distribution one: 1 tells them apart, 0.5 is a coin. "
    "± standard error over resampled patients."
)
FPR95_HELP = "Share of in-distribution scans flagged by the threshold that catches 95 % of the others; 0 is best."
SHOWN_HELP = (
    "saw OOD labels: learned from shifted scans too. in-distribution only: knows usual scans alone. control: should "
    "tell nothing, or shows what voxel size alone gives away."
)
THRESHOLD_HELP = "Scores above it are out of distribution: 95 % of the in-distribution reference scans lie below."
P_HELP = "Conformal p-value: the share of reference patients that are at least as odd. Doubted at 0.05 or less."


def scan_reference() -> tuple[Reference, str] | None:
    """The shipped reference and its hash; None, said in words, where it is not ready."""
    entry = next((e for e in registry.models() if e.id == MODEL_ID), None)
    state = "missing" if entry is None else registry.status(entry)
    if entry is None or state != "ready":
        why = "was altered and is not used" if state == "altered" else "is not in the weights folder yet"
        st.info(
            f"The scan gate's reference {why}. Until it is there no scan can be scored and nothing can be measured; "
            "weights/recipes/scan_gate/README.md says how it is built."
        )
        return None
    return resources.scan_gate_reference(registry.verify(entry), entry.sha256), entry.sha256


def reference_facts(reference: Reference) -> None:
    """How large the reference is, and the threshold."""
    inside, outside, kinds, threshold = st.columns(4)
    inside.metric("In-distribution scans", int((~reference.ood).sum()), help="Scans that the network was made for.")
    outside.metric("Shifted scans", int(reference.ood.sum()), help="Out of distribution, most of them made by us.")
    kinds.metric("Kinds of shift", len(np.unique(reference.kind[reference.ood])))
    threshold.metric("Threshold", f"{reference.threshold:.2f}", help=THRESHOLD_HELP)


def latest_scores(rows: Sequence[ScanVerdict]) -> list[ScanVerdict]:
    """The newest score of each timepoint; rows oldest first."""
    return list({(row.patient_id, row.timepoint): row for row in rows}.values())


def score_figure(reference: Reference | None, scores: Sequence[ScanVerdict]) -> None:
    """Reference scans and this installation's scans on one axis."""
    own = [row.score for row in scores if row.score is not None]
    groups: dict[str, Sequence[float]] = {}
    if reference is not None:
        scored = np.isfinite(reference.crossfit)
        groups["reference, in distribution"] = reference.crossfit[~reference.ood & scored].tolist()
        groups["reference, shifted"] = reference.crossfit[reference.ood & scored].tolist()
    if own:
        groups["this installation"] = own
    threshold = reference.threshold if reference is not None else scores[-1].threshold if scores else None
    if groups and threshold is not None:
        plotting.draw(charts.scan_gate_figure(groups, float(threshold)), "ood", 330, "Scan scores and the threshold")
    counts = Counter(scan_judgement(row).verdict for row in scores)
    if scores:
        said = ", ".join(f"{counts[verdict]} {WORDS[verdict]}" for verdict in JUDGED)
        st.caption(plain(f"The newest verdict of each timepoint here: {said}. What cannot be judged is a doubt, too."))
    else:
        st.caption("No scan of this installation has been scored yet.")


def evaluation(sha256: str) -> None:
    """The table of detectors on this reference, computed as a job when asked for."""
    st.subheader("How well it tells scans apart", divider="gray")
    job_id = session.EVALUATION_JOB.get()
    result = job_panel.job_panel(job_id, "Evaluation") if job_id else None
    if result is None:
        done = shell.store().jobs.newest(limit=1000, status="done")
        results = [dict(job.result) for job in done if job.kind == JOB and job.result is not None]
        mine = [r for r in results if r["sha256"] == sha256]
        result = min(mine, key=lambda r: len(r.get("left_out", ())), default=None)  # the newest of the fullest
    if st.button(
        "Run the evaluation again" if result else "Run the evaluation",
        icon=":material/play_arrow:",
        **rights.button(
            shell.store(),
            shell.person(),
            "job.created",
            f"{RESAMPLINGS} resamplings of the reference, patients never on both sides; some minutes.",
        ),
    ):
        request = {"resamplings": RESAMPLINGS, "trees": TREES}
        session.EVALUATION_JOB.set(resources.get_runner().submit(JOB, request, shell.person()))
        st.rerun()
    if result is not None:
        _figures(result)


def _figures(result: JsonObject) -> None:
    rows = [
        {
            "Detector": f["method"],
            "Shown": f["group"],
            "AUROC": _spread(f["auroc"], f["auroc_sd"]),
            "FPR at 95 % TPR": _spread(f["fpr95"], f.get("fpr95_sd")),
        }
        for f in result["figures"]
    ]
    st.dataframe(
        cells(rows),
        hide_index=True,
        height="content",
        column_config={
            "Shown": st.column_config.TextColumn(help=SHOWN_HELP),
            "AUROC": st.column_config.TextColumn(help=AUROC_HELP),
            "FPR at 95 % TPR": st.column_config.TextColumn(help=FPR95_HELP),
        },
    )
    if left_out := result.get("left_out"):
        many = len(rows)
        st.caption(f"{many} detectors were measured; {len(left_out)} others were not asked for.")
    st.caption(
        f"{result['resamplings']:d} resamplings, forests of {result['trees']:d} trees. Few scans, and most shifts are "
        "made by us: this compares detectors with each other and is not what a clinic should expect."
    )


def _spread(mean: float | None, deviation: float | None) -> str:
    if mean is None:
        return "–"
    return f"{mean:.3f}" if deviation is None else f"{mean:.3f} ± {deviation:.3f}"


def mask_facts(gate: FittedGate) -> None:
    """How many patients' masks there are to compare with, and what they can show."""
    needed = scores_needed(verdicts.ALPHA)
    real, simulated = len(gate.set(verdicts.REAL).patients), len(gate.set(verdicts.SIMULATED).patients)
    lesions, patients, phantoms, smallest, state = st.columns(5)
    lesions.metric("Reference lesions", len(gate.lesions), help="Every lesion of every accepted mask.")
    patients.metric("Real patients", real, help="A patient's own masks never judge it; each patient counts once.")
    phantoms.metric("Simulated patients", simulated, help="They judge each other, never a real patient.")
    smallest.metric(
        "Smallest possible p",
        f"{1 / (real + 1):.3f}",
        help=f"1 / (n + 1) with n other real patients. A verdict at {verdicts.ALPHA} needs {needed} of them.",
    )
    enough = {"real": real >= needed, "simulated": simulated >= needed}
    of = [name for name, there in enough.items() if there]
    state.metric(
        "Verdicts", " and ".join(of) if of else "not yet", help=f"Of patients for whom {needed} others are there."
    )
    if not enough["real"]:
        st.info(
            f"Not enough reference masks: those of {real} real patients, {needed} are needed. Until then a mask is "
            "held against rules alone and otherwise cannot be judged, which is a doubt that asks for an answer. Accept "
            "masks of more patients."
        )


def scored_masks(store: SeenStore) -> list[QualityRow]:
    """The newest verdict on each scored mask that this person may see; doubtful ones first, then by p-value."""
    return sorted(store.views.quality(), key=_oddest_first)


def _oddest_first(mask: QualityRow) -> tuple[bool, float]:
    return mask.judged != DOUBTS, 2.0 if mask.p_value is None else mask.p_value


def _with_score(masks: Sequence[QualityRow]) -> dict[str, QualityRow]:
    return {mask.name: mask for mask in masks if mask.score is not None}


def mask_in_effect(masks: Sequence[QualityRow]) -> str | None:
    """The name of the mask that is shown among the others; None to begin with. Ends the page for an unknown one."""
    return address.choose("mask", list(_with_score(masks)), session.QUALITY_MASK, whose="that was scored")


def mask_figure(known: Voxels, masks: Sequence[QualityRow]) -> None:
    """The calibration scores, and one scored mask among them."""
    by_name = _with_score(masks)
    chosen = st.selectbox(
        "Show a mask among them",
        list(by_name),
        index=None,
        placeholder="None",
        key=session.QUALITY_MASK.key(),
        width=420,
    )
    mask = by_name.get(chosen) if chosen else None
    # Without a mask in question the figure is not to say that a verdict is impossible: the metrics above say it.
    p_value = mask.p_value if mask else 1.0
    if len(known):
        figure = charts.mask_gate_figure(known.tolist(), mask.score if mask else None, p_value)
        plotting.draw(figure, "anomaly", 320, "Distances of reference masks to their neighbours")


def doubtful_list(masks: Sequence[QualityRow]) -> None:
    """Masks that the gate doubts, each with a way to look at it."""
    counts = Counter(mask.judged for mask in masks)
    st.subheader(f"Doubtful masks ({counts[DOUBTS]:d})", divider="gray")
    if masks:
        said = ", ".join(f"{counts[verdict]} {WORDS[verdict]}" for verdict in JUDGED)
        st.caption(plain(f"{len(masks)} scored masks: {said}. What cannot be judged is no pass."))
    else:
        st.caption("No mask was scored yet.")
    for mask in masks:
        if mask.judged != DOUBTS:
            continue
        who, why, button = st.columns([3, 6, 2], vertical_alignment="center")
        version = f"{plain(mask.timepoint)} v{mask.version} · {plain(mask.status)}"
        who.markdown(f"**{plain(mask.patient_id)}**  \n{version}")
        p_value = "p unknown" if mask.p_value is None else f"p = {mask.p_value:.3f}"
        reason = mask.reason or f"{p_value}. Farthest features: {mask.why or 'unknown'}"
        why.markdown(plain(reason), help=f"{p_value}. {P_HELP} Features in spreads.")
        button.button(
            "Review",
            key=f"review/{mask.mask_id}",
            width="stretch",
            on_click=opening.open_in_review,
            args=(mask.patient_id, mask.timepoint, mask.version),
        )
