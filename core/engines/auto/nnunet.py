"""nnU-Net v2 in process: nnunetv2's own preprocessing, sliding window and export, kept warm, with progress and cancel.

Isensee 2021, doi 10.1038/s41592-020-01008-z. Any trained v2 model folder works (plans.json, dataset.json,
fold_*/checkpoint_final.pth). Labels agree with `nnUNetv2_predict` for the same folder and settings.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.engines.auto.channels import channel_names, compartment_names, lesion_classes, scans_for
from core.engines.auto.network_grid import in_network_box, touched
from core.engines.base import Segmentation
from core.engines.device import pick_device
from core.engines.probability import LesionProbability
from core.errors import ModelError
from core.imaging.coverage import Coverage, check_coverage
from core.imaging.orienting import ANATOMICAL_ORDER, axis_order, canonical
from core.imaging.volumes import content_sha256, resample
from core.types import Grid, LabelMap, Progress, Volume, no_progress

#: plans.json names classes to import; only these packages' are built, whatever a dropped-in folder says.
TRUSTED_PACKAGES = ("dynamic_network_architectures.", "torch.nn.", "torch.optim.", "nnunetv2.")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """nnunetv2 prints advice for its command line on import and construction; it would fill a server's log."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def check_plans(plans: dict[str, Any]) -> None:
    """Raises ModelError when plans.json names a class outside the packages that nnU-Net itself builds from."""
    for configuration in plans.get("configurations", {}).values():
        architecture = configuration.get("architecture", {})
        kwargs = architecture.get("arch_kwargs", {})
        names = [architecture.get("network_class_name")]
        names += [kwargs.get(key) for key in architecture.get("_kw_requires_import", [])]
        for name in filter(None, names):
            if not str(name).startswith(TRUSTED_PACKAGES):
                raise ModelError(
                    f"The model's plans.json asks for the class {name!r}, which is not part of nnU-Net or PyTorch. "
                    "Only standard nnU-Net v2 architectures are loaded."
                )


def _predictor_class() -> Any:
    """nnUNetPredictor that reports each window to a callback."""
    with _quiet():
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    class ReportingPredictor(nnUNetPredictor):
        progress: Progress = staticmethod(no_progress)
        windows = done = 0

        def _internal_get_sliding_window_slicers(self, image_size: tuple[int, ...]) -> Any:
            slicers = super()._internal_get_sliding_window_slicers(image_size)
            self.windows, self.done = len(slicers) * len(self.list_of_parameters), self.done
            return slicers

        def _internal_maybe_mirror_and_predict(self, x: Any) -> Any:
            self.progress(0.1 + 0.7 * self.done / max(self.windows, 1), f"window {self.done + 1} of {self.windows}")
            self.done += 1
            return super()._internal_maybe_mirror_and_predict(x)

    return ReportingPredictor


@dataclass(frozen=True, eq=False)
class NetworkOutput:
    """Cached output of one nnU-Net inference: preprocessed data, logits, geometry.

    Args:
        data: (channels, K', J', I') float32, what `preprocess` made of the scans.
        properties: nnU-Net's, to map back.
        grid: the first channel's, its axes in the training's order.
        logits: (classes, K', J', I') torch tensor on the CPU.
        seconds: "preprocess" and "predict".
        coverage: of the first channel by each of the others.
    """

    data: NDArray[np.float32]
    properties: dict[str, Any]
    grid: Grid
    logits: Any
    seconds: dict[str, float]
    coverage: tuple[Coverage, ...] = ()


#: nnU-Net's readers that turn what they read to RAS, at training as well.
_RAS_READERS = ("NibabelIOWithReorient",)
#: A larger output is not cached.
MAX_CACHED_BYTES = 512 * 2**20


class NnUNetSegmenter:
    """One trained model, loaded and warm.

    Args:
        plans, dataset: content of the trained model's plans.json and dataset.json, the very bytes that were verified.
        checkpoints: its folds' checkpoints, already verified and loaded (`weights.registry.load_model`).
        model_id, checkpoint_sha256, model_files: what sidecars will say; the latter of every file, by name.
        mirroring: test-time mirroring as `nnUNetv2_predict` does by default; eight times the work in 3-D.
        tile_step_size: share of a window by which windows advance (0..1); 0.5 is nnU-Net's default.

    Raises:
        ModelError: this is not what nnU-Net needs, or the weights do not fit the plans.
    """

    def __init__(
        self,
        plans: bytes,
        dataset: bytes,
        checkpoints: Sequence[dict[str, Any]],
        *,
        model_id: str,
        checkpoint_sha256: str,
        model_files: Mapping[str, str] | None = None,
        mirroring: bool = False,
        tile_step_size: float = 0.5,
    ) -> None:
        self.model_id, self.checkpoint_sha256 = model_id, checkpoint_sha256
        self.model_files = dict(model_files or {})
        try:
            planned, described = json.loads(plans), json.loads(dataset)
            self.channel_names = channel_names(described)
            self._lesion_classes = lesion_classes(described["labels"])
            self.compartment_names = compartment_names(described["labels"])
            check_plans(planned)
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise self._unreadable(error) from None
        # nnU-Net's readers hand over the file's own order, but for the one that turns everything to RAS first.
        self._order = "RAS" if planned.get("image_reader_writer") in _RAS_READERS else ANATOMICAL_ORDER
        self.mirroring = mirroring
        self._cached_output: tuple[tuple[str, ...], NetworkOutput] | None = None
        device = pick_device()
        with _quiet():
            self._predictor = _predictor_class()(
                tile_step_size=tile_step_size,
                use_mirroring=mirroring,
                device=device,
                allow_tqdm=False,
                perform_everything_on_device=device.type == "cuda",
            )
            try:
                self._initialise(planned, described, checkpoints)
            except (KeyError, AttributeError, TypeError) as error:
                raise self._unreadable(error) from None

    def _unreadable(self, error: Exception) -> ModelError:
        return ModelError(
            f"Model {self.model_id!r} needs a readable plans.json and dataset.json ({type(error).__name__}). "
            "Copy the whole trained-model folder again."
        )

    def _initialise(
        self, plans: dict[str, Any], dataset: dict[str, Any], checkpoints: Sequence[dict[str, Any]]
    ) -> None:
        from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name
        from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
        from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

        first = checkpoints[0]
        manager = PlansManager(plans)
        configuration = manager.get_configuration(first["init_args"]["configuration"])
        if configuration.previous_stage_name is not None:
            raise ModelError(
                f"Model {self.model_id!r} is the second stage of a cascade, which needs the first stage's answer. "
                "Use a 2d, 3d_fullres or 3d_lowres model."
            )
        try:
            trainer = recursive_find_trainer_class_by_name(first["trainer_name"])
        except RuntimeError:
            trainer = None
        if trainer is None:
            raise ModelError(
                f"Model {self.model_id!r} was trained by {first['trainer_name']!r}, which the installed nnunetv2 does "
                "not have. Install the package that defines it, or use a model of a standard trainer."
            )
        network = trainer.build_network_architecture(
            manager,
            configuration,
            determine_num_input_channels(manager, configuration, dataset),
            manager.get_label_manager(dataset).num_segmentation_heads,
            enable_deep_supervision=False,
        )
        weights = [checkpoint["network_weights"] for checkpoint in checkpoints]
        try:
            network.load_state_dict(weights[0])
        except RuntimeError as error:
            raise ModelError(
                f"The weights of model {self.model_id!r} do not fit the network its plans.json describes "
                f"({str(error).splitlines()[-1].strip()[:120]}). Copy plans.json and checkpoint from one training."
            ) from None
        self._predictor.manual_initialization(
            network,
            manager,
            configuration,
            weights,
            dataset,
            first["trainer_name"],
            first.get("inference_allowed_mirroring_axes"),
        )

    @property
    def network(self) -> Any:
        """The torch module, in evaluation mode."""
        return self._predictor.network.eval()

    def lesion_mask(self, labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """(I, J, K) class labels -> bool, True where the class is a lesion."""
        return np.isin(labels, self._lesion_classes)

    @property
    def configuration(self) -> Any:
        """nnU-Net's ConfigurationManager: patch_size, spacing (ordered as `preprocess` does), the rest of the plans."""
        return self._predictor.configuration_manager

    def select_channels(self, volumes: Sequence[Volume]) -> list[Volume]:
        """The volumes that feed the model's channels, in its order (`channels.scans_for`)."""
        return scans_for(self.channel_names, volumes)

    def preprocess(self, volumes: Sequence[Volume]) -> tuple[NDArray[np.float32], dict[str, Any], Grid]:
        """As nnU-Net's own pipeline: channels on the first channel's grid -> cropped, normalised, resampled.

        The axes are the training's, however the volumes are stored: the same scan gives the same numbers.

        Returns:
            (channels, K', J', I') float32 at the network's spacing; nnU-Net's properties to map back; the first
            channel's grid in the training's order of axes. Index order is SimpleITK's (k, j, i) under the plans'
            transpose_forward, as it was trained.
        """
        chosen = [canonical(volume, self._order) for volume in self.select_channels(volumes)]
        grid = chosen[0].grid
        arrays = [v.array if v.grid.matches(grid) else resample(v.array, v.grid, grid, "linear") for v in chosen]
        data = np.stack([a.transpose(2, 1, 0) for a in arrays]).astype(np.float32)
        predictor = self._predictor
        with _quiet():
            data, _, properties = predictor.configuration_manager.preprocessor_class(verbose=False).run_case_npy(
                data,
                None,
                {"spacing": list(grid.spacing_mm[::-1])},
                predictor.plans_manager,
                predictor.configuration_manager,
                predictor.dataset_json,
            )
        return data, properties, grid

    def raw_logits(self, data: NDArray[np.float32], progress: Progress = no_progress) -> Any:
        """What `preprocess` gives -> logits (classes, ...) of the same shape, a torch tensor on the CPU.

        The network's weights are the last fold's afterwards.
        """
        import torch

        self._predictor.progress, self._predictor.done = progress, 0
        return self._predictor.predict_logits_from_preprocessed_data(torch.from_numpy(data))

    def infer_cached(self, volumes: Sequence[Volume], progress: Progress = no_progress) -> NetworkOutput:
        """The cached output where the last inference was of these very scans, else that of a new inference.

        Raises:
            InputError: a channel is missing. GeometryError: one covers too little of the first
                (`core.imaging.coverage`). JobCancelled: from `progress`, between two windows.
        """
        cached = self._cached_output
        return cached[1] if cached and cached[0] == self._key(volumes) else self._infer(volumes, progress)

    def on_network_grid(self, mask: LabelMap, seen: NetworkOutput) -> NDArray[np.bool_]:
        """A mask (best on the first channel's grid) on the grid of `seen.data`; no tumour is too small to be kept."""
        inside = in_network_box(
            mask, self._order, seen.grid, seen.properties, self._predictor.plans_manager.transpose_forward
        )
        return touched(inside, tuple(seen.data.shape[1:]))

    def _key(self, volumes: Sequence[Volume]) -> tuple[str, ...]:
        return tuple(content_sha256(volume) for volume in self.select_channels(volumes))

    def _infer(self, volumes: Sequence[Volume], progress: Progress) -> NetworkOutput:
        """Preprocess, predict, and cache the output for the scan gate, which asks next."""
        progress(0.0, "preparing")
        started = time.perf_counter()
        coverage = check_coverage(self.select_channels(volumes))
        data, properties, grid = self.preprocess(volumes)
        prepared = time.perf_counter()
        logits = self.raw_logits(data, progress)
        seconds = {"preprocess": prepared - started, "predict": time.perf_counter() - prepared}
        output = NetworkOutput(data, properties, grid, logits, seconds, coverage)
        small = data.nbytes + logits.numel() * logits.element_size() <= MAX_CACHED_BYTES
        self._cached_output = (self._key(volumes), output) if small else None
        return output

    def segment(
        self, volumes: Sequence[Volume], progress: Progress = no_progress, logits: bool = False
    ) -> Segmentation:
        """Class labels on the grid of `volumes[0]` (the reference scan). See `core.engines.base.AutoSegmenter`.

        Raises:
            InputError: a channel is missing. GeometryError: one covers too little of the first
                (`core.imaging.coverage`). JobCancelled: from `progress`, between two windows.
        """
        seen = self._infer(volumes, progress)
        started = time.perf_counter()
        progress(0.85, "resampling to the scan")
        labels, full = self._export(seen.logits, seen.properties, logits)
        stored = axis_order(volumes[0].grid, self._order)
        if not stored.grid.matches(seen.grid):
            labels = resample(labels, seen.grid, stored.grid, "nearest")
            full = None if full is None else np.stack([resample(c, seen.grid, stored.grid, "linear") for c in full])
        labels = stored.turn_back(labels)
        full = None if full is None else np.stack([stored.turn_back(c) for c in full])
        progress(1.0, "done")
        seconds = {**seen.seconds, "export": time.perf_counter() - started}
        return Segmentation(
            labels=LabelMap(np.ascontiguousarray(labels, dtype=np.uint8), volumes[0].grid),
            model_id=self.model_id,
            checkpoint_sha256=self.checkpoint_sha256,
            channels=tuple(v.channel for v in self.select_channels(volumes)),
            logits=full,
            seconds=seconds,
            model_files=self.model_files,
            coverage=seen.coverage,
            probability=LesionProbability.of_network(
                seen.logits.float().numpy(), self._lesion_classes, seen.grid, seen.properties, self._predictor
            ),
        )

    def _export(
        self, raw: Any, properties: dict[str, Any], logits: bool
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32] | None]:
        """Logits at the network's spacing -> labels (I, J, K), and logits there when asked for."""
        from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape

        predictor = self._predictor
        labels = convert_predicted_logits_to_segmentation_with_correct_shape(
            raw, predictor.plans_manager, predictor.configuration_manager, predictor.label_manager, properties
        )
        labels = np.asarray(labels).transpose(2, 1, 0)
        if not logits:
            return labels, None
        forward, backward = predictor.plans_manager.transpose_forward, predictor.plans_manager.transpose_backward
        spacing = [properties["spacing"][i] for i in forward]
        shape = properties["shape_after_cropping_and_before_resampling"]
        inner = np.asarray(
            predictor.configuration_manager.resampling_fn_probabilities(
                raw, shape, predictor.configuration_manager.spacing, spacing
            ),
            dtype=np.float32,
        )
        # Outside nnU-Net's crop to non-zero voxels nothing was predicted: as sure a background as any inside.
        full = np.full((inner.shape[0], *properties["shape_before_cropping"]), inner.min(), dtype=np.float32)
        full[0] = inner.max()
        box = tuple(slice(low, high) for low, high in properties["bbox_used_for_cropping"])
        full[(slice(None), *box)] = inner
        full = full.transpose(0, *[axis + 1 for axis in backward])
        return labels, np.ascontiguousarray(full.transpose(0, 3, 2, 1))


@functools.lru_cache(maxsize=2)
def load_segmenter(model_id: str, mirroring: bool = False) -> NnUNetSegmenter:
    """The warm segmenter of a registered model. The second call costs nothing.

    Raises:
        ModelError: not registered, missing, altered, or not an nnU-Net v2 model.
    """
    from weights import registry

    entry = registry.find(model_id)
    if entry.kind != "nnunet":
        raise ModelError(f"Model {model_id!r} is of kind {entry.kind!r}; expected an nnU-Net model. Choose another.")
    loaded = registry.load_model(entry)
    return NnUNetSegmenter(
        loaded.content[registry.PLANS],
        loaded.content[registry.DATASET],
        loaded.states(),
        model_id=entry.id,
        checkpoint_sha256=loaded.checkpoint_sha256,
        model_files=loaded.sha256,
        mirroring=mirroring,
    )
