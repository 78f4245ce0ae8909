"""Requests that make no sense: each is refused in words, and leaves nothing behind."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import InputError, ModelError, StoreError, TwinReviewError
from core.evidence.asking import similar_rows
from core.gates.mask.verdicts import score_mask
from core.imaging.volumes import write_nifti
from core.jobs.jobs import run_inline
from core.jobs.pipeline import KINDS, import_mask, import_scan
from core.types import Grid, LabelMap
from store import Store
from tests.core.imaging.bad_inputs.registry import nifti
from tests.core.jobs.scene import (
    CT,
    DAY1,
    DAY2,
    DAY3,
    PET,
    add_scans,
    add_version_of,
    as_the_network_finds,
    ball_of,
    body_image,
    labels_of,
)
from tests.store_phantom import ANSWER

Bad = Callable[[Any, Path], Any]
BAD: dict[str, tuple[Bad, type[TwinReviewError], str]] = {}


def bad(kind: str, error: type[TwinReviewError], message: str) -> Callable[[Bad], Bad]:
    """Register a request that raises `error` with a text that matches `message`."""

    def register(ask: Bad) -> Bad:
        BAD[kind] = (ask, error, message)
        return ask

    return register


def _import(store: Store, *files: Path, **changes: Any) -> Any:
    values: dict[str, Any] = {"dataset": "d", "patient_id": "P1", "timepoint": DAY2, "modality": "CT", "person": "demo"}
    return import_scan(store, files, **{**values, **changes})


def _mask_file(folder: Path, array: np.ndarray, grid: Grid = CT) -> Path:
    write_nifti(folder / "mask.nii.gz", array, grid)
    return folder / "mask.nii.gz"


def _import_mask(store: Store, path: Path, **changes: Any) -> Any:
    return import_mask(store, path, **{"patient_id": "P1", "timepoint": DAY1, "author": "demo", **changes})


def _refine(store: Store, *prompts: Any, **changes: Any) -> Any:
    request = {"patient_id": "P1", "timepoint": DAY1, "scan": "CT", "prompts": list(prompts), **changes}
    return run_inline(store, KINDS["refine"], request, "demo")


def _box(*coords: Any, k: Any = 7) -> dict[str, Any]:
    return {"type": "box", "slice": k, "coords": list(coords)}


def _written(folder: Path, data: bytes, name: str = "scan.nii.gz") -> Path:
    (folder / name).write_bytes(data)
    return folder / name


GOOD = np.random.default_rng(3).normal(size=(6, 7, 8)).astype(np.float32)

bad("no files", InputError, "got none. Choose an image")(lambda s, f: _import(s))
bad("a file that is not there", InputError, "there is none at.*Check the path")(lambda s, f: _import(s, f / "x.nii.gz"))
bad("an empty file", InputError, "0 bytes.*Copy or export it again")(lambda s, f: _import(s, _written(f, b"")))
bad("no image", InputError, "whatever its name says.*Export it as")(lambda s, f: _import(s, _written(f, b"a,b\n" * 99)))
bad("a truncated file", InputError, "truncated or damaged.*Copy or export it again")(
    lambda s, f: _import(s, _written(f, nifti(f).read_bytes()[:-200]))
)
bad("NaN voxels", InputError, "NaN or infinite.*Replace them")(
    lambda s, f: _import(s, nifti(f, np.where(GOOD > 2, np.nan, GOOD)))
)
bad("four dimensions", InputError, "got 4 dimensions.*Split the frames")(
    lambda s, f: _import(s, nifti(f, np.stack([GOOD, GOOD], -1)))
)
bad("a singular affine", InputError, "singular.*Export the image again")(
    lambda s, f: _import(s, nifti(f, srow_z=[0, 0, 0, 5], sform_code=1))
)
bad("a sheared affine", InputError, "sheared.*Resample it to a rectangular grid")(
    lambda s, f: _import(s, nifti(f, srow_y=[0, 2, 1, 0], sform_code=1))
)
bad("a constant image", InputError, "all 4.*export it again")(lambda s, f: _import(s, nifti(f, np.full_like(GOOD, 4))))
bad("10^12 voxels", InputError, "claims 1,000,000,000,000.*header is damaged")(
    lambda s, f: _import(s, nifti(f, dim=[3, 10000, 10000, 10000, 1, 1, 1, 1]))
)
bad("a zip that is none", InputError, "not a zip.*Make the zip again")(
    lambda s, f: _import(s, _written(f, b"PK nothing", "series.zip"))
)
bad("the same scan twice", StoreError, "is there already: CT of patient P1.*Nothing was imported")(
    lambda s, f: _import(s, _written(f, (s.root / s.scans.of("P1", DAY1)[0].path).read_bytes()))
)
bad("a day that does not exist", InputError, "YYYY-MM-DD, got '2024-02-30'")(
    lambda s, f: _import(s, nifti(f), timepoint="2024-02-30")
)
bad("a patient id that is a path", InputError, r"patient id of 1 to 64.*got '\.\./P1'.*Choose another")(
    lambda s, f: _import(s, nifti(f), patient_id="../P1")
)
bad("no dataset", InputError, "dataset of 1 to 64.*got ''")(lambda s, f: _import(s, nifti(f), dataset=""))
bad("another dataset", StoreError, "belongs to dataset d, not e. Use that dataset")(
    lambda s, f: _import(s, nifti(f), dataset="e")
)
bad("an unknown modality", InputError, "modality CT, PET or MR, got 'US'")(
    lambda s, f: _import(s, nifti(f), modality="US")
)
bad("a sequence of CT", InputError, "sequence for MR only, got 'T1' for CT. Leave it empty")(
    lambda s, f: _import(s, nifti(f), sequence="T1")
)
bad("a sequence that is a path", InputError, "sequence of 1 to 64.*got 'T1/x'")(
    lambda s, f: _import(s, nifti(f), modality="MR", sequence="T1/x")
)
bad("nobody", InputError, "name of a person.*got ''")(lambda s, f: _import(s, nifti(f), person=""))
bad("a CT under masks that lie on the PET", StoreError, "1 mask version.*on the grid of PET.*under another date")(
    lambda s, f: _import(s, nifti(f), timepoint=DAY3)
)
bad("a mask for nobody", StoreError, "no scan of 'P9'.*Import one first")(
    lambda s, f: _import_mask(s, _mask_file(f, np.ones(CT.shape, np.uint8)), patient_id="P9")
)
bad("a mask on another grid", InputError, "fits none of the timepoint's scans.*Draw or resample it")(
    lambda s, f: _import_mask(s, _mask_file(f, np.ones((5, 5, 5), np.uint8), Grid((5, 5, 5), np.eye(4))))
)
bad("a mask of fractions", InputError, "whole numbers|fraction")(
    lambda s, f: _import_mask(s, _mask_file(f, np.full(CT.shape, 0.5, np.float32)))
)
bad("a negative label", InputError, "0 to 255|negative")(
    lambda s, f: _import_mask(s, _mask_file(f, np.full(CT.shape, -1, np.int16)))
)
bad("a label of 300", InputError, "255")(lambda s, f: _import_mask(s, _mask_file(f, np.full(CT.shape, 300, np.int16))))
bad("a mask that is not there", InputError, "there is none at")(lambda s, f: _import_mask(s, f / "mask.nii.gz"))
bad("a timepoint without scans", InputError, rf"no scans on {DAY2} \(timepoints: {DAY1}, {DAY3}\). Import one first")(
    lambda s, f: run_inline(s, KINDS["segment"], {"patient_id": "P1", "timepoint": DAY2}, "demo")
)
bad("an unknown patient", InputError, r"Patient 'P9' has no scans.*\(timepoints: none\)")(
    lambda s, f: run_inline(s, KINDS["score_ood"], {"patient_id": "P9", "timepoint": DAY1}, "demo")
)
bad("no date", InputError, "YYYY-MM-DD, got 'yesterday'")(
    lambda s, f: run_inline(s, KINDS["segment"], {"patient_id": "P1", "timepoint": "yesterday"}, "demo")
)
bad("an unknown model", ModelError, "no-such-model")(
    lambda s, f: run_inline(
        s, KINDS["segment"], {"patient_id": "P1", "timepoint": DAY1, "model_id": "no-such-model"}, "demo"
    )
)
bad("a scan that the timepoint has not", InputError, r"one of the timepoint's scans \(CT, PET\), got 'MR'")(
    lambda s, f: _refine(s, _box(5, 5, 9, 9), scan="MR")
)
bad("no prompts", InputError, "at least one box or positive point, got none. Draw a box")(lambda s, f: _refine(s))
bad("negative points only", InputError, "at least one box or positive point, got none")(
    lambda s, f: _refine(s, {"type": "point", "slice": 7, "coords": [5, 5], "positive": False})
)
bad("a slice beyond the scan", InputError, r"Slice 16 does not exist in the CT image: it must be 0\.\.15")(
    lambda s, f: _refine(s, _box(5, 5, 9, 9, k=16))
)
bad("a box beyond the image", InputError, r"box at \(5, 5, 40, 9\).*outside.*X must be 0\.\.39 and Y 0\.\.31")(
    lambda s, f: _refine(s, _box(5, 5, 40, 9))
)
bad("a box turned round", InputError, r"X0 <= X1 and Y0 <= Y1")(lambda s, f: _refine(s, _box(9, 5, 5, 9)))
bad("a box of three numbers", InputError, "A box takes 4 numbers, got 3")(lambda s, f: _refine(s, _box(5, 5, 9)))
bad("a box with NaN", InputError, "finite coordinates")(lambda s, f: _refine(s, _box(5, 5, float("nan"), 9)))
bad("an infinite slice", InputError, "type, slice and coords as numbers")(
    lambda s, f: _refine(s, _box(5, 5, 9, 9, k=float("inf")))
)
bad("a circle", InputError, "type box or point, got 'circle'")(
    lambda s, f: _refine(s, {"type": "circle", "slice": 7, "coords": [5, 5, 3]})
)
bad("a prompt in words", InputError, "type, slice and coords as numbers, got 'over there'")(
    lambda s, f: _refine(s, "over there")
)
bad("lesion 0", InputError, "lesion number from 1 to 255, got 0")(lambda s, f: _refine(s, _box(5, 5, 9, 9), lesion=0))
bad("lesion two", InputError, "lesion number as a whole number, got 'two'")(
    lambda s, f: _refine(s, _box(5, 5, 9, 9), lesion="two")
)
bad("a parent that is not there", StoreError, "no mask version 9 .*there is 1, 2")(
    lambda s, f: _refine(s, _box(5, 5, 9, 9), parent_version=9)
)
bad("a parent in words", InputError, "mask version as a whole number, got 'last'")(
    lambda s, f: _refine(s, _box(5, 5, 9, 9), parent_version="last")
)
bad("neither accept nor reject", InputError, "accept, reject or withdraw, got 'maybe'")(
    lambda s, f: s.decisions.decide("P1", DAY1, 1, "maybe", "demo", "ok")
)
bad("no reason", InputError, "reason code of 1 to 64.*got ''")(
    lambda s, f: s.decisions.decide("P1", DAY1, 1, "reject", "demo", "")
)
bad("accepting twice", StoreError, "is the accepted one already. Nothing was changed")(
    lambda s, f: s.decisions.decide("P1", DAY1, 1, "accept", "demo", *ANSWER)
)
bad("accepting what was rejected", StoreError, "was rejected, which is final. Make a new version")(
    lambda s, f: s.decisions.decide("P1", DAY1, 2, "accept", "demo", *ANSWER)
)
bad("no similar lesions at all", InputError, "k of at least 1, got 0")(
    lambda s, f: similar_rows(s, s.masks.version("P1", DAY1, 1), 0, "demo")
)
bad("a gate over no version", StoreError, "no mask version 7")(lambda s, f: score_mask(s, "P1", DAY1, 7, "demo"))
bad("an event on no day", InputError, "YYYY-MM-DD")(
    lambda s, f: s.events.add("P1", "2024-13-01", "surgery", "left", "demo")
)


def _everything_stored(store: Store) -> dict[str, Any]:
    files = {
        p.relative_to(store.root).as_posix(): p.lstat().st_mtime_ns
        for top in ("raw", "processed", "incoming", "quarantine", "jobs")
        for p in (store.root / top).rglob("*")
        if not p.is_dir() and p.name != "ledger.jsonl"
    }  # it tells of jobs, failed ones too
    tables = {
        "scans": store.scans.of("P1"),
        "masks": store.masks.of("P1"),
        "decisions": store.decisions.of("P1"),
        "patients": store.patients.all(),
        "events": store.events.of("P1"),
        "people": store.people.all(),
        "vectors": store.vectors.all(),
        "anomalies": store.verdicts.of_masks(),
        "ood": store.verdicts.of_scans(),
    }
    return {"files": files, **tables}


def test_after_every_kind_of_bad_request_nothing_is_stored_and_verify_is_clean(store: Store, tmp_path, monkeypatch):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    add_scans(store, DAY1, 1)
    add_version_of(store, labels_of(L1=as_the_network_finds(((0, 0, 0), 9.0))))
    add_version_of(store, labels_of(L1=as_the_network_finds(((0, 0, 0), 11.0))))
    store.decisions.decide("P1", DAY1, 2, "reject", "demo", "leak")
    store.decisions.decide("P1", DAY1, 1, "accept", "demo", *ANSWER)
    store.scans.add(body_image(PET, "PET", 9), dataset="d", patient_id="P1", timepoint=DAY3, person="demo")
    lesion = LabelMap(ball_of(PET, (0, 0, 0), 12.0).astype(np.uint8), PET)
    add_version_of(store, lesion, DAY3)
    before = _everything_stored(store)

    wrong = {}
    for number, (kind, (ask, error, message)) in enumerate(BAD.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        try:
            with pytest.raises(error, match=f"(?s){message}") as caught:
                ask(store, folder)
            assert len(str(caught.value)) < 400, "a sentence or two, not a page"
        except BaseException as failure:
            wrong[kind] = failure
    assert not wrong, "\n".join(f"{kind}: {failure!r}" for kind, failure in wrong.items())
    assert len(BAD) >= 50
    assert store.verify() == []
    assert _everything_stored(store) == before
    assert list(temporary.iterdir()) == []
