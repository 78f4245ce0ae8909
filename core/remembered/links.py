"""Which lesion of the patient each label of a mask is, and the transforms between scans that say so.

A label is a number within one file. A link says which lesion it is; it is proposed by matching, with its evidence, and
confirmed or changed by a person. What a version says of a lesion that it has no voxels of (gone, merged into another,
not in view) is a link without a label.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, get_args

from core.remembered.flips import Flip
from core.remembered.untyped import JsonObject

#: What a link says of a label.
LabelRelation = Literal["new", "stable", "reappeared", "merged", "split", "unlinked"]
#: What a version says of a lesion that it has no label of.
#: "not said": nothing is said of it any more.
MissingRelation = Literal["gone", "merged into", "split into", "not in view", "not assessed", "not said"]
LinkRelation = LabelRelation | MissingRelation
LABEL_RELATIONS: tuple[LabelRelation, ...] = get_args(LabelRelation)
MISSING_RELATIONS: tuple[MissingRelation, ...] = get_args(MissingRelation)
#: Relations that say that nobody knows: there is nothing to confirm.
NOBODYS_WORD = ("unlinked", "not assessed")

TransformState = Literal["good", "doubtful", "failed"]
TransformMethod = Literal["rigid", "adjusted", "landmarks"]
#: 4x4 in rows, RAS mm -> RAS mm.
Matrix = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class LinkProposal:
    """What is said of one label of a version, or of a lesion that it has none of.

    Args:
        label: 1..255; None for a lesion without voxels here.
        lesion_id: "L1" and so on; None only for "unlinked": nobody can tell which lesion it is.
        relation: one of `LABEL_RELATIONS` with a label, of `MISSING_RELATIONS` without.
        confidence: 0..1; None where nothing was measured.
        into: the lesions that it was merged into or split into; the lesions that came together in a "merged" one.
        evidence: plain JSON: from_timepoint, from_mask_id, overlap (share of the smaller, 0..1), surface_mm,
            transform_id, registration_state, doubts (sentences); what was not measured is not there.
    """

    label: int | None
    lesion_id: str | None
    relation: LinkRelation
    confidence: float | None = None
    into: tuple[str, ...] = ()
    evidence: JsonObject = field(default_factory=dict)

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why the link may be wrong, in sentences; () where nothing speaks against it."""
        return tuple(str(doubt) for doubt in self.evidence.get("doubts", ()))


@dataclass(frozen=True)
class LesionLink(LinkProposal):
    """A link as it stands now: the newest that was said of that label, or lesion, of that version.

    Args:
        mask_id, timepoint, version: of the mask.
        confirmed_by: who confirmed it; None: proposed, and nobody has.
        reason: in the person's words where a person changed it, else "".
        person, created_at: who recorded it, and when (RFC 3339, UTC).
    """

    mask_id: str = ""
    timepoint: str = ""
    version: int = 0
    confirmed_by: str | None = None
    reason: str = ""
    person: str = ""
    created_at: str = ""


@dataclass(frozen=True)
class LinkChange:
    """What a person says of one label, or of a lesion that a version has not.

    Args:
        label: 1..255; None for a lesion that is not there.
        lesion_id: which lesion it is; None: cannot be told. Without a label: of which lesion it is said.
        relation: only without a label: "gone", "merged into", "not in view" …
        into: of "merged into": into which.
    """

    label: int | None
    lesion_id: str | None
    relation: str = ""
    into: tuple[str, ...] = ()


def unlinked_id(label: int) -> str:
    """What stands for the lesion id of a label that is linked to none; it is never the id of a lesion."""
    return f"unlinked-{label}"


def is_unlinked(lesion_id: str) -> bool:
    """Whether that is an id of `unlinked_id`."""
    return lesion_id.startswith("unlinked-")


def lesion_number(lesion_id: str) -> int:
    """3 of "L3"; 0 of what is no lesion's id."""
    return int(lesion_id[1:]) if lesion_id[:1] == "L" and lesion_id[1:].isdecimal() else 0


def lesion_order(lesion_id: str) -> tuple[int, str]:
    """What lesions are sorted by: L2 before L10, and what is no lesion's id after them all."""
    return lesion_number(lesion_id) or 1 << 31, lesion_id


@dataclass(frozen=True)
class NewTransform:
    """Where the points of one scan lie in another of the same patient.

    Args:
        from_timepoint, to_timepoint: of the two scans.
        from_scan_sha256, to_scan_sha256: their files.
        matrix: 4x4, RAS mm of the first -> RAS mm of the second.
        state: what the registration says of itself; "good" for a person's own.
        method: "rigid" is the program's; "adjusted" was dragged and turned, "landmarks" set by pairs of points.
        overlap: share of the smaller field of view that lies in the other, 0..1; None: not measured.
        figures: name -> {"value", "unit", "means"}; parameters: what it was made with.
        message: in words, what was found or is doubted.
        transform_id: "" before it is stored, unless links name it already.
    """

    from_timepoint: str
    to_timepoint: str
    from_scan_sha256: str
    to_scan_sha256: str
    matrix: Matrix
    state: TransformState
    method: TransformMethod = "rigid"
    overlap: float | None = None
    figures: JsonObject = field(default_factory=dict)
    parameters: JsonObject = field(default_factory=dict)
    message: str = ""
    transform_id: str = ""


@dataclass(frozen=True)
class StoredTransform(NewTransform):
    """A transform as it is remembered, and what a person said of it.

    Args:
        sha256: of scans, matrix and parameters.
        verdict: "accepted" or "refused" by `judged_by`; None: nobody has looked.
        person, created_at: who had it made, and when.
    """

    patient_id: str = ""
    sha256: str = ""
    person: str = ""
    created_at: str = ""
    verdict: Literal["accepted", "refused"] | None = None
    judged_by: str | None = None
    judged_reason: str = ""

    @property
    def registration_state(self) -> Literal["good", "doubtful", "failed", "accepted", "refused"]:
        """What counts now: a person's word before the program's own."""
        return self.verdict or self.state

    @property
    def numbers_lesions(self) -> bool:
        """Whether lesions may be told by it: not where it failed or was refused."""
        return self.registration_state not in ("failed", "refused")


def transform_that_counts(transforms: Iterable[StoredTransform], first: str, second: str) -> StoredTransform | None:
    """Of the transforms between two timepoints, in either direction, the one that counts: the newest that a person
    accepted, else the newest. None where there is none.

    Args:
        transforms: of one patient, oldest first, as the store lists them.
    """
    pair = [one for one in transforms if {one.from_timepoint, one.to_timepoint} == {first, second}]
    accepted = [one for one in pair if one.verdict == "accepted"]
    chosen = accepted or pair
    return chosen[-1] if chosen else None


class LinkSource(Protocol):
    """Links of a patient's masks."""

    def of(self, patient_id: str, timepoint: str | None = None) -> Sequence[LesionLink]: ...


class LinkWriter(LinkSource, Protocol):
    """Links, to be read and changed."""

    def of_mask(self, mask_id: str) -> list[LesionLink]: ...
    def propose(self, mask_id: str, links: Sequence[LinkProposal], person: str) -> list[LesionLink]: ...
    def change(
        self,
        mask_id: str,
        changes: Sequence[LinkChange],
        person: str,
        reason: str,
        flips: Sequence[Flip] = (),
        flips_told: str = "",
    ) -> list[LesionLink]: ...
    def why_outdated(self, mask_id: str) -> str: ...
    def history(self, mask_id: str) -> list[LesionLink]: ...
    def set(self, mask_id: str, label: int, lesion_id: str | None, person: str, reason: str) -> LesionLink: ...


class TransformSource(Protocol):
    """Transforms between a patient's scans."""

    def of(self, patient_id: str) -> Sequence[StoredTransform]: ...
    def between(self, patient_id: str, first: str, second: str) -> StoredTransform | None: ...


class TransformWriter(TransformSource, Protocol):
    """Transforms, to be read, added and judged."""

    def add(self, patient_id: str, transform: NewTransform, person: str) -> StoredTransform: ...
    def judge(self, transform_id: str, verdict: str, person: str, reason: str) -> StoredTransform: ...


class HasLinks(Protocol):
    """A store of links."""

    @property
    def links(self) -> LinkWriter: ...


class HasTransforms(Protocol):
    """A store of transforms."""

    @property
    def transforms(self) -> TransformWriter: ...


def by_mask(links: Iterable[LesionLink]) -> Mapping[str, list[LesionLink]]:
    """Links by mask id, in the order given."""
    found: dict[str, list[LesionLink]] = {}
    for link in links:
        found.setdefault(link.mask_id, []).append(link)
    return found
