"""What holds for every course, whatever the numbers."""

from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from core.twin.criteria.table import COMMON_WORD, CRITERIA, calls_of
from core.twin.criteria.values import FollowedLesion, Measurement, Protocol, Visit

#: Quarters of a millimetre, 0 for absent.
SIZES = st.integers(0, 400).map(lambda n: n / 4)
PRESENT = st.integers(1, 400).map(lambda n: n / 4)


@st.composite
def sizes(draw):
    """Sizes by visit of one to three lesions; present at baseline."""
    rows = draw(st.integers(2, 4))
    count = draw(st.integers(1, 3))
    first = draw(st.lists(PRESENT, min_size=count, max_size=count))
    rest = draw(st.lists(st.lists(SIZES, min_size=count, max_size=count), min_size=rows - 1, max_size=rows - 1))
    return [first, *rest]


def _cell(n: int, size: float | None) -> Measurement:
    if size is None:
        return Measurement(f"L{n}", "not assessed")
    if size == 0:
        return Measurement(f"L{n}", "absent")
    return Measurement(f"L{n}", "measured", size, size, 1000.0 * size, size)


def _visits(rows, **more) -> tuple[Visit, ...]:
    return tuple(
        Visit(f"2025-{n + 1:02d}-01", 56.0 * n, tuple(_cell(k, size) for k, size in enumerate(row)), **more)
        for n, row in enumerate(rows)
    )


def _protocol(rows, criterion: str = "recist-1.1", is_node: bool = False) -> Protocol:
    targets = tuple(FollowedLesion(f"L{k}", "liver", is_node) for k in range(len(rows[0])))
    return Protocol(criterion, "2025-01-01", targets)


KNOWN = {"dexamethasone_mg": 0.0, "clinical": "stable", "liver_sul_mean": 1.0, "liver_sul_sd": 0.0}


@settings(max_examples=60)
@given(sizes())
def test_recist_never_misses_a_rise_of_a_fifth_and_five_millimetres_from_the_nadir(rows):
    calls = calls_of(_visits(rows), _protocol(rows))
    sums = [sum(row) for row in rows]
    for n in range(1, len(rows)):
        nadir = min(sums[:n])
        if sums[n] >= 1.2 * nadir and sums[n] - nadir >= 5:
            assert calls[n].call == "PD"


@settings(max_examples=60)
@given(sizes(), st.sampled_from([2.0, 4.0, 8.0]))
def test_larger_scale_changes_no_call_but_by_the_least_rise(rows, factor):
    larger = [[size * factor for size in row] for row in rows]
    for criterion in ("rano-2.0-volumetric", "volume-beaumont"):
        calls = calls_of(_visits(rows, **KNOWN), _protocol(rows, criterion))
        scaled = calls_of(_visits(larger, **KNOWN), _protocol(rows, criterion))
        assert [call.call for call in scaled] == [call.call for call in calls]
    calls = calls_of(_visits(rows), _protocol(rows))
    scaled = calls_of(_visits(larger), _protocol(rows))
    for one, other in zip(calls, scaled, strict=True):
        if one.call == "PD" or one.call != other.call:
            assert other.call == "PD"
            return


@settings(max_examples=60)
@given(sizes(), st.sampled_from(sorted(CRITERIA)), st.randoms(use_true_random=False))
def test_the_order_of_lesions_does_not_matter(rows, criterion, random):
    visits, protocol = _visits(rows, **KNOWN), _protocol(rows, criterion)
    shuffled = tuple(replace(v, measurements=tuple(random.sample(v.measurements, len(v.measurements)))) for v in visits)
    turned = replace(protocol, targets=tuple(random.sample(protocol.targets, len(protocol.targets))))
    assert [c.call for c in calls_of(shuffled, turned)] == [c.call for c in calls_of(visits, protocol)]


@settings(max_examples=60)
@given(sizes(), st.sampled_from(sorted(set(CRITERIA) - {"lugano"})), st.data())
def test_a_missing_measurement_never_gives_a_response(rows, criterion, data):
    assume(len(rows[0]) > 0)
    visit = data.draw(st.integers(1, len(rows) - 1))
    rows[visit][data.draw(st.integers(0, len(rows[0]) - 1))] = None
    call = calls_of(_visits(rows, **KNOWN), _protocol(rows, criterion))[visit]
    assert COMMON_WORD.get(call.call, call.call) in ("NE", "PD")
    assert call.value is None


@settings(max_examples=60)
@given(sizes(), st.sampled_from(["recist-1.1", "irecist", "rano-bm", "volume-recist-sphere"]), st.data())
def test_what_is_not_known_gives_no_better_call_than_what_is(rows, criterion, data):
    """A measurement that is taken away leaves NE, or a progression that was one with it."""
    visit = len(rows) - 1
    whole = calls_of(_visits(rows, **KNOWN), _protocol(rows, criterion))[visit].call
    rows[visit][data.draw(st.integers(0, len(rows[0]) - 1))] = None
    part = calls_of(_visits(rows, **KNOWN), _protocol(rows, criterion))[visit].call
    assert part == "NE" or part == whole or (part, whole) == ("iUPD", "iCPD")


@settings(max_examples=60)
@given(sizes(), st.floats(0.0, 0.2))
def test_a_call_that_flips_lies_within_the_band_of_its_limit(rows, log_sd):
    """With one lesion the band is exp(+-1.96 sqrt(2) s): beyond it on both limits, no call flips."""
    rows = [row[:1] for row in rows[:2]]
    call = calls_of(_visits(rows), replace(_protocol(rows), log_sd=log_sd))[1]
    (before,), (now,) = rows
    band = math.exp(1.96 * math.sqrt(2) * log_sd) * 1.001
    assume(now > 0)
    clear = not any(now / band <= limit <= now * band for limit in (0.7 * before, 1.2 * before, before + 5))
    if clear:
        assert call.flips_within_noise is False
    if log_sd == 0:
        assert call.flips_within_noise is False or abs(now - 0.7 * before) < 1e-6 or abs(now - 1.2 * before) < 1e-6
