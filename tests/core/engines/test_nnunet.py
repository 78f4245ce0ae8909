"""The nnU-Net engine on real scans, against nnunetv2's own predictor, and against bad models."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from core.engines.auto.channels import channel_for, lesion_classes
from core.engines.auto.nnunet import NnUNetSegmenter, check_plans, load_segmenter
from core.errors import InputError, JobCancelled, ModelError
from core.imaging.volumes import read_label_map, read_volume
from core.lesions.metrics import dice
from core.types import Grid, Volume
from weights import registry

MODEL = "sts-ctpet-small"


def _volume(modality="CT", sequence="", shape=(8, 8, 8)):
    return Volume(np.zeros(shape, np.float32), Grid(shape, np.eye(4)), modality, sequence)


@pytest.fixture(scope="module")
def scans(shared_data):
    folder = shared_data / "sts" / "STS_003"
    ct = read_volume(folder / "CT_image.nii.gz", "CT")
    return ct, read_volume(folder / "PET_image.nii.gz", "PET"), read_label_map(folder / "CT_mask.nii.gz", ct.grid)


@pytest.fixture(scope="module")
def answer(scans):
    return load_segmenter(MODEL).segment(scans[:2], logits=True)


def test_a_held_out_patient_is_segmented_better_than_by_41_percent_of_suvmax(scans, answer):
    ct, pet, truth = scans
    from weights.recipes.sts_ctpet.evaluate import suv41

    found = dice(answer.labels.array > 0, truth.array > 0)
    assert found > 0.8
    assert found > dice(suv41(pet, ct), truth.array > 0) + 0.05


def test_labels_lie_on_the_reference_scans_grid_and_name_their_model(scans, answer):
    assert answer.labels.grid.matches(scans[0].grid)
    assert answer.channels == ("CT", "PET")
    assert answer.checkpoint_sha256 == registry.find(MODEL).sha256
    assert answer.model_files == registry.files_sha256(registry.find(MODEL))


def test_logits_decide_the_labels(answer):
    assert answer.logits.shape == (2, *answer.labels.array.shape)
    assert np.array_equal(answer.logits.argmax(0), answer.labels.array)


def test_labels_agree_with_nnunets_own_predictor(scans, answer):
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    from core.imaging.volumes import resample

    ct, pet, _ = scans
    import torch

    upstream = nnUNetPredictor(
        use_mirroring=False, device=torch.device("cpu"), perform_everything_on_device=False, allow_tqdm=False
    )
    upstream.initialize_from_trained_model_folder(str(registry.verify(registry.find(MODEL))), (0,))
    channels = np.stack([ct.array, resample(pet.array, pet.grid, ct.grid, "linear")]).transpose(0, 3, 2, 1)
    theirs = upstream.predict_single_npy_array(channels, {"spacing": list(ct.grid.spacing_mm[::-1])})
    assert dice(theirs.transpose(2, 1, 0) > 0, answer.labels.array > 0) >= 0.999


def test_a_reference_scan_that_is_not_the_first_channel_still_gets_its_own_grid(scans):
    ct, pet, truth = scans
    labels = load_segmenter(MODEL).segment([pet, ct]).labels
    assert labels.grid.matches(pet.grid)
    volume = labels.array.astype(bool).sum() * pet.grid.voxel_volume_mm3
    assert 0.5 < volume / (np.count_nonzero(truth.array) * ct.grid.voxel_volume_mm3) < 2


def test_progress_rises_to_one_and_a_cancelled_run_stops_between_windows(scans):
    seen: list[float] = []
    load_segmenter(MODEL).segment(scans[:2], lambda fraction, _: seen.append(fraction))
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    assert len(seen) >= 5

    def stop(fraction: float, _: str) -> None:
        if fraction > 0.3:
            raise JobCancelled("stop")

    with pytest.raises(JobCancelled):
        load_segmenter(MODEL).segment(scans[:2], stop)
    again = load_segmenter(MODEL).segment(scans[:2])
    assert again.labels.array.any()


def test_the_scan_gate_gets_the_pass_of_the_segmentation_before_and_of_no_other_scans(scans):
    segmenter = load_segmenter(MODEL)
    ct, pet, _ = scans
    segmenter.segment([ct, pet])
    windows: list[str] = []

    def listen(_: float, message: str) -> None:
        windows.append(message)

    kept = segmenter.infer_cached([pet, ct], listen)
    assert windows == []
    altered = replace(pet, array=pet.array + np.float32(0.5))
    other = segmenter.infer_cached([ct, altered], listen)
    assert any(message.startswith("window") for message in windows)
    assert not np.array_equal(np.asarray(other.logits), np.asarray(kept.logits))


@pytest.mark.parametrize(
    ("name", "expected"), [("CT", "CT"), ("ct", "CT"), ("MR T1", "MR T1"), ("T1", "MR T1"), ("FLAIR", "MR FLAIR")]
)
def test_channels_find_their_scan_by_channel_sequence_or_modality(name, expected):
    volumes = [_volume("CT"), _volume("MR", "T1"), _volume("MR", "FLAIR")]
    assert channel_for(name, volumes).channel == expected


def test_a_missing_channel_names_what_the_timepoint_has():
    with pytest.raises(InputError, match=r"no scan for its channel 'PET' \(it has CT\)\. Import a PET"):
        channel_for("PET", [_volume("CT")])
    with pytest.raises(InputError, match="several scans that could be its channel 'MR'"):
        channel_for("MR", [_volume("MR", "T1"), _volume("MR", "FLAIR")])


def test_only_classes_named_as_lesions_are_lesions_where_any_is():
    assert lesion_classes({"background": 0, "liver": 1, "liver tumour": 2}) == (2,)
    assert lesion_classes({"background": 0, "a": 1, "b": 2}) == (1, 2)


def test_a_model_that_names_foreign_classes_is_refused():
    plans = {"configurations": {"3d_fullres": {"architecture": {"network_class_name": "os.system", "arch_kwargs": {}}}}}
    with pytest.raises(ModelError, match=r"asks for the class 'os\.system'"):
        check_plans(plans)


def _parts():
    """The shipped model's plans, its description of the data, and its checkpoints."""
    loaded = registry.load_model(registry.find(MODEL))
    return loaded.content["plans.json"], loaded.content["dataset.json"], loaded.states()


def test_weights_that_do_not_fit_their_plans_are_refused():
    content, dataset, checkpoints = _parts()
    plans = json.loads(content)
    plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]["features_per_stage"] = [8, 16, 32, 64]
    with pytest.raises(ModelError, match="do not fit the network"):
        NnUNetSegmenter(json.dumps(plans).encode(), dataset, checkpoints, model_id="m", checkpoint_sha256="0")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'"plans"', b"\xff"])
def test_a_model_without_readable_plans_is_refused(content):
    plans, dataset, checkpoints = _parts()
    for pair in ((content, dataset), (plans, content)):
        with pytest.raises(ModelError, match=r"Model 'm' needs a readable plans\.json"):
            NnUNetSegmenter(*pair, checkpoints, model_id="m", checkpoint_sha256="0")


def test_a_model_of_an_unknown_trainer_is_refused():
    plans, dataset, checkpoints = _parts()
    strange = [{**checkpoints[0], "trainer_name": "nnUNetTrainerOfNobody"}]
    with pytest.raises(ModelError, match="'nnUNetTrainerOfNobody', which the installed nnunetv2 does not have"):
        NnUNetSegmenter(plans, dataset, strange, model_id="m", checkpoint_sha256="0")
