"""The registry of models: nothing unverified is loaded, what is dropped in is found, and messages say what to do."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import shutil
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
    lines = [
        "[[models]]",
        'id = "mine"',
        'name = "Mine"',
        'kind = "sam_vit_b"',
        'source = "a colleague"',
        f'sha256 = "{sha256}"',
        'path = "mine.pth"',
        more,
    ]
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


def pinned_nnunet(folder: Path, folds: int = 1, without: str = "") -> registry.ModelEntry:
    """An nnU-Net all of whose files a manifest pins, but for the one named."""
    nnunet(folder / "net", folds)
    digests = [hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted((folder / "net").glob("fold_*/*"))]
    joined = digests[0] if folds == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()
    names = ["plans.json", "dataset.json", *(f"fold_{n}/checkpoint_final.pth" for n in range(folds))]
    pins = [
        f'"{name}" = "{hashlib.sha256((folder / "net" / name).read_bytes()).hexdigest()}"'
        for name in names
        if name != without
    ]
    (folder / "manifest.toml").write_text(
        f'[[models]]\nid = "net"\nname = "Net"\nkind = "nnunet"\nsha256 = "{joined}"\npath = "net"\n[models.files]\n'
        + "\n".join(pins)
    )
    return registry.find("net")


def test_every_file_that_a_shipped_model_is_loaded_from_is_pinned() -> None:
    for entry in registry.models():
        if entry.root != registry.HERE or registry.status(entry) == "missing":
            continue
        named = {name for name, _ in entry.files}
        for name in registry.model_files(entry):
            assert name in named or (entry.pinned and name.endswith((".pth", ".npz"))), f"{entry.id}: {name}"
    network = registry.files_sha256(registry.find("sts-ctpet-small"))
    assert list(network) == ["fold_0/checkpoint_final.pth", "plans.json", "dataset.json"]
    assert set(registry.files_sha256(registry.find("rfdeep-sts-ctpet"))) == {"reference.npz", "provenance.json"}


@pytest.mark.parametrize(
    "name", ["plans.json", "dataset.json", "fold_0/checkpoint_final.pth", "fold_1/checkpoint_final.pth"]
)
def test_no_file_of_a_pinned_model_can_be_changed_though_size_and_time_are_kept(folder: Path, name: str) -> None:
    entry = pinned_nnunet(folder, folds=2)
    assert entry.pinned
    assert registry.status(entry) == "ready"
    before = registry.files_sha256(entry)
    file = folder / "net" / name
    stamp, data = file.stat(), bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert registry.status(entry) == "altered"
    for use in (registry.verify, registry.files_sha256, registry.load_model):
        with pytest.raises(ModelError, match=rf"altered.*({re.escape(name)}|\$TWIN_WEIGHTS/net should)"):
            use(entry)
    data[-1] ^= 1
    file.write_bytes(data)
    assert registry.files_sha256(entry) == before


def test_the_shipped_network_with_other_plans_is_not_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(registry.HERE / "sts_ctpet_small", tmp_path / "sts_ctpet_small")
    shutil.copy(registry.HERE / "manifest.toml", tmp_path)
    monkeypatch.setattr(registry, "HERE", tmp_path)
    assert registry.status(registry.find("sts-ctpet-small")) == "ready"
    plans = tmp_path / "sts_ctpet_small" / "plans.json"
    changed = json.loads(plans.read_text())
    changed["foreground_intensity_properties_per_channel"]["0"]["mean"] += 500
    plans.write_text(json.dumps(changed))
    entry = registry.find("sts-ctpet-small")
    assert registry.status(entry) == "altered"
    with pytest.raises(ModelError, match=r"altered and is not used: weights/sts_ctpet_small/plans\.json"):
        registry.load_model(entry)


@pytest.mark.parametrize("name", ["plans.json", "dataset.json"])
def test_an_nnunet_whose_plans_are_not_pinned_does_not_count_as_pinned(folder: Path, name: str) -> None:
    entry = pinned_nnunet(folder, without=name)
    assert not entry.pinned
    assert registry.status(entry) == "ready"
    checkpoint = folder / "net" / "fold_0" / "checkpoint_final.pth"
    checkpoint.write_bytes(checkpoint.read_bytes() + b"x")
    with pytest.raises(ModelError, match="altered"):
        registry.load_model(registry.find("net"))


def test_a_fold_that_was_added_is_an_alteration(folder: Path) -> None:
    entry = pinned_nnunet(folder)
    shutil.copytree(folder / "net" / "fold_0", folder / "net" / "fold_1")
    assert registry.status(entry) == "altered"


def test_what_is_loaded_are_the_bytes_that_were_checked(folder: Path) -> None:
    loaded = registry.load_model(pinned_nnunet(folder))
    (folder / "net" / "plans.json").write_text('{"changed": 1}')
    assert loaded.content["plans.json"] == b"{}"
    assert loaded.sha256 == {name: hashlib.sha256(data).hexdigest() for name, data in loaded.content.items()}


def test_all_files_of_a_dropped_in_network_are_hashed_and_none_is_called_pinned(folder: Path) -> None:
    nnunet(folder / "mine", folds=2)
    entry = registry.find("mine")
    assert not entry.pinned
    assert registry.files_sha256(entry) == {
        name: hashlib.sha256((folder / "mine" / name).read_bytes()).hexdigest()
        for name in ("fold_0/checkpoint_final.pth", "fold_1/checkpoint_final.pth", "plans.json", "dataset.json")
    }


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


SAM2 = '[[models]]\nid = "x"\nname = "X"\nkind = "sam2"\nsha256 = ""\npath = "x"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[models", "cannot be read"),
        ('[[models]]\nid = "x"\n', "not right"),
        ('[[models]]\nid = "x"\nname = "X"\nkind = "magic"\nsha256 = ""\npath = "x"\n', "kinds are"),
        ('[[models]]\nid = "x"\nname = "X"\nkind = "sam2"\nsha256 = "12"\npath = "x"\n', "not right"),
        (f'{SAM2}files = {{ "../../key" = "{"0" * 64}" }}\n', r"\.\./\.\./key"),
        (f'{SAM2}files = {{ "a" = "short" }}\n', "not right"),
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
        ("nnunet", ""),
        ("sam_vit_b", "medsam"),
        ("sam_vit_b", "sam"),
        ("sam2", ""),
    }
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
    assert [c["fold"] for c in registry.load_model(entry).states()] == [0, 1, 2]
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
