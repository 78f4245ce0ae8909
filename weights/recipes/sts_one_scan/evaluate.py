"""The figures of a network of one scan, on the held-out patients who have such a scan, by the engine of the product.

`python -m weights.recipes.sts_one_scan.evaluate --sts DIR --kind CT` writes weights/FOLDER/evaluation.json, goes on
where it stopped, and prints the summary. Painted-out scans are made at the network's spacing by the ways of training
("level", "diffusion" ...), of held-out patients: what is found in them is found in nothing.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from core.engines.auto.nnunet import NnUNetSegmenter, load_segmenter
from core.lesions.matching import components
from core.lesions.metrics import dice
from core.types import LabelMap, Volume
from weights.recipes.sts_ctpet.prepare import split
from weights.recipes.sts_one_scan.scans import KINDS, Kind, paint_volume, read
from weights.recipes.sts_wide_view.evaluate import Row, mean
from weights.recipes.sts_wide_view.painting import WAYS


def whole(segmenter: NnUNetSegmenter, scan: Volume, truth: LabelMap) -> Row:
    """Dice and mL; lesions found, and found falsely: components of 30 mm3 that touch no contour."""
    there = truth.array > 0
    answer = segmenter.segment([scan])
    found, lesions = answer.labels, components(there, truth.grid)
    pieces = LabelMap(components(found.array > 0, found.grid), found.grid)
    true = {int(n) for n in np.unique(pieces.array[there])} - {0}
    sure = answer.probability.means(pieces) if answer.probability else {}
    return {
        "mL": round(truth.volume_mm3 / 1000, 1),
        "dice": round(dice(found.array > 0, there), 3),
        "found_mL": round(found.volume_mm3 / 1000, 1),
        "lesions": int(lesions.max()),
        "lesions_found": len({int(n) for n in np.unique(lesions[found.array > 0])} - {0}),
        "false_lesions": len(pieces.labels) - len(true),
        "mean_probability": round(max(sure[n] for n in true), 3) if true else "no piece of it",
    }


def figures(kind: Kind, sts: Path, to: Path) -> dict[str, list[Row]]:
    """{"held out": rows, "painted out": rows}; what is there already is not made again."""
    kept: dict[str, list[Row]] = json.loads(to.read_text()) if to.exists() else {"held out": [], "painted out": []}
    segmenter = load_segmenter(kind.model_id)
    _, held_out = split(sts)
    pairs = {patient: pair for patient in held_out if (pair := read(sts, patient, kind)) is not None}
    for patient, pair in pairs.items():
        if all(row["patient"] != patient for row in kept["held out"]):
            _keep(kept, "held out", {"patient": patient, **whole(segmenter, *pair)}, to)
    for patient, pair in pairs.items():
        done = {str(row["way"]) for row in kept["painted out"] if row["patient"] == patient}
        for way_number, way in enumerate(WAYS):
            if way not in done:
                rng = np.random.default_rng([held_out.index(patient), way_number, 11])
                found = segmenter.segment([paint_volume(*pair, way, rng)]).labels
                row: Row = {"patient": patient, "way": way, "found_mL": round(found.volume_mm3 / 1000, 2)}
                _keep(kept, "painted out", row, to)
    return kept


def _keep(kept: dict[str, list[Row]], name: str, row: Row, to: Path) -> None:
    kept[name].append(row)
    to.write_text(json.dumps(kept, indent=1))
    print(row, flush=True)


def summary(found: dict[str, list[Row]]) -> list[str]:
    """Lines, the bad ones first."""
    held, painted = found["held out"], found["painted out"]
    least = min(held, key=lambda row: float(row["dice"]))
    false = sum(int(row["false_lesions"]) for row in held)
    something = [row for row in painted if float(row["found_mL"]) > 0]
    return [
        f"held-out Dice {mean(held, 'dice')} of {len(held)} patients, the least {least['dice']} ({least['patient']})",
        f"lesions found {sum(int(row['lesions_found']) for row in held)} of {sum(int(row['lesions']) for row in held)}",
        f"false lesions {false / max(len(held), 1):.1f} a scan",
        f"painted-out scans that get a tumour {len(something)} of {len(painted)} (mean {mean(painted, 'found_mL')} mL)",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sts", type=Path, required=True)
    parser.add_argument("--kind", choices=sorted(KINDS), required=True)
    parser.add_argument("--to", type=Path)
    arguments = parser.parse_args()
    kind = KINDS[arguments.kind]
    to = arguments.to or Path("weights") / kind.folder / "evaluation.json"
    print("\n".join(summary(figures(kind, arguments.sts, to))))


if __name__ == "__main__":
    main()
