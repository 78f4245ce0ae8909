"""nnU-Net's stage: a proposal, and which lesion of the patient each piece of it may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from core.engines.auto.channels import channels_of, scans_for
from core.engines.auto.choice import fitting_model
from core.errors import InputError
from core.imaging.coverage import partial_words
from core.imaging.volumes import read_label_map, write_nifti
from core.jobs.stages.common import (
    StageStore,
    add_version,
    describe,
    read_scan,
    summary,
    timepoint_scans,
)
from core.jobs.stages.left_out import left_out
from core.jobs.stages.linking import KnownHere, Proposed, known_here, link_summary, prepare_links, store_transforms
from core.lesions.matching import MAX_LESIONS, components
from core.lesions.sizes import MIN_LESION_MM3 as MIN_LESION_MM3
from core.remembered.compartments import Compartments
from core.remembered.links import lesion_number
from core.remembered.vocabulary import MaskMethod
from core.review.readers import masks_for_all_to_see, readable
from core.types import LabelMap, Progress, Volume, no_progress

_COMPARTMENTS = "compartments.nii.gz"


def prepare_segment(store: StageStore, args: Mapping[str, Any], person: str) -> dict[str, Any]:
    """args: patient_id, timepoint, model_id (optional: else the network in force that reads the scans there).

    Its parent is the newest version that `person` may see; of a timepoint that is read blind the newest automatic one,
    since everybody sees what comes out.

    Raises:
        WaitsForScan: the model needs a scan that is not there yet.
    """
    patient_id, timepoint = str(args["patient_id"]), str(args["timepoint"])
    scans = timepoint_scans(store, patient_id, timepoint)
    model_id = str(args.get("model_id") or fitting_model(scans))
    scans_for(channels_of(model_id), scans)
    known = masks_for_all_to_see(store, patient_id, timepoint, person)
    return {
        "patient_id": patient_id,
        "timepoint": timepoint,
        "model_id": model_id,
        "scans": [describe(store, scan) for scan in scans],
        "linking": prepare_links(store, patient_id, timepoint, known),
    }


def compute_segment(params: dict[str, Any], out_dir: Path, progress: Progress) -> dict[str, Any]:
    """Runs the network, splits its answer into lesions, and gives each the number it had at the timepoint before."""
    from core.engines.auto.nnunet import load_segmenter

    progress(0.0, "loading the model")
    segmenter = load_segmenter(params["model_id"])
    volumes = [read_scan(scan) for scan in params["scans"]]
    answer = segmenter.segment(volumes, lambda f, m: progress(0.8 * f, m))
    grid = answer.labels.grid
    found = LabelMap(np.asarray(segmenter.lesion_mask(answer.labels.array)).astype(np.uint8), grid)
    here = [(volume, scan["sha256"]) for volume, scan in zip(volumes, params["scans"], strict=True)]
    labels, proposed = linked(found, here, params["linking"], lambda f, m: progress(0.85 + 0.14 * f, m))
    path = out_dir / "mask.nii.gz"
    write_nifti(path, labels.array, grid)
    sure = {} if answer.probability is None else answer.probability.means(labels)
    noise = left_out(found, labels)
    parts = kept_compartments(answer.labels, labels, segmenter.compartment_names, out_dir)
    progress(1.0, "done")
    return {
        "mask": path.name,
        "compartments": parts,
        "checkpoint_sha256": answer.checkpoint_sha256,
        "channels": list(answer.channels),
        "model_files": dict(answer.model_files),
        "seconds": {k: round(v, 2) for k, v in answer.seconds.items()},
        "coverage": [
            {"type": "coverage", **one.to_json(), "words": partial_words(one)}
            for one in answer.coverage
            if not one.whole
        ],
        "left_out": [] if noise is None else [noise],
        "mean_probability": {str(label): round(mean, 4) for label, mean in sure.items()},
        "proposed": proposed.to_json(),
    }


def kept_compartments(
    classes: LabelMap, labels: LabelMap, names: Mapping[int, str], out_dir: Path
) -> dict[str, Any] | None:
    """Writes which class each voxel of a lesion is, for `record_segment`; None for a model that tells none apart."""
    if not names:
        return None
    inside = np.where(np.isin(classes.array, list(names)) & (labels.array > 0), classes.array, 0).astype(np.uint8)
    write_nifti(out_dir / _COMPARTMENTS, inside, classes.grid)
    return {"file": _COMPARTMENTS, "names": {str(value): name for value, name in names.items()}}


def _read_compartments(said: Mapping[str, Any] | None, out_dir: Path) -> Compartments | None:
    if said is None:
        return None
    classes = read_label_map(out_dir / said["file"])
    return Compartments(classes.array, {int(value): str(name) for value, name in said["names"].items()})


def linked(
    lesion: LabelMap, here: Sequence[tuple[Volume, str]], linking: Mapping[str, Any], progress: Progress = no_progress
) -> tuple[LabelMap, Proposed]:
    """The network's answer as labels, each with the lesion that it is proposed to be.

    A piece below `MIN_LESION_MM3` is left out as noise, but where a known lesion was and nothing larger is: what is
    left of it is not nothing. A label is the lesion's number where no other piece has it, so that files read alike; it
    says nothing.

    Args:
        lesion: 1 where the network found a lesion.
        here, linking, progress: as `core.jobs.stages.linking.known_here` takes them.
    """
    known = known_here(here, linking, progress)
    pieces = _pieces(lesion)
    sizes = pieces.voxel_counts * lesion.grid.voxel_volume_mm3
    kept = _without_noise(pieces, [n for n in pieces.labels if sizes[n] >= MIN_LESION_MM3], known)
    links = known.links(kept)
    labels = _labels({link.label: link.lesion_id for link in links if link.label is not None})
    lookup = np.zeros(256, dtype=np.uint8)
    for component, label in labels.items():
        lookup[component] = label
    renamed = tuple(replace(x, label=labels[x.label]) if x.label is not None else x for x in links)
    return LabelMap(lookup[kept.array], kept.grid), Proposed(renamed, known.transforms)


def _pieces(lesion: LabelMap) -> LabelMap:
    """Connected pieces, the largest first; small ones too, unless there are too many to be anything but noise."""
    try:
        return LabelMap(components(lesion.array, lesion.grid), lesion.grid)
    except InputError:
        return LabelMap(components(lesion.array, lesion.grid, min_volume_mm3=MIN_LESION_MM3), lesion.grid)


def _without_noise(pieces: LabelMap, large: Sequence[int], known: KnownHere) -> LabelMap:
    """Large pieces, and of the small ones those that are all that is left of a known lesion."""
    if len(large) == len(pieces.labels):
        return pieces
    links = known.links(pieces)
    found = {link.lesion_id for link in links if link.label in large}
    left = [x.label for x in links if x.relation in ("stable", "split", "merged") and x.lesion_id not in found]
    wanted = [n for n in pieces.labels if n in large or n in left]
    return LabelMap(np.where(np.isin(pieces.array, wanted), pieces.array, 0).astype(np.uint8), pieces.grid)


def _labels(lesion_of: Mapping[int, str | None]) -> dict[int, int]:
    """Component -> label, each once."""
    wanted = {component: lesion_number(lesion or "") for component, lesion in lesion_of.items()}
    labels: dict[int, int] = {}
    for component in sorted(lesion_of):
        number = wanted[component]
        if 1 <= number <= MAX_LESIONS and number not in labels.values():
            labels[component] = number
    free = (n for n in range(1, MAX_LESIONS + 1) if n not in {*labels.values(), *wanted.values()})
    spare = (n for n in range(1, MAX_LESIONS + 1) if n not in labels.values())
    for component in sorted(set(lesion_of) - set(labels)):
        label = next(free, None)
        labels[component] = label if label is not None else next(n for n in spare if n not in labels.values())
    return labels


def record_segment(
    store: StageStore, params: dict[str, Any], result: dict[str, Any], out_dir: Path, person: str
) -> dict[str, Any]:
    """The network's proposal becomes a mask version with the model's hash.

    Where a scan covers only a part of the other, or pieces were left out as noise, that is kept with the version,
    beside what else it was made from (`prompts`, entries of type "coverage" and `LEFT_OUT`), and is told in the notes.
    How sure the network is of each lesion is kept with it ("mean_probability").
    """
    labels = read_label_map(out_dir / result["mask"])
    patient_id, timepoint = params["patient_id"], params["timepoint"]
    now = masks_for_all_to_see(store, patient_id, timepoint, person)[timepoint]  # not as it was when this was begun
    seen = readable(store, patient_id, now)
    told = [*result.get("coverage", []), *result.get("left_out", [])]
    record = add_version(
        store,
        labels,
        patient_id,
        timepoint,
        mean_probability={int(label): float(mean) for label, mean in result.get("mean_probability", {}).items()},
        method=MaskMethod.NNUNET,
        author=person,
        model_checkpoint=params["model_id"],
        checkpoint_sha256=result["checkpoint_sha256"],
        model_files=result.get("model_files"),
        prompts=told,
        parent_version=seen[-1].version if seen else None,
        compartments=_read_compartments(result.get("compartments"), out_dir),
        links=store_transforms(store, patient_id, Proposed.from_json(result["proposed"]), person),
    )
    notes = [str(one["words"]) for one in told]
    links = [link_summary(link) for link in store.links.of_mask(record.mask_id)]
    return {**summary(record), "seconds": result["seconds"], "links": links, "notes": notes}
