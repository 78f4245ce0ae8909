"""Embeddings on disk and the converted encoder: kept ones answer alike, damaged ones are made again, old ones go."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.engines.prompt import encoder, medsam
from core.engines.prompt.embeddings import EmbeddingStore, Features, open_embeddings
from core.errors import InputError
from core.types import Prompt

KEY, SCAN = "c" * 64 + "-256-aspect-min-max-1", "a" * 64


def features(value: float = 0.5) -> Features:
    return Features(np.full((1, 4, 8, 8), value, dtype=np.float16), (256, 200))


def picture() -> np.ndarray:
    """(90, 70) uint8 with a bright ellipse."""
    i, j = np.indices((90, 70))
    return np.where(((i - 40) / 20) ** 2 + ((j - 30) / 12) ** 2 <= 1, 200, 60).astype(np.uint8)


BOX = Prompt("box", 0, (18.0, 16.0, 62.0, 44.0))


def another_segmenter() -> Any:
    """A LiteMedSAM that remembers nothing."""
    medsam._warm.cache_clear()
    return medsam.load_prompt_segmenter()


def test_what_is_kept_is_what_is_found_and_by_whom_it_is_for(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path, 10**6)
    store.slot(KEY, SCAN, 2, 7).write(features(0.25))
    store.slot(KEY, SCAN, 2, 12).write(features())
    store.slot(KEY, SCAN, 1, 3).write(features())
    found = EmbeddingStore(tmp_path, 10**6).slot(KEY, SCAN, 2, 7).read()
    assert found is not None
    assert (found.features.dtype, found.features.shape, found.resized) == (np.float16, (1, 4, 8, 8), (256, 200))
    assert (found.features == 0.25).all()
    assert store.ready(KEY, SCAN, 2) == [7, 12]
    assert (store.ready(KEY, SCAN, 1), store.ready(KEY, SCAN, 0)) == ([3], [])
    assert store.slot(KEY, "b" * 64, 2, 7).read() is None
    assert store.slot("d" + KEY[1:], SCAN, 2, 7).read() is None


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b"", lambda b: b[:100] + bytes([b[100] ^ 1]) + b[101:]])
def test_a_damaged_file_counts_as_none_and_is_removed(tmp_path: Path, damage: Any) -> None:
    slot = EmbeddingStore(tmp_path, 10**6).slot(KEY, SCAN, 2, 7)
    slot.write(features())
    slot.path.write_bytes(damage(slot.path.read_bytes()))
    assert slot.read() is None
    assert not slot.path.exists()
    slot.write(features())
    assert slot.read() is not None


def test_the_least_recently_used_are_given_up_first(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path, 10**9)
    for k in range(10):
        store.slot(KEY, SCAN, 2, k).write(features())
        os.utime(store.slot(KEY, SCAN, 2, k).path, (1000 + k, 1000 + k))
    size = store.slot(KEY, SCAN, 2, 0).path.stat().st_size
    assert store.slot(KEY, SCAN, 2, 0).read() is not None  # used again: now the newest
    smaller = EmbeddingStore(tmp_path, 5 * size)
    smaller.trim()
    # Four fit into nine tenths of five.
    assert smaller.ready(KEY, SCAN, 2) == [0, 7, 8, 9]


def test_writing_beyond_the_limit_gives_others_up(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path, 3000)  # one is 576 bytes
    for k in range(40):
        store.slot(KEY, SCAN, 2, k).write(features())
        assert sum(path.stat().st_size for path in tmp_path.rglob("*.emb")) <= 3000 + 600
    assert store.slot(KEY, SCAN, 2, 39).read() is not None


def test_what_a_dead_process_left_half_written_goes_and_is_never_read(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path, 10**6)
    store.slot(KEY, SCAN, 2, 1).write(features())
    half = tmp_path / KEY / SCAN / ".tmp-half"
    half.write_bytes(b"half")
    store.trim()
    assert half.exists()  # another process may be writing it
    os.utime(half, (1000, 1000))
    store.trim()
    assert not half.exists()
    assert store.ready(KEY, SCAN, 2) == [1]


def test_many_writers_and_readers_never_see_half_a_file(tmp_path: Path) -> None:
    wrong: list[object] = []

    def work(value: float) -> None:
        slot = EmbeddingStore(tmp_path, 2000).slot(KEY, SCAN, 2, 5)
        for _ in range(50):
            slot.write(features(value))
            found = slot.read()
            if found is not None and len(np.unique(found.features)) != 1:
                wrong.append(found)

    threads = [threading.Thread(target=work, args=(n / 8,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_full_disk_is_no_reason_to_fail(tmp_path: Path) -> None:
    (tmp_path / "embeddings").write_text("a file where the folder should be")
    EmbeddingStore(tmp_path / "embeddings", 10**6).slot(KEY, SCAN, 2, 7).write(features())


def test_the_limit_is_a_setting_and_must_be_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWIN_EMBEDDING_CACHE_GB", "0.5")
    assert open_embeddings().limit_bytes == 500_000_000
    monkeypatch.setenv("TWIN_EMBEDDING_CACHE_GB", "much")
    with pytest.raises(InputError, match="number of gigabytes, got 'much'"):
        open_embeddings()


@pytest.mark.parametrize("sha256", ["../../etc", "", "a/b"])
def test_a_scan_is_named_by_its_hash_alone(tmp_path: Path, sha256: str) -> None:
    with pytest.raises(InputError, match="SHA-256"):
        EmbeddingStore(tmp_path, 10**6).slot(KEY, sha256, 2, 1)


# --- with the network ---


def test_a_kept_embedding_gives_the_very_same_mask_and_is_not_encoded_again(tmp_path: Path) -> None:
    store, image = EmbeddingStore(tmp_path, 10**8), picture()
    first = another_segmenter()
    computed = first.predict(store.embedder(first, SCAN, 2)(4, image), [BOX])
    assert (first.encoded, computed.mask.sum() > 100) == (1, True)
    second = another_segmenter()
    assert second is not first
    recalled = second.predict(store.embedder(second, SCAN, 2)(4, image), [BOX])
    assert second.encoded == 0
    assert np.array_equal(recalled.mask, computed.mask)
    assert recalled.predicted_iou == computed.predicted_iou
    store.embedder(second, SCAN, 2)(4, image)
    assert second.encoded == 0


@pytest.mark.soak
def test_a_job_leaves_its_embeddings_for_prompts_and_takes_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.imaging.volumes import file_sha256, write_nifti
    from core.jobs.stages.refine import compute_refine
    from core.types import Grid, no_progress

    array = np.repeat(picture()[:, :, None], 3, axis=2).astype(np.float32) - 100
    array[:, :, 2] += 7  # slices alike would be embedded once
    path = tmp_path / "ct.nii.gz"
    write_nifti(path, array, Grid((90, 70, 3), np.diag([1.0, 1.0, 3.0, 1.0])))
    scan = {"path": str(path), "modality": "CT", "sequence": "", "sha256": file_sha256(path)}
    boxes = [{"type": "box", "slice": k, "coords": list(BOX.coords), "scan": "CT"} for k in (0, 2)]
    params = {
        "scan": scan,
        "reference": scan,
        "prompts": boxes,
        "propagate": False,
        "lesion": 1,
        "parent_mask": None,
        "next_label": 1,
        "model_id": None,
    }
    monkeypatch.setenv("TWIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TWIN_ENCODER", "torch")
    outputs = tmp_path / "first", tmp_path / "second"
    for folder in outputs:
        folder.mkdir()
    segmenter = another_segmenter()
    compute_refine(params, outputs[0], no_progress)
    assert (segmenter.encoded, open_embeddings().ready(segmenter.embedding_key, scan["sha256"], 2)) == (2, [0, 2])
    again = another_segmenter()
    compute_refine(params, outputs[1], no_progress)
    assert again.encoded == 0
    medsam._warm.cache_clear()


def test_a_slice_that_two_ask_for_at_once_is_encoded_once(tmp_path: Path) -> None:
    segmenter, image = another_segmenter(), picture()
    embed = EmbeddingStore(tmp_path, 10**8).embedder(segmenter, SCAN, 2)
    threads = [threading.Thread(target=embed, args=(0, image)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert segmenter.encoded == 1


def test_the_quick_encoder_agrees_with_pytorch() -> None:
    pytest.importorskip("openvino")
    import torch

    segmenter = another_segmenter()
    if segmenter.device.type != "cpu":
        pytest.skip("on a GPU PyTorch is used")
    assert segmenter.runtime == "openvino"
    pixels = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = segmenter.network.image_encoder(pixels)
    assert torch.allclose(segmenter._encoder(pixels), expected, atol=1e-4)


def test_pytorch_takes_over_where_openvino_is_missing_or_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = another_segmenter()
    mask = expected.predict(expected.embed(picture()), [BOX]).mask
    monkeypatch.setenv("TWIN_ENCODER", "torch")
    assert another_segmenter().runtime == "torch"
    monkeypatch.delenv("TWIN_ENCODER")

    def fails() -> None:
        raise ImportError

    monkeypatch.setattr(encoder, "_import_openvino", fails)
    segmenter = another_segmenter()
    assert segmenter.runtime == "torch"
    answer = segmenter.predict(segmenter.embed(picture()), [BOX]).mask
    assert 2 * (answer & mask).sum() / (answer.sum() + mask.sum()) > 0.99
    medsam._warm.cache_clear()


@pytest.mark.soak
def test_a_converted_encoder_that_was_altered_is_not_used_but_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setenv("TWIN_CACHE", str(tmp_path))
    assert another_segmenter().runtime == "openvino"
    (weights,) = (tmp_path / "encoders").glob("*.bin")
    good = weights.read_bytes()
    weights.write_bytes(good[:-4] + b"\x00\x00\x80\x3f")
    altered = weights.read_bytes()
    assert altered != good
    segmenter = another_segmenter()
    assert segmenter.runtime == "openvino"
    assert weights.read_bytes() == good
    medsam._warm.cache_clear()


def test_openvino_is_used_without_its_telemetry() -> None:
    pytest.importorskip("openvino")
    import subprocess
    import sys

    code = (
        "import sys; from core.engines.prompt.encoder import _import_openvino; _import_openvino();"
        "print(sys.modules['openvino_telemetry'], any(n.startswith('openvino_telemetry.') for n in sys.modules))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["None", "False"]
