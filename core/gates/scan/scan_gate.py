"""The scan gate: does this scan look like those that the networks were made for?

The detector in force compares plain looks (`core.gates.scan.looks`) part by part with the nearest reference scan of
another patient, and takes the part that is oddest. It saw no shifted scan, needs no network, and serves CT with PET, or
either or MR alone; of MR, of which looks tell least, LiteMedSAM's encoder is asked too (`core.gates.scan.seeing`). It
was chosen under "leave one kind out" (`gate scan evaluate`), where it is better than RF-Deep. Beside the score stand
direct checks: how CT and PET fit, and what the scans say of themselves against the reference's card
(`core.gates.scan.card`).
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import JobCancelled, ModelError, TwinReviewError
from core.gates.scan.anchoring import around, content_of
from core.gates.scan.card import Card, metadata_doubts
from core.gates.scan.combining import pass_threshold
from core.gates.scan.looks import FIT, LOOKS_VERSION, fit_features, look_at, parts_of
from core.gates.scan.nearest import NearestLooks
from core.gates.scan.one_body import ScansMatch, compare_pair, match_of
from core.gates.scan.reference import MODALITIES, PHANTOM, REAL, SEEN, Reference, read_reference
from core.gates.scan.result import IN_DISTRIBUTION, NO_ANCHOR, ScanGateResult, unjudged
from core.gates.scan.seeing import KnownSlices, encoder_name, slices_of
from core.remembered.vocabulary import DOUBTFUL, OUT_OF_DISTRIBUTION
from core.types import LabelMap, Progress, Volume, no_progress

log = logging.getLogger("twinreview.gates")

MODEL_ID = "scan-gate-sts"
#: Ids of what has ever been shipped as the gate; RF-Deep was, before this one.
SHIPPED_GATES = (MODEL_ID, "rfdeep-sts-ctpet")
DETECTOR = "nearest look, oddest part"
#: Fewer reference patients than this cannot give a threshold that passes 95 %: n / (n + 1) of them at most would.
LEAST_PATIENTS = 12
_SEEN_WORDS = " These very scans are in the reference, so they were compared with other patients' alone."
_UNSEEN_WORDS = " No image encoder has seen the reference's MR, so plain looks alone judge: fit the reference again."
_PART_WORDS = {"values": "grey values", "steps": "roughness and sharpness", "sizes": "size of the body and its parts"}


def squashed(odd: float, threshold: float) -> float:
    """A distance as a score, 0..1: .5 at the threshold, 0 for a scan that is a reference's twin."""
    above = max(odd, 0.0)
    return above / (above + threshold) if above > 0 else 0.0


class ScanGate:
    """The gate over its reference.

    Args:
        model_id: the id of what judges, as verdicts name it.
        sha256: of the reference's file; "" where it is none.

    Raises:
        ModelError: looks of another version of this software.
    """

    def __init__(self, reference: Reference, model_id: str = MODEL_ID, sha256: str = "") -> None:
        version = reference.provenance.get("looks_version")
        if version != LOOKS_VERSION:
            raise ModelError(
                f"The scan gate's reference is of version {version}, this software makes version {LOOKS_VERSION}. "
                "Build it again: weights/recipes/scan_gate/README.md says how."
            )
        self.reference, self.model_id, self.sha256 = reference, model_id, sha256
        self.card = Card.from_json(reference.provenance["card"])
        self._parts = {**parts_of(reference.arrays), FIT: reference.arrays[FIT]}

    def has(self, names: Sequence[str]) -> NDArray[np.bool_]:
        """(scans,) which have all of these parts."""
        return np.all([np.isfinite(self._parts[name]).all(axis=1) for name in names], axis=0)

    def held_out(self, other: Reference) -> NDArray[np.float32]:
        """(scans,) this gate's score of each scan of a reference, compared with other patients' alone; NaN where it
        cannot judge.
        """
        looks = {**parts_of(other.arrays), FIT: other.arrays[FIT]}
        out = np.full(len(other.kind), np.nan, np.float32)
        for n in range(len(out)):
            names = tuple(name for name in looks if np.isfinite(looks[name][n]).all())
            domain = str(other.domain[n])
            known = self.known(names, domain)
            used = known.without(known.groups == other.group[n])
            if len(np.unique(used.groups)) < LEAST_PATIENTS - 1:
                continue
            found = used.parts({name: looks[name][n : n + 1] for name in names})
            out[n] = squashed(max(float(v[0]) for v in found.values()), self.threshold(names, domain))
            asked = other.arrays[SEEN][n]
            if self.sees(domain) and np.isfinite(asked).all():
                out[n] = max(out[n], self._seen(asked, domain, str(other.group[n]))[0])
        return out

    @functools.lru_cache(maxsize=4)  # noqa: B019
    def known_slices(self, domain: str) -> KnownSlices:
        """What the encoder sees of the in-distribution MR of a domain."""
        chosen = ~self.reference.ood & (self.reference.domain == domain) & self.reference.has(SEEN)
        return KnownSlices(self.reference.arrays[SEEN][chosen], self.reference.group[chosen])

    def sees(self, domain: str) -> bool:
        """Whether the encoder has seen enough reference patients to say anything."""
        return len(np.unique(self.known_slices(domain).groups)) >= LEAST_PATIENTS

    def _seen(self, asked: NDArray[np.float32], domain: str, own: str | None) -> tuple[float, KnownSlices]:
        """The score of an MR's slices, and the reference scans it was compared with."""
        known = self.known_slices(domain)
        used = known if own is None else known.without(known.groups == own)
        return squashed(float(used.away(asked[None])[0]), pass_threshold(known.held_out())), used

    @functools.lru_cache(maxsize=32)  # noqa: B019 - a gate lives as long as the process
    def known(self, names: tuple[str, ...], domain: str) -> NearestLooks:
        """The in-distribution scans of a domain that have these parts."""
        chosen = ~self.reference.ood & (self.reference.domain == domain) & self.has(names)
        return NearestLooks({name: self._parts[name][chosen] for name in names}, self.reference.group[chosen])

    @functools.lru_cache(maxsize=32)  # noqa: B019
    def threshold(self, names: tuple[str, ...], domain: str) -> float:
        """In distances among references: what 95 % of in-distribution scans of patients held out do not exceed."""
        return max(pass_threshold(self.known(names, domain).held_out()), 1e-6)

    def own_group(self, volumes: Sequence[Volume]) -> str | None:
        """The reference patient whose scan one of these is, voxel by voxel; None if there is none."""
        known = dict(zip(self.reference.arrays["content"].tolist(), self.reference.group.tolist(), strict=True))
        contents = {content for text in known for content in str(text).split()}
        for volume in volumes:
            content = content_of(volume)
            if content in contents:
                return next(str(group) for text, group in known.items() if content in str(text).split())
        return None

    def score_scan(
        self,
        volumes: Sequence[Volume],
        progress: Progress = no_progress,
        mask: LabelMap | None = None,
        phantom: bool = False,
        facts: Sequence[Mapping[str, Any]] = (),
    ) -> ScanGateResult:
        """The verdict on a timepoint's scans, in any order; "cannot be judged" where there is no reference for them.

        Args:
            mask: the anchor: the scans are looked at around it, as the reference scans were cut; None: as they are.
            phantom: compare with phantoms, which judge nothing else.
            facts: what each scan's file tells of itself ("slice_thickness_mm", "kernel" …), in the volumes' order.
        """
        if not volumes:
            return unjudged("There is no scan of this date. Import one.", self.model_id, "coverage")
        ordered = sorted(volumes, key=lambda volume: MODALITIES.index(volume.modality))
        if mask is not None and not (mask.array > 0).any():
            return unjudged(NO_ANCHOR_NOTE, self.model_id, "empty", NO_ANCHOR)
        match = match_of(ordered)
        if match.too_little is not None:
            found = unjudged(match.too_little, self.model_id, "coverage")
            return replace(found, coverage=match.coverage)
        doubts = metadata_doubts(
            ordered, self.card, dict(zip(map(id, volumes), facts, strict=False)), anchored=bool(mask)
        )
        seen = ordered if mask is None else [around(volume, mask) for volume in ordered]
        progress(0.3, "looking at the scans")
        scored = self._score(seen, match if mask is None else None, PHANTOM if phantom else REAL, ordered)
        progress(1.0, "done")
        return with_doubts(scored, match, doubts)

    def _score(
        self, seen: Sequence[Volume], match: ScansMatch | None, domain: str, whole: Sequence[Volume]
    ) -> ScanGateResult:
        sets = combinations(seen)
        found = [self._score_one(chosen, match, domain, whole) for chosen in sets]
        alone = [chosen[0] for chosen in sets if [volume.modality for volume in chosen] == ["MR"]]
        found += [self._score_seen(volume, domain, whole) for volume in alone if self.sees(domain)]
        return max(found, key=_badness)

    def _score_seen(self, volume: Volume, domain: str, whole: Sequence[Volume]) -> ScanGateResult:
        """What LiteMedSAM's encoder says of an MR."""
        made_by = self.reference.provenance.get("seen_by")
        try:
            name = encoder_name()
            if made_by != name:
                words = f"The reference MR were seen by the encoder {made_by}; here is {name}. Fit the reference again."
                return unjudged(words, self.model_id, "not-judged")
            asked = slices_of(volume)
        except ModelError as error:
            return unjudged(f"The MR was not looked at by an image encoder: {error}", self.model_id, "not-judged")
        own = self.own_group(whole)
        score, used = self._seen(asked, domain, own)
        state = OUT_OF_DISTRIBUTION if score > self.reference.threshold else IN_DISTRIBUTION
        patients = len(np.unique(self.known_slices(domain).groups))
        return ScanGateResult(
            state,
            score,
            _words({SEEN: score}, self.reference.threshold, patients, "MR", domain, own is not None),
            patients,
            self.model_id,
            LOOKS_VERSION,
            parts={SEEN: round(score / max(1 - score, 1e-6), 3)},
            nearest=used.nearest(asked),
            held_out=own is not None,
            kinds=("appearance",) if state == OUT_OF_DISTRIBUTION else (),
        )

    def _score_one(
        self, chosen: Sequence[Volume], match: ScansMatch | None, domain: str, whole: Sequence[Volume]
    ) -> ScanGateResult:
        asked: dict[str, NDArray[Any]] = {}
        for volume in chosen:
            asked |= parts_of({volume.modality: look_at(volume)[None]})
        kinds = [volume.modality for volume in chosen]
        if kinds == ["CT", "PET"]:
            fit = compare_pair(match) if match is not None else compare_pair(match_of(chosen))
            asked[FIT] = fit_features(fit)[None]
        names = tuple(asked)
        known = self.known(names, domain)
        patients = len(np.unique(known.groups))
        what = " and ".join(kinds)
        if patients < LEAST_PATIENTS:
            return unjudged(
                f"There are {patients} reference patients with {what}, {LEAST_PATIENTS} are needed. Mark more scans as "
                "usual, or let a person decide.",
                self.model_id,
                "not-judged",
            )
        own, threshold = self.own_group(whole), self.threshold(names, domain)
        used = known if own is None else known.without(known.groups == own)
        found = {name: float(values[0]) for name, values in used.parts(asked).items()}
        odd = max(found.values())
        state = OUT_OF_DISTRIBUTION if odd > threshold else IN_DISTRIBUTION
        return ScanGateResult(
            state,
            squashed(odd, threshold),
            _words(found, threshold, patients, what, domain, own is not None)
            + ("" if kinds != ["MR"] or self.sees(domain) else _UNSEEN_WORDS),
            patients,
            self.model_id,
            LOOKS_VERSION,
            parts={name: round(value, 3) for name, value in found.items()},
            nearest=used.nearest(asked),
            held_out=own is not None,
            kinds=("appearance",) if odd > threshold else (),
        )


def combinations(seen: Sequence[Volume]) -> list[list[Volume]]:
    """CT with PET where there is one of each, then every other volume alone."""
    by = {kind: [volume for volume in seen if volume.modality == kind] for kind in MODALITIES}
    if len(by["CT"]) == 1 and len(by["PET"]) == 1:
        return [[by["CT"][0], by["PET"][0]], *[[volume] for volume in by["MR"]]]
    return [[volume] for volume in seen]


def _badness(result: ScanGateResult) -> float:
    """What is odd comes before what cannot be judged, and that before what is usual."""
    if result.score is None:
        return 0.5
    return 1 + result.score if result.state == OUT_OF_DISTRIBUTION else result.score / 2


def _words(found: Mapping[str, float], threshold: float, patients: int, what: str, domain: str, held_out: bool) -> str:
    whose = f"{patients} reference {'phantoms' if domain == PHANTOM else 'patients'} with {what}"
    seen = _SEEN_WORDS if held_out else ""
    odd = [name for name, value in sorted(found.items(), key=lambda item: -item[1]) if value > threshold]
    if not odd:
        return f"It looks like the scans of {whose}. This is no statement about the mask.{seen}"
    listed = ", ".join(_part_words(name) for name in odd[:3])
    return (
        f"Appearance: unlike the scans of {whose} in {listed}. Check modality, units, artefacts and body part before "
        f"relying on the mask.{seen}"
    )


def _part_words(name: str) -> str:
    if name == FIT:
        return "how CT and PET fit each other"
    if name == SEEN:
        return "what an image encoder sees of the MR"
    modality, part = name.split()
    return f"the {modality}'s {_PART_WORDS[part]}"


def with_doubts(result: ScanGateResult, match: ScansMatch, metadata: Sequence[str] = ()) -> ScanGateResult:
    """The score's verdict, and what is doubtful of how the scans fit each other and the card.

    What the score doubts stays out of distribution; what it passes is doubtful where there is a doubt.
    """
    doubts = (*match.doubts, *metadata)
    doubtful = bool(doubts) and result.state == IN_DISTRIBUTION
    kinds = (*(("coverage",) if match.doubts else ()), *(("metadata",) if metadata else ()))
    return replace(
        result,
        state=DOUBTFUL if doubtful else result.state,
        note=" ".join([*doubts, result.note]),
        doubts=doubts,
        kinds=(*result.kinds, *kinds),
        coverage=match.coverage,
        one_body=match.one_body,
    )


NO_ANCHOR_NOTE = (
    "The mask is empty, so there is no place to look at and no score. A scan without tumour looks like this, and so "
    "does one that the network cannot read: a person decides."
)


@functools.lru_cache(maxsize=2)
def load_scan_gate(model_id: str = MODEL_ID) -> ScanGate:
    """The gate of a registered reference, verified by SHA-256.

    Raises:
        ModelError: not registered, missing, altered, or of another version.
    """
    from weights import registry

    entry = registry.find(model_id)
    if entry.kind != "scan-gate":
        raise ModelError(f"Model {model_id!r} is of kind {entry.kind!r}; expected a scan gate's reference (scan-gate).")
    return ScanGate(
        read_reference(registry.verify(entry), entry.sha256), f"{entry.id}@{entry.sha256[:12]}", entry.sha256
    )


def score_by(
    gate: Callable[[], ScanGate],
    volumes: Sequence[Volume],
    progress: Progress = no_progress,
    mask: LabelMap | None = None,
    phantom: bool = False,
    facts: Sequence[Mapping[str, Any]] = (),
) -> ScanGateResult:
    """`ScanGate.score_scan`; a gate that is not there or breaks "cannot be judged", and says why."""
    gate_id = ""
    try:
        found = gate()
        gate_id = found.model_id
        return found.score_scan(volumes, progress, mask, phantom, facts)
    except JobCancelled:
        raise
    except TwinReviewError as error:
        return unjudged(f"The gate could not judge these scans: {error}", gate_id, "not-judged")
    except Exception as error:  # of any kind: a gate that breaks must neither lose what it judges nor let it pass
        log.warning("the scan gate failed: %s", type(error).__name__)
        return unjudged(f"The gate failed on these scans ({type(error).__name__}).", gate_id, "not-judged")


def score_scan(
    volumes: Sequence[Volume],
    progress: Progress = no_progress,
    model_id: str = MODEL_ID,
    mask: LabelMap | None = None,
    phantom: bool = False,
    facts: Sequence[Mapping[str, Any]] = (),
) -> ScanGateResult:
    """`score_by` a registered gate."""
    return score_by(lambda: load_scan_gate(model_id), volumes, progress, mask, phantom, facts)
