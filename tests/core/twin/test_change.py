"""One noise model: verdict, interval, rate and doubling time of a change, asked of both ends. Numbers are by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from core.errors import InputError
from core.growth.curves import FLOOR_MM3
from core.growth.rates import Z95
from core.twin.change import Change, MeasuredEnd, change_between
from core.twin.installation_noise import RepeatedMeasurement, estimate_noise
from core.twin.noise import hand_log_sd, volume_log_sd, widenings

NNUNET = {"method": "nnunet", "checkpoint_sha256": "aaa", "edited_share": 0.0, "reader": "ann"}


def end(
    volume_mm3: float, diameter_mm: float = 40.0, modality: str = "CT", day: float = 0.0, **more: Any
) -> MeasuredEnd:
    """Of 1 mm slices, by one checkpoint, unchanged by hand."""
    return MeasuredEnd(
        volume_mm3, diameter_mm, modality, **{"slice_thickness_mm": 1.0, "mask_id": "m", **NNUNET, "day": day, **more}
    )


def judged(factor: float, before: dict[str, Any] | None = None, after: dict[str, Any] | None = None) -> Change:
    """From 30 mL by a factor in 60 days."""
    return change_between(end(30_000.0, **(before or {})), end(30_000.0 * factor, **{"day": 60.0, **(after or {})}))


@pytest.mark.parametrize(
    ("diameter", "percent", "verdict"),
    # QIBA's 39 / 29 / 24 % of growth; of shrinkage 1 - 1/1.39 = 28.1, 1 - 1/1.29 = 22.5, 1 - 1/1.24 = 19.4 %.
    [
        (10, 38, "within noise"),
        (10, 40, "real"),
        (20, 38, "within noise"),
        (20, 40, "real"),
        (34.9, 30, "within noise"),
        (35, 30, "real"),
        (49.9, 28, "within noise"),
        (50, 25, "real"),
        (100, 23, "within noise"),
        (100, 25, "real"),
        (20, -28.0, "within noise"),
        (20, -28.2, "real"),
        (40, -22.4, "within noise"),
        (40, -22.6, "real"),
        (60, -19.3, "within noise"),
        (60, -19.5, "real"),
    ],
)
def test_ct_to_ct_is_judged_by_the_published_growth_of_its_band_and_its_mirror(
    diameter: float, percent: float, verdict: str
) -> None:
    limit = 39 if diameter < 35 else 29 if diameter < 50 else 24
    of_size = {"diameter_mm": diameter}
    change = judged(1 + percent / 100, of_size, of_size)
    assert change.verdict == verdict
    assert change.percent == pytest.approx(percent)
    expected = limit if percent > 0 else 100 * (1 - 1 / (1 + limit / 100))
    assert change.smallest_real_percent == pytest.approx(expected)
    assert change.log_sd == pytest.approx(math.log(1 + limit / 100) / 1.959964)
    assert (change.widened_by, change.rule.endswith("mm (assumed)")) == ((), True)


#: Kinds "modality" and "noise" of ../shared/cases/timeline.tsv, and what is right there.
LINES: dict[str, tuple[float, dict[str, Any], dict[str, Any], str]] = {
    # CT -> MR -> CT, +53 % then -35 %: unknown twice.
    "CT then MR": (1.53, {}, {"modality": "MR", "sequence": "T1"}, "unknown"),
    "MR then CT": (0.65, {"modality": "MR", "sequence": "T1"}, {}, "unknown"),
    # MR first, then CT -> CT x2.2: real by the CT rule.
    "CT to CT after an MR": (2.2, {}, {}, "real"),
    # 40 mm x1.30: ln 1.30 = 0.262 beyond ln 1.29 = 0.255; x0.72: ln 0.72 = -0.329.
    "x1.30": (1.30, {}, {}, "real"),
    "x0.72": (0.72, {}, {}, "real"),
    # Another checkpoint: 1.96·√2·√(0.0919² + 0.18²) = 0.560, so real from +75.1 % on.
    "another checkpoint": (1.45, {}, {"checkpoint_sha256": "bbb"}, "within noise"),
    # +52 % and one of 2,500 voxels erased by hand: the SD of the log change, 0.1299, grows by √2·0.0004²/(2·0.0919).
    "untouched": (1.52, {}, {}, "real"),
    "one voxel erased": (1.52 * 2499 / 2500, {}, {"edited_share": 1 / 2500}, "real"),
    # 1 mm -> 10 mm: thick slices add (100 - 25)/(6·1600) and the change of protocol 2·0.18²: real from +79.7 % on.
    "thickness": (1.75, {}, {"slice_thickness_mm": 10.0}, "within noise"),
    # 8 -> 10 mm, twice the volume.
    "8 to 10 mm": (1.95, {"diameter_mm": 8.0}, {"diameter_mm": 10.0}, "unknown"),
}


@pytest.mark.parametrize("name", LINES)
def test_the_lines_of_modality_and_noise_are_answered_as_is_right(name: str) -> None:
    factor, before, after, verdict = LINES[name]
    change = judged(factor, before, after)
    assert change.verdict == verdict
    assert (change.doubling_days is not None) == (verdict == "real")
    if verdict != "unknown":
        assert change.growth_low95 is not None
        assert change.growth_high95 is not None
        assert (change.growth_low95 <= 0 <= change.growth_high95) == (verdict == "within noise")
        assert (change.growth_text == "not distinguishable from no growth") == (verdict == "within noise")


@pytest.mark.parametrize(
    ("name", "rule", "widened_by", "limit"),
    [
        ("CT then MR", "no rule for two modalities", (), None),
        ("CT to CT after an MR", "QIBA CT tumour volume, 35–50 mm (assumed)", (), 29.0),
        (
            "another checkpoint",
            "QIBA CT tumour volume, 35–50 mm (assumed), widened for different segmenters (assumed)",
            ("different segmenters (nnunet, checkpoint aaa → bbb)",),
            75.10,
        ),
        (
            "one voxel erased",
            "QIBA CT tumour volume, 35–50 mm (assumed), widened (assumed)",
            ("a person's changes of 0 % and 0.04 % of the voxels",),
            29.0003,
        ),
        (
            "thickness",
            "QIBA CT tumour volume, 35–50 mm (assumed), widened (assumed)",
            ("slices of 10 mm (after)", "slice thickness 1 mm → 10 mm"),
            79.74,
        ),
        ("8 to 10 mm", "no QIBA verdict below 10 mm", (), None),
    ],
)
def test_each_line_names_its_rule_and_what_widened_it(
    name: str, rule: str, widened_by: tuple[str, ...], limit: float | None
) -> None:
    factor, before, after, _ = LINES[name]
    change = judged(factor, before, after)
    assert (change.rule, change.widened_by) == (rule, widened_by)
    assert change.smallest_real_percent == (None if limit is None else pytest.approx(limit, abs=0.01))
    assert change.why.endswith(".")


def test_thirty_three_to_eighty_one_mm3_is_its_own_rate_within_its_own_interval() -> None:
    """ln(81/33)/59 = 1.522 % a day; ± 1.96·√2·0.18/59 = 0.846 by the noise between readers, which is no verdict."""
    change = change_between(end(33.0, 4.0), end(81.0, 5.4, day=59.0))
    assert change.growth_percent_per_day == pytest.approx(1.522, abs=1e-3)
    assert (change.growth_low95, change.growth_high95) == (
        pytest.approx(1.522 - 0.846, abs=1e-3),
        pytest.approx(1.522 + 0.846, abs=1e-3),
    )
    assert (change.verdict, change.doubling_days) == ("unknown", None)
    assert change.growth_text == "unknown: no QIBA verdict below 10 mm"


def test_a_rate_and_its_doubling_time_are_of_the_same_interval() -> None:
    """1,000 to 2,000 mm3 of 20 mm in 100 days: 0.693 ± 1.96·√2·0.1188/100 = 0.329 % a day."""
    change = change_between(end(1000.0, 20.0), end(2000.0, 20.0, day=100.0))
    assert change.growth_percent_per_day == pytest.approx(0.6931, abs=1e-4)
    assert change.growth_low95 == pytest.approx(0.6931 - 0.3293, abs=1e-4)
    assert change.doubling_days == pytest.approx(100.0)
    assert (change.doubling_low_days, change.doubling_high_days) == (
        pytest.approx(67.79, abs=0.02),
        pytest.approx(190.5, abs=0.1),
    )
    assert change.growth_text == "+0.69 % per day (+0.36 to +1.02), doubling in 100 days (68–191)"
    back = change_between(end(2000.0, 20.0), end(1000.0, 20.0, day=100.0))
    assert back.growth_text == "-0.69 % per day (-1.02 to -0.36), halving in 100 days (68–191)"


@pytest.mark.parametrize(
    ("before", "after", "rule"),
    [
        ({"modality": "MR", "sequence": "T1"}, {"modality": "MR", "sequence": "T1"}, "no rule for MR"),
        ({"modality": "MR", "sequence": "T1"}, {"modality": "MR", "sequence": "FLAIR"}, "no rule for two sequences"),
        ({"modality": "PET"}, {"modality": "PET"}, "no rule for PET"),
        ({"modality": "CT"}, {"modality": "PET"}, "no rule for two modalities"),
        ({"diameter_mm": 9.9}, {"diameter_mm": 30.0}, "no QIBA verdict below 10 mm"),
        ({"diameter_mm": 30.0}, {"diameter_mm": 9.9}, "no QIBA verdict below 10 mm"),
        ({"diameter_mm": 60.0}, {"diameter_mm": 100.1}, "no QIBA verdict above 100 mm"),
        ({"diameter_mm": 11.0}, {"diameter_mm": 30.0, "slice_thickness_mm": 6.0}, "no QIBA verdict below two slices"),
        ({}, {"registration_state": "failed"}, "no rule: registration failed"),
        ({"registration_state": "doubtful"}, {}, "no rule: registration doubtful"),
    ],
)
def test_without_a_rule_for_both_ends_the_answer_is_unknown(
    before: dict[str, Any], after: dict[str, Any], rule: str
) -> None:
    change = judged(5.0, before, after)
    assert (change.verdict, change.rule) == ("unknown", rule)
    assert change.percent == pytest.approx(400)
    assert (change.doubling_days, change.smallest_real_percent) == (None, None)
    assert change.growth_text == f"unknown: {rule}"
    if "two modalities" in rule or "two sequences" in rule or "registration" in rule:
        assert (change.log_sd, change.growth_percent_per_day) == (None, None)


def test_the_smaller_diameter_decides_the_band_whichever_end_it_is_at() -> None:
    """+35 % is real at 40 mm and not at 30 mm."""
    for before, after in ((30.0, 40.0), (40.0, 30.0)):
        assert judged(1.35, {"diameter_mm": before}, {"diameter_mm": after}).verdict == "within noise"
    assert judged(1.35).verdict == "real"


def test_an_accepted_registration_and_none_at_all_leave_the_verdict_to_the_volumes() -> None:
    for state in (None, "good", "accepted"):
        assert judged(1.3, {"registration_state": state}, {"registration_state": state}).verdict == "real"


def _log_sd(change: Change) -> float:
    assert change.log_sd is not None
    return change.log_sd


BASE = math.log(1.29) / (1.959964 * math.sqrt(2))  # 0.0919, of one volume of 35 to 50 mm


@pytest.mark.parametrize(
    ("before", "after", "variance", "words"),
    [
        ({"method": "manual"}, {}, 2 * 0.18**2, "different segmenters (manual → nnunet)"),
        ({"checkpoint_sha256": None}, {}, 2 * 0.18**2, "different segmenters (nnunet, checkpoint not recorded → aaa)"),
        (
            {"edited_share": 0.3},
            {"edited_share": 0.3, "reader": "bob"},
            2 * 0.18**2,
            "different readers (ann → bob), whose hand changed 30 % and 30 % of the voxels",
        ),
        (
            {"edited_share": 0.05},
            {"edited_share": 0.02, "reader": "bob"},
            2 * 0.05**2,
            "different readers (ann → bob), whose hand changed 5 % and 2 % of the voxels",
        ),
        ({"edited_share": 0.05}, {}, 2 * 0.05**2, "a person's changes of 5 % and 0 % of the voxels"),
        ({"edited_share": None}, {}, 2 * 0.18**2, "a person's changes, not known how many (before)"),
        ({"slice_thickness_mm": None}, {}, 0.18**2, "slice thickness not known (before)"),
        ({"slice_thickness_mm": 7.0}, {"slice_thickness_mm": 7.0}, 2 * 24 / 9600, "slices of 7 mm (before)"),
        ({}, {"doubts": ("odd shape", "odd scan")}, 0.18**2, "doubt: odd scan (after)"),
        # Another segmenter that was also changed by hand is one other contour, not two.
        (
            {"method": "manual", "edited_share": 1.0},
            {},
            2 * 0.18**2,
            "a person's changes of 100 % and 0 % of the voxels",
        ),
    ],
)
def test_what_widens_is_named_and_adds_its_variance(
    before: dict[str, Any], after: dict[str, Any], variance: float, words: str
) -> None:
    change = judged(1.3, before, after)
    assert _log_sd(change) == pytest.approx(math.sqrt(2 * BASE**2 + variance))
    assert words in change.widened_by
    assert change.volume_log_sds is not None
    assert math.hypot(*change.volume_log_sds) == pytest.approx(_log_sd(change))
    assert words in change.why


def test_what_is_not_known_but_widens_nothing_is_said() -> None:
    """Slices whose distance stands for their thickness, and readers who changed nothing."""
    change = judged(1.3, {"slice_thickness_mm": None, "spacing_mm": (0.8, 0.8, 3.0)}, {"slice_thickness_mm": 3.0})
    assert _log_sd(change) == pytest.approx(math.sqrt(2) * BASE)
    assert "slice thickness not known (before), the voxels' 3 mm taken for it" in change.why
    by_voxels = {"slice_thickness_mm": None, "spacing_mm": (0.8, 0.8, 3.0)}
    told = "slice thickness not known (before, after), the voxels' 3 mm and 3 mm taken for it"
    assert told in judged(1.3, by_voxels, by_voxels).why
    assert "different readers (ann → bob), of whom neither changed a voxel" in judged(1.3, {}, {"reader": "bob"}).why


def test_a_network_whose_checkpoint_is_not_recorded_may_be_another() -> None:
    none = {"checkpoint_sha256": None}
    change = judged(1.3, none, none)
    assert change.widened_by == ("segmenters whose checkpoints were not recorded",)
    assert _log_sd(change) == pytest.approx(_log_sd(judged(1.3, none, {})))


def test_one_person_s_own_drawings_are_one_segmenter_and_two_persons_are_not() -> None:
    drawn = {"method": "manual", "checkpoint_sha256": None, "edited_share": 1.0}
    assert judged(1.3, drawn, drawn).verdict == "real"
    assert judged(1.3, drawn, {**drawn, "reader": "bob"}).verdict == "within noise"
    assert judged(1.3, {**drawn, "reader": None}, {**drawn, "reader": None}).verdict == "within noise"


def test_a_lesion_that_is_gone_has_shrunk_at_least_to_5_mm_and_a_new_one_has_no_verdict() -> None:
    gone = judged(0.0)
    assert (gone.verdict, gone.percent, gone.is_bound) == ("real", -100.0, True)
    assert gone.log_change == pytest.approx(math.log(FLOOR_MM3 / 30_000))
    assert "gone, counted as 5 mm" in gone.why
    new = change_between(end(0.0, 0.0), end(500.0, 12.0, day=60.0))
    assert (new.verdict, new.rule, new.percent) == ("unknown", "no rule for a new lesion", None)
    assert new.growth_percent_per_day is None
    never = change_between(end(0.0, 0.0), end(0.0, 0.0, day=60.0))
    assert (never.verdict, never.rule, never.percent) == ("within noise", "absent at both timepoints", None)
    assert (never.growth_percent_per_day, never.growth_text) == (0.0, "not distinguishable from no growth")
    tiny = change_between(end(40.0, 12.0), end(0.0, 0.0, day=60.0))
    assert (tiny.verdict, tiny.log_change) == ("within noise", 0.0)


def test_two_masks_of_one_day_have_a_verdict_and_no_rate() -> None:
    change = judged(1.5, {}, {"day": 0.0})
    assert (change.verdict, change.growth_percent_per_day, change.doubling_days) == ("real", None, None)


def test_json_has_the_keys_of_a_timeline_s_change() -> None:
    printed = judged(1.3, {"mask_id": "one"}, {"mask_id": "two"}).to_json()
    for key in ("percent", "verdict", "rule", "log_sd", "widened_by", "growth_percent_per_day", "doubling_days"):
        assert key in printed
    assert printed["mask_ids"] == ["one", "two"]
    assert judged(1.3, {}, {"modality": "PET"}).to_json()["growth_interval95_percent_per_day"] is None


@pytest.mark.parametrize(
    ("figures", "told"),
    [
        ({"volume_mm3": -1.0}, "at least 0 mm3"),
        ({"volume_mm3": math.nan}, "at least 0 mm3"),
        ({"longest_diameter_mm": -1.0}, "diameter of at least 0"),
        ({"day": math.inf}, "a day"),
        ({"modality": "US"}, "CT, PET or MR, got 'US'"),
        ({"slice_thickness_mm": 0.0}, "above 0 mm"),
        ({"spacing_mm": (1.0, -1.0)}, "above 0 mm"),
        ({"edited_share": 1.1}, "share of 0 to 1"),
        ({"registration_state": "fine"}, "good, doubtful, failed, accepted or None"),
    ],
)
def test_an_end_that_cannot_be_is_refused(figures: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        replace(end(1000.0), **figures)


def test_an_installation_s_own_repeated_scans_make_the_rule_where_they_are_enough_and_of_its_kind() -> None:
    """Log ratios of ±0.1: s = 0.1/√2 = 0.0707, times 2.228/1.96 for ten pairs 0.0804: real from +25.0 % on."""
    pairs = [RepeatedMeasurement(1000.0, 1000.0 * math.exp(0.1 * (-1) ** n), 20.0 + 4 * n, "CT") for n in range(10)]
    own = estimate_noise(pairs)
    ends = (end(30_000.0), end(30_000.0 * 1.26, day=60.0))
    change = change_between(ends[0], ends[1], [own])
    assert change.rule == "own repeatability, CT, 20–56 mm, 10 repeated scans"
    assert change.smallest_real_percent == pytest.approx(24.96, abs=0.01)
    assert (change.verdict, change_between(ends[0], ends[1]).verdict) == ("real", "within noise")
    few = estimate_noise(pairs[:9])
    assert "QIBA" in change_between(ends[0], ends[1], [few]).rule
    assert "QIBA" in change_between(end(9e4, 60.0), end(9e4, 60.0), [own]).rule  # larger than what was repeated
    mr = [replace(found, modality="MR", sequence="T1") for found in ends]
    assert change_between(mr[0], mr[1], [own]).verdict == "unknown"
    mr_own = estimate_noise([replace(pair, modality="MR", sequence="T1") for pair in pairs])
    assert change_between(mr[0], mr[1], [own, mr_own]).verdict == "real"


def test_an_installation_s_own_readers_replace_the_spread_between_readers() -> None:
    pairs = [RepeatedMeasurement(1000.0, 1000.0 * math.exp(0.1 * (-1) ** n), 20.0 + 4 * n, "CT") for n in range(10)]
    readers = estimate_noise(pairs, "readers")
    before, after = end(30_000.0), end(45_000.0, checkpoint_sha256="bbb", day=60.0)
    change = change_between(before, after, [readers])
    assert _log_sd(change) == pytest.approx(math.sqrt(2 * BASE**2 + 2 * readers.used_log_sd**2))
    assert "between readers: own repeatability, CT, 20–56 mm, 10 readings by two readers" in change.why
    assert (change.verdict, change_between(before, after).verdict) == ("real", "within noise")


def test_the_noise_of_one_volume_is_that_of_its_own_end() -> None:
    assert volume_log_sd(end(1000.0, 40.0)) == pytest.approx(BASE)
    assert volume_log_sd(end(1000.0, 9.0)) == volume_log_sd(end(1000.0, 40.0, "MR")) == 0.18
    assert volume_log_sd(end(1000.0, 40.0, doubts=("odd",))) == pytest.approx(math.hypot(BASE, 0.18))
    assert volume_log_sd(end(1000.0, 40.0, edited_share=None)) == pytest.approx(BASE)  # of a pair, not of one


ENDS = st.builds(
    MeasuredEnd,
    volume_mm3=st.floats(1.0, 1e6),
    longest_diameter_mm=st.floats(5.0, 110.0),
    modality=st.sampled_from(("CT", "CT", "CT", "MR")),
    slice_thickness_mm=st.none() | st.floats(0.5, 12.0),
    spacing_mm=st.none() | st.just((1.0, 1.0, 2.0)),
    method=st.sampled_from(("nnunet", "manual")),
    checkpoint_sha256=st.sampled_from((None, "aaa", "bbb")),
    reader=st.sampled_from((None, "ann", "bob")),
    edited_share=st.none() | st.floats(0.0, 1.0),
    registration_state=st.sampled_from((None, "good", "doubtful", "failed", "accepted")),
    doubts=st.sampled_from(((), ("odd",))),
)


@given(ENDS, ENDS, st.floats(1.0, 1000.0))
def test_verdict_interval_rate_and_doubling_time_never_contradict_each_other(
    before: MeasuredEnd, after: MeasuredEnd, days: float
) -> None:
    change = change_between(before, replace(after, day=days))
    assert (change.doubling_days is not None) == (change.verdict == "real")
    assert ("doubling" in change.growth_text or "halving" in change.growth_text) == (change.verdict == "real")
    assert (change.growth_text == "not distinguishable from no growth") == (change.verdict == "within noise")
    if change.verdict == "unknown":
        return
    assert change.log_low95 is not None
    assert change.log_high95 is not None
    assert change.percent is not None
    assert change.smallest_real_percent is not None
    assert (change.log_low95 > 0 or change.log_high95 < 0) == (change.verdict == "real")
    if abs(abs(change.log_change or 0.0) - Z95 * _log_sd(change)) > 1e-9:
        assert (abs(change.percent) > change.smallest_real_percent) == (change.verdict == "real")
    if change.doubling_days is not None:
        assert (change.doubling_days > 0) == (change.percent > 0)


@given(ENDS, ENDS)
def test_told_backwards_a_change_is_the_negative_and_as_real(before: MeasuredEnd, after: MeasuredEnd) -> None:
    there, back = change_between(before, after), change_between(after, before)
    assert (there.verdict, there.rule, there.log_sd) == (back.verdict, back.rule, back.log_sd)
    assert (there.log_change is None) == (back.log_change is None)
    if there.log_change is not None and back.log_change is not None:
        assert there.log_change == -back.log_change


@given(ENDS, ENDS, st.floats(0.5, 2.0))
def test_the_unit_of_volume_changes_nothing(before: MeasuredEnd, after: MeasuredEnd, factor: float) -> None:
    plain = change_between(before, after)
    scaled = [replace(found, volume_mm3=found.volume_mm3 * factor) for found in (before, after)]
    other = change_between(scaled[0], scaled[1])
    assert (plain.rule, plain.log_sd) == (other.rule, other.log_sd)
    if plain.log_change is not None:
        assert other.log_change == pytest.approx(plain.log_change, abs=1e-9)
        assume(abs(abs(plain.log_change) - Z95 * _log_sd(plain)) > 1e-9)
    assert plain.verdict == other.verdict


WIDER = st.sampled_from(
    (
        {"doubts": ("odd",)},
        {"checkpoint_sha256": "ccc"},
        {"method": "import"},
        {"edited_share": None},
        {"slice_thickness_mm": None, "spacing_mm": None},
        {"registration_state": "doubtful"},
    )
)


@given(st.floats(10.0, 100.0), st.floats(0.1, 10.0), WIDER, WIDER)
def test_widening_never_makes_a_change_real(
    diameter: float, factor: float, before: dict[str, Any], after: dict[str, Any]
) -> None:
    plain = judged(factor, {"diameter_mm": diameter}, {"diameter_mm": diameter})
    wider = judged(factor, {"diameter_mm": diameter, **before}, {"diameter_mm": diameter, **after})
    assert wider.verdict != "real" or plain.verdict == "real"
    assert wider.log_sd is None or wider.log_sd >= _log_sd(plain)


@given(st.floats(10.0, 100.0), st.integers(700, 200_000), st.floats(0.0, 1.0), st.booleans())
def test_one_voxel_more_by_hand_moves_the_noise_by_less_than_a_hundredth(
    diameter: float, voxels: int, share: float, same_reader: bool
) -> None:
    """Of 700 voxels or more, a ball of 11 mm in voxels of 1 mm; of 65 voxels one is up to 10 %."""
    changed = min(int(share * voxels), voxels - 1)

    def log_sd(count: int) -> float:
        more = {"edited_share": count / voxels, "reader": "ann" if same_reader else "bob"}
        return _log_sd(judged(1.3, {"diameter_mm": diameter}, {"diameter_mm": diameter, **more}))

    assert log_sd(changed + 1) / log_sd(changed) == pytest.approx(1.0, abs=0.01)


def test_the_hand_counts_as_another_segmenter_from_the_spread_between_readers_on() -> None:
    assert [hand_log_sd(share) for share in (0.0, 0.05, 0.18, 0.5, 1.0)] == [0.0, 0.05, 0.18, 0.18, 0.18]


def test_slices_of_5_mm_are_thin_and_what_is_beyond_adds_by_and_by() -> None:
    ends = (end(1000.0, 40.0, slice_thickness_mm=mm) for mm in (5.0, 5.001))
    thin, thick = (widenings(one, one)[0] for one in ends)
    assert thin == []
    assert sum(found.before_variance for found in thick) == pytest.approx(0.0, abs=1e-5)


def test_another_protocol_begins_where_slices_are_twice_as_thick() -> None:
    """1.5 mm to 2.9 mm is one protocol, to 3 mm another, whichever came first."""
    for there, another in (((1.5, 2.9), False), ((1.5, 3.0), True), ((3.0, 1.5), True)):
        ends = [end(1000.0, 40.0, slice_thickness_mm=mm) for mm in there]
        assert [found.words for found in widenings(ends[0], ends[1])[0]] == (
            [f"slice thickness {there[0]:g} mm → {there[1]:g} mm"] if another else []
        )


@pytest.mark.parametrize(
    ("diameter", "thickness", "rule"),
    [
        (11.9, 6.0, "no QIBA verdict below two slices"),
        (12.0, 6.0, "QIBA CT tumour volume, 10–35 mm (assumed), widened (assumed)"),
        (10.0, 5.0, "QIBA CT tumour volume, 10–35 mm (assumed)"),
        (10.5, 1.0, "QIBA CT tumour volume, 10–35 mm (assumed)"),
    ],
)
def test_a_lesion_of_thick_slices_needs_two_of_them(diameter: float, thickness: float, rule: str) -> None:
    of_end = {"diameter_mm": diameter, "slice_thickness_mm": thickness}
    assert judged(1.1, of_end, of_end).rule == rule


def test_own_repeatability_holds_to_the_sizes_that_were_repeated_and_these_included() -> None:
    pairs = [RepeatedMeasurement(1000.0, 1000.0 * math.exp(0.1 * (-1) ** n), 20.0 + 4 * n, "CT") for n in range(10)]
    own = [estimate_noise(pairs)]
    for before, after, of_own in ((20.0, 56.0, True), (19.9, 56.0, False), (20.0, 56.1, False)):
        change = change_between(end(0.5, before), end(0.9, after), own)
        assert change.rule.startswith("own repeatability") is of_own


def test_a_rate_is_by_the_days_between_however_few() -> None:
    """Threefold within half a day: doubling in 0.5·ln 2/ln 3 = 0.315 days; the axis may begin anywhere."""
    change = judged(3.0, {"day": 100.0}, {"day": 100.5})
    assert change.doubling_days == pytest.approx(0.315, abs=1e-3)
    assert "doubling in 0 days" in change.growth_text
    assert not change.is_bound
    back = judged(1 / 3, {"day": 100.0}, {"day": 100.5})
    assert back.doubling_days == pytest.approx(-0.315, abs=1e-3)
    assert "halving in 0 days" in back.growth_text
    never = change_between(end(0.0, 0.0, day=100.0), end(0.0, 0.0, day=110.0))
    assert never.growth_high95 == pytest.approx(100 * 1.959964 * math.sqrt(2) * 0.18 / 10)
    assert judged(2.0, {}, {"day": -1.0}).growth_percent_per_day is None
