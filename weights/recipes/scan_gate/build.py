"""Compute the reference of the scan gate: looks of the sarcoma patients' scans, of phantoms, and of shifted ones.

`python -m weights.recipes.scan_gate.build --sts DIR --shared DIR`: about ten minutes of one core. For the table that
compares the detectors, `--deep FILE` takes RF-Deep's features of the same scans in, `--slices FOLDER` makes
LiteMedSAM's (ten minutes more; kept in the folder), and `--cubes FOLDER` ASTRA's of the CT, or a SwinUNETR's (half an
hour more; likewise). Writes reference.npz to weights/scan_gate_sts and prints the manifest's lines.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.engines.encoders.astra import load_astra
from core.engines.encoders.swin_unetr import load_swin_unetr
from core.engines.prompt.medsam import load_prompt_segmenter
from core.gates.scan.backbones import Backbone, CropBackbone, SliceBackbone
from core.gates.scan.building import Row, assemble, empty, no_deep, row_of
from core.gates.scan.card import Card
from core.gates.scan.features import scan_seed
from core.gates.scan.looks import LOOKS_VERSION
from core.gates.scan.reference import IN_DISTRIBUTION, PHANTOM, REAL
from core.gates.scan.rfdeep import read_features
from core.gates.scan.scan_gate import MODEL_ID
from core.gates.scan.seeing import encoder_name
from core.gates.scan.shifts import CT_AS_MR, MR_CORRUPTIONS, OTHER_BODY_AS_MR
from core.imaging.volumes import read_volume
from core.types import LabelMap, Volume
from weights.recipes.rfdeep.build import PER_KIND, SOURCES, Case, cases

SEED = 20261128
#: Of each scan that LiteMedSAM's encoder looks at, evenly spread.
SLICES = 2
#: Of each CT that ASTRA's encoder looks at: around the tumour that somebody drew, up the middle where nobody did.
CUBES = 2
ENCODERS = {"astra": load_astra, "swin-unetr": load_swin_unetr}
CT_AS_MR_SCANS = 8
DEEP_FACTS = ("network", "checkpoint_sha256", "features_version")


def mr_rows(sts: Path, shared: Path) -> Iterator[Row]:
    """The patients' T1 MR, these shifted, and MR of other bodies."""
    paths = sorted(sts.glob("STS_*/MR_T1_image.nii.gz"))
    images = {path.parent.name: read_volume(path, "MR", "T1") for path in paths}
    for n, (group, image) in enumerate(images.items()):
        yield row_of(IN_DISTRIBUTION, REAL, group, [image])
        for m, (kind, shift) in enumerate(MR_CORRUPTIONS.items()):
            yield row_of(kind, REAL, group, [shift(image, np.random.default_rng([SEED, n, m]))])
    for path in sorted(sts.glob("STS_*/CT_image.nii.gz"))[:CT_AS_MR_SCANS]:
        ct = read_volume(path, "CT")
        yield row_of(CT_AS_MR, REAL, path.parent.name, [Volume(np.maximum(ct.array + 1024, 0), ct.grid, "MR")])
    others = [(p.parent.name, p) for p in sorted(shared.glob("ms_longitudinal/*/study*_FLAIR.nii.gz"))]
    others += [(p.name.split("_")[0], p) for p in sorted(shared.glob("radiomics_baseline/*_image.nrrd"))]
    for group, path in others:
        yield row_of(OTHER_BODY_AS_MR, REAL, group, [read_volume(path, "MR")])


def card_of(sts: Path) -> Card:
    """What the sarcoma scans' grids are like."""
    names = (("CT_image.nii.gz", "CT"), ("PET_image.nii.gz", "PET"), ("MR_T1_image.nii.gz", "MR"))
    found = [(f / name, kind) for f in sorted(sts.glob("STS_*")) for name, kind in names if (f / name).is_file()]
    named = {"MR": "T1"}
    return Card.of([read_volume(path, kind, named.get(kind, "")) for path, kind in found])  # type: ignore[arg-type]


def deep_features(path: Path | None, rows: Sequence[Row]) -> dict[str, NDArray[Any]]:
    """RF-Deep's features of the same scans, by kind, patient and order; NaN for those that have none."""
    out = no_deep(rows)
    if path is None:
        return out
    found = read_features(path)
    places: dict[tuple[str, str], list[int]] = defaultdict(list)
    for n, key in enumerate(zip(found.kind.tolist(), found.group.tolist(), strict=True)):
        places[key].append(n)
    taken = ("rows", "centre", "logits", "anchor_shape", "dice")
    out |= {name: empty(rows, getattr(found, name).shape[1:]) for name in taken}
    for n, row in enumerate(rows):
        mine = places.get((row.case[0], row.case[2]))
        if mine and "histogram" in row.arrays:
            at = mine.pop(0)
            for name in taken:
                out[name][n] = getattr(found, name)[at]
    return out


@dataclass(frozen=True)
class Looker:
    """An encoder whose features of the scans are asked for, and kept in a folder for the next time.

    Args:
        array: its name in the reference.
        apart: one scan after the other, their features beside each other.
        anchored: around the tumour that somebody drew.
    """

    array: str
    backbone: Backbone
    kept: Path
    crops: int
    apart: bool = False
    anchored: bool = False

    def look(self, case: Case) -> NDArray[np.float32]:
        """(crops, features); from the folder where they were computed before."""
        place = self.kept / f"{self.backbone.name}-{scan_seed(case.volumes):016x}.npy".replace("@", "-")
        if place.is_file():
            return np.asarray(np.load(place, allow_pickle=False))
        mask = None
        if self.anchored and case.truth is not None:
            mask = LabelMap(case.truth.astype(np.uint8), case.volumes[0].grid)
        asked = [[volume] for volume in case.volumes] if self.apart else [list(case.volumes)]
        found = np.concatenate([self.backbone.rows(one, mask, self.crops) for one in asked], axis=1)
        np.save(place, found)
        return found


def lookers(slices: Path | None, cubes: Path | None, encoder: str) -> list[Looker]:
    """The encoders that were asked for; `encoder`: one of `ENCODERS`, for the cubes."""
    found = []
    if slices is not None:
        found.append(Looker("slices", SliceBackbone(load_prompt_segmenter()), slices, SLICES, apart=True))
    if cubes is not None:
        found.append(Looker("cubes", CropBackbone(ENCODERS[encoder]()), cubes, CUBES, anchored=True))
    for one in found:
        one.kept.mkdir(parents=True, exist_ok=True)
    return found


def put_in(arrays: dict[str, NDArray[Any]], rows: Sequence[Row], name: str, found: dict[int, NDArray[Any]]) -> None:
    """An encoder's features into the arrays, by the place of the scan; NaN for the others."""
    if found:
        # Half precision: they are many, and nothing that judges rests on them.
        arrays[name] = empty(rows, next(iter(found.values())).shape).astype(
            np.float16 if name == "cubes" else np.float32
        )
        for n, features in found.items():
            arrays[name][n] = features


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sts", type=Path, required=True)
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--phantoms", type=int, default=24)
    parser.add_argument("--per-kind", type=int, nargs=2, default=PER_KIND, metavar=("REAL", "PHANTOMS"))
    parser.add_argument("--deep", type=Path, help="RF-Deep's features of the same scans (reference.npz)")
    parser.add_argument("--slices", type=Path, help="a folder to keep LiteMedSAM's features in")
    parser.add_argument("--cubes", type=Path, help="a folder to keep a 3-D encoder's features in")
    parser.add_argument("--encoder", choices=[*ENCODERS], default="astra", help="of the cubes")
    parser.add_argument("--to", type=Path, default=Path("weights/scan_gate_sts"))
    arguments = parser.parse_args()
    shared = arguments.shared / "data" if (arguments.shared / "data").is_dir() else arguments.shared
    rows = list(mr_rows(arguments.sts, shared))
    print(len(rows), "MR", flush=True)
    asked = lookers(arguments.slices, arguments.cubes, arguments.encoder)
    seen: dict[str, dict[int, NDArray[Any]]] = {one.array: {} for one in asked}
    for case in cases(arguments.sts, arguments.shared, arguments.phantoms, arguments.per_kind):
        for one in asked if case.domain != PHANTOM else []:
            seen[one.array][len(rows)] = one.look(case)
        rows.append(row_of(case.kind, case.domain, case.group, case.volumes))
        print(f"{len(rows):4d} {case.kind:28s} {case.group}", flush=True)
    counts = Counter((row.case[1], row.case[0]) for row in rows)
    deep = None if arguments.deep is None else read_features(arguments.deep).provenance
    facts = {
        "model_id": MODEL_ID,
        "looks_version": LOOKS_VERSION,
        "seen_by": encoder_name(),
        "card": card_of(arguments.sts).to_json(),
        "deep": None
        if deep is None
        else {key: deep[key] for key in ("network", "checkpoint_sha256", "features_version")},
        **{name: None for name in ("slices", "cubes")},
        **{one.array: one.backbone.name for one in asked},
        "scans": {domain: {k: n for (d, k), n in counts.items() if d == domain} for domain in (REAL, PHANTOM)},
        "command": f"python -m weights.recipes.scan_gate.build --phantoms {arguments.phantoms} "
        f"--per-kind {' '.join(map(str, arguments.per_kind))}",
        "sources": SOURCES,
    }
    levels = (16, 16, 32, 64, 128) if deep is None or deep["network"] == "sts-ctpet-small" else (24, 24, 48, 96, 192)
    features = deep_features(arguments.deep, rows)
    for name, found in seen.items():
        put_in(features, rows, name, found)
    reference = assemble(rows, features, levels, facts)
    content = reference.to_bytes()
    arguments.to.mkdir(parents=True, exist_ok=True)
    (arguments.to / "reference.npz").write_bytes(content)
    provenance = json.dumps(facts, indent=1).encode() + b"\n"
    (arguments.to / "provenance.json").write_bytes(provenance)
    print(f'\nweights/manifest.toml, id = "{MODEL_ID}":\nsha256 = "{hashlib.sha256(content).hexdigest()}"')
    print(f'files = {{ "provenance.json" = "{hashlib.sha256(provenance).hexdigest()}" }}')


if __name__ == "__main__":
    main()
