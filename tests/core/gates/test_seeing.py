"""What LiteMedSAM's encoder sees of MR: another patient's slices are compared, and a doubt is what either way finds."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

from core.engines.encoders import litemedsam
from core.errors import ModelError
from core.gates.scan import building, scan_gate, seeing
from core.gates.scan.building import assemble, no_deep, row_of
from core.gates.scan.card import Card
from core.gates.scan.looks import LOOKS_VERSION
from core.gates.scan.reference import IN_DISTRIBUTION, REAL, SEEN, Reference
from core.gates.scan.reporting import caught, ct_alone, without_encoder
from core.gates.scan.scan_gate import ScanGate
from core.gates.scan.seeing import FEATURES, SLICES, KnownSlices, slices_of
from core.jobs.stages import scan_reference
from tests.core.gates.test_scan_gate import limb

ENCODER = "encoder@1"
ODD = 5000.0  # a voxel that plain looks do not notice, and the encoder of these tests does


def fake_slices(volume):
    """Noise of its own for every scan; far off along one feature where the scan's first voxel says so."""
    rng = np.random.default_rng(int(abs(volume.array).sum()) % 2**32)
    rows = rng.normal(size=(SLICES, FEATURES)).astype(np.float32)
    rows[:, 3] += 40 if volume.array[0, 0, 0] == ODD else 0
    return rows


@pytest.fixture
def encoder(monkeypatch):
    for module in (scan_gate, building):
        monkeypatch.setattr(module, "slices_of", fake_slices)
    monkeypatch.setattr(scan_gate, "encoder_name", lambda: ENCODER)


@pytest.fixture
def reference(encoder) -> Reference:
    rows = [row_of(IN_DISTRIBUTION, REAL, f"P{n:02d}", [limb(n, "MR")]) for n in range(14)]
    rows += [row_of("marked", REAL, "P00", [marked(limb(0, "MR"))])]
    facts = {"looks_version": LOOKS_VERSION, "card": Card.of([limb(0, "MR")]).to_json(), "seen_by": ENCODER}
    return assemble(rows, no_deep(rows), (1,), facts)


def marked(volume):
    array = volume.array.copy()
    array[0, 0, 0] = ODD
    return replace(volume, array=array)


def test_the_distance_is_mahalanobis_with_the_shrunk_covariance_and_the_mean_over_slices():
    rng = np.random.default_rng(1)
    rows, asked = rng.normal(size=(9, 2, 5)).astype(np.float32), rng.normal(size=(3, 2, 5)).astype(np.float32)
    known = KnownSlices(rows, np.array([f"P{n}" for n in range(9)]))
    flat = rows.reshape(-1, 5).astype(float)
    model = LedoitWolf().fit((flat - flat.mean(0)) / flat.std(0))
    expected = [np.sqrt(model.mahalanobis((scan - flat.mean(0)) / flat.std(0))).mean() for scan in asked]
    assert known.away(asked) == pytest.approx(expected, rel=1e-5)


def test_a_reference_scan_is_held_against_other_patients_alone():
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(8, 2, 5)).astype(np.float32)
    rows[6:] += 30  # one patient's two scans, alike and far from everybody
    known = KnownSlices(rows, np.array(["A", "B", "C", "D", "E", "F", "G", "G"]))
    others = known.without(known.groups == "G")
    assert known.held_out()[6] == pytest.approx(others.away(rows[6:7])[0])
    assert known.held_out()[6] > 3 * known.held_out()[:6].max()
    assert known.nearest(rows[6] + 0.1) == "G"


def test_what_the_encoder_finds_odd_is_doubted_though_its_looks_are_usual(reference):
    gate = ScanGate(reference, "gate-1")
    usual, odd = gate.score_scan([limb(50, "MR")]), gate.score_scan([marked(limb(50, "MR"))])
    assert usual.state == "in distribution"
    assert odd.state == "out of distribution"
    assert "what an image encoder sees of the MR" in odd.judgement.reason
    assert list(odd.parts) == [SEEN]
    assert odd.parts[SEEN] > 1
    assert gate.score_scan([limb(50, "MR", noise=6)]).state == "out of distribution", "by its looks, as before"
    assert reference.crossfit[-1] > 0.5, "the reference's own scores count what the encoder finds"
    assert (reference.crossfit[:14] <= 0.5).all()


def test_a_scan_of_the_reference_is_not_its_own_witness(reference):
    found = ScanGate(reference, "gate-1").score_scan([limb(3, "MR")])
    assert found.held_out
    assert found.nearest != "P03"


@pytest.mark.parametrize("why", ["another encoder", "no encoder"])
def test_where_the_encoder_cannot_be_asked_nothing_passes_and_what_is_odd_stays_odd(reference, monkeypatch, why):
    def gone(*_):
        raise ModelError("LiteMedSAM is not there.")

    if why == "no encoder":
        monkeypatch.setattr(scan_gate, "encoder_name", gone)
    else:
        monkeypatch.setattr(scan_gate, "encoder_name", lambda: "encoder@2")
        monkeypatch.setattr(scan_gate, "slices_of", lambda volume: 1 / 0)  # SAM2's features are of another kind
    gate = ScanGate(reference, "gate-1")
    found = gate.score_scan([limb(50, "MR")])
    assert (found.state, found.score) == ("cannot be judged", None)
    assert "encoder" in found.note
    assert gate.score_scan([limb(50, "MR", noise=6)]).state == "out of distribution"


def test_a_reference_of_before_judges_by_looks_alone(reference):
    older = Reference({**reference.arrays, SEEN: np.full((15, 1, 1), np.nan, np.float32)}, reference.provenance)
    assert not ScanGate(older).sees(REAL)
    found = ScanGate(older).score_scan([marked(limb(50, "MR"))])
    assert found.state == "in distribution"
    assert "plain looks alone judge" in found.note, "what was not asked is said"


def test_the_report_tells_what_looks_alone_would_have_caught(reference):
    assert caught(reference)["real"] == {"in distribution": "0 of 14", "marked": "1 of 1"}
    assert caught(without_encoder(reference))["real"] == {"in distribution": "0 of 14", "marked": "0 of 1"}


def test_of_faults_of_the_pet_the_ct_alone_would_have_caught_none():
    found = caught(ct_alone(scan_gate.load_scan_gate().reference))["real"]
    assert (found["PET misplaced"], found["SUV scale wrong"], found["metal streaks"]) == ("0 of 8", "0 of 8", "8 of 8")


def test_a_fallback_for_litemedsam_is_no_encoder(monkeypatch):
    monkeypatch.setattr(litemedsam, "load_prompt_segmenter", lambda name: SimpleNamespace(model_id="sam2.1-tiny"))
    with pytest.raises(ModelError, match="Expected the encoder of litemedsam, got sam2"):
        slices_of(limb(3, "MR"))


@pytest.mark.parametrize(("encoder_now", "kept"), [(ENCODER, True), ("encoder@2", False)])
def test_features_of_two_encoders_are_never_in_one_reference(reference, monkeypatch, encoder_now, kept):
    monkeypatch.setattr(scan_reference, "encoder_name", lambda: encoder_now)
    rows = [row_of(IN_DISTRIBUTION, REAL, "own", [limb(60, "MR")])]
    seen_by = scan_reference._seen_by(rows, reference, {"with_shipped": True})
    own = assemble(rows, no_deep(rows, reference), (1,), dict(reference.provenance), crossfit=False)
    both = scan_reference._joined(reference, own, {**reference.provenance, "seen_by": seen_by})
    assert seen_by == encoder_now
    assert both.has(SEEN).tolist() == [kept] * 15 + [True]
    assert scan_reference._seen_by([], reference, {"with_shipped": False}) is None


def test_litemedsam_sees_two_slices_of_any_mr_as_so_many_features():
    rows = slices_of(limb(3, "MR"))
    assert rows.shape == (SLICES, FEATURES)
    assert np.isfinite(rows).all()
    assert seeing.encoder_name().startswith("litemedsam@")
