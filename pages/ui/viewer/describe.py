"""Store records as the JSON that the viewer's modules take (README.md, "What the page gives")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import nibabel as nib
import numpy as np

from core.remembered.links import StoredTransform
from core.remembered.untyped import JsonDict, JsonObject
from core.review.decisions import REJECTED
from core.review.drawable import drawable_lesions
from core.review.identity import numbered_id
from core.types import UNITS, MaskRecord, Scan
from pages.ui.api import slabs
from pages.ui.api.measure_routes import measurement_json
from pages.ui.api.scan_routes import API, CONVERSIONS, assets_url
from pages.ui.frame import resources
from pages.ui.guard.base_path import in_browser
from pages.ui.guard.tokens import make_token
from pages.ui.shared.charts import LESION_COLOURS
from pages.ui.shared.lost_files import file_problem
from pages.ui.shared.slices import WINDOWS, outline_rgb
from store import SeenStore


@dataclass(frozen=True)
class Shown:
    """What one pane shows.

    Args:
        timepoint: whose scans.
        mask: the version that is drawn; None for none, and where its file cannot be read.
        against: the version whose differences are coloured; None for none.
        title: the pane's name; the timepoint where it is empty.
        scan_id: the scan shown at first; the reference scan where it is empty.
    """

    timepoint: str
    mask: MaskRecord | None = None
    against: MaskRecord | None = None
    title: str = ""
    scan_id: str = ""


def viewer_data(
    store: SeenStore,
    patient: str,
    panes: Sequence[Shown],
    person: str,
    *,
    mode: str = "review",
    edit: bool = False,
    link: JsonObject | None = None,
    registration: JsonObject | None = None,
) -> JsonDict:
    """The whole description, with a token for just these scans and timepoints.

    Args:
        edit: the first pane's mask may be changed; the person's draft of it is then told, if there is one.
        link: {"matrix": 4x4, mm of pane 0 -> mm of pane 1, "converged", "message"}.
        registration: what is done to correct that link (README.md, "registration"); the second pane is then laid over
            the first.
    """
    panes = [_readable(store, shown) for shown in panes]
    described = [_pane(store, patient, shown) for shown in panes]
    described[0] |= _drawable(store, patient, panes[0], person) if edit else {}
    scans = [scan["sha256"] for pane in described for scan in pane["scans"]]
    return {
        "assets": in_browser(assets_url()),
        "api": in_browser(API),
        "token": make_token(person, patient, scans, [shown.timepoint for shown in panes], edit),
        "mode": mode,
        "patient": patient,
        "person": person,
        "edit": edit,
        "presets": {
            modality: [[name, *window] for name, window in presets.items()]
            for modality, presets in {**WINDOWS, "MR": {}}.items()
        },
        "keep": store.people.may(person, "measurement.added"),
        "panes": described,
        "link": None
        if link is None
        else {**link, "matrix": [float(v) for v in np.asarray(link["matrix"], float).ravel()]},
        "registration": registration,
        "prompts": _prompts(panes[0].mask),
        "draft": _draft(store, patient, panes[0], person) if edit else None,
        "colours": [_colour(numbered_id(n + 1)) for n in range(len(LESION_COLOURS))],
    }


def linking(found: StoredTransform) -> JsonDict:
    """A stored transform as `link`: what failed or was refused links nothing, and the viewer says so."""
    state = found.registration_state
    refused = f"The registration was refused by {found.judged_by}: “{found.judged_reason}”."
    return {
        "matrix": found.matrix,
        "converged": found.numbers_lesions,
        "message": refused if state == "refused" else found.message,
    }


def _readable(store: SeenStore, shown: Shown) -> Shown:
    """The same without masks whose file cannot be read: neither they nor their recorded volumes are shown."""
    against = None if shown.against is None or file_problem(store, shown.against) else shown.against
    if shown.mask is None or file_problem(store, shown.mask) is None:
        return replace(shown, against=against)
    title = f"{shown.title} · mask cannot be read" if shown.title else ""
    return replace(shown, mask=None, against=None, title=title)


def _pane(store: SeenStore, patient: str, shown: Shown) -> JsonDict:
    day = shown.timepoint
    reference = store.scans.reference(patient, day)
    scans = [reference, *[s for s in store.scans.of(patient, day) if s.scan_id != reference.scan_id]]
    simulated = next((s for s in scans if s.metadata.get("simulated")), None)
    by_id = {scan.scan_id: scan.sha256 for scan in scans}
    _begin(store, reference, shown.mask)
    return {
        "title": shown.title or day,
        "timepoint": day,
        "simulated": None if simulated is None else str(simulated.metadata.get("method", "scan")),
        "scans": [_scan(store, scan) for scan in scans],
        "reference": reference.sha256,
        "shown": by_id.get(shown.scan_id, reference.sha256),
        "mask": _version(shown.mask),
        "against": _version(shown.against),
        "lesions": [] if shown.mask is None else [_lesion(lesion) for lesion in shown.mask.lesions],
        "offered": [],
        "next_label": None,
        "measurements": [measurement_json(one) for one in store.measurements.of(patient) if one.timepoint == day],
    }


def _drawable(store: SeenStore, patient: str, shown: Shown, person: str) -> JsonDict:
    """The lesions of the patient that may be drawn beside those of the mask, and the label of a new one."""
    drawable = drawable_lesions(store, patient, person, shown.mask)
    offered = [
        {"label": label, "lesion_id": name, "colour": _colour(name), "timepoint": drawable.last_seen[name]}
        for label, name in drawable.offered.items()
    ]
    return {"offered": offered, "next_label": drawable.new_label}


def _scan(store: SeenStore, scan: Scan) -> JsonDict:
    path = store.scans.path(scan)
    affine = nib.load(path).affine  # type: ignore[attr-defined]  # the header alone is read
    scale = slabs.scaling(path, scan.modality, slabs.slab_folder(resources.data_root(), scan.sha256))
    presets = WINDOWS.get(scan.modality, {})
    return {
        "sha256": scan.sha256,
        "scan_id": scan.scan_id,
        "channel": scan.channel,
        "modality": scan.modality,
        "unit": UNITS[scan.modality],
        "shape": list(scan.shape),
        "affine": [float(v) for v in affine.ravel()],
        "slope": scale.slope,
        "intercept": scale.intercept,
        "slab": slabs.SLAB,
        "window": list(next(iter(presets.values())) if presets else scale.window),
    }


def _begin(store: SeenStore, scan: Scan, mask: MaskRecord | None) -> None:
    """Begins to make the slabs of the scan that is seen first, while the browser is still fetching the modules."""
    folder, k = slabs.slab_folder(resources.data_root(), scan.sha256), scan.shape[2] // 2
    if mask is not None and mask.lesions:
        largest = max(mask.lesions, key=lambda lesion: float(lesion["volume_mm3"]))
        affine = nib.load(store.scans.path(scan)).affine  # type: ignore[attr-defined]
        k = round(float((np.linalg.inv(affine) @ [*largest["centroid_mm"], 1.0])[2]))
    wanted = min(max(k, 0), scan.shape[2] - 1) // slabs.SLAB
    if not slabs.ready(folder, wanted):
        CONVERSIONS.start(store.scans.path(scan), scan.modality, folder, wanted)


def _version(record: MaskRecord | None) -> JsonDict | None:
    return None if record is None else {"mask_id": record.mask_id, "version": record.version, "status": record.status}


def _prompts(record: MaskRecord | None) -> list[JsonDict]:
    """The boxes and points that a version was made with."""
    return [dict(p) for p in (record.prompts if record else ()) if p.get("type") in ("box", "point")]


def _draft(store: SeenStore, patient: str, shown: Shown, person: str) -> JsonDict | None:
    """The person's open draft of the version that is shown."""
    version = None if shown.mask is None else shown.mask.version
    for draft in store.drafts.of(patient, shown.timepoint, person):
        if draft.parent_version == version:
            return {"draft_id": draft.draft_id, "revision": draft.revision}
    return None


def _colour(lesion_id: str) -> str:
    red, green, blue = outline_rgb(lesion_id)
    return f"#{red:02x}{green:02x}{blue:02x}"


def _lesion(lesion: JsonObject) -> JsonDict:
    return {
        "label": int(lesion["label"]),
        "lesion_id": str(lesion["lesion_id"]),
        "colour": _colour(str(lesion["lesion_id"])),
        "volume_mm3": float(lesion["volume_mm3"]),
        "rejected": bool(lesion.get(REJECTED)),
        "centroid_mm": [float(v) for v in lesion["centroid_mm"]],
    }
