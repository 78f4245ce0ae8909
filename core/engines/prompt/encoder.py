"""The image encoder in the quickest form this machine has: OpenVINO on a processor, else PyTorch.

LiteMedSAM's encoder is nearly all of a prompt's time. OpenVINO runs the same single-precision network in half of
PyTorch's time (`python -m tests.bench embed`). The converted network is made here, from the verified checkpoint, when
it is first needed; it is kept in the cache folder with its SHA-256, and used only while its bytes still have that.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.engines.device import pick_device
from core.settings import settings

if TYPE_CHECKING:
    import torch

log = logging.getLogger("twinreview.engines")

#: (1, 3, S, S) float32 on the device -> (1, C, H, W).
Encoder = Callable[["torch.Tensor"], "torch.Tensor"]
#: Part of the converted file's name: raise it when the conversion or `litemedsam_net` changes.
CONVERSION = 1
RUNTIMES = ("openvino", "torch")


def cache_folder() -> Path:
    """Folder of files that can be made again at any time: TWIN_CACHE, else `cache` in the data root."""
    return settings().cache_folder


def quick_encoder(network: torch.nn.Module, size: int, checkpoint_sha256: str) -> tuple[Encoder, str]:
    """The encoder to use, and which runtime it is ("openvino" or "torch").

    TWIN_ENCODER=torch keeps PyTorch. Whatever fails on the way to OpenVINO is logged, and PyTorch is used.

    Args:
        network: the image encoder with its weights, batch normalisation folded, on its device.
        size: side S of its input in pixels.
        checkpoint_sha256: of the verified checkpoint its weights are from.
    """
    wanted = settings().encoder == "openvino" and pick_device().type == "cpu"
    if wanted and importlib.util.find_spec("openvino") is not None:
        try:
            return _OpenVino(network, size, cache_folder() / "encoders", checkpoint_sha256), "openvino"
        except Exception as problem:  # of any kind: the way round it is slower, and always there
            log.warning("OpenVINO cannot be used (%s); PyTorch is used instead", type(problem).__name__)
    return network, "torch"


def _import_openvino() -> Any:
    """OpenVINO without its telemetry: nothing here may report to anybody what is computed.

    Its model converter (`convert_model`), which would, is not called either.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # makes its import fail
    import openvino

    return openvino


class _OpenVino:
    """The converted encoder, compiled for this processor, by default in single precision: bfloat16 moves outlines."""

    def __init__(
        self, network: torch.nn.Module, size: int, folder: Path, checkpoint_sha256: str, precision: str = "f32"
    ) -> None:
        import torch

        openvino = _import_openvino()
        name = f"{checkpoint_sha256}-{CONVERSION}-{openvino.__version__.split('-')[0]}"
        graph, weights = _read(folder / name) or _convert(openvino, network, size, folder / name)
        settings = {
            "INFERENCE_PRECISION_HINT": precision,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }
        core = openvino.Core()
        compiled = core.compile_model(core.read_model(graph, weights), "CPU", settings)
        self._request = compiled.create_infer_request()
        self._lock = threading.Lock()

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        import torch

        with self._lock:  # a request holds one image
            answer = self._request.infer([np.ascontiguousarray(pixels.numpy())])[0]
            return torch.from_numpy(answer.copy())


def _read(place: Path) -> tuple[bytes, bytes] | None:
    """The converted network's two files, or None unless both are there and have the hashes recorded beside them."""
    try:
        expected = json.loads(place.with_suffix(".json").read_bytes())
        graph, weights = place.with_suffix(".xml").read_bytes(), place.with_suffix(".bin").read_bytes()
        whole = expected == _hashes(graph, weights)
    except (OSError, ValueError):
        return None
    if not whole:
        log.warning("the converted encoder %s was altered; it is made again", place.name)
    return (graph, weights) if whole else None


def _hashes(graph: bytes, weights: bytes) -> dict[str, str]:
    return {"graph_sha256": hashlib.sha256(graph).hexdigest(), "weights_sha256": hashlib.sha256(weights).hexdigest()}


def _convert(openvino: Any, network: torch.nn.Module, size: int, place: Path) -> tuple[bytes, bytes]:
    """PyTorch -> OpenVINO, some seconds; leaves the files at `place`, the hashes last, and returns their content."""
    import torch
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that tracing is on its way out, and that shapes are taken as they are
        traced = torch.jit.freeze(torch.jit.trace(network, torch.zeros(1, 3, size, size), check_trace=False).eval())
    frontend = FrontEndManager().load_by_framework("pytorch")
    decoder = TorchScriptPythonDecoder(traced)  # must outlive the conversion
    model = frontend.convert(frontend.load(decoder))
    model.reshape([1, 3, size, size])
    with tempfile.TemporaryDirectory() as folder:
        openvino.save_model(model, str(Path(folder) / "encoder.xml"), compress_to_fp16=False)
        graph, weights = ((Path(folder) / f"encoder{end}").read_bytes() for end in (".xml", ".bin"))
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        write_whole(place.with_suffix(".xml"), graph)
        write_whole(place.with_suffix(".bin"), weights)
        write_whole(place.with_suffix(".json"), json.dumps(_hashes(graph, weights)).encode())
    except OSError as problem:
        log.warning("the converted encoder cannot be kept: %s", problem.strerror)
    return graph, weights


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file under another name and renames it: readers, also in other processes, see all of it or nothing."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".tmp-")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
