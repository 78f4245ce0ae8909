"""`python -m tests.bench.fill_embeddings`: embeds every slice of the real scans, so that measurements of propagation
cost no more than the decoder's time afterwards.

Into the cache folder (TWIN_CACHE); what is there already is passed over, so it can be stopped and started. The slices
of the tumour come first for all scans, then those farther and farther away. A slice takes 2 MB: all of them some 7 GB,
for which TWIN_EMBEDDING_CACHE_GB must leave room, here and in whatever uses them.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from core.engines.prompt.embeddings import open_embeddings
from core.engines.prompt.medsam import load_prompt_segmenter
from core.engines.prompt.preparing import to_uint8
from core.imaging.volumes import file_sha256, read_label_map, read_volume
from core.types import Modality
from tests.bench import shared_data

#: Slices beyond the tumour on either side, round by round.
MARGINS = (0, 4, 10, 1000)
MODALITIES: dict[str, Modality] = {"CT": "CT", "PET": "PET", "MR_T1": "MR"}


def fill(file: Path, margin: int, segmenter: Any) -> int:
    """Embeds the slices of one scan within `margin` of its contour; returns how many were new."""
    store, sha256 = open_embeddings(), file_sha256(file)
    ready = set(store.ready(segmenter.embedding_key, sha256, 2))
    inside = np.flatnonzero(read_label_map(Path(str(file).replace("_image", "_mask"))).array.any(axis=(0, 1)))
    modality = MODALITIES[file.name.removesuffix("_image.nii.gz")]
    volume = read_volume(file, modality)
    low, high = max(int(inside[0]) - margin, 0), min(int(inside[-1]) + margin, volume.grid.shape[2] - 1)
    wanted = [k for k in range(low, high + 1) if k not in ready]
    if wanted:
        grey, embed = to_uint8(volume.array, modality), store.embedder(segmenter, sha256, axis=2)
        for k in wanted:
            embed(k, np.ascontiguousarray(grey[:, :, k]))
    return len(wanted)


def main() -> None:
    """All scans, margin after margin."""
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 1)))
    segmenter, began, count = load_prompt_segmenter(), time.perf_counter(), 0
    files = sorted((shared_data() / "sts").glob("*/*_image.nii.gz"))
    for margin in MARGINS:
        for file in files:
            count += fill(file, margin, segmenter)
            print(f"{margin} {file.parent.name} {count} slices, {time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    main()
