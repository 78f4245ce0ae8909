"""How lesions look: which slices are shown, which cells are averaged, and the same answer however a file was stored."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from core.engines.encoders.choice import lesion_encoder_name, load_lesion_encoder
from core.engines.encoders.lesion_looks import LesionSlice, SliceView, lesion_slices, pooled, ring_of
from core.engines.encoders.levels import CropEncoder, CropLooks
from core.engines.encoders.litemedsam import PIXELS, LiteMedSamLooks, load_litemedsam
from core.errors import InputError, ModelError
from core.imaging.orienting import axis_order
from core.types import Grid, Volume


@pytest.fixture(autouse=True)
def the_usual_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an installation has it where nothing is set; other tests go without."""
    monkeypatch.delenv("TWIN_LESION_ENCODER", raising=False)


SHAPE, SPACING = (24, 20, 9), (2.0, 2.0, 5.0)


def grid(shape=SHAPE, spacing=SPACING) -> Grid:
    """Anatomical order, LPS."""
    return Grid(shape, np.diag([-spacing[0], -spacing[1], spacing[2], 1.0]))


def scan(seed: int = 0, modality="CT") -> Volume:
    rng = np.random.default_rng(seed)
    return Volume(rng.uniform(-160, 240, SHAPE).astype(np.float32), grid(), modality)


def cone() -> np.ndarray:
    """A lesion that is largest on slice 2 and ends on slices 1 and 6."""
    lesion = np.zeros(SHAPE, bool)
    for k, half in {1: 2, 2: 5, 3: 4, 4: 3, 5: 2, 6: 1}.items():
        lesion[12 - half : 12 + half, 10 - half : 10 + half, k] = True
    return lesion


class Brightness:
    """Features of one slice: its brightness in every cell, and the cell's column and row."""

    model_id, checkpoint_sha256 = "brightness", "c" * 64

    def embed(self, image):
        height, width = image.shape[1], image.shape[0]
        cells = torch.nn.functional.avg_pool2d(torch.from_numpy(image.T.astype(np.float32))[None, None], 2)[0, 0]
        row, column = torch.meshgrid(torch.arange(height // 2), torch.arange(width // 2), indexing="ij")
        features = torch.stack([cells, column.float(), row.float()])[None]
        return SimpleNamespace(features=features, resized=(height // 2 * PIXELS, width // 2 * PIXELS))


def looks(**view) -> LiteMedSamLooks:
    return LiteMedSamLooks(Brightness(), SliceView(**view))


def test_cells_are_averaged_by_how_much_of_them_the_lesion_covers():
    features = np.zeros((1, 4, 4), np.float32)
    features[0, 1, 2], features[0, 1, 3] = 6.0, 2.0  # row 1 along J, columns 2 and 3 along I
    inside = np.zeros((8, 6), bool)  # shown on 3 rows and 4 columns: two by two voxels a cell
    inside[4:7, 2] = True  # two voxels in the first of these cells, one in the second
    assert pooled(features, (3, 4), inside).tolist() == pytest.approx([(2 * 6 + 2) / 3])


def test_one_slice_is_the_largest_and_three_are_halfway_to_either_end_as_well():
    lesion = cone()
    assert [int(one.inside.sum()) for one in lesion_slices(scan(), lesion, SliceView())] == [100]
    three = lesion_slices(scan(), lesion, SliceView(slices=3))
    assert [int(one.inside.sum()) for one in three] == [100, 16, 36], "slices 2, 1 and 4: (2 + 1) // 2 is 1"
    flat = np.zeros(SHAPE, bool)
    flat[3:5, 3:5, 7] = True
    assert len(lesion_slices(scan(), flat, SliceView(slices=3))) == 1


def test_a_window_is_a_square_around_the_lesion_in_millimetres_cut_at_the_images_edge():
    lesion = np.zeros(SHAPE, bool)
    lesion[10:14, 8:10, 4] = True  # 8 mm by 4 mm, around (12, 9)
    (part,) = lesion_slices(scan(), lesion, SliceView(window=2.0))
    assert part.image.shape == (8, 8), "16 mm by 16 mm"
    assert part.image[0, 0] == scan().array[8, 5, 4]
    lesion = np.roll(lesion, (-10, -8, 0), (0, 1, 2))
    (part,) = lesion_slices(scan(), lesion, SliceView(window=2.0))
    assert part.image.shape == (6, 5)


def test_a_ring_is_what_lies_within_so_many_millimetres_of_the_lesion():
    inside = np.zeros((9, 9), bool)
    inside[4, 4] = True
    ring = ring_of(LesionSlice(np.zeros((9, 9), np.float32), inside, (2.0, 4.0)), 4.0)
    assert sorted(map(tuple, np.argwhere(ring).tolist())) == [(2, 4), (3, 4), (4, 3), (4, 5), (5, 4), (6, 4)]


def test_a_lesion_is_looked_at_where_it_lies_and_its_surroundings_behind_it():
    volume = scan()
    array = volume.array.copy()
    lesion = np.zeros(SHAPE, bool)
    lesion[8:12, 6:10, 4] = True
    array[lesion], array[~lesion] = 240.0, -160.0  # white and black in the window of soft tissue
    found = looks(ring_mm=2.0).look(Volume(array, grid(), "CT"), lesion)
    assert found.dtype == np.float32
    assert found.tolist() == pytest.approx([255, 4.5, 3.5, 0, 4.5, 3.5])


@pytest.mark.parametrize("order", ["RAS", "SLP", "PIR"])
def test_a_lesion_looks_the_same_however_its_file_is_stored(order):
    volume, lesion = scan(3), cone()
    turned = axis_order(volume.grid, order)
    stored = Volume(np.ascontiguousarray(turned.turn(volume.array)), turned.grid, "CT")
    encoder = looks(slices=3, window=2.0)
    np.testing.assert_array_equal(encoder.look(stored, turned.turn(lesion)), encoder.look(volume, lesion))


def test_what_cannot_be_looked_at_is_refused_in_words():
    with pytest.raises(InputError, match="no voxel on this scan"):
        looks().look(scan(), np.zeros(SHAPE, bool))
    with pytest.raises(InputError, match="true or false voxels like its scan"):
        looks().look(scan(), np.zeros((3, 3, 3), bool))
    encoder = CropLooks(CropEncoder(None, "astra", "e" * 64, (-1000, 1000), 8))
    with pytest.raises(InputError, match=r"astra@eeeeeeeeeeee reads CT, and the scan is PET. Choose another"):
        encoder.look(scan(modality="PET"), cone())


class Sums(torch.nn.Module):
    """Two levels with axes (z, x, y): the cube, and means of two by two by two of it."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = torch.nn.Parameter(torch.ones(1))

    def forward(self, x):
        turned = x.permute(0, 1, 4, 2, 3) * self.factor
        return [turned, torch.nn.functional.avg_pool3d(turned, 2)]


def test_levels_of_a_cube_are_averaged_over_the_lesion_along_their_own_axes():
    encoder = CropEncoder(Sums(), "sums", "d" * 64, (0.0, 1.0), 4, (2, 0, 1))
    crop = np.zeros((4, 4, 4), np.float32)
    crop[3, 1, 0] = 1.0
    inside = crop > 0
    assert encoder.pooled_within(crop, inside).tolist() == pytest.approx([1, 1 / 8])
    inside[0, 0, 0] = True
    assert encoder.pooled_within(crop, inside).tolist() == pytest.approx([1 / 2, 1 / 16])
    assert encoder.pooled(crop).tolist() == pytest.approx([1 / 64, 1 / 64])


def test_a_cube_lies_around_the_lesion_and_holds_it_alone():
    seen: dict[str, np.ndarray] = {}

    class Cube(CropEncoder):
        def pooled_within(self, crop_hu, inside):
            seen.update(crop=np.asarray(crop_hu), inside=inside)
            return np.zeros(1, np.float32)

    array, lesion = np.full((30, 30, 12), 40, np.float32), np.zeros((30, 30, 12), bool)
    lesion[14:17, 14:17, 5:7] = True
    array[lesion] = 300
    place = Grid((30, 30, 12), np.diag([-2.0, -2.0, 3.0, 1.0]))
    CropLooks(Cube(None, "cube", "d" * 64, (-1000, 1000), 16)).look(Volume(array, place, "CT"), lesion)
    assert seen["inside"].sum() == pytest.approx(lesion.sum() * 12, rel=0.2), "voxels of 12 mm3 become such of 1"
    assert seen["crop"][seen["inside"]].min() > 100
    assert seen["crop"][0, 0, 0] == 40
    tiny = np.zeros((30, 30, 12), bool)
    tiny[3, 3, 3] = True
    fine = Grid((30, 30, 12), np.diag([-0.2, -0.2, 0.2, 1.0]))
    CropLooks(Cube(None, "cube", "d" * 64, (-1000, 1000), 16)).look(Volume(array, fine, "CT"), tiny)
    assert seen["inside"].sum() == 1


def test_litemedsam_tells_a_bright_lesion_from_a_dark_one_of_the_same_shape():
    encoder = load_lesion_encoder()
    assert encoder.name == lesion_encoder_name() == f"litemedsam@{load_litemedsam().checkpoint_sha256[:12]}"
    rng = np.random.default_rng(6)
    tissue, lesion = rng.normal(20, 10, SHAPE), cone()
    bright, dark = tissue + 150 * lesion, tissue - 120 * lesion
    rows = [encoder.look(Volume(a.astype(np.float32), grid(), "CT"), lesion) for a in (bright, bright + 3, dark)]
    assert np.isfinite(rows).all()
    near, far = (float(np.linalg.norm(rows[0] - row)) for row in rows[1:])
    assert far > 3 * near


def test_an_encoder_that_is_not_there_says_so_before_anything_is_loaded(monkeypatch):
    with pytest.raises(ModelError, match=r"Expected an encoder of litemedsam"):
        load_lesion_encoder("rfdeep-sts-ctpet")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("TWIN_LESION_ENCODER", "medsiglip")
    for ask in (lesion_encoder_name, load_lesion_encoder):
        with pytest.raises(ModelError, match=r"transformers is not installed. Run: pip install -r requirements-extra"):
            ask()
