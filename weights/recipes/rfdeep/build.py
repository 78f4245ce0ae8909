"""Compute the reference features of the out-of-distribution gate, its threshold, and where they come from.

`python -m weights.recipes.rfdeep.build --sts DIR --shared DIR --model sts-ctpet-wide-view` (or
`--folder TRAINED_MODEL`). Writes reference.npz and provenance.json to weights/rfdeep_sts_ctpet and prints the
manifest's lines. Takes about forty minutes on one core; with `--kept FOLDER` a build that was stopped goes on from what
was computed of each scan. The network must be the final one: features of another are refused.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.gates.scan.detectors import geometry, histogram
from core.gates.scan.features import CROPS, FEATURES_VERSION, ScanFeatures, scan_features, scan_seed
from core.gates.scan.rfdeep import IN_DISTRIBUTION, RFDEEP_ID, Reference, crossfit
from core.gates.scan.shifts import (
    CORRUPTIONS,
    MR_AS_CT,
    OTHER_BODY_CT,
    OTHER_BODY_MR,
    Pair,
    brain_like_pet,
    focal_pet,
)
from core.imaging.volumes import read_volume
from core.simulation.phantom import LesionSpec, PhantomSpec, phantom
from core.simulation.simulate import follow_up
from core.types import Volume

SEED = 20261121
#: Scans of each kind of corruption, made from real scans and from phantoms.
PER_KIND = (8, 6)
#: The arrays of `ScanFeatures`.
STORED = ("rows", "spread", "centre", "logits", "anchor_shape")


@dataclass(frozen=True, eq=False)
class Case:
    """One scan of the reference: what it is, where it is from, who it is of, and where the tumour is, if that is known.

    Args:
        truth: on the first volume's grid.
    """

    kind: str
    domain: str
    group: str
    volumes: Pair
    truth: NDArray[np.bool_] | None = None


@dataclass(frozen=True, eq=False)
class Kept:
    """What remains of a case once its voxels are gone: (kind, domain, group) and the features; `dice` of the network's
    mask with the truth, NaN where that is not known.
    """

    case: tuple[str, str, str]
    features: ScanFeatures
    dice: float
    histogram: NDArray[np.float32]
    geometry: NDArray[np.float32]


def phantom_spec(number: int) -> PhantomSpec:
    """A thigh drawn from the range that the demo cohort and the sarcoma scans span: 1 or 2 lesions of 3 to 300 mL."""
    rng = np.random.default_rng([SEED, number])
    leg = (float(rng.choice([-1, 1])) * rng.uniform(10, 27), rng.uniform(-22, 20))
    pair = number % 4 == 0
    largest = 1.5e5 if pair else 3e5

    def lesion(label: int, z_mm: float) -> LesionSpec:
        return LesionSpec(
            label,
            float(np.exp(rng.uniform(np.log(3e3), np.log(largest)))),
            centre_mm=(*rng.uniform(-6, 6, 2).tolist(), z_mm),
            suv=rng.uniform(3, 11),
            hu=rng.uniform(28, 44),
            necrosis=float(rng.choice([0, 0, 0.3, 0.55])),
            elongation=rng.uniform(1, 1.5),
            shape_seed=number + 40 * label,
        )

    lesions = (lesion(1, -38.0), lesion(2, 38.0)) if pair else (lesion(1, rng.uniform(-5, 5)),)
    side = int(rng.integers(148, 166))
    return PhantomSpec(
        anatomy=5000 + number,
        lesions=lesions,
        leg_mm=leg,
        shape=(side, side, int(rng.integers(62, 70)) if pair else 54),
        pet_spacing_mm=float(rng.choice([4.69, 5.47])),
        rotation_deg=tuple(rng.uniform(-3, 3, 3)),
        shift_mm=tuple(rng.uniform(-6, 6, 3)),
    )


def draw_phantom(number: int) -> Pair:
    """The scan of that number; of every third the follow-up, warped as the demo's are."""
    scan = phantom(phantom_spec(number), seed=number)
    if number % 3 == 1:
        rng = np.random.default_rng([SEED, number, 1])
        turn, shift = tuple(rng.uniform(-2, 2, 3)), tuple(rng.uniform(-6, 6, 3))
        scan = follow_up(
            scan.ct, scan.pet, scan.truth, rng.uniform(0.6, 1.6), rotation_deg=turn, shift_mm=shift, seed=number
        )
    return scan.ct, scan.pet


def pairs(sts: Path, phantoms: int) -> Iterator[tuple[str, dict[str, Pair]]]:
    """In-distribution CT + PET by group, of each domain: the sarcoma patients, then the phantoms."""
    yield (
        "real",
        {
            f.name: (read_volume(f / "CT_image.nii.gz", "CT"), read_volume(f / "PET_image.nii.gz", "PET"))
            for f in sorted(sts.glob("STS_*"))
        },
    )
    yield "phantom", {f"phantom-{number:02d}": draw_phantom(number) for number in range(phantoms)}


def truth_of(sts: Path, group: str, first: Volume) -> NDArray[np.bool_] | None:
    """The drawn tumour of a sarcoma patient, on whichever of its scans has the first volume's shape."""
    for name in ("CT", "PET", "MR_T1"):
        path = sts / group / f"{name}_mask.nii.gz"
        if path.is_file():
            mask = read_volume(path, "MR")
            if mask.grid.shape == first.grid.shape:
                return np.asarray(mask.array > 0.5)
    return None


def cases(sts: Path, shared: Path, phantoms: int, per_kind: Sequence[int] = PER_KIND) -> Iterator[Case]:
    """Every scan of the reference, one after the other: real ones first, then phantoms."""
    for (domain, ordinary), many in zip(pairs(sts, phantoms), per_kind, strict=True):
        groups = list(ordinary)
        for group in groups:
            yield Case(IN_DISTRIBUTION, domain, group, ordinary[group], truth_of(sts, group, ordinary[group][0]))
        for m in range(min(many, len(groups))):
            for n, (kind, shift) in enumerate(CORRUPTIONS.items()):
                # In turn, so that every patient is corrupted about as often as every other.
                group = groups[(n * many + m) % len(groups)]
                volumes = shift(*ordinary[group], np.random.default_rng([SEED, n, m]))
                yield Case(kind, domain, group, volumes, truth_of(sts, group, volumes[0]))
        if domain == "real":
            yield from other_scans(sts, shared, ordinary)


def other_scans(sts: Path, shared: Path, ordinary: Mapping[str, Pair]) -> Iterator[Case]:
    """The patients' own T1 MR in place of the CT, and other bodies."""
    for path in sorted(sts.glob("STS_*/MR_T1_image.nii.gz")):
        image = read_volume(path, "CT")
        group = path.parent.name
        yield Case(MR_AS_CT, "real", group, (image, ordinary[group][1]), truth_of(sts, group, image))
    yield from other_bodies(shared / "data" if (shared / "data").is_dir() else shared)


def other_bodies(shared: Path) -> Iterator[Case]:
    """Head and breast MR sent in as CT with an uptake that follows it; a CT of the trunk with an uptake made up."""
    images = [(p.parent.name, p) for p in sorted(shared.glob("ms_longitudinal/*/study*_FLAIR.nii.gz"))]
    images += [(p.name.split("_")[0], p) for p in sorted(shared.glob("radiomics_baseline/*_image.nrrd"))]
    for n, (group, path) in enumerate(images):
        image = read_volume(path, "CT")
        yield Case(OTHER_BODY_MR, "other", group, (image, brain_like_pet(image, np.random.default_rng([SEED, 77, n]))))
    for path in sorted(shared.glob("controls/*_ct*.nii.gz")):
        ct = read_volume(path, "CT")
        empty = Volume(np.zeros(ct.grid.shape, np.float32), ct.grid, "PET")
        yield Case(OTHER_BODY_CT, "other", "control-ct", (ct, empty))
        for n in range(5):
            yield Case(OTHER_BODY_CT, "other", "control-ct", (ct, focal_pet(ct, np.random.default_rng([SEED, 78, n]))))


def load_network(model: str, folder: Path | None) -> Any:
    """The registered model, or any trained-model folder under the same name (for a trial)."""
    from core.engines.auto.nnunet import NnUNetSegmenter, load_segmenter

    if folder is None:
        return load_segmenter(model)
    import torch

    content = (folder / "fold_0" / "checkpoint_final.pth").read_bytes()
    checkpoint = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    plans, dataset = ((folder / name).read_bytes() for name in ("plans.json", "dataset.json"))
    digest = hashlib.sha256(content).hexdigest()
    return NnUNetSegmenter(plans, dataset, [checkpoint], model_id=model, checkpoint_sha256=digest)


def network_part(network: Any, case: Case, kept: Path | None) -> tuple[ScanFeatures, float]:
    """The case's features and Dice; from the folder `kept`, where they were computed before."""
    name = f"{network.checkpoint_sha256[:16]}-{FEATURES_VERSION}-{scan_seed(case.volumes):016x}.npz"
    place = None if kept is None else kept / name
    if place is not None and place.is_file():
        with np.load(place, allow_pickle=False) as found:
            arrays = {field: found[field] for field in STORED}
            return (
                ScanFeatures(**arrays, tumour_voxels=int(found["tumour_voxels"]), levels=tuple(found["levels"])),
                float(found["dice"]),
            )
    dice = float("nan")
    if case.truth is not None:
        mask = network.segment(case.volumes).labels.array > 0
        dice = 2 * float((mask & case.truth).sum()) / float(mask.sum() + case.truth.sum())
    features = scan_features(network, case.volumes)
    if place is not None:
        facts = {field: getattr(features, field) for field in (*STORED, "tumour_voxels", "levels")}
        np.savez(place, **facts, dice=dice)
    return features, dice


def build(network: Any, found: Iterator[Case], command: str, folder: Path | None = None) -> Reference:
    """Features of every case; those without an anchor are counted and left out; then the cross-fitted scores."""
    kept: list[Kept] = []
    seen: Counter[str] = Counter()
    for n, case in enumerate(found):
        started = time.perf_counter()
        features, dice = network_part(network, case, folder)
        seen[case.kind] += 1
        if features.anchored:
            facts = (case.kind, case.domain, case.group)
            kept.append(Kept(facts, features, dice, histogram(case.volumes), geometry(case.volumes)))
        print(
            f"{n:4d} {case.kind:28s} {case.group:12s} {features.tumour_voxels:7d} voxels, Dice {dice:.2f} "
            f"{time.perf_counter() - started:5.1f} s",
            flush=True,
        )
    with_anchor = Counter(row.case[0] for row in kept)
    provenance = {
        "model_id": RFDEEP_ID,
        "network": network.model_id,
        "checkpoint_sha256": network.checkpoint_sha256,
        "features_version": FEATURES_VERSION,
        "crops": CROPS,
        "seed": SEED,
        "command": command,
        "scans": {kind: {"scans": seen[kind], "with an anchor": with_anchor[kind]} for kind in seen},
        "sources": SOURCES,
        "software": versions(),
    }
    reference = assemble(kept, provenance)
    reference = replace(reference, crossfit=crossfit(reference))
    return replace(reference, provenance={**provenance, "calibration": calibration(reference)})


SOURCES = (
    "Soft-tissue sarcoma CT, PET, T1 MR: Vallieres 2015, 10.7937/K9/TCIA.2015.7GO2GSKS, as packed by IBSI, CC BY 3.0",
    "Phantoms: core/simulation/phantom.py, synthetic",
    "FLAIR MR: Lesjak 2016, github muschellij2/open_ms_data, CC BY",
    "Brain and breast MR: github AIM-Harvard/pyradiomics, BSD-3",
    "Trunk CT: github wasserth/TotalSegmentator, Apache-2.0",
)


def assemble(kept: Sequence[Kept], provenance: dict[str, Any]) -> Reference:
    """Stack what was computed; cross-fitted scores are still to come."""
    kind, domain, group = (np.array(column) for column in zip(*(k.case for k in kept), strict=True))
    return Reference(
        rows=np.stack([k.features.rows for k in kept]),
        centre=np.stack([k.features.centre for k in kept]),
        logits=np.stack([k.features.logits for k in kept]),
        histogram=np.stack([k.histogram for k in kept]),
        geometry=np.stack([k.geometry for k in kept]),
        anchor_shape=np.stack([k.features.anchor_shape for k in kept]),
        dice=np.array([k.dice for k in kept], np.float32),
        kind=kind,
        domain=domain,
        group=group,
        crossfit=np.full(len(kept), np.nan, np.float32),
        provenance=provenance,
    )


def calibration(reference: Reference) -> dict[str, Any]:
    """The threshold, and the share above it by kind and domain, all cross-fitted by patient."""
    flagged = reference.crossfit > reference.threshold
    shares: dict[str, dict[str, str]] = {}
    for kind in dict.fromkeys(reference.kind.tolist()):
        for domain in dict.fromkeys(reference.domain.tolist()):
            inside = (reference.kind == kind) & (reference.domain == domain)
            if inside.any():
                shares.setdefault(kind, {})[domain] = f"{int(flagged[inside].sum())} of {int(inside.sum())}"
    return {"threshold": round(reference.threshold, 4), "flagged, cross-fitted by patient": shares}


def versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("scikit-learn", "numpy", "torch", "nnunetv2")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sts", type=Path, required=True)
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--model", default="sts-ctpet-wide-view")
    parser.add_argument("--folder", type=Path, help="a trained-model folder, instead of the registered model's")
    parser.add_argument("--phantoms", type=int, default=24)
    parser.add_argument("--per-kind", type=int, nargs=2, default=PER_KIND, metavar=("REAL", "PHANTOMS"))
    parser.add_argument("--kept", type=Path, help="a folder for what the network made of each scan: go on from there")
    parser.add_argument("--to", type=Path, default=Path("weights/rfdeep_sts_ctpet"))
    arguments = parser.parse_args()
    command = (
        f"python -m weights.recipes.rfdeep.build --model {arguments.model} --phantoms {arguments.phantoms} "
        f"--per-kind {' '.join(map(str, arguments.per_kind))}"
    )
    found = cases(arguments.sts, arguments.shared, arguments.phantoms, arguments.per_kind)
    if arguments.kept is not None:
        arguments.kept.mkdir(parents=True, exist_ok=True)
    reference = build(load_network(arguments.model, arguments.folder), found, command, arguments.kept)
    content = reference.to_bytes()
    arguments.to.mkdir(parents=True, exist_ok=True)
    (arguments.to / "reference.npz").write_bytes(content)
    provenance = json.dumps(reference.provenance, indent=1).encode() + b"\n"
    (arguments.to / "provenance.json").write_bytes(provenance)
    print(json.dumps(reference.provenance["calibration"], indent=1))
    print(f'\nweights/manifest.toml, id = "{RFDEEP_ID}":\nsha256 = "{hashlib.sha256(content).hexdigest()}"')
    print(f'files = {{ "provenance.json" = "{hashlib.sha256(provenance).hexdigest()}" }}')


if __name__ == "__main__":
    main()
