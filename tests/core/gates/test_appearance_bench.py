"""The bench of appearance pools an encoder's features where the mask is."""

from __future__ import annotations

import numpy as np
import pytest

from tests.bench.bench_appearance import pooled


def test_features_are_averaged_where_the_mask_lies_by_how_much_it_covers():
    """Two channels count rows and columns of 8 x 8 cells of 4 pixels; of 32 pixels each voxel of 16 x 8 has 2 x 2."""
    rows, columns = np.meshgrid(np.arange(8.0), np.arange(8.0), indexing="ij")
    features = np.stack([rows, columns]).astype(np.float32)
    inside = np.zeros((16, 8), bool)  # 32 pixels across, 16 down: the lower half of the cells is padding
    inside[4:8, 2:4] = True
    assert pooled(features, (16, 32), inside) == pytest.approx([1.0, 2.5])
    inside[14:16, 0:2] = True  # half as many voxels in the cell at row 0, column 7
    assert pooled(features, (16, 32), inside) == pytest.approx([8 / 12, (8 * 2.5 + 4 * 7) / 12])
