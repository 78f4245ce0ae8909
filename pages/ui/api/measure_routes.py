"""Routes of the viewer's measurements: keep one that was drawn; where a mask's own diameters lie.

What the browser measured is not asked for: the server measures what was drawn on the scan as it is stored.
"""

from __future__ import annotations

from typing import Annotated

import nibabel as nib
from pydantic import Field
from starlette.responses import JSONResponse, Response

from core.errors import InputError, StoreError
from core.remembered.flips import Flip, flip_words, needs_confirming
from core.remembered.hand_measurements import Drawn, HandMeasurement, Kind, PlaneName, Sets
from core.remembered.untyped import JsonDict
from core.review.model_answers import Sha256
from core.strict import Strict, read_strictly
from core.types import Grid
from pages.ui.api.answers import NO_STORE, problem
from pages.ui.api.scan_routes import API
from pages.ui.frame import measured
from pages.ui.guard import rights
from pages.ui.guard.guard import Asked, ByToken, Denied, guarded
from store import SeenStore

MAX_MEASUREMENT_BYTES = 40_000
Place = Annotated[list[float], Field(min_length=3, max_length=3)]


class FlipBody(Strict):
    """A call that becomes another one, as it was told."""

    timepoint: Annotated[str, Field(max_length=10)]
    before: Annotated[str, Field(max_length=40)]
    after: Annotated[str, Field(max_length=40)]


class MeasurementBody(Strict):
    """POST measurement."""

    scan: Sha256
    kind: Kind
    plane: PlaneName
    points_mm: Annotated[list[Place], Field(min_length=2, max_length=3)]
    lesion_id: Annotated[str, Field(max_length=12)] | None = None
    sets: Sets | None = None
    #: The flips that the person was shown and confirmed.
    confirmed: Annotated[list[FlipBody], Field(max_length=400)] | None = None


def measurement_json(kept: HandMeasurement) -> JsonDict:
    """A kept measurement as the viewer takes it (README.md)."""
    names = ("measurement_id", "kind", "plane", "value", "unit", "statistics", "lesion_id", "sets", "person")
    points = {"points_mm": [list(point) for point in kept.points_mm]}
    return {name: getattr(kept, name) for name in names} | points | {"created_at": kept.created_at, "words": kept.words}


def keep(asked: Asked) -> Response:
    """POST what was drawn -> the measurement as it was kept; 409 with what flips, until it is confirmed."""
    from core.lesions.caliper import measured
    from core.twin.hand_preview import foreseen_with

    body = read_strictly(MeasurementBody, asked.body, MAX_MEASUREMENT_BYTES)
    if why := rights.why_not(asked.store, asked.person, "measurement.added"):
        raise Denied(why)
    scan = asked.scan(body.scan)
    if scan is None:
        raise StoreError("This scan is not stored any more. Reload the page.")
    points = tuple((x, y, z) for x, y, z in body.points_mm)
    drawn = Drawn(scan.sha256, body.kind, body.plane, points, body.lesion_id, body.sets)
    _check_lesion(asked.store, asked.patient_id, body.lesion_id)
    path = asked.store.scans.path(scan)
    volume = asked.store.scans.load(scan) if body.kind == "roi" else None
    grid = Grid(scan.shape, nib.load(path).affine) if volume is None else volume.grid  # type: ignore[attr-defined]
    found = measured(drawn, grid, volume)
    seen = foreseen_with(asked.store, asked.patient_id, scan.timepoint, drawn, found, asked.person)
    needed = needs_confirming(seen.flips)
    if needed != tuple(Flip(one.timepoint, one.before, one.after) for one in body.confirmed or []):
        words = flip_words(needed) or "none becomes another one"
        return problem(409, f"This changes the response. {words}.", flips=[vars(flip) for flip in needed])
    kept = asked.store.measurements.add(drawn, found, asked.person, seen.flips, seen.told)
    return JSONResponse(measurement_json(kept), headers=NO_STORE)


def _check_lesion(store: SeenStore, patient_id: str, lesion_id: str | None) -> None:
    """Raises InputError for a lesion that no mask of the patient has."""
    if lesion_id is None:
        return
    known = {str(one["lesion_id"]) for record in store.masks.of(patient_id) for one in record.lesions}
    if lesion_id not in known:
        raise InputError(f"Expected a lesion that a mask of {patient_id} has, got {lesion_id}. Save the mask first.")


def get_diameters(asked: Asked) -> Response:
    """GET -> the longest diameter and its perpendicular of each label, of its longest piece, with their ends."""
    record = asked.mask(asked.parameter("mask_id"))
    return JSONResponse({"lesions": measured.lesion_diameters(record)}, headers=NO_STORE)


MEASURE_ROUTES = [
    guarded(
        API + "measurement",
        keep,
        ByToken(
            what="this measurement",
            most_bytes=MAX_MEASUREMENT_BYTES,
            too_long="Expected one measurement, got more. Keep them one by one.",
        ),
        ["POST"],
    ),
    guarded(API + "mask/{mask_id}/diameters", get_diameters, ByToken("this mask")),
]
