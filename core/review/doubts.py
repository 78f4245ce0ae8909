"""What the gates say of a mask version as things are now: the one reading of stored verdicts that deciding, curves,
lists and exports share.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol

from core.remembered.judgements import DOUBTS, JUDGEMENT, PASSES, UNJUDGED, GateVerdict, Judged, Judgement
from core.remembered.rows import MaskVerdict, ScanVerdict
from core.remembered.vocabulary import DOUBTFUL, OUT_OF_DISTRIBUTION

#: Where the scan gate's result says whose mask was its anchor; a verdict without is of the timepoint's scans.
ANCHOR, ANCHOR_SHA256 = "anchor_mask_id", "anchor_sha256"
_NO_SCAN_VERDICT = "It has not judged these scans. Press Score the scans on Review, or run `gate score-scan`."
_NO_MASK_VERDICT = "It has not judged this mask. Press Score the mask on Review, or run `gate score-mask`."


class JudgedMask(Protocol):
    """A mask version, as far as it matters which verdicts are about it."""

    @property
    def patient_id(self) -> str: ...
    @property
    def timepoint(self) -> str: ...
    @property
    def mask_id(self) -> str: ...
    @property
    def mask_sha256(self) -> str: ...


def gate_verdicts(
    record: JudgedMask, scan_sha256s: Collection[str], of_scans: Iterable[ScanVerdict], of_masks: Iterable[MaskVerdict]
) -> tuple[GateVerdict, GateVerdict]:
    """The scan gate's and the mask gate's verdict on a version.

    Args:
        scan_sha256s: of all scans of its timepoint, as they are now.
        of_scans, of_masks: stored verdicts on its timepoint and on itself, oldest first; others are passed over.
    """
    place = (record.patient_id, record.timepoint)
    masks = [one for one in of_masks if one.mask_id == record.mask_id]
    return (
        scan_gate_verdict(place, scan_sha256s, of_scans, record.mask_id),
        _mask(masks[-1] if masks else None, record),
    )


def scan_gate_verdict(
    place: tuple[str, str], scan_sha256s: Collection[str], of_scans: Iterable[ScanVerdict], mask_id: str | None = None
) -> GateVerdict:
    """The scan gate's verdict on a patient's timepoint, as far as it is of the scans alone or of that mask."""
    scans = [
        one
        for one in of_scans
        if (one.patient_id, one.timepoint) == place and one.result.get(ANCHOR) in (None, mask_id)
    ]
    return _scan(scans[-1] if scans else None, scan_sha256s)


def doubts_among(verdicts: Iterable[GateVerdict]) -> tuple[GateVerdict, ...]:
    """Those that somebody has to look at."""
    return tuple(verdict for verdict in verdicts if verdict.is_doubt)


def _scan(newest: ScanVerdict | None, scan_sha256s: Collection[str]) -> GateVerdict:
    if newest is None:
        return GateVerdict("scan", Judgement(UNJUDGED, _NO_SCAN_VERDICT, "", ()))
    judgement = scan_judgement(newest)
    # One that has gone since counts as well as one that came: it was part of what was judged.
    stale = set(scan_sha256s) != set(judgement.seen) - {newest.result.get(ANCHOR_SHA256)}
    return GateVerdict("scan", judgement, stale, newest.score_id, newest.created_at)


def _mask(newest: MaskVerdict | None, record: JudgedMask) -> GateVerdict:
    if newest is None:
        return GateVerdict("mask", Judgement(UNJUDGED, _NO_MASK_VERDICT, "", ()))
    judgement = mask_judgement(newest, record.mask_sha256)
    stale = record.mask_sha256 not in judgement.seen
    return GateVerdict("mask", judgement, stale, newest.anomaly_id, newest.created_at)


def scan_judgement(row: ScanVerdict) -> Judgement:
    """What a stored verdict says; of one that was stored before judgements were, what its state means."""
    stored = row.result.get(JUDGEMENT)
    if stored is not None:
        return Judgement.from_json(stored)
    verdicts: dict[str, Judged] = {"in distribution": PASSES, OUT_OF_DISTRIBUTION: DOUBTS, DOUBTFUL: DOUBTS}
    seen = row.result.get("seen", row.result.get("scan_sha256", ()))
    reason = str(row.result.get("note") or f"The scan gate said “{row.state}”.")
    return Judgement(
        verdicts.get(row.state, UNJUDGED), reason, str(row.result.get("model_id") or ""), tuple(str(s) for s in seen)
    )


def mask_judgement(row: MaskVerdict, mask_sha256: str) -> Judgement:
    """What a stored verdict says; of one that was stored before judgements were, what its words mean."""
    stored = row.result.get(JUDGEMENT)
    if stored is not None:
        return Judgement.from_json(stored)
    verdicts: dict[str, Judged] = {"usual": PASSES, "unusual": DOUBTS}
    p_value = "" if row.result.get("p_value") is None else f" (p = {row.p_value:.3f})"
    reason = f"The mask gate said “{row.verdict}”{p_value}."
    gate = str(row.result.get("gate") or "")
    return Judgement(verdicts.get(row.verdict, UNJUDGED), reason, gate, (mask_sha256,))
