"""How sure a network is of what it finds: the mean probability of every piece, true and false, and what a limit costs.

`python -m weights.recipes.sts_wide_view.sureness --sts DIR --model sts-ctpet-wide-view --to FILE`

True pieces touch a contour; those of held-out patients count. False ones are of whole scans beside the contour, and of
those scans with the tumour painted out (`painted_out.py` and `follow_up`) in which `evaluate` found something: the
others have no piece to be asked about. Goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from core.engines.auto.nnunet import NnUNetSegmenter, load_segmenter
from core.lesions.matching import components
from core.simulation.demo_timepoints import real_scan
from core.types import LabelMap, Volume
from weights.recipes.sts_ctpet.prepare import split
from weights.recipes.sts_ctpet.simulated import without_tumour
from weights.recipes.sts_wide_view.evaluate import Row
from weights.recipes.sts_wide_view.painted_out import painted_out

LIMITS = (0.8, 0.85, 0.9, 0.92, 0.95)


def pieces(segmenter: NnUNetSegmenter, volumes: Sequence[Volume], truth: LabelMap | None) -> list[Row]:
    """A row a piece of 30 mm3: mL, mean probability, and whether it touches the contour."""
    answer = segmenter.segment(volumes)
    found = LabelMap(components(answer.labels.array > 0, answer.labels.grid), answer.labels.grid)
    means = answer.probability.means(found) if answer.probability else {}
    rows: list[Row] = []
    for label, mean in means.items():
        there = found.array == label
        touches = truth is not None and bool((truth.array[there] > 0).any())
        volume_ml = float(np.count_nonzero(there)) * found.grid.voxel_volume_mm3 / 1000
        rows.append({"mL": round(volume_ml, 3), "mean_probability": round(mean, 4), "true": float(touches)})
    return rows


def scans(sts: Path, patient: str, ways: Sequence[str]) -> Iterator[tuple[str, Sequence[Volume], LabelMap | None]]:
    """(way, scans, contour) of each of the ways: "whole", "follow-up", and those of `painted_out`."""
    everybody = sorted(folder.name for folder in sts.glob("STS_*"))
    number = everybody.index(patient)
    donors = [sts / everybody[(number + n) % len(everybody)] for n in range(7, 7 + len(everybody) - 8)]
    for way in ways:
        if way == "whole":
            real = real_scan(sts / patient)
            yield way, (real.ct, real.pet), real.truth
        elif way == "follow-up":
            gone = without_tumour(sts / patient, 100 + number)
            yield way, (gone.ct, gone.pet), None
        elif (made := painted_out(sts / patient, way, donors, number)) is not None:
            yield way, made, None


def summary(rows: Sequence[Row], held_out: Sequence[str]) -> list[str]:
    """Lines: the least sure true piece, and what each limit would doubt."""
    whole = [row for row in rows if row["true"] and row["patient"] in held_out]
    with_tumour = sorted({str(row["patient"]) for row in whole})
    main = {p: max((r for r in whole if r["patient"] == p), key=lambda r: float(r["mL"])) for p in with_tumour}
    false = [row for row in rows if not row["true"]]
    least = min((float(row["mean_probability"]) for row in main.values()), default=float("nan"))
    lines = [f"{len(main)} held-out tumours: the least sure largest piece has {least:.3f}"]
    for limit in LIMITS:
        doubted = sum(float(row["mean_probability"]) < limit for row in false)
        lost = sum(float(row["mean_probability"]) < limit for row in main.values())
        lines.append(
            f"below {limit}: {doubted} of {len(false)} false pieces doubted, {lost} of {len(main)} held-out tumours"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sts", type=Path, required=True)
    parser.add_argument("--model", default="sts-ctpet-wide-view")
    parser.add_argument("--evaluation", type=Path, default=Path("weights/sts_ctpet_wide_view/evaluation.json"))
    parser.add_argument("--patients", nargs="*", help="else all 24")
    parser.add_argument("--to", type=Path, required=True)
    arguments = parser.parse_args()
    training, held_out = split(arguments.sts)
    segmenter = load_segmenter(arguments.model)
    kept: dict[str, list[Row]] = json.loads(arguments.to.read_text()) if arguments.to.exists() else {}
    painted = json.loads(arguments.evaluation.read_text())[arguments.model]["painted out"]
    for patient in arguments.patients or [*held_out, *training]:
        ways = ["whole"] if patient in held_out else []
        ways += [row["way"] for row in painted if row["patient"] == patient and row["found_mL"] > 0]
        if patient in kept:
            continue
        kept[patient] = [
            {"patient": patient, "way": way, **row}
            for way, volumes, truth in scans(arguments.sts, patient, ways)
            for row in pieces(segmenter, volumes, truth)
        ]
        arguments.to.write_text(json.dumps(kept, indent=1))
        print(patient, len(kept[patient]), "pieces", flush=True)
    print("\n".join(summary([row for rows in kept.values() for row in rows], held_out)))


if __name__ == "__main__":
    main()
