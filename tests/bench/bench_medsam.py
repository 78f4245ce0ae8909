"""LiteMedSAM on real tumours: one box, propagated; three boxes; a box on every slice; nnU-Net.

3-D Dice against the reference contour. Boxes are the contour's own bounding boxes, so a person's looser box may do
better or worse. "One box" is on the largest slice; "three" adds those half-way to either end. What propagation expects
was fitted on these patients, so each one is measured with weights fitted on others only (`FOLDS`). nnU-Net saw CT and
PET, and learned from all patients but the six marked *. "OTHER" are a brain and a breast tumour on MR (pyradiomics'
test data), on which nothing was fitted. The time of one box counts every embedding at what one took in this run,
however it was got; `fill_embeddings` beforehand makes the rest quick.

MEDSAM_PATIENTS="STS_008" and MEDSAM_SCANS="CT" shorten it, and MEDSAM_QUICK=1, which asks the model on prompted slices
alone; MEDSAM_KEEP=file keeps rows there and passes over them the next time.
Data: CC BY 3.0, 10.7937/K9/TCIA.2015.7GO2GSKS.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.engines.prompt.embeddings import SliceEmbed, open_embeddings
from core.engines.prompt.medsam import load_prompt_segmenter
from core.engines.prompt.preparing import to_uint8
from core.engines.prompt.prompting import overlap
from core.engines.propagation.expectation import DEFAULT_WEIGHTS, PriorWeights
from core.engines.propagation.propagation import DEFAULT_STOPPING, segment_from_prompts
from core.imaging.volumes import file_sha256, read_label_map, read_volume
from core.types import Modality, Prompt, Volume
from tests.bench import shared_data

SCANS: dict[str, tuple[str, Modality]] = {"CT": ("CT", "CT"), "MR": ("MR_T1", "MR"), "PET": ("PET", "PET")}
OTHER, OTHER_SCANS = "OTHER", ("brain1", "breast1")
HELD_OUT = ["STS_003", "STS_008", "STS_010", "STS_026", "STS_029", "STS_034"]
#: Patient n of the sorted ones is measured with weights n % 4, fitted without it (`tests.bench.fit_expectation`).
FOLDS = (
    replace(DEFAULT_WEIGHTS, bias=7.436, grey=0.610, form=8.073, vote=0.926),
    replace(DEFAULT_WEIGHTS, bias=8.152, grey=0.623, form=8.793, vote=0.797),
    replace(DEFAULT_WEIGHTS, bias=8.637, grey=0.687, form=9.226, vote=0.562),
    replace(DEFAULT_WEIGHTS, bias=7.848, grey=0.651, form=8.421, vote=0.733),
)


def patients() -> list[str]:
    """All of them, sorted: their order decides the fold."""
    return sorted(path.name for path in (shared_data() / "sts").glob("STS_*"))


def box_of(mask: NDArray[np.bool_], k: int, scan: str) -> Prompt:
    """The bounding box of one slice of the reference contour."""
    i, j = np.flatnonzero(mask[:, :, k].any(axis=1)), np.flatnonzero(mask[:, :, k].any(axis=0))
    return Prompt("box", k, (float(i[0]), float(j[0]), float(i[-1]), float(j[-1])), scan=scan)


def three(slices: NDArray[Any], largest: int) -> list[int]:
    """The largest slice and those half-way to either end of the contour."""
    halves = ((int(slices[0]) + largest) // 2, (largest + int(slices[-1]) + 1) // 2)
    return sorted({largest, *(k for k in halves if k in slices)})


def _encode_s(segmenter: Any, image: NDArray[np.uint8]) -> float:
    """Seconds of one embedding, past every cache."""
    began = time.perf_counter()
    segmenter._compute(image)
    return time.perf_counter() - began


def measure(volume: Volume, truth: NDArray[np.bool_], weights: PriorWeights, cached: SliceEmbed) -> dict[str, Any]:
    """One row: Dice of every way, where propagation stopped, and its time."""
    segmenter, modality = load_prompt_segmenter(), volume.modality
    slices, largest = np.flatnonzero(truth.any(axis=(0, 1))), int(truth.sum(axis=(0, 1)).argmax())
    image = np.ascontiguousarray(to_uint8(volume.array, modality)[:, :, largest])
    encode_s = min(_encode_s(segmenter, image) for _ in range(4))
    used: set[int] = set()
    spent = [0.0]

    def embed(k: int, image: NDArray[np.uint8]) -> Any:
        began = time.perf_counter()
        embedding = cached(k, image)
        used.add(k)
        spent[0] += time.perf_counter() - began
        return embedding

    def found(ks: Sequence[int], propagate: bool = True, **rules: Any) -> Any:
        prompts = [box_of(truth, int(k), modality) for k in ks]
        return segment_from_prompts(
            volume,
            prompts,
            segmenter,
            propagate,
            rules=replace(DEFAULT_STOPPING, weights=weights, **rules),
            embed=embed,
        )

    def timed(ks: Sequence[int], **rules: Any) -> tuple[Any, float, int]:
        used.clear()
        spent[0], began = 0.0, time.perf_counter()
        answer = found(ks, **rules)
        return answer, time.perf_counter() - began - spent[0] + len(used) * encode_s, len(used)

    some = three(slices, largest)
    alone, alone_s, _ = timed([largest], asked_boxes=())
    measured: dict[str, Any] = {
        "slices": len(slices),
        "every slice": overlap(found([int(k) for k in slices], propagate=False).mask, truth),
        "one box, others not asked": overlap(alone.mask, truth),
        "not asked s": alone_s,
        "2-D, largest slice": overlap(alone.mask[:, :, largest], truth[:, :, largest]),
    }
    if "MEDSAM_QUICK" in os.environ:
        measured["three boxes, others not asked"] = overlap(found(some, asked_boxes=()).mask, truth)
        return measured
    one, seconds, embedded = timed([largest])
    return measured | {
        "one box": overlap(one.mask, truth),
        "one box s": seconds,
        "embedded": embedded,
        "three boxes": overlap(found(some).mask, truth),
        "stopped (truth)": "; ".join(f"{s.slice} {s.rule}" for s in one.stops) + f" ({slices[0]}..{slices[-1]})",
    }


def by_nnunet(folder: Path, truth: NDArray[np.bool_]) -> float:
    """Dice of the shipped network's tumour, all its lesions together."""
    from core.engines.auto.nnunet import load_segmenter

    ct, pet = read_volume(folder / "CT_image.nii.gz", "CT"), read_volume(folder / "PET_image.nii.gz", "PET")
    answer = load_segmenter("sts-ctpet-small").segment([ct, pet])
    return overlap(answer.labels.array > 0, truth)


def row(patient: str, scan: str) -> dict[str, Any] | None:
    """One scan's; None where the patient has none."""
    folder, (file, modality) = shared_data() / "sts" / patient, SCANS[scan]
    path = folder / f"{file}_image.nii.gz"
    if not path.is_file():
        return None
    truth = read_label_map(folder / f"{file}_mask.nii.gz").array > 0
    embed = open_embeddings().embedder(load_prompt_segmenter(), file_sha256(path), axis=2)
    weights = FOLDS[patients().index(patient) % len(FOLDS)]
    star = "*" if patient in HELD_OUT else ""
    measured = {"scan": f"{patient}{star} {scan}", **measure(read_volume(path, modality), truth, weights, embed)}
    if scan == "CT":
        measured["nnU-Net"] = by_nnunet(folder, truth)
    return measured


def other_row(name: str) -> dict[str, Any]:
    """One scan's on which nothing was fitted, with the weights that are shipped."""
    path = shared_data() / "radiomics_baseline" / f"{name}_image.nrrd"
    truth = read_label_map(path.with_name(f"{name}_label.nrrd")).array > 0
    embed = open_embeddings().embedder(load_prompt_segmenter(), file_sha256(path), axis=2)
    return {"scan": f"{name} MR", **measure(read_volume(path, "MR"), truth, DEFAULT_WEIGHTS, embed)}


def run() -> list[dict[str, Any]]:
    """One row a scan, and the means."""
    keep = Path(os.environ["MEDSAM_KEEP"]) if "MEDSAM_KEEP" in os.environ else None
    kept: dict[str, Any] = json.loads(keep.read_text()) if keep and keep.exists() else {}
    rows: list[dict[str, Any]] = []
    for scan in os.environ.get("MEDSAM_SCANS", " ".join([*SCANS, OTHER])).split():
        if scan == OTHER:
            rows += [other_row(name) for name in OTHER_SCANS]
            continue
        part = []
        for patient in os.environ.get("MEDSAM_PATIENTS", " ".join(patients())).split():
            name = f"{patient} {scan}"
            if name not in kept:
                kept[name] = row(patient, scan)
                if keep:
                    keep.write_text(json.dumps(kept))
            if kept[name]:
                part.append(kept[name])
        numbers = [key for key, value in part[0].items() if isinstance(value, float)]
        held_out = [r for r in part if "*" in r["scan"]]
        for label, some in (("mean", part), ("mean of *", held_out)):
            if some:
                means = {key: float(np.mean([r[key] for r in some])) for key in numbers}
                part = [*part, {"scan": f"{label} {scan}", **means}]
        rows += part
    return rows
