"""Sidecars say in which format they are and what made them; older ones are read as they are."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from core.types import FORMAT_VERSION, MaskRecord, Scan
from core.version import NOT_INSTALLED, PACKAGES, ROOT, UNKNOWN, software, twinreview_version
from store import Store, open_store, rebuild
from store.ledger import audit
from tests.store_phantom import DAY1, add_mask, add_scan, folder


def _git(root: Path, *arguments: str) -> str:
    settings = ["-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", *settings, *arguments]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.strip()


def test_a_checkout_says_its_tag_its_commit_and_whether_it_was_changed(tmp_path: Path):
    _git(tmp_path, "init", "-q")
    (tmp_path / "a").write_text("1")
    _git(tmp_path, "add", "a"), _git(tmp_path, "commit", "-qm", "first")
    short = _git(tmp_path, "rev-parse", "--short", "HEAD")
    assert twinreview_version(tmp_path) == short
    twinreview_version.cache_clear()
    _git(tmp_path, "tag", "1.2")
    (tmp_path / "a").write_text("2")
    (tmp_path / "RELEASE").write_text("9.9")
    assert twinreview_version(tmp_path) == "1.2-dirty", "the checkout knows better than a file in it"


def test_a_checkout_that_belongs_to_another_account_says_its_version_too(tmp_path: Path, monkeypatch):
    """As where root installs and an account of the service runs: git itself would not look at such a checkout."""
    real, checkout, programs = shutil.which("git"), tmp_path / "checkout", tmp_path / "bin"
    checkout.mkdir()
    programs.mkdir()
    _git(checkout, "init", "-q")
    (checkout / "a").write_text("1")
    _git(checkout, "add", "a"), _git(checkout, "commit", "-qm", "first"), _git(checkout, "tag", "4.5")
    (programs / "git").write_text(f'#!/bin/sh\nGIT_TEST_ASSUME_DIFFERENT_OWNER=1 exec "{real}" "$@"\n')
    (programs / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    refused = subprocess.run(["git", "describe"], cwd=checkout, capture_output=True, text=True)
    assert "dubious ownership" in refused.stderr
    (tmp_path / "link").symlink_to(checkout)
    for root in (checkout, tmp_path / "link"):
        assert twinreview_version(root) == "4.5"


def test_without_a_checkout_the_release_then_the_project_says_it(tmp_path: Path):
    for name, (file, text, said) in {
        "release": ("RELEASE", "2.0\n", "2.0"),
        "project": ("pyproject.toml", '[project]\nversion = "3.1"\n', "3.1"),
        "torn": ("pyproject.toml", "[project", UNKNOWN),
        "none": ("other", "", UNKNOWN),
    }.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / file).write_text(text)
        assert twinreview_version(folder) == said


def test_software_names_this_version_and_every_library_without_loading_them():
    said = software()
    assert list(said) == ["twinreview", "python", *PACKAGES]
    assert said["twinreview"] == twinreview_version(ROOT)
    assert {"torch", "nnunetv2", "SimpleITK", "openvino"} <= set(PACKAGES)
    for name in PACKAGES:
        try:
            assert said[name] == importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            assert said[name] == NOT_INSTALLED
    code = "import sys, core.version; core.version.software(); print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout == "False\n"


def test_sidecars_of_scans_and_masks_say_format_and_software(store: Store):
    scan = add_scan(store)
    record = add_mask(store, 4, model_files={"plans.json": "ab" * 32, "fold_0/checkpoint_final.pth": "cd" * 32})
    raw = json.loads((store.root / "raw/set/P1" / DAY1 / "CT.json").read_text())
    mask = json.loads((folder(store) / "mask_v001.json").read_text())
    assert (raw["format_version"], raw["software"]) == (FORMAT_VERSION, software())
    assert list(mask)[-3:] == ["software", "format_version", "model_files"]
    assert (mask["format_version"], mask["software"]) == (FORMAT_VERSION, software())
    assert mask["model_files"] == {"plans.json": "ab" * 32, "fold_0/checkpoint_final.pth": "cd" * 32}
    assert MaskRecord.from_json(mask) == record == store.masks.version("P1", DAY1, 1)
    assert Scan.from_json(raw) == scan == store.scans.of("P1")[0]
    assert add_mask(store, 5).model_files is None
    assert store.verify() == []


@pytest.mark.parametrize("audit_kept", [True, False])
def test_a_store_of_the_first_format_is_rebuilt_and_verifies_as_it_is(tmp_path: Path, audit_kept: bool):
    root = tmp_path / "data"
    with open_store(root) as store:
        add_scan(store)
        add_mask(store, 4)
        add_mask(store, 5)
        entries = store.audit.entries()
    previous, old = audit.GENESIS, []
    for entry in entries:
        payload = _first_format(entry["action"], entry["payload"])
        old.append(audit.make_entry(entry["seq"], entry["created_at"], "demo", entry["action"], payload, previous))
        previous = old[-1]["hash"]
    (root / "audit.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in old))
    for path in root.glob("*/set/P1/*/*.json"):
        action = "scan.added" if path.parts[-5] == "raw" else "mask.added"
        path.write_text(json.dumps(_first_format(action, json.loads(path.read_text())), indent=2) + "\n")
    (root / "twin.duckdb").unlink()
    for ledger in root.rglob("ledger.jsonl"):  # there were none then
        ledger.unlink()
    if not audit_kept:
        (root / "audit.jsonl").unlink()
    rebuild(root)
    with open_store(root) as store:
        assert store.verify() == []
        assert [record.format_version for record in store.masks.of("P1")] == [1, 1]
        assert [record.model_files for record in store.masks.of("P1")] == [None, None]
        assert store.scans.of("P1")[0].software == {}
        assert store.verdicts.of_masks() == []
        newer = add_mask(store, 6)
        assert (newer.version, newer.format_version) == (3, FORMAT_VERSION)
        assert store.verify() == []


def _first_format(action: str, values: dict[str, object]) -> dict[str, object]:
    """What an entry or a sidecar of the first format has of these values."""
    later = {"scan.added": {"format_version", "software"}, "mask.added": {"format_version", "model_files"}}
    gone = later.get(action, set()) | {"vectors", "verdict"}
    return {key: value for key, value in values.items() if key not in gone}
