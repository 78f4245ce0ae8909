"""What an image can be by its values: right on every real image, never certain where two things fit."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from core.errors import InputError
from core.imaging.image_files import read_image
from core.imaging.judging import checked_by_values, contradiction, judge
from core.types import Grid, Modality, Volume
from tests.core.imaging.outcomes import shows

SHAPE = (24, 24, 12)


def body(air: float, tissue: float, noise: float) -> np.ndarray:
    """A ball of tissue in air, with noise."""
    i, j, k = np.indices(SHAPE)
    inside = (i - 12) ** 2 + (j - 12) ** 2 + (2 * (k - 6)) ** 2 < 100
    return (np.where(inside, tissue, air) + np.random.default_rng(5).normal(0, noise, SHAPE)).astype(np.float32)


def ct() -> np.ndarray:
    return np.maximum(np.rint(body(-995, 40, 12)), -1024).astype(np.float32)


def mr() -> np.ndarray:
    return np.abs(np.rint(body(8, 600, 30)))


def pet() -> np.ndarray:
    array = np.abs(body(0.01, 0.6, 0.05))
    array[10:14, 10:14, 5:7] = 9.3
    return array


def mask() -> np.ndarray:
    return (body(0, 1, 0)).astype(np.float32)


def padded() -> np.ndarray:
    array = ct()
    array[:3] = -3024
    return array


@shows(
    "Which modality it is",
    "NIfTI, NRRD and MetaImage without a modality",
    "read and said",
    "judged by values: certain for CT and masks, asked for PET and MR",
)
@pytest.mark.parametrize(
    ("array", "modality", "certain", "why"),
    [
        (ct(), "CT", True, "HU"),
        (padded(), "CT", True, "HU"),
        (ct().clip(-150, 250), "CT", False, "without air"),
        (ct() + 1024, None, False, "CT without its intercept"),
        (mr(), None, False, "an MR"),
        (pet(), "PET", False, "scaled MR"),
        (pet() * 3000, None, False, "Bq/mL"),
        (pet() / 10, None, False, "normalised"),
        (mask(), "mask", True, "0, 1: labels"),
        (mask() * 255, "mask", True, "0, 255"),
        (mask() * 3 + (np.indices(SHAPE)[0] > 12) * mask(), "mask", True, "0, 3, 4"),
        (np.zeros(SHAPE, np.float32), None, False, "the same"),
        (np.full(SHAPE, np.nan, np.float32), None, False, "none is a number"),
        (np.random.default_rng(1).uniform(-4096, 4095, SHAPE).astype(np.float32), None, False, "neither air"),
    ],
)
def test_values_are_judged_with_their_reason(array: np.ndarray, modality: str, certain: bool, why: str):
    found = judge(array)
    assert (found.modality, found.certain) == (modality, certain)
    assert why in found.why


def test_a_header_that_says_labels_is_heard_and_not_trusted():
    assert judge(mr(), says_labels=True).modality == "mask"
    assert not judge(mr(), says_labels=True).certain


@given(hnp.arrays(np.float32, (3, 4, 2), elements=st.floats(width=32)))
def test_whatever_the_values_there_is_an_answer(array: np.ndarray):
    with np.errstate(all="ignore"):
        found = judge(array)
    assert found.why
    assert found.modality is not None or not found.certain


@shows(
    "Which modality it is",
    "a label map, an MR or a normalised image offered as CT; CT or Bq/mL offered as PET",
    "refused",
)
@pytest.mark.parametrize(
    ("array", "modality", "says"),
    [
        (ct(), "CT", None),
        (ct(), "PET", "looks like CT"),
        (ct(), "MR", "looks like CT"),
        (mr(), "MR", None),
        (mr(), "CT", "neither air nor fat"),
        (np.abs(body(40, 60, 5)) + 1, "CT", None),  # a part without air and fat: a doubt, no refusal
        (mask(), "CT", "Import it as a mask"),
        (mask(), "MR", "Import it as a mask"),
        (pet(), "PET", None),
        (pet() * 3000, "PET", "Bq/mL"),
        (pet() / 10, "CT", "normalised"),
    ],
)
def test_what_an_image_cannot_be_is_refused_unless_its_file_says_it(array: np.ndarray, modality: Modality, says: str):
    volume = Volume(array, Grid(SHAPE, np.eye(4)), modality)
    assert checked_by_values("x", volume, named_by_file=True) is not None
    if says is None:
        assert contradiction(volume) is None
        assert bool(checked_by_values("x", volume)) == (modality == "CT" and bool(array.min() > 0))
    else:
        with pytest.raises(InputError, match=says):
            checked_by_values("x", volume)


def of_name(name: str) -> str:
    kinds = {"mask": "mask", "label": "mask", "gt.": "mask", "CT_": "CT", "ct_sm": "CT", "PET": "PET"}
    return next((kind for word, kind in kinds.items() if word in name), "MR")


def test_every_real_image_is_judged_right_or_not_at_all(shared_data: Path, capsys: pytest.CaptureFixture[str]):
    table: Counter[tuple[str, str, bool]] = Counter()
    for room in ("sts/STS_00*", "ms_longitudinal/*", "radiomics_baseline", "controls"):
        for path in shared_data.glob(f"{room}/*"):
            if path.name.endswith((".nii.gz", ".nrrd")):
                found = judge(read_image(path).array)
                table[of_name(path.name), str(found.modality), found.certain] += 1
    with capsys.disabled():
        print("\nis    judged  certain  images")
        for (kind, judged, certain), count in sorted(table.items()):
            print(f"{kind:5} {judged:7} {certain!s:8} {count}")
    assert {(kind, judged, certain) for kind, judged, certain in table} == {
        ("CT", "CT", True),
        ("PET", "PET", False),
        ("MR", "None", False),
        ("mask", "mask", True),
    }
