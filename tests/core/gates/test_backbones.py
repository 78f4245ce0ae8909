"""Features of any network behind one interface: around a mask, of one scan, and none without an anchor."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from core.errors import InputError
from core.gates.scan.backbones import NnUNetBackbone, SliceBackbone
from core.types import LabelMap
from tests.core.gates.test_rfdeep import ThresholdSegmenter, volume


class Brightness:
    """Embeds a slice as its mean brightness and its size."""

    model_id, checkpoint_sha256 = "brightness", "c" * 64

    def embed(self, image):
        import torch

        return SimpleNamespace(features=torch.full((1, 2, 4, 4), float(image.mean())))


def test_slices_through_the_mask_are_what_a_slice_encoder_sees():
    scan = volume("MR")
    scan.array.setflags(write=False)
    backbone = SliceBackbone(Brightness())
    marked = np.zeros(scan.grid.shape, np.uint8)
    marked[9, 9, 7:9] = 1
    rows = backbone.rows([scan], LabelMap(marked, scan.grid), crops=4)
    assert rows.shape == (4, 2)
    assert len(np.unique(rows)) == 2, "two slices hold the mask"
    assert backbone.rows([scan], crops=5).shape == (5, 2)
    assert backbone.rows([scan], LabelMap(marked * 0, scan.grid)).shape == (0, 2)
    assert backbone.name == "brightness@cccccccccccc"
    with pytest.raises(InputError, match="one scan"):
        backbone.rows([scan, scan])


def test_the_network_that_made_the_mask_is_a_backbone_like_any_other():
    backbone = NnUNetBackbone(ThresholdSegmenter())
    scans = [volume("CT"), volume("PET", seed=1)]
    assert backbone.rows(scans).shape == (8, 11)
    assert backbone.name == "threshold@aaaaaaaaaaaa"
