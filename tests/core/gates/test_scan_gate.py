"""The scan gate in force: nearest looks, held-out scans, anchors, the card, and what it cannot judge."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from core.errors import JobCancelled, ModelError
from core.gates.scan import building, scan_gate
from core.gates.scan.anchoring import around
from core.gates.scan.building import assemble, no_deep, row_of
from core.gates.scan.card import Card, metadata_doubts
from core.gates.scan.looks import LOOKS_VERSION, PAIR_PARTS, look_at, parts_of
from core.gates.scan.reference import IN_DISTRIBUTION, PHANTOM, REAL, read_reference
from core.gates.scan.scan_gate import ScanGate, squashed
from core.gates.scan.seeing import FEATURES, SLICES
from core.gates.scan.shifts import CORRUPTIONS
from core.imaging.volumes import read_volume
from core.types import Grid, LabelMap, Volume

SHAPE, SPACING = (30, 28, 16), (2.0, 2.0, 3.0)


def limb(seed=0, modality="CT", noise=1.0, shape=SHAPE, spacing=SPACING):
    """A cylinder of muscle with a rim of fat, as CT, or as MR; no two are the same."""
    rng = np.random.default_rng(seed)
    i, j = np.ogrid[: shape[0], : shape[1]]
    away = np.hypot(i - shape[0] / 2, j - shape[1] / 2)[:, :, None] * np.ones(shape)
    radius = 0.4 * min(shape[:2]) * rng.uniform(0.95, 1.05)
    fat, muscle, air = (-100, 50, -1000) if modality == "CT" else (300, 150, 0)
    array = np.where(away < radius - 2, muscle, np.where(away < radius, fat, air)) + noise * rng.normal(0, 8, shape)
    array = np.maximum(array, -1024 if modality == "CT" else 0).astype(np.float32)
    return Volume(array, Grid(shape, np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])), modality)


@pytest.fixture(scope="module")
def reference():
    rows = [row_of(IN_DISTRIBUTION, REAL, f"P{n:02d}", [limb(n)]) for n in range(14)]
    with pytest.MonkeyPatch.context() as patch:  # too few to be asked what an encoder sees of them
        patch.setattr(building, "slices_of", lambda volume: np.zeros((SLICES, FEATURES), np.float32))
        rows += [row_of(IN_DISTRIBUTION, REAL, f"P{n:02d}", [limb(n, "MR")]) for n in range(4)]
    rows += [row_of(IN_DISTRIBUTION, PHANTOM, f"phantom-{n:02d}", [limb(n, noise=6)]) for n in range(14)]
    rows += [row_of("strong noise", REAL, "P00", [limb(0, noise=6)])]
    pair = row_of("nothing usual", REAL, "P01", [limb(1), replace(limb(1, "MR"), modality="PET")])
    facts = {"looks_version": LOOKS_VERSION, "card": Card.of([limb(0), limb(0, "MR")]).to_json()}
    return assemble([*rows, pair], no_deep([*rows, pair]), (1,), facts)


@pytest.fixture(scope="module")
def gate(reference):
    return ScanGate(reference, "gate-1")


def test_what_looks_like_the_reference_passes_and_what_is_rougher_is_doubted_in_words(gate):
    usual, odd = gate.score_scan([limb(99)]), gate.score_scan([limb(99, noise=6)])
    assert (usual.state, usual.judgement.verdict, usual.kinds) == ("in distribution", "passes", ())
    assert usual.n_reference == 14
    assert usual.score is not None
    assert usual.score < 0.5
    assert (odd.state, odd.judgement.verdict, odd.judgement.kinds) == (
        "out of distribution",
        "doubtful",
        ("appearance",),
    )
    assert "the CT's roughness and sharpness" in odd.judgement.reason
    assert odd.judgement.gate_model == "gate-1"
    assert odd.to_json()["judgement"]["verdict"] == "doubtful"


def test_a_scan_of_the_reference_is_compared_with_other_patients_alone(gate):
    found = gate.score_scan([limb(3)])
    assert found.held_out
    assert found.nearest != "P03"
    assert min(found.parts.values()) > 0.1, "its own row would be at a distance of nothing"
    assert "in the reference" in found.note
    assert not gate.score_scan([limb(98)]).held_out


def test_phantoms_never_judge_a_patient_and_patients_no_phantom(gate):
    rough = limb(77, noise=6)
    assert gate.score_scan([rough], phantom=True).state == "in distribution"
    assert gate.score_scan([rough]).state == "out of distribution"


def test_too_few_reference_patients_cannot_judge(gate):
    found = gate.score_scan([limb(50, "MR")])
    assert (found.state, found.score, found.judgement.verdict) == ("cannot be judged", None, "cannot be judged")
    assert found.note.startswith("There are 4 reference patients with MR, 12 are needed.")
    assert found.judgement.kinds == ("not-judged",)


def test_an_odd_scan_counts_more_than_one_that_cannot_be_judged(gate):
    assert gate.score_scan([limb(50, "MR"), limb(99, noise=6)]).state == "out of distribution"
    assert gate.score_scan([limb(50, "MR"), limb(99)]).state == "cannot be judged"


def test_an_empty_mask_is_no_anchor_and_never_a_score(gate):
    empty = LabelMap(np.zeros(SHAPE, np.uint8), limb(1).grid)
    found = gate.score_scan([limb(99)], mask=empty)
    assert (found.state, found.score, found.judgement.verdict) == ("no anchor", None, "cannot be judged")
    assert found.judgement.kinds == ("empty",)


def test_around_a_mask_is_what_lies_within_50_mm_of_it():
    wide = limb(5, shape=(120, 28, 16))
    marked = np.zeros(wide.grid.shape, np.uint8)
    marked[58:62, 14, 8] = 1
    part = around(wide, LabelMap(marked, wide.grid))
    assert part.grid.shape[1:] == wide.grid.shape[1:], "there is no more than 50 mm there"
    assert part.grid.shape[0] == 4 + 2 * 25
    at = part.grid.to_index(wide.grid.to_mm(np.array([[60.0, 3.0, 2.0]])))[0]
    i, j, k = np.rint(at).astype(int)
    assert part.array[i, j, k] == wide.array[60, 3, 2]


def test_the_card_s_doubts_are_in_words():
    card = Card.of([limb(0)])
    assert metadata_doubts([limb(1)], card) == ()
    thick = limb(1, spacing=(2.0, 2.0, 5.0))
    assert metadata_doubts([thick], card) == ("Metadata: the CT's slice spacing is 5 mm; trained on 3 mm.",)
    told = metadata_doubts([limb(1)], card, {})
    assert told == ()
    one = limb(1)
    found = metadata_doubts([one], card, {id(one): {"slice_thickness_mm": 5.0}})
    assert found == ("Metadata: the CT's slice thickness is 5 mm; trained on 3 mm.",)
    assert metadata_doubts([limb(0, "MR")], card) == ("Metadata: MR; trained on CT alone.",)
    t1 = Card.of([replace(limb(0, "MR"), sequence="T1")])
    assert metadata_doubts([replace(limb(1, "MR"), sequence="T1")], t1) == ()
    flair = metadata_doubts([replace(limb(1, "MR"), sequence="FLAIR")], t1)
    assert flair == ("Metadata: the MR's sequence is FLAIR; trained on T1.",)
    short = limb(1, shape=(30, 28, 7))
    (field,) = metadata_doubts([short], card)
    assert field == "Metadata: the CT reaches 21 mm from head to foot; trained on 48 mm."
    gap = limb(1)
    holes = gap.array.copy()
    holes[:, :, 5] = holes[:, :, 4]
    (missing,) = metadata_doubts([replace(gap, array=holes)], card)
    assert missing == "Metadata: 1 of the CT's 16 slices are empty or repeat the last."
    assert Card.from_json(card.to_json()) == card


def test_a_doubt_of_the_card_is_a_doubt_of_the_verdict(gate):
    found = gate.score_scan([limb(99)], facts=[{"slice_thickness_mm": 9.0}])
    assert (found.state, found.judgement.verdict, found.judgement.kinds) == ("doubtful", "doubtful", ("metadata",))
    assert found.judgement.reason.startswith("Metadata: the CT's slice thickness is 9 mm; trained on 3 mm.")


def test_a_gate_that_breaks_or_is_not_there_cannot_judge(monkeypatch, gate):
    def broken(*_args, **_more):
        raise IndexError("a patient's name")

    monkeypatch.setattr(scan_gate, "load_scan_gate", lambda _model_id: gate)
    monkeypatch.setattr(ScanGate, "_score", broken)
    found = scan_gate.score_scan([limb(99)])
    assert (found.state, found.judgement.verdict) == ("cannot be judged", "cannot be judged")
    assert found.note == "The gate failed on these scans (IndexError)."

    def cancelled(*_args, **_more):
        raise JobCancelled("stopped")

    monkeypatch.setattr(ScanGate, "_score", cancelled)
    with pytest.raises(JobCancelled):
        scan_gate.score_scan([limb(99)])

    def gone(_model_id):
        raise ModelError("The file is gone.")

    monkeypatch.setattr(scan_gate, "load_scan_gate", gone)
    assert scan_gate.score_scan([limb(99)]).note == "The gate could not judge these scans: The file is gone."


def test_the_score_is_a_half_at_the_threshold():
    assert [squashed(odd, 2.0) for odd in (-1.0, 0.0, 2.0, 6.0)] == [0.0, 0.0, 0.5, 0.75]


def test_the_reference_survives_its_file_and_a_pickled_one_is_refused(reference, tmp_path):
    path = tmp_path / "reference.npz"
    path.write_bytes(reference.to_bytes())
    back = read_reference(path)
    assert back.to_bytes() == reference.to_bytes()
    with pytest.raises(ModelError, match="SHA-256"):
        read_reference(path, "0" * 64)
    np.savez(path, **{**reference.arrays, "kind": reference.kind.astype(object)}, provenance="{}")
    with pytest.raises(ModelError, match="cannot be read"):
        read_reference(path)
    old = replace(reference, provenance={**reference.provenance, "looks_version": 0})
    with pytest.raises(ModelError, match="version 0"):
        ScanGate(old)


def test_a_reference_fitted_before_an_encoder_was_there_is_read_and_lacks_only_its_features(reference, tmp_path):
    older = {name: array for name, array in reference.arrays.items() if name not in ("cubes", "slices")}
    np.savez(tmp_path / "older.npz", **older, provenance=json.dumps(dict(reference.provenance)))
    back = read_reference(tmp_path / "older.npz")
    assert not back.has("cubes").any()
    assert np.array_equal(ScanGate(back).held_out(back), reference.crossfit, equal_nan=True)
    del older["CT"]
    np.savez(tmp_path / "older.npz", **older, provenance="{}")
    with pytest.raises(ModelError, match="cannot be read"):
        read_reference(tmp_path / "older.npz")


def test_a_look_falls_into_its_parts():
    found = parts_of({"CT": look_at(limb(1))[None], "PET": look_at(replace(limb(1, "MR"), modality="PET"))[None]})
    assert {*found, "fit"} == {*PAIR_PARTS}
    assert float((found["CT values"] ** 2).sum()) == pytest.approx(1, abs=1e-5)
    assert float((found["CT steps"] ** 2).sum()) == pytest.approx(3, abs=1e-5)


@pytest.mark.parametrize("kind", ["metal streaks", "strong blur", "PET misplaced"])
def test_the_shipped_gate_passes_a_held_out_patient_and_doubts_what_was_missed_before(shared_data, kind):
    folder = shared_data / "sts" / "STS_005"
    ct, pet = read_volume(folder / "CT_image.nii.gz", "CT"), read_volume(folder / "PET_image.nii.gz", "PET")
    shifted = scan_gate.score_scan(list(CORRUPTIONS[kind](ct, pet, np.random.default_rng(7))))
    assert shifted.judgement.verdict == "doubtful"
    assert "appearance" in shifted.kinds
    if kind == "metal streaks":
        usual = scan_gate.score_scan([pet, ct])
        assert (usual.judgement.verdict, usual.held_out) == ("passes", True)
