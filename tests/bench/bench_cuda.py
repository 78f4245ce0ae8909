"""The networks on CUDA in half precision against the same networks on this machine's processor.

Says so and fails where PyTorch sees no CUDA device. Needs no Streamlit and no DuckDB.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np

from core.imaging.volumes import read_label_map, read_volume
from core.lesions.metrics import dice
from core.types import Prompt
from tests.bench import shared_data

MODEL = "sts-ctpet-small"
#: Held out when the network was trained.
PATIENTS = ("STS_003", "STS_026")
RUNS = 5


def _seconds(work: Callable[[], Any]) -> float:
    """Median seconds of several runs; what `work` computes on CUDA is on the processor when it returns."""
    took = []
    for _ in range(RUNS):
        started = time.perf_counter()
        work()
        took.append(time.perf_counter() - started)
    return statistics.median(took)


def _segmenter(device: Any) -> Any:
    from core.engines.auto import nnunet

    with patch.object(nnunet, "pick_device", lambda: device):
        nnunet.load_segmenter.cache_clear()
        return nnunet.load_segmenter(MODEL)


def _network_seconds(engine: Any, scans: Any) -> float:
    data = engine.preprocess(scans)[0]
    return _seconds(lambda: engine.raw_logits(data))


def _nnunet(cpu: Any, cuda: Any) -> list[dict[str, Any]]:
    rows, engines = [], {"cpu": _segmenter(cpu), "cuda": _segmenter(cuda)}
    for patient in PATIENTS:
        home = shared_data() / "sts" / patient
        scans = [read_volume(home / "CT_image.nii.gz", "CT"), read_volume(home / "PET_image.nii.gz", "PET")]
        truth = read_label_map(home / "CT_mask.nii.gz", scans[0].grid).array > 0
        found = {name: engine.segment(scans).labels.array for name, engine in engines.items()}
        took = {name: _seconds(partial(engine.segment, scans)) for name, engine in engines.items()}
        passes = {name: _network_seconds(engine, scans) for name, engine in engines.items()}
        rows.append(
            {
                "what": f"nnU-Net, {patient}",
                "CPU s": took["cpu"],
                "CUDA s": took["cuda"],
                "ratio": took["cpu"] / took["cuda"],
                "network alone CPU s": passes["cpu"],
                "network alone CUDA s": passes["cuda"],
                "Dice CUDA to CPU": dice(found["cuda"] > 0, found["cpu"] > 0),
                "voxels that differ": int(np.count_nonzero(found["cuda"] != found["cpu"])),
                "Dice to contour, CPU": dice(found["cpu"] > 0, truth),
                "Dice to contour, CUDA": dice(found["cuda"] > 0, truth),
            }
        )
    return rows


def _prompt_segmenter(device: Any) -> Any:
    from core.engines.prompt import medsam, sam_segmenter
    from core.engines.prompt.network_weights import fill_network
    from core.engines.prompt.preparing import PREPROCESS
    from weights import registry

    entry = registry.find("litemedsam")
    network = medsam.build_network(entry.kind)
    fill_network(network, registry.load_checkpoint(entry), entry.id)
    with patch.object(sam_segmenter, "pick_device", lambda: device):
        return sam_segmenter.SamSegmenter(network, PREPROCESS[entry.preprocess], entry.id, entry.sha256)


def _litemedsam(cpu: Any, cuda: Any) -> list[dict[str, Any]]:
    rows, engines = [], {"cpu": _prompt_segmenter(cpu), "cuda": _prompt_segmenter(cuda)}
    for patient in PATIENTS:
        home = shared_data() / "sts" / patient
        scan = read_volume(home / "CT_image.nii.gz", "CT")
        truth = read_label_map(home / "CT_mask.nii.gz", scan.grid).array > 0
        k = int(truth.sum(axis=(0, 1)).argmax())
        i, j = np.nonzero(truth[..., k])
        box = Prompt("box", k, (int(i.min()), int(j.min()), int(i.max()), int(j.max())))
        image = np.clip((scan.array[..., k] + 160) / 400 * 255, 0, 255).astype(np.uint8)
        found = {name: engine.predict(engine.embed(image), [box]).mask for name, engine in engines.items()}
        took = {name: _seconds(partial(engine._compute, image)) for name, engine in engines.items()}
        rows.append(
            {
                "what": f"LiteMedSAM slice, {patient}",
                "CPU s": took["cpu"],
                "CUDA s": took["cuda"],
                "ratio": took["cpu"] / took["cuda"],
                "Dice CUDA to CPU": dice(found["cuda"], found["cpu"]),
                "voxels that differ": int(np.count_nonzero(found["cuda"] != found["cpu"])),
                "Dice to contour, CPU": dice(found["cpu"], truth[..., k]),
                "Dice to contour, CUDA": dice(found["cuda"], truth[..., k]),
            }
        )
    return rows


def run() -> list[dict[str, Any]]:
    """A row for each network and patient: seconds on both, their ratio, and how far the answers agree."""
    import torch

    if not torch.cuda.is_available():
        raise RuntimeError("PyTorch sees no CUDA device here.")
    cpu, cuda = torch.device("cpu"), torch.device("cuda", 0)
    rows = [*_nnunet(cpu, cuda), *_litemedsam(cpu, cuda)]
    name = torch.cuda.get_device_name(0)
    return [{**row, "device": name} for row in rows]
