"""Which state a lesion is in at a visit: what the accepted mask, its links and the scan's field say, in that order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from core.lesions.sizes import MIN_LESION_MM3
from core.remembered.links import LesionLink, StoredTransform, is_unlinked
from core.remembered.untyped import JsonDict, JsonObject
from core.review.decisions import REJECTED, counted_lesions
from core.twin.cell_measures import cell_measures
from core.twin.measured_visits import MeasuredVisit, contour_of, edited_share, slice_thickness_mm, told_doubts
from core.twin.timeline_cells import Cell, CellLink, UnlinkedLabel
from core.twin.timeline_places import Fields
from core.types import parse_date


@dataclass(frozen=True)
class VisitRows:
    """An accepted mask that can be read, with what its links say."""

    visit: MeasuredVisit
    links: tuple[LesionLink, ...] = ()

    def labels_of(self, lesion_id: str) -> list[JsonObject]:
        """The mask's labels of that lesion, rejected ones among them."""
        return [lesion for lesion in self.visit.record.lesions if str(lesion["lesion_id"]) == lesion_id]

    def links_of(self, lesion_id: str) -> list[LesionLink]:
        """Links of the mask's labels of that lesion."""
        return [link for link in self.links if link.label is not None and link.lesion_id == lesion_id]

    def missing(self, lesion_id: str) -> LesionLink | None:
        """What the version says of a lesion that it has no label of."""
        return next((link for link in self.links if link.label is None and link.lesion_id == lesion_id), None)

    def swallowed_by(self, lesion_id: str) -> LesionLink | None:
        """The link of a label that came together from several lesions, that one among them."""
        merged = (link for link in self.links if link.relation == "merged" and link.lesion_id not in (None, lesion_id))
        return next((link for link in merged if lesion_id in link.into), None)

    @cached_property
    def unlinked(self) -> tuple[UnlinkedLabel, ...]:
        """Labels that count, and of which nobody can tell which lesion they are."""
        record = self.visit.record
        return tuple(
            UnlinkedLabel(
                record.timepoint,
                record.mask_id,
                record.version,
                int(lesion["label"]),
                str(lesion["lesion_id"]),
                float(lesion["volume_mm3"]),
            )
            for lesion in counted_lesions(record)
            if is_unlinked(str(lesion["lesion_id"]))
        )


def cell_of(
    visits: Mapping[str, VisitRows],
    lesion_id: str,
    timepoint: str,
    standing: Cell | None,
    fields: Fields,
    transforms: Sequence[StoredTransform],
) -> Cell:
    """The state of a lesion at a visit.

    Args:
        visits: all of the patient's, by timepoint; standing: what it was merged or split into before, and still is.
        fields, transforms: where the scans lie.
    """
    rows = visits[timepoint]
    labels = rows.labels_of(lesion_id)
    counted = [lesion for lesion in labels if not lesion.get(REJECTED)]
    if counted:
        return _seen(rows, lesion_id, counted)
    if labels:
        return Cell(lesion_id, timepoint, "rejected", "Rejected in the accepted mask.", **_sources(rows, lesion_id))
    said = rows.missing(lesion_id)
    if said is not None:
        return _said_missing(rows, lesion_id, said)
    swallowed = rows.swallowed_by(lesion_id)
    if swallowed is not None:
        into = (str(swallowed.lesion_id),)
        return Cell(
            lesion_id,
            timepoint,
            "merged into",
            f"One mass with {into[0]}.",
            into,
            link=_cell_link([swallowed]),
            **_sources(rows, lesion_id, [swallowed]),
        )
    if standing is not None:
        why = f"{standing.state.capitalize()} {', '.join(standing.into)} on {standing.timepoint}, and not seen since."
        return Cell(lesion_id, timepoint, standing.state, why, standing.into, **_sources(rows, lesion_id))
    if rows.unlinked:
        names = ", ".join(label.lesion_id for label in rows.unlinked)
        why = f"Not among the known lesions of this mask; {names} may be it."
        return Cell(lesion_id, timepoint, "not assessed", why, **_sources(rows, lesion_id))
    return _looked_for(visits, lesion_id, timepoint, fields, transforms)


def _seen(rows: VisitRows, lesion_id: str, labels: Sequence[JsonObject]) -> Cell:
    """Measured; or too small, where the network alone drew less than it may call a lesion."""
    visit, record = rows.visit, rows.visit.record
    links = rows.links_of(lesion_id)
    volume = sum(float(lesion["volume_mm3"]) for lesion in labels)
    sources = _sources(rows, lesion_id, links)
    contour, share = contour_of(record, visit.versions), edited_share(record, visit.versions, lesion_id)
    if volume < MIN_LESION_MM3 and contour.is_automatic and share == 0:
        why = f"{volume:.0f} mm3 by the network alone, which is not relied on below {MIN_LESION_MM3:.0f} mm3."
        return Cell(lesion_id, record.timepoint, "too small to measure", why, link=_cell_link(links), **sources)
    short = [float(lesion["short_axis_mm"]) for lesion in labels if lesion.get("short_axis_mm") is not None]
    slices = [int(lesion["slices"]) for lesion in labels if lesion.get("slices") is not None]
    pieces = "" if len(labels) == 1 else f", {len(labels)} labels together"
    return Cell(
        lesion_id,
        record.timepoint,
        "measured",
        f"Measured in version {record.version}{pieces}.",
        volume_mm3=volume,
        longest_diameter_mm=sum(float(lesion["longest_diameter_mm"]) for lesion in labels),
        short_axis_mm=sum(short) if len(short) == len(labels) else None,
        measures=cell_measures(labels),
        link=_cell_link(links),
        slices=max(slices) if len(slices) == len(labels) else None,
        **sources,
    )


def _said_missing(rows: VisitRows, lesion_id: str, said: LesionLink) -> Cell:
    """What a link without a label says."""
    timepoint, sources = rows.visit.record.timepoint, _sources(rows, lesion_id, [said])
    link, into = _cell_link([said]), tuple(said.into)
    if said.relation == "gone":
        return _absent(lesion_id, timepoint, "Its place is in view, and it is not in the accepted mask.", sources, link)
    if said.relation == "merged into":
        return Cell(lesion_id, timepoint, "merged into", f"Merged into {', '.join(into)}.", into, link=link, **sources)
    if said.relation == "split into":
        return Cell(lesion_id, timepoint, "split into", f"Split into {', '.join(into)}.", into, link=link, **sources)
    if said.relation == "not in view":
        why = "The scan does not reach where it was."
        return Cell(lesion_id, timepoint, "not in view", why, link=link, **sources)
    why = " ".join(["Nobody can tell whether it is still there.", *said.doubts])
    return Cell(lesion_id, timepoint, "not assessed", why, link=link, **sources)


def _absent(lesion_id: str, timepoint: str, why: str, sources: JsonDict, link: CellLink | None = None) -> Cell:
    return Cell(
        lesion_id,
        timepoint,
        "absent",
        why,
        volume_mm3=0.0,
        longest_diameter_mm=0.0,
        short_axis_mm=0.0,
        link=link,
        **sources,
    )


def _looked_for(
    visits: Mapping[str, VisitRows],
    lesion_id: str,
    timepoint: str,
    fields: Fields,
    transforms: Sequence[StoredTransform],
) -> Cell:
    """Absent, or not in view: by where it was at the visit nearest in time that has it."""
    sources = _sources(visits[timepoint], lesion_id)
    day = parse_date(timepoint).toordinal()
    seen = [
        (abs(parse_date(other).toordinal() - day), other, largest["centroid_mm"])
        for other, rows in visits.items()
        if (labels := rows.labels_of(lesion_id))
        and (largest := max(labels, key=lambda lesion: float(lesion["volume_mm3"]))).get("centroid_mm")
    ]
    if not any(rows.labels_of(lesion_id) for rows in visits.values()):
        why = "It is only in a mask that cannot be read, so nobody can tell where to look for it."
        return Cell(lesion_id, timepoint, "not assessed", why, **sources)
    if not seen:  # masks without places
        return _absent(lesion_id, timepoint, "Not in the accepted mask.", sources)
    _, other, place = min(seen, key=lambda one: one[:2])
    in_view, how = fields.view(place, other, timepoint, transforms)
    if in_view is None:
        why = f"Not in the accepted mask, and whether the scan reaches where it was on {other} is not known: {how}."
        return Cell(lesion_id, timepoint, "not assessed", why, **sources)
    if not in_view:
        why = f"The scan does not reach where it was on {other}, {how}."
        return Cell(lesion_id, timepoint, "not in view", why, **sources)
    return _absent(lesion_id, timepoint, f"Not in the accepted mask; its place on {other} is in view, {how}.", sources)


def _sources(rows: VisitRows, lesion_id: str, links: Sequence[LesionLink] = ()) -> JsonDict:
    """The fields of a cell that say where it comes from. What a person confirmed is no doubt any more."""
    visit, record = rows.visit, rows.visit.record
    contour = contour_of(record, visit.versions)
    linked = _cell_link(links)
    doubts = (*told_doubts(visit, lesion_id), *(linked.doubts if linked is not None else ()))
    return {
        "modality": visit.scan.modality,
        "slice_thickness_mm": slice_thickness_mm(visit.scan),
        "mask_id": record.mask_id,
        "version": record.version,
        "method": str(record.method),
        "checkpoint_sha256": contour.base.checkpoint_sha256,
        "made_by": record.author,
        "accepted_by": visit.accepted_by,
        "doubts": tuple(dict.fromkeys(doubts)),
    }


def _cell_link(links: Sequence[LesionLink]) -> CellLink | None:
    if not links:
        return None
    known = [link.confidence for link in links if link.confidence is not None]
    people = list(dict.fromkeys(link.confirmed_by for link in links if link.confirmed_by is not None))
    all_of_them = all(link.confirmed_by is not None for link in links)
    doubts = dict.fromkeys(doubt for link in links if link.confirmed_by is None for doubt in link.doubts)
    return CellLink(min(known, default=None), ", ".join(people) if all_of_them else None, tuple(doubts))
