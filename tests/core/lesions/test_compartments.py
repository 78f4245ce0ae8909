"""Compartments: told by a class's name, kept in the mask's file, clipped to what a person drew."""

from __future__ import annotations

import numpy as np
import pytest

from core.engines.auto.channels import compartment_names, lesion_classes
from core.errors import InputError
from core.lesions.compartments import NOT_TOLD, is_enhancing, with_compartments
from core.lesions.masks import measure
from core.remembered.compartments import Compartments, clipped, from_comment, to_comment
from core.types import Grid, LabelMap

GRID = Grid((12, 12, 6), np.diag([2.0, 2.0, 3.0, 1.0]))
NAMES = {1: "oedema", 2: "enhancing tumour", 3: "necrosis"}


def scene() -> tuple[LabelMap, Compartments]:
    """Lesion 1: 8 x 6 x 2 voxels of 12 mm3; 4 x 3 x 2 enhance around 1 x 1 x 2 of necrosis. Lesion 2: by hand."""
    labels, parts = np.zeros(GRID.shape, np.uint8), np.zeros(GRID.shape, np.uint8)
    labels[1:9, 1:7, 1:3], parts[1:9, 1:7, 1:3] = 1, 1
    parts[2:6, 2:5, 1:3], parts[3, 3, 1:3] = 2, 3
    labels[10, 10, 4] = 2
    return LabelMap(labels, GRID), Compartments(parts, NAMES)


@pytest.mark.parametrize(
    ("name", "enhances"),
    [
        ("enhancing tumour", True),
        ("Contrast-enhancing", True),
        ("ET", True),
        ("enhancement", True),
        ("non-enhancing tumor", False),
        ("nonenhancing core", False),
        ("NCR/NET", False),
        ("oedema", False),
        ("tumour", False),
    ],
)
def test_the_enhancing_part_is_told_by_its_name_alone(name: str, enhances: bool):
    assert is_enhancing(name) is enhances


def test_each_part_has_its_volume_and_diameters_and_what_nobody_told_has_a_name():
    labels, parts = scene()
    first, second = with_compartments(measure(labels), labels, parts)
    volumes = {part["name"]: part["volume_mm3"] for part in first.compartments}
    assert volumes == {"oedema": (96 - 24) * 12.0, "enhancing tumour": 22 * 12.0, "necrosis": 24.0}
    enhancing = next(part for part in first.compartments if part["name"] == "enhancing tumour")
    assert enhancing["longest_diameter_mm"] == pytest.approx(np.hypot(8, 6), abs=1.5), "corners are cut"
    assert second.compartments == (), "a lesion of which the network told nothing is not 0 in every part"


def test_a_person_s_edit_keeps_the_parts_of_what_is_left_and_leaves_the_new_untold():
    labels, parts = scene()
    edited = labels.array.copy()
    edited[1:3], edited[9, 1:7, 1:3] = 0, 1
    new = LabelMap(edited, GRID)
    first = with_compartments(measure(new), new, clipped(parts, new))[0]
    volumes = {part["name"]: part["volume_mm3"] for part in first.compartments}
    assert volumes[NOT_TOLD] == 12 * 12.0
    assert volumes["enhancing tumour"] == (22 - 6) * 12.0
    assert sum(volumes.values()) == pytest.approx(first.volume_mm3)


def test_a_file_s_comment_holds_them_and_says_if_it_is_of_another_mask():
    labels, parts = scene()
    comment = to_comment(clipped(parts, labels), labels)
    back = from_comment(comment + b"\x00\x00", labels)
    assert back is not None
    assert back.names == NAMES
    assert np.array_equal(back.array, clipped(parts, labels).array)
    assert from_comment(b"written by another tool", labels) is None
    assert from_comment(b'{"kind": "other"}', labels) is None
    smaller = LabelMap(np.where(labels.array == 1, labels.array, 0).astype(np.uint8), GRID)
    with pytest.raises(InputError, match="of another mask"):
        from_comment(comment, smaller)
    with pytest.raises(InputError, match="cannot be read"):
        from_comment(comment.replace(b'"packed": "', b'"packed": "!'), labels)
    with pytest.raises(InputError, match="name for each compartment"):
        Compartments(parts.array, {1: "oedema"})


def test_a_model_s_classes_are_lesions_and_parts_of_them_by_name():
    brain = {"background": 0, "edema": 1, "non-enhancing tumor": 2, "enhancing tumor": 3}
    assert lesion_classes(brain) == (1, 2, 3)
    assert compartment_names(brain) == {1: "edema", 2: "non-enhancing tumor", 3: "enhancing tumor"}
    assert compartment_names({"background": 0, "liver": 1, "liver tumour": 2}) == {}
    regions = {"background": 0, "whole tumor": [1, 2, 3], "tumor core": [2, 3], "enhancing tumor": 3}
    assert lesion_classes(regions) == (1, 2, 3)
    assert compartment_names(regions)[3] == "enhancing tumor"
    assert compartment_names(regions)[2] == "tumor core, the rest of it"
