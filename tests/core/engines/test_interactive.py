"""The process behind prompts: it finds a phantom on any axis, is started again when it dies, and stops when told."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from core.engines.base import SliceFound, StopReason
from core.engines.prompt.prompting import overlap
from core.engines.propagation import planes
from core.engines.service import interactive
from core.engines.service.interactive import PromptService, ScanFile
from core.errors import InputError, ModelError
from core.imaging.volumes import file_sha256, write_nifti
from core.lesions.mask_bits import pack, unpack
from core.types import Grid, Prompt

SPACING_MM = (1.0, 1.0, 4.0)
SHAPE = (64, 56, 15)
RADIUS_MM, CENTRE = 17.0, (30, 26, 7)


def ball() -> np.ndarray:
    """(I, J, K) bool: in millimetres a ball, in voxels four times flatter along k."""
    away = [(n - c) * mm for n, c, mm in zip(np.indices(SHAPE), CENTRE, SPACING_MM, strict=True)]
    return sum(a**2 for a in away) <= RADIUS_MM**2


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> ScanFile:
    """A CT of that ball, 80 HU in fat of -100 HU, with a little noise."""
    noise = np.random.default_rng(3).normal(0, 6, SHAPE)
    array = np.where(ball(), 80.0, -100.0) + noise
    path = tmp_path_factory.mktemp("scan") / "ct.nii.gz"
    write_nifti(path, array.astype(np.float32), Grid(SHAPE, np.diag([*SPACING_MM, 1.0])))
    return ScanFile(path, file_sha256(path), "CT", "", SHAPE)


@pytest.fixture(scope="module")
def service() -> Iterator[PromptService]:
    opened = PromptService()
    yield opened
    opened.close()


def box_on(axis: int) -> Prompt:
    """Around the ball on its middle slice across `axis`, a voxel wider."""
    cut = planes.take_slice(ball(), axis, CENTRE[axis])
    a, b = np.flatnonzero(cut.any(axis=1)), np.flatnonzero(cut.any(axis=0))
    return Prompt("box", CENTRE[axis], tuple(float(v) for v in (a[0] - 1, b[0] - 1, a[-1] + 1, b[-1] + 1)))


def died(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


# --- geometry ---


def test_a_slice_across_another_axis_becomes_square_and_its_mask_comes_back() -> None:
    grid = Grid(SHAPE, np.diag([*SPACING_MM, 1.0]))
    assert planes.square(grid, 2).resampled == (64, 56)
    square = planes.square(grid, 0)
    assert (square.shape, square.resampled) == ((56, 15), (56, 60))
    mask = np.zeros((56, 15), dtype=bool)
    mask[10:20, 4:9] = True
    larger = square.image(np.where(mask, 200, 0).astype(np.uint8)) > 100
    # Five voxels of four pixels each, from pixel 16 on.
    assert np.flatnonzero(larger.any(axis=0)).tolist() == list(range(16, 36))
    assert np.array_equal(square.mask(larger), mask)
    box, point = square.prompts([Prompt("box", 3, (10.0, 4.0, 19.0, 8.0)), Prompt("point", 3, (10.0, 4.0))])
    assert box.coords == (10.0, 16.0, 19.0, 35.0)
    assert point.coords == (10.0, 17.5)


def test_bits_of_a_mask_are_those_of_its_rectangle_and_come_back() -> None:
    mask = np.zeros((20, 9), dtype=bool)
    mask[3, 2] = mask[5, 2] = mask[4, 4] = True
    packed = pack(mask)
    assert (packed["origin"], packed["shape"]) == ([3, 2], [3, 3])
    # First coordinate fastest: 101 000 010, least significant bit first: 0b10000101, 0b0.
    assert packed["mask"] == "hQA="
    assert np.array_equal(unpack(packed, (20, 9)), mask)
    empty = pack(np.zeros((20, 9), dtype=bool))
    assert (empty["shape"], unpack(empty, (20, 9)).any()) == ([0, 0], False)
    for wrong in ({}, {**packed, "origin": [18, 2]}, {**packed, "mask": "hQ=="}, {**packed, "shape": [3]}):
        with pytest.raises(InputError, match="origin, shape and base64"):
            unpack(wrong, (20, 9))


# --- prompts ---


@pytest.mark.parametrize("axis", [2, 1, 0])
def test_a_box_finds_the_ball_across_every_axis(service: PromptService, phantom: ScanFile, axis: int) -> None:
    answer = service.predict(phantom, axis, CENTRE[axis], [box_on(axis)])
    assert answer.found.mask.shape == planes.in_plane(SHAPE, axis)
    assert overlap(answer.found.mask, planes.take_slice(ball(), axis, CENTRE[axis])) > 0.9
    assert 0 <= answer.found.predicted_iou <= 1
    assert {"wait", "load", "embed", "decode", "all"} == set(answer.seconds)


def test_the_second_prompt_on_a_slice_does_not_encode_again(service: PromptService, phantom: ScanFile) -> None:
    prompt = Prompt("box", 5, box_on(2).coords)
    assert not service.predict(phantom, 2, 5, [prompt]).embedded
    assert 5 in service.embedded(phantom, 2)
    moved = Prompt("point", 5, (30.0, 26.0))
    assert service.predict(phantom, 2, 5, [prompt, moved]).embedded


def test_the_web_process_never_loads_the_network(phantom: ScanFile) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from core.engines.service.interactive import *;"
        f"scan = ScanFile(Path({str(phantom.path)!r}), {phantom.sha256!r}, 'CT', '', {SHAPE!r});"
        "service = PromptService(); service.predict(scan, 2, 7, [Prompt('box', 7, (10., 10., 40., 40.))]);"
        "service.close(); print({'torch', 'openvino'} & set(sys.modules))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"


@pytest.mark.soak
def test_slices_around_the_cursor_are_embedded_ahead_and_a_newer_cursor_counts(
    service: PromptService, phantom: ScanFile
) -> None:
    service.predict(phantom, 1, CENTRE[1], [box_on(1)])
    service.ahead(phantom, 1, 50)
    ready, queued = service.ahead(phantom, 1, 2)
    assert CENTRE[1] in ready
    assert queued == interactive.AHEAD + 3  # 0..10
    for _ in range(600):
        if set(range(11)) <= set(service.embedded(phantom, 1)):
            break
        time.sleep(0.1)
    assert set(range(11)) <= set(service.embedded(phantom, 1))
    assert service.predict(phantom, 1, 6, [Prompt("box", 6, (10.0, 2.0, 40.0, 12.0))]).embedded
    assert service.ahead(phantom, 1, 2)[1] == 0
    # Of the cursor before, at most the slice under way when it moved.
    assert len([k for k in service.embedded(phantom, 1) if k > 40]) <= 1


@pytest.mark.parametrize(
    ("axis", "k", "coords", "message"),
    [
        (2, 7, (0.0, 0.0, 64.0, 5.0), r"X must be 0\.\.63 and Y 0\.\.55"),
        (0, 7, (0.0, 0.0, 50.0, 15.0), r"X must be 0\.\.55 and Y 0\.\.14"),
        (1, 56, (0.0, 0.0, 5.0, 5.0), r"Slice 56 does not exist.*0\.\.55"),
        (3, 0, (0.0, 0.0, 5.0, 5.0), "Expected the axis 0, 1 or 2"),
    ],
)
def test_prompts_that_cannot_be_are_refused_without_the_process(
    phantom: ScanFile, axis: int, k: int, coords: tuple[float, ...], message: str
) -> None:
    idle = PromptService()
    with pytest.raises(InputError, match=message):
        idle.predict(phantom, axis, k, [Prompt("box", k, coords)])
    assert idle.started == 0


def test_a_scan_whose_file_was_altered_is_refused(service: PromptService, phantom: ScanFile, tmp_path: Path) -> None:
    path = tmp_path / "ct.nii.gz"
    path.write_bytes(phantom.path.read_bytes() + b"x")
    with pytest.raises(InputError, match="gone or was altered"):
        service.predict(ScanFile(path, "b" * 64, "CT", "", SHAPE), 2, 7, [box_on(2)])


# --- propagation ---


def test_a_propagation_comes_slice_by_slice_and_says_why_it_ended(service: PromptService, phantom: ScanFile) -> None:
    steps = list(service.propagate(phantom, [box_on(2)]))
    found = {step.slice: step.answer.mask for step in steps if isinstance(step, SliceFound)}
    whole = np.zeros(SHAPE, dtype=bool)
    for k, mask in found.items():
        whole[:, :, k] = mask
    assert overlap(whole, ball()) > 0.85
    assert [step.slice for step in steps[:3] if isinstance(step, SliceFound)] == [7, 6, 5]
    assert [step.direction for step in steps if isinstance(step, StopReason)] == [-1, 1]


def test_it_goes_as_far_as_asked_and_on_from_a_given_slice(service: PromptService, phantom: ScanFile) -> None:
    steps = list(service.propagate(phantom, [box_on(2)], until=(6, 8)))
    assert [s.slice for s in steps if isinstance(s, SliceFound)] == [7, 6, 8]
    assert {s.rule for s in steps if isinstance(s, StopReason)} == {"as far as asked"}
    onwards = list(service.propagate(phantom, [box_on(2)], start=(8, ball()[:, :, 8]), until=(0, 9)))
    assert [s.slice for s in onwards if isinstance(s, SliceFound)] == [9]


def test_a_closed_propagation_stops(service: PromptService, phantom: ScanFile) -> None:
    done = set(service.embedded(phantom, 2))
    steps = service.propagate(phantom, [Prompt("box", 9, (12.0, 8.0, 48.0, 44.0))], until=(0, 14))
    next(steps)
    steps.close()
    # What is asked next is answered by an idle process: of the slices to come at most the one under way was embedded.
    service.predict(phantom, 2, 7, [box_on(2)])
    ahead = set(service.embedded(phantom, 2)) - done
    time.sleep(3)
    assert len(set(service.embedded(phantom, 2)) - done - ahead) <= 1
    assert set(range(15)) - set(service.embedded(phantom, 2))


# --- the process ---


@pytest.mark.soak
def test_a_process_that_died_is_started_again_and_the_prompt_answered(phantom: ScanFile) -> None:
    service = PromptService()
    before = service.predict(phantom, 2, 7, [box_on(2)])
    assert (service.started, service._process is not None) == (1, True)
    pid = service._process.pid  # type: ignore[union-attr]
    os.kill(pid, signal.SIGKILL)
    after = service.predict(phantom, 2, 7, [box_on(2)])
    assert service.started == 2
    assert np.array_equal(before.found.mask, after.found.mask)
    pid = service._process.pid  # type: ignore[union-attr]
    service.close()
    assert died(pid)


@pytest.mark.soak
def test_a_propagation_goes_on_where_the_process_died_and_repeats_nothing(phantom: ScanFile) -> None:
    service = PromptService()
    expected = [s.slice for s in service.propagate(phantom, [box_on(2)])]
    steps = service.propagate(phantom, [box_on(2)])
    got = [next(steps).slice, next(steps).slice]
    os.kill(service._process.pid, signal.SIGKILL)  # type: ignore[union-attr]
    got += [step.slice for step in steps]
    service.close()
    assert (got, service.started) == (expected, 2)


def test_when_it_dies_twice_it_says_so_and_what_to_do(phantom: ScanFile, monkeypatch: pytest.MonkeyPatch) -> None:
    from core.engines.service import prompt_process

    monkeypatch.setattr(prompt_process, "WORKER", "core.errors")  # ends at once
    service = PromptService()
    with pytest.raises(ModelError, match=r"died twice.*Close other programs"):
        service.predict(phantom, 2, 7, [box_on(2)])
    assert service.started == 2
    service.close()


@pytest.mark.soak
def test_a_process_that_nobody_asks_ends_and_the_next_prompt_starts_another(
    phantom: ScanFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWIN_PROMPT_IDLE_MINUTES", "0.05")
    service = PromptService()
    try:
        assert service.predict(phantom, 2, 7, [box_on(2)]).found.mask.any()
        process = service._process
        assert process is not None
        until = time.monotonic() + 60
        while not process.died:
            assert time.monotonic() < until, "it is still there"
            time.sleep(0.1)
        assert service.predict(phantom, 2, 7, [box_on(2)]).found.mask.any()
        assert service.started == 2
    finally:
        service.close()
