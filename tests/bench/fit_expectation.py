"""`python -m tests.bench.fit_expectation`: the weights of `core.engines.propagation.expectation`, from the real scans.

Logistic regression over voxels (the same number from every CT, MR and PET scan) of the three things that count there,
with one box, the contour's own on its largest slice. Prints the weights of all patients, and those of four folds, each
fitted without every fourth patient: `bench_medsam.FOLDS`. `fill_embeddings` beforehand makes it quick.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.engines.prompt.embeddings import SliceEmbed, open_embeddings
from core.engines.prompt.medsam import load_prompt_segmenter
from core.engines.prompt.preparing import to_uint8
from core.engines.propagation.boxes import bounding_box_2d, connected_to, widen_box
from core.engines.propagation.expectation import DEFAULT_WEIGHTS, Anchor, LesionPrior
from core.engines.propagation.propagation import DEFAULT_STOPPING
from core.imaging.volumes import file_sha256, read_label_map, read_volume
from core.types import Prompt, Volume
from tests.bench import bench_medsam, shared_data

#: Voxels of a scan that are learned from, and how far from the prompted slice, as a share of the box's half side.
VOXELS, FARTHEST = 6000, 2.2
Rows = NDArray[np.float32]


def examples(volume: Volume, truth: NDArray[np.bool_], embed: SliceEmbed) -> tuple[Rows, NDArray[np.bool_]]:
    """(n, 3) grey, distance and vote of voxels, and whether they are of the lesion."""
    segmenter, grey = load_prompt_segmenter(), to_uint8(volume.array, volume.modality)
    largest = int(truth.sum(axis=(0, 1)).argmax())

    def ask(k: int, box: Any) -> NDArray[np.bool_]:
        limit = np.tile(np.array(truth.shape[:2]) - 1, 2)
        coords = tuple(float(c) for c in np.round(np.clip(box, 0, limit)))
        return segmenter.predict(embed(k, np.ascontiguousarray(grey[:, :, k])), [Prompt("box", k, coords)]).mask

    box = bounding_box_2d(truth[:, :, largest])
    anchor = Anchor(largest, box, ask(largest, box))
    usual, by_grey, by_distance = (
        LesionPrior(grey, volume.grid, [anchor], weights)
        for weights in (
            DEFAULT_WEIGHTS,
            replace(DEFAULT_WEIGHTS, bias=0, grey=1, form=0),
            replace(DEFAULT_WEIGHTS, bias=0, grey=0, form=-1),
        )
    )
    cap, window = usual.cap(largest), usual.window
    reach = int(FARTHEST * cap.semi_axis_mm / DEFAULT_WEIGHTS.depth_ratio / volume.grid.spacing_mm[2])
    columns, answers = [], []
    for k in range(max(largest - reach, 0), min(largest + reach, truth.shape[2] - 1) + 1):
        likely = connected_to(usual.decide(k, usual.beyond(k, largest, cap), []), anchor.mask)
        boxes = (
            [widen_box(bounding_box_2d(likely), (wider - 1) / 2) for wider in DEFAULT_STOPPING.asked_boxes]
            if likely.any()
            else []
        )
        vote = usual.vote([ask(k, b) for b in boxes] or [np.zeros_like(likely)])
        terms = (by_grey.beyond(k, largest, cap), by_distance.beyond(k, largest, cap), vote)
        columns.append(np.stack([term.ravel() for term in terms], axis=1))
        answers.append(truth[(*window, k)].ravel())
    x, y = np.concatenate(columns), np.concatenate(answers)
    chosen = np.random.default_rng(0).choice(len(y), min(VOXELS, len(y)), replace=False)
    return x[chosen], y[chosen]


def fit(parts: list[tuple[Rows, NDArray[np.bool_]]]) -> str:
    """As keyword arguments of `PriorWeights`."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=500).fit(
        np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])
    )
    grey, form, vote = (float(w) for w in model.coef_[0])
    return f"bias={float(model.intercept_[0]):.3f}, grey={grey:.3f}, form={-form:.3f}, vote={vote:.3f}"


def main() -> None:
    """All scans, then all fits."""
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 1)))
    known: dict[str, list[tuple[Rows, NDArray[np.bool_]]]] = {}
    for patient in bench_medsam.patients():
        for file, modality in bench_medsam.SCANS.values():
            path = shared_data() / "sts" / patient / f"{file}_image.nii.gz"
            if path.is_file():
                truth = read_label_map(path.with_name(f"{file}_mask.nii.gz")).array > 0
                embed = open_embeddings().embedder(load_prompt_segmenter(), file_sha256(path), axis=2)
                known.setdefault(patient, []).append(examples(read_volume(path, modality), truth, embed))
                print(f"{patient} {modality}", flush=True)
    names = sorted(known)
    print("all:", fit([part for name in names for part in known[name]]))
    for fold in range(len(bench_medsam.FOLDS)):
        print(f"without fold {fold}:", fit([p for n, name in enumerate(names) if n % 4 != fold for p in known[name]]))


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    main()
