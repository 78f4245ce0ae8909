"""Other accounts of the machine read nothing of a data folder: neither what is stored nor what is on its way in."""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from core.errors import InputError
from store import open_store
from store.files.file_rights import umask

HOME = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def _open_handed_account() -> Iterator[None]:
    """As most accounts are set up: everybody reads what they write."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def _open_to(root: Path, rights: int) -> dict[str, str]:
    """What is there with any of these rights, links apart; it fails on a folder that holds nothing."""
    found = [path for path in (root, *root.rglob("*")) if not path.is_symlink()]
    assert len(found) > 5
    return {str(path.relative_to(root)): f"{_mode(path):03o}" for path in found if _mode(path) & rights}


def _import(root: Path, folder: Path, **env: str) -> None:
    nib.Nifti1Image(np.arange(60, dtype=np.float32).reshape(3, 4, 5), np.eye(4)).to_filename(folder / "x.nii.gz")
    command = [
        sys.executable,
        "cli.py",
        "--data",
        str(root),
        "import",
        str(folder / "x.nii.gz"),
        "--dataset",
        "d",
        "--patient",
        "P1",
        "--date",
        "2024-01-10",
        "--modality",
        "MR",
    ]
    subprocess.run(command, cwd=HOME, check=True, env={**os.environ, **env})


@pytest.mark.parametrize("there", [False, True])
def test_what_the_command_line_stores_is_closed_to_other_accounts(tmp_path: Path, there: bool) -> None:
    root = tmp_path / "data"
    if there:
        root.mkdir(0o755)
    _import(root, tmp_path)
    assert _open_to(root, 0o077) == {}


def test_a_group_shares_the_folder_where_the_setting_says_so(tmp_path: Path) -> None:
    root = tmp_path / "data"
    _import(root, tmp_path, TWIN_UMASK="007")
    assert _open_to(root, 0o007) == {}
    assert _mode(root) == 0o770
    assert _mode(root / "audit.jsonl") == 0o660


def test_what_the_dashboard_writes_is_closed_to_other_accounts(start_server, tmp_path: Path) -> None:
    root = tmp_path / "data"
    start_server(root)
    until = time.monotonic() + 60
    while not (root / "processed" / "ledger.jsonl").exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert _open_to(root, 0o077) == {}


def test_an_upload_on_its_way_in_is_closed_even_to_the_group_that_shares_the_folder(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("TWIN_UMASK", "007")
    with open_store(tmp_path / "data") as store, store.scratch() as folder:
        assert _mode(folder) == 0o700


def test_a_folder_of_before_is_closed_when_it_is_opened_and_that_is_said(tmp_path: Path, caplog) -> None:
    root = tmp_path / "data"
    open_store(root).close()
    root.chmod(0o2775)
    with caplog.at_level(logging.WARNING, "twinreview.store"):
        open_store(root).close()
        assert _mode(root) == 0o2700
        open_store(root).close()
    assert [record.getMessage().count("closed to them now") for record in caplog.records] == [1]
    with open_store(root) as store:
        assert store.verify() == []


def test_a_folder_that_is_everybody_s_on_purpose_is_left_and_that_is_said(tmp_path: Path, caplog) -> None:
    root = tmp_path / "data"
    root.mkdir()
    root.chmod(0o1777)
    open_store(root).close()
    assert _mode(root) == 0o1777
    assert "could not be closed" in caplog.text


@pytest.mark.parametrize("text", ["", "77", "0o77", "777", "078", "077 ", "000", "177", "nobody", "-77", "٠٧٧"])
def test_a_wrong_setting_is_a_sentence_and_makes_no_folder(tmp_path: Path, monkeypatch, text: str) -> None:
    monkeypatch.setenv("TWIN_UMASK", text)
    with pytest.raises(InputError, match=r"Expected TWIN_UMASK as 077 .* Correct the setting"):
        open_store(tmp_path / "data")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(("text", "mask"), [("077", 0o077), ("0027", 0o027), ("007", 0o007)])
def test_the_setting_is_octal(monkeypatch, text: str, mask: int) -> None:
    monkeypatch.setenv("TWIN_UMASK", text)
    assert umask() == mask
