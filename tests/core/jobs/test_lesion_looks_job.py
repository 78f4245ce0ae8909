"""Masks that nobody has looked at are looked at: a vector a lesion beside its mask, or in words why there is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.access import SYSTEM
from core.engines.encoders import choice
from core.engines.encoders.choice import lesion_encoder_name, load_lesion_encoder
from core.errors import InputError, ModelError
from core.jobs.jobs import run_inline
from core.jobs.pipeline import KINDS
from core.jobs.stages import lesion_looks
from core.jobs.stages.lesion_looks import AT_ONCE, JOB, KIND, compute_looks, keep_looks, masks_to_look_at
from core.types import LabelMap, no_progress
from tests.core.jobs import scene
from tests.core.jobs.scene import CT, DAY1, LEFT, RIGHT, add_scans, as_the_network_finds, labels_of


@pytest.fixture(autouse=True)
def the_usual_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an installation has it where nothing is set; other tests go without."""
    monkeypatch.delenv("TWIN_LESION_ENCODER", raising=False)


OTHER = "other@0123456789ab"


def two_lesions(store, day=DAY1):
    add_scans(store, day, int(day[5:7]), ((LEFT, 6.0), (RIGHT, 6.0)))
    parts = [as_the_network_finds((centre, 6.0)) for centre in (LEFT, RIGHT)]
    return scene.add_version_of(store, labels_of(L1=parts[0], L4=parts[1]), day)


class Counting:
    """An encoder that tells a lesion's voxels and mean; refuses what is smaller than 20 voxels."""

    name, modalities = OTHER, frozenset({"CT"})

    def look(self, volume, lesion):
        if lesion.sum() < 20:
            raise InputError("The lesion is too small for this encoder.")
        return np.array([lesion.sum(), volume.array[lesion].mean()], np.float32)


@pytest.fixture
def counting(monkeypatch):
    """This encoder in the place of the one that is set."""
    monkeypatch.setattr(lesion_looks, "load_lesion_encoder", lambda model: Counting())
    monkeypatch.setattr(lesion_looks, "lesion_encoder_name", lambda model="": OTHER)


def ask(store, *mask_ids: str, person: str = "demo") -> dict[str, Any]:
    return run_inline(store, KIND, {"mask_ids": list(mask_ids)}, person)


def test_each_lesion_gets_what_litemedsam_sees_of_it_on_the_reference_scan(store):
    record = two_lesions(store)
    assert masks_to_look_at(store, lesion_encoder_name()) == [record.mask_id]
    result = ask(store, record.mask_id)
    assert (result["lesions"], result["without"], result["not_stored"]) == (2, 0, [])
    looks = store.looks.of(record.mask_id)
    reference = store.scans.reference("P1", DAY1)
    assert {(one.modality, one.scan_sha256, one.encoder) for one in looks} == {
        ("CT", reference.sha256, lesion_encoder_name())
    }
    volume, labels = store.scans.load(reference), store.masks.load(record)
    for look, label in zip(looks, (1, 4), strict=True):
        expected = load_lesion_encoder().look(volume, labels.array == label)
        np.testing.assert_allclose(look.vector, expected, rtol=2e-3, atol=1e-3)
    assert masks_to_look_at(store, lesion_encoder_name()) == []
    assert store.verify() == []


def test_why_a_lesion_has_no_look_is_kept_beside_the_looks_of_the_others(store, counting):
    add_scans(store, DAY1, 1)
    array = labels_of(L1=as_the_network_finds(((0, 0, 0), 12.0))).array.copy()
    array[2, 2, 2:9] = 7
    record = scene.add_version_of(store, LabelMap(array, CT))
    ask(store, record.mask_id)
    first, second = store.looks.of(record.mask_id)
    assert first.vector[0] == as_the_network_finds(((0, 0, 0), 12.0)).sum()
    assert (second.is_told, second.why) == (False, "The lesion is too small for this encoder.")
    assert masks_to_look_at(store, OTHER) == []


def test_a_scan_or_mask_that_cannot_be_read_is_the_reason_of_each_of_its_lesions(store, counting):
    record = two_lesions(store)
    params = KIND.prepare(store, {"mask_ids": [record.mask_id]}, "demo")
    reference = store.scans.path(store.scans.reference("P1", DAY1))
    reference.write_bytes(reference.read_bytes() + b"altered")
    result = compute_looks(params, store.root, no_progress)
    assert {look["why"] for look in result["masks"][0]["looks"]} == {
        "A scan's file was altered or is gone since the job was begun. Run `verify`. Nothing was stored."
    }
    KIND.record(store, params, result, store.root, "demo")
    assert [look.is_told for look in store.looks.of(record.mask_id)] == [False, False]


def test_another_encoder_than_was_asked_for_looks_at_nothing(store, counting, monkeypatch):
    record = two_lesions(store)
    params = KIND.prepare(store, {"mask_ids": [record.mask_id]}, "demo")
    monkeypatch.setattr(Counting, "name", "other@ffffffffffff")
    with pytest.raises(ModelError, match=r"Expected the encoder other@0123456789ab, got other@ffffffffffff"):
        compute_looks(params, store.root, no_progress)


def test_what_is_no_mask_or_too_many_is_refused(store, counting):
    record = two_lesions(store)
    for mask_ids, words in (
        ([], "Expected 1 to 20 masks"),
        ([record.mask_id] * (AT_ONCE + 1), "Expected 1 to 20 masks"),
        ([record.mask_id, "none"], "got 1 that are not"),
    ):
        with pytest.raises(InputError, match=words):
            KIND.prepare(store, {"mask_ids": mask_ids}, "demo")


def test_looks_of_a_mask_that_went_meanwhile_are_left_out_and_said(store, counting):
    record = two_lesions(store)
    params = KIND.prepare(store, {"mask_ids": [record.mask_id]}, "demo")
    result = compute_looks(params, store.root, no_progress)
    result["masks"].append({**result["masks"][0], "mask_id": "0" * 8})
    kept = KIND.record(store, params, result, store.root, "demo")
    assert (kept["lesions"], [one["mask_id"] for one in kept["not_stored"]]) == (2, ["00000000"])


def job(store, status: str, mask_ids: list[str], result: Any = None) -> None:
    made = store.jobs.create(JOB, {"mask_ids": mask_ids, "for": OTHER}, SYSTEM)
    store.jobs.update(made, status=status, result=result)


def test_a_failed_jobs_masks_are_tried_alone_once_and_those_not_stored_no_more(store):
    first, second, third = (two_lesions(store, day).mask_id for day in ("2024-01-01", "2024-02-01", "2024-03-01"))
    assert set(masks_to_look_at(store, OTHER)) == {first, second, third}
    job(store, "failed", [first, second])
    assert masks_to_look_at(store, OTHER) == [third], "others come first"
    job(store, "done", [third], {"not_stored": [{"mask_id": third, "why": "gone"}]})
    (alone,) = masks_to_look_at(store, OTHER)
    assert alone in (first, second)
    job(store, "failed", [alone])
    assert masks_to_look_at(store, OTHER) == [({first, second} - {alone}).pop()]
    job(store, "running", [first])
    assert masks_to_look_at(store, OTHER) == []
    assert set(masks_to_look_at(store, "another@0123456789ab")) == set(), "one job at a time, whatever its encoder"


def ended_after(rounds: int):
    left = iter([False] * rounds + [True])
    return lambda: next(left, True)


def test_the_thread_asks_for_masks_once_and_says_why_it_cannot_once(store, counting, monkeypatch, caplog):
    record = two_lesions(store)
    monkeypatch.setattr(lesion_looks, "LOOK_S", 0.0)
    asked = []

    def submit(kind, args, person):
        asked.append((kind, args["mask_ids"], person))
        run_inline(store, KINDS[kind], args, person)

    keep_looks(store, submit, ended_after(3))
    assert asked == [(JOB, [record.mask_id], SYSTEM)]
    assert len(store.looks.of(record.mask_id)) == 2

    def missing(model=""):
        raise ModelError("The weights are not there.")

    monkeypatch.setattr(lesion_looks, "lesion_encoder_name", missing)
    keep_looks(store, submit, ended_after(3))
    assert len(asked) == 1
    assert [one.message for one in caplog.records if "not looked at" in one.message] == [
        "lesions are not looked at: The weights are not there."
    ]
    assert choice.lesion_encoder_name() != OTHER
