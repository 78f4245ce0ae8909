"""The registry of models: nothing unverified is loaded, what is dropped in is found, and messages say what to do."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from core.errors import ModelError
from weights import registry


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A second weights folder, named by TWIN_WEIGHTS."""
    (tmp_path / "local").mkdir()
    monkeypatch.setenv("TWIN_WEIGHTS", str(tmp_path))
    return tmp_path


def save(path: Path, state: object) -> str:
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def manifest(folder: Path, sha256: str, more: str = "") -> registry.ModelEntry:
    lines = ["[[models]]", 'id = "mine"', 'name = "Mine"', 'kind = "sam_vit_b"', 'source = "a colleague"',
             f'sha256 = "{sha256}"', 'path = "mine.pth"', more]  # fmt: skip
    (folder / "manifest.toml").write_text("\n".join(lines))
    return registry.find("mine")


def nnunet(home: Path, folds: int = 1) -> None:
    home.mkdir(parents=True)
    (home / "plans.json").write_text("{}")
    (home / "dataset.json").write_text(json.dumps({"channel_names": {"0": "CT", "1": "PET", "2": "T1"}}))
    for fold in range(folds):
        save(home / f"fold_{fold}" / "checkpoint_final.pth", {"network_weights": {}, "fold": fold})


def test_every_listed_model_is_described_and_every_file_that_is_there_is_the_pinned_one() -> None:
    entries = [entry for entry in registry.models() if entry.root == registry.HERE]
    assert {"sts-ctpet-small", "litemedsam", "medsam-vit-b", "sam-vit-b", "sam2.1-tiny"} <= {e.id for e in entries}
    for entry in entries:
        assert all((entry.source, entry.licence, entry.input, entry.modality)), entry.id
        assert not entry.pinned or re.fullmatch("[0-9a-f]{64}", entry.sha256)
        assert registry.status(entry) in ("ready", "missing"), entry.id


def test_litemedsam_is_the_published_file() -> None:
    entry = registry.find("litemedsam")
    path = registry.verify(entry)
    assert path.stat().st_size == 39_370_479
    assert entry.pinned
    assert entry.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_an_unknown_model_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ModelError, match=r"no model 'nope'.*litemedsam"):
        registry.find("nope")


def test_an_altered_file_is_refused_with_both_hashes(folder: Path) -> None:
    expected = save(folder / "mine.pth", {"w": np.float32(1).item()})
    entry = manifest(folder, expected)
    assert registry.status(entry) == "ready"
    assert registry.verify(entry) == folder / "mine.pth"
    data = bytearray((folder / "mine.pth").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "mine.pth").write_bytes(data)
    got = hashlib.sha256(data).hexdigest()
    for use in (registry.verify, registry.load_checkpoint):
        with pytest.raises(ModelError, match=f"altered.*{expected}.*{got}.*Get it again from a colleague"):
            use(entry)
    assert registry.status(entry) == "altered"


def test_loading_hashes_anew_though_size_and_time_are_unchanged(folder: Path) -> None:
    entry = manifest(folder, save(folder / "mine.pth", {"w": 1}))
    assert registry.status(entry) == "ready"
    stamp, data = (folder / "mine.pth").stat(), bytearray((folder / "mine.pth").read_bytes())
    data[-1] ^= 1
    (folder / "mine.pth").write_bytes(data)
    os.utime(folder / "mine.pth", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    with pytest.raises(ModelError, match="altered"):
        registry.load_checkpoint(entry)


def test_a_pinned_further_file_is_checked_too(folder: Path) -> None:
    nnunet(folder / "net")
    checkpoint = hashlib.sha256((folder / "net/fold_0/checkpoint_final.pth").read_bytes()).hexdigest()
    plans = hashlib.sha256((folder / "net/plans.json").read_bytes()).hexdigest()
    (folder / "manifest.toml").write_text(
        f'[[models]]\nid = "net"\nname = "Net"\nkind = "nnunet"\nsha256 = "{checkpoint}"\npath = "net"\n'
        f'files = {{ "plans.json" = "{plans}" }}\n'
    )
    entry = registry.find("net")
    assert registry.verify(entry) == folder / "net"
    (folder / "net/plans.json").write_text('{"changed": 1}')
    with pytest.raises(ModelError, match=r"altered.*net/plans\.json"):
        registry.verify(entry)


def test_a_missing_file_is_named_with_where_to_get_it(folder: Path) -> None:
    entry = manifest(folder, "0" * 64)
    assert registry.status(entry) == "missing"
    with pytest.raises(ModelError, match=r"not there: expected the file \$TWIN_WEIGHTS/mine.pth.*a colleague"):
        registry.load_checkpoint(entry)


def test_a_missing_package_is_answered_with_the_command(folder: Path) -> None:
    (folder / "manifest.toml").write_text(
        '[[models]]\nid = "p"\nname = "P"\nkind = "litemedsam"\nsha256 = ""\n'
        'path = "package:no-such-package-here/w.pth"\n'
    )
    with pytest.raises(ModelError, match=r"no-such-package-here, which is not installed.*pip install"):
        registry.verify(registry.find("p"))
    assert registry.status(registry.find("p")) == "missing"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[models", "cannot be read"),
        ('[[models]]\nid = "x"\n', "not right"),
        ('[[models]]\nid = "x"\nname = "X"\nkind = "magic"\nsha256 = ""\npath = "x"\n', "kinds are"),
        ('[[models]]\nid = "x"\nname = "X"\nkind = "sam2"\nsha256 = "12"\npath = "x"\n', "not right"),
    ],
)
def test_a_wrong_manifest_is_refused(folder: Path, text: str, message: str) -> None:
    (folder / "manifest.toml").write_text(text)
    with pytest.raises(ModelError, match=message):
        registry.models()


def test_dropped_in_models_are_found_with_their_hash_computed_but_not_pinned(folder: Path) -> None:
    nnunet(folder / "Dataset007_Liver" / "nnUNetTrainer__nnUNetPlans__3d_fullres")
    digests = {
        "my_medsam": save(folder / "local" / "my_medsam.pth", {"a": 1}),
        "sam_vit_b_mine": save(folder / "local" / "sam_vit_b_mine.pth", {"b": 1}),
        "sam2.1_hiera_small": save(folder / "local" / "sam2.1_hiera_small.pt", {"c": 1}),
    }
    (folder / "local" / "notes.txt").write_text("not a model")
    found = {entry.id: entry for entry in registry.models() if entry.root == folder}
    assert {(e.kind, e.preprocess) for e in found.values()} == {
        ("nnunet", ""), ("sam_vit_b", "medsam"), ("sam_vit_b", "sam"), ("sam2", ""),
    }  # fmt: skip
    net = found["dataset007-liver-nnunettrainer-nnunetplans-3d-fullres"]
    assert net.modality == ("CT", "PET", "MR")
    assert net.input == "CT, PET, T1"
    assert found["my-medsam"].sha256 == digests["my_medsam"]
    assert all(registry.status(e) == "ready" and not e.pinned and e.sha256 for e in found.values())


def test_a_pinned_hash_holds_for_a_file_dropped_under_twin_weights(folder: Path) -> None:
    if (registry.HERE / "local" / "sam_vit_b_01ec64.pth").exists():
        pytest.skip("the real checkpoint is there and comes first")
    save(folder / "local" / "sam_vit_b_01ec64.pth", {"not": "SAM"})
    entry = registry.find("sam-vit-b")
    assert entry.pinned
    assert entry.root == folder
    assert registry.status(entry) == "altered"
    assert sum(e.path == entry.path for e in registry.models()) == 1


def test_folds_are_loaded_in_order_and_hashed_together(folder: Path) -> None:
    nnunet(folder / "net", folds=3)
    entry = registry.find("net")
    assert [c["fold"] for c in registry.load_nnunet_checkpoints(entry)] == [0, 1, 2]
    digests = [hashlib.sha256(f.read_bytes()).hexdigest() for f in registry.checkpoints(entry)]
    assert entry.sha256 == hashlib.sha256("\n".join(digests).encode()).hexdigest()


def test_an_nnunet_checkpoint_with_numpy_scalars_is_loaded(folder: Path) -> None:
    state = {"network_weights": {}, "loss": np.float64(0.25), "epoch": np.int64(7), "done": np.bool_(True)}
    entry = manifest(folder, save(folder / "mine.pth", state))
    loaded = registry.load_checkpoint(entry)
    assert (loaded["loss"], loaded["epoch"], loaded["done"]) == (0.25, 7, True)


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch pwned",)


def test_code_in_a_checkpoint_is_never_run(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path_factory.mktemp("cwd")
    monkeypatch.chdir(home)
    entry = manifest(folder, save(folder / "mine.pth", {"w": Evil()}))
    with pytest.raises(ModelError, match="holds more than weights"):
        registry.load_checkpoint(entry)
    (folder / "mine.pth").write_bytes(pickle.dumps({"w": Evil()}))
    entry = manifest(folder, hashlib.sha256((folder / "mine.pth").read_bytes()).hexdigest())
    with pytest.raises(ModelError, match="cannot be loaded"):
        registry.load_checkpoint(entry)
    assert not list(home.iterdir())


@pytest.mark.parametrize("data", [b"", b"no checkpoint at all", b"PK\x03\x04 half a zip"])
def test_a_damaged_checkpoint_is_refused(folder: Path, data: bytes) -> None:
    (folder / "mine.pth").write_bytes(data)
    entry = manifest(folder, hashlib.sha256(data).hexdigest())
    with pytest.raises(ModelError, match="cannot be loaded"):
        registry.load_checkpoint(entry)
