"""What the viewer fetches: voxels as they are in the file, for those whose token names the scan, kept by nobody."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from core.errors import StoreError
from core.types import Grid, LabelMap, Volume
from pages.ui.api import routes, slabs
from pages.ui.api.scan_routes import assets, assets_url
from pages.ui.frame import resources
from pages.ui.guard.tokens import HEADER, make_token
from pages.ui.viewer.describe import Shown, viewer_data
from store import Store
from store.records.masks import Masks
from store.records.scans import Scans
from tests.store_phantom import measures

SHAPE = (9, 7, 37)  # two whole slabs and one of five slices
STATIC = Path(__file__).resolve().parents[3] / "pages/ui/viewer/static"
DAY, LATER = "2024-01-01", "2024-03-01"


@pytest.fixture
def clinic(store: Store, monkeypatch):
    """A CT and a PET of ANNA with a mask, another CT of hers, and one of BEN."""
    monkeypatch.setattr(resources, "whole_store", lambda: store)
    monkeypatch.setattr(resources, "data_root", lambda: store.root)
    random = np.random.default_rng(1)
    grid = Grid(SHAPE, np.diag([2.0, 2.0, 3.0, 1.0]))
    ct = random.integers(-1024, 3071, SHAPE).astype(np.float32)
    pet = random.gamma(2.0, 1.5, SHAPE).astype(np.float32)
    scans = {
        "ct": add(store, "ANNA", DAY, Volume(ct, grid, "CT")),
        "pet": add(store, "ANNA", DAY, Volume(pet, grid, "PET")),
        "later": add(store, "ANNA", LATER, Volume(ct + 1, grid, "CT")),
        "ben": add(store, "BEN", DAY, Volume(ct + 2, grid, "CT")),
    }
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:5, 3, 30:33] = 2
    mask = LabelMap(labels, grid)
    record = store.masks.add(
        mask,
        patient_id="ANNA",
        timepoint=DAY,
        method="nnunet",
        author="demo",
        lesions=measures(mask),
        parent_version=None,
    )
    return {**scans, "ct array": ct, "pet array": pet, "labels": labels, "mask": record, "store": store}


def add(store: Store, patient, day, volume):
    return store.scans.add(volume, dataset="set", patient_id=patient, timepoint=day, person="demo")


@pytest.fixture
def client():
    return TestClient(Starlette(routes=routes.ROUTES))


def token(clinic, *names, timepoints=(DAY,), patient="ANNA"):
    return {HEADER: make_token("demo", patient, [clinic[name].sha256 for name in names], timepoints, False)}


def slab_url(scan, n=0):
    return f"/api/viewer/scan/{scan.sha256}/slab/{n}"


def whole(client, headers, scan):
    parts = [client.get(slab_url(scan, n), headers=headers) for n in range(slabs.slabs_of(scan.shape))]
    assert [part.status_code for part in parts] == [200] * len(parts)
    return np.frombuffer(b"".join(part.content for part in parts), "<i2").reshape(SHAPE, order="F")


@pytest.mark.parametrize("bad", [{}, {HEADER: ""}, {HEADER: "made.up.token"}])
def test_without_a_good_token_nothing_is_given(clinic, client, bad):
    for url in (slab_url(clinic["ct"]), f"/api/viewer/mask/{clinic['mask'].mask_id}"):
        answer = client.get(url, headers=bad)
        assert answer.status_code == 403
        assert "Reload" in answer.json()["error"]
        assert answer.headers["cache-control"] == "no-store"


def test_an_altered_token_is_refused(clinic, client):
    good = token(clinic, "ct")[HEADER]
    assert client.get(slab_url(clinic["ct"]), headers={HEADER: good}).status_code == 200
    altered = ("A" if good[5] != "A" else "B").join([good[:5], good[6:]])
    assert client.get(slab_url(clinic["ct"]), headers={HEADER: altered}).status_code == 403


def test_a_token_opens_only_the_scans_it_names(clinic, client):
    headers = token(clinic, "ct")
    assert client.get(slab_url(clinic["pet"]), headers=headers).status_code == 403
    assert client.get(slab_url(clinic["ben"]), headers=headers).status_code == 403


def test_a_scan_of_another_patient_is_not_found_even_if_it_is_named(clinic, client):
    assert client.get(slab_url(clinic["ben"]), headers=token(clinic, "ben")).status_code == 404


def test_ct_slabs_are_the_voxels_of_the_file(clinic, client):
    assert np.array_equal(whole(client, token(clinic, "ct"), clinic["ct"]), clinic["ct array"])


def test_the_last_slab_is_as_long_as_what_is_left_and_there_is_none_after_it(clinic, client):
    headers = token(clinic, "ct")
    assert len(client.get(slab_url(clinic["ct"], 2), headers=headers).content) == 9 * 7 * 5 * 2
    assert client.get(slab_url(clinic["ct"], 3), headers=headers).status_code == 404


def test_pet_uses_the_range_of_int16_and_comes_back_by_slope_and_intercept(clinic, client):
    data = viewer_data(clinic["store"], "ANNA", [Shown(DAY, clinic["mask"])], "demo")
    described = next(scan for scan in data["panes"][0]["scans"] if scan["modality"] == "PET")
    stored = whole(client, {HEADER: data["token"]}, clinic["pet"])
    assert stored.min() == -32000
    assert stored.max() == 32000
    values = stored * described["slope"] + described["intercept"]
    assert np.abs(values - clinic["pet array"]).max() <= described["slope"] * 0.51


def test_slabs_come_again_after_the_cache_is_deleted(clinic, client):
    headers, folder = token(clinic, "ct"), slabs.slab_folder(clinic["store"].root, clinic["ct"].sha256)
    first = client.get(slab_url(clinic["ct"], 1), headers=headers).content
    for file in folder.iterdir():
        file.unlink()
    assert client.get(slab_url(clinic["ct"], 1), headers=headers).content == first


def test_slabs_and_masks_are_compressed_and_not_to_be_kept(clinic, client):
    for url in (slab_url(clinic["ct"]), f"/api/viewer/mask/{clinic['mask'].mask_id}"):
        answer = client.get(url, headers=token(clinic, "ct"))
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-encoding"] == "gzip"


def test_a_mask_is_its_labels(clinic, client):
    answer = client.get(f"/api/viewer/mask/{clinic['mask'].mask_id}", headers=token(clinic, "ct"))
    assert np.array_equal(np.frombuffer(answer.content, np.uint8).reshape(SHAPE, order="F"), clinic["labels"])


@pytest.mark.parametrize("n", ["9" * 5000, "9" * 10, "-1", "x", "٣", "1.0", "%00"])
def test_a_slab_of_no_number_is_not_found(clinic, client, n):
    answer = client.get(slab_url(clinic["ct"], n), headers=token(clinic, "ct"))
    assert answer.status_code == 404
    assert "there is none of that number" in answer.json()["error"]


@pytest.mark.parametrize("left", [0, 40, -12])
def test_a_mask_whose_file_is_damaged_is_a_sentence(clinic, client, left):
    path = clinic["store"].masks.path(clinic["mask"])
    path.write_bytes(path.read_bytes()[:left])
    answer = client.get(f"/api/viewer/mask/{clinic['mask'].mask_id}", headers=token(clinic, "ct"))
    assert answer.status_code == 404
    assert "Restore it from a backup" in answer.json()["error"]


def test_what_the_store_says_of_a_file_is_what_the_viewer_shows(clinic, client, monkeypatch):
    def altered(*_):
        raise StoreError("The file is not the one that was stored. Restore it from a backup.")

    monkeypatch.setattr(Scans, "path", altered)
    monkeypatch.setattr(Masks, "path", altered)
    mask = clinic["mask"].mask_id
    for url in (slab_url(clinic["ct"]), f"/api/viewer/mask/{mask}", f"/api/history/thumbnail/{mask}"):
        answer = client.get(url, headers=token(clinic, "ct"))
        assert (answer.status_code, answer.json()["error"][:28]) == (404, "The file is not the one that")


def test_a_mask_of_a_timepoint_that_the_token_does_not_name_is_refused(clinic, client):
    url = f"/api/viewer/mask/{clinic['mask'].mask_id}"
    assert client.get(url, headers=token(clinic, "ct", timepoints=(LATER,))).status_code == 403
    assert client.get(url, headers=token(clinic, "ben", patient="BEN")).status_code == 403


def test_a_blind_reader_is_given_no_mask_and_no_picture_of_another_reader_until_finished(clinic, client):
    store, labels = clinic["store"], LabelMap(clinic["labels"], Grid(SHAPE, np.diag([2.0, 2.0, 3.0, 1.0])))
    store.people.add("other", by="demo")
    other = store.masks.add(
        labels,
        patient_id="ANNA",
        timepoint=DAY,
        method="manual",
        author="other",
        lesions=measures(labels),
        parent_version=None,
    )
    urls = [f"/api/viewer/mask/{other.mask_id}", f"/api/history/thumbnail/{other.mask_id}"]

    def given():
        return [client.get(url, headers=token(clinic, "ct")).status_code for url in urls]

    assert given() == [200, 200]
    store.readings.set_blind("ANNA", DAY, True, "demo")
    assert given() == [403, 403]
    automatic = client.get(f"/api/viewer/mask/{clinic['mask'].mask_id}", headers=token(clinic, "ct"))
    assert automatic.status_code == 200
    store.readings.finish("ANNA", DAY, "demo")
    assert given() == [200, 200]


def test_modules_may_be_kept_for_ever_and_others_are_not_served(client):
    answer = client.get(assets_url() + "view/viewer.js")
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"].startswith("text/javascript")
    for name in ("view/..%2f..%2f__init__.py", "view/viewer.css", "view/absent.js", "viewer.js", "lib/viewer.js"):
        assert client.get(assets_url() + name).status_code == 404
    assert client.get(assets_url().replace(assets()[0], "0" * 16) + "view/viewer.js").status_code == 404


def test_a_block_read_from_a_file_that_ends_too_early_says_so(clinic, tmp_path):
    path = tmp_path / "short.nii.gz"
    with gzip.open(clinic["store"].scans.path(clinic["ct"])) as stream:
        path.write_bytes(gzip.compress(stream.read()[:-100]))
    with pytest.raises(Exception, match="ends too early"):
        list(slabs.read_blocks(path))


#: Everything by which a text could become markup or code in a page.
MARKUP = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|setHTML|srcdoc"
    r"|\beval\(|new Function|javascript:|setAttribute\(['\"]on"
)


def test_no_module_of_the_viewer_makes_markup_of_a_text():
    found = [
        f"{path.name}:{number}"
        for path in sorted(STATIC.rglob("*.js"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if MARKUP.search(line)
    ]
    assert found == []
    assert len(list(STATIC.rglob("*.js"))) > 20
    assert MARKUP.search("made.innerHTML = name")
