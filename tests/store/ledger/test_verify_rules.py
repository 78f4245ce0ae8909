"""Each sentence of verify, alone and word for word, on one patient with three versions."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from store import Store, open_store
from store.files import hash_memory
from store.files.hash_memory import HashMemory
from store.ledger import verify as rules
from tests.store_phantom import DAY1, add_mask, add_scan

FOLDER = f"processed/set/P1/{DAY1}"
V1 = f"{FOLDER}/mask_v001"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """v1 is accepted, v2 its child, v3 a mask of nothing that is marked lost; its files are gone."""
    root = tmp_path_factory.mktemp("made") / "data"
    with open_store(root) as store:
        add_scan(store)
        add_mask(store, 4, 2)
        add_mask(store, 5, 2)
        add_mask(store, 0, parent_version=None)
        store.decisions.decide("P1", DAY1, 1, "accept", "demo", "good")
        (root / FOLDER / "mask_v003.nii.gz").unlink()
        store.losses.mark_lost("P1", DAY1, 3, "a disk broke", "demo")
        (root / FOLDER / "mask_v003.json").unlink()
    return root


@pytest.fixture
def own(made: Path, tmp_path: Path) -> Iterator[Store]:
    shutil.copytree(made, tmp_path / "copy", symlinks=True)
    with open_store(tmp_path / "copy") as store:
        yield store


LOST = f"{FOLDER}/mask_v003.nii.gz is lost: a disk broke (said by demo)."


def _folder_in_place(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _link_in_place(path: Path) -> None:
    path.rename(path.with_suffix(".away"))
    path.symlink_to(path.with_suffix(".away").name)


DAMAGE: dict[str, tuple[Callable[[Store], Any], list[str]]] = {
    "none": (lambda s: None, []),
    "two are accepted": (
        lambda s: s.db.execute("UPDATE masks SET status = 'accepted' WHERE version = 2"),
        [
            f"{FOLDER} has several accepted versions: 1, 2.",
            f"{FOLDER}/mask_final.nii.gz points at mask_v001.nii.gz, but version 2 is the accepted one.",
            f"{FOLDER}/mask_v002.json and the database disagree on status.",
            f"Version 2 of P1 on {DAY1} is accepted, but nobody accepted it.",
        ],
    ),
    "a sidecar that is a list": (
        lambda s: (s.root / f"{V1}.json").write_text("[]"),
        [f"{V1}.json is not a sidecar."],
    ),
    "a sidecar that is a folder": (
        lambda s: _folder_in_place(s.root / f"{V1}.json"),
        [f"{V1}.json is not readable JSON."],
    ),
    "a sidecar that is a link": (
        lambda s: _link_in_place(s.root / f"{V1}.json"),
        [f"{V1}.json is a symbolic link, where a file was expected.", f"{V1}.away belongs to no record."],
    ),
    "an image that is a folder": (
        lambda s: _folder_in_place(s.root / f"{V1}.nii.gz"),
        [f"{V1}.nii.gz is missing."],
    ),
    "an image that is a link": (
        lambda s: _link_in_place(s.root / f"{V1}.nii.gz"),
        [f"{V1}.nii.gz is missing.", f"{V1}.nii.away belongs to no record."],
    ),
    "a link to a folder": (
        lambda s: os.symlink("/", s.root / "raw/set/away"),
        ["raw/set/away belongs to no record."],
    ),
    "a journal": (
        lambda s: (s.root / "journal.json").write_text("{}"),
        [
            "journal.json in the data folder is not a write of this store: it cannot be read as one. It was changed by "
            "hand, or the disk is failing. Nothing was touched. Move it away, open the store again and run `verify`."
        ],
    ),
    "left in incoming": (
        lambda s: (s.root / "incoming" / "dead-1").mkdir(parents=True),
        ["incoming/dead-1 was left by a process that died."],
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_each_damage_is_said_in_its_words_and_nothing_else_is(own: Store, name: str) -> None:
    damage, told = DAMAGE[name]
    damage(own)
    found = own.verify()
    assert sorted(text for text in found if " the audit disagree " not in text) == sorted([LOST, *told])


def test_a_write_that_was_cut_short_is_named(own: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from store.ledger import journal

    with monkeypatch.context() as patch:
        patch.setattr(journal, "end", lambda root: None)
        own.events.add("P1", DAY1, "steroids", "4 mg", "demo")
    assert "A write (event.added) was cut short; opening the store again finishes or undoes it." in own.verify()


def test_a_file_that_goes_while_verify_runs_is_no_stranger(own: Store) -> None:
    stray = own.root / FOLDER / "stray"
    stray.touch()
    told: list[float] = []

    def go(fraction: float, _: str) -> None:
        told.append(fraction)
        if fraction == 0.8:
            stray.unlink()

    assert own.verify(progress=go) == [LOST]
    assert told == [0.02, 0.02, 0.8, 0.9, 0.98]


def test_files_take_up_to_four_fifths_of_the_progress_told_at_every_twentieth_timepoint(tmp_path: Path) -> None:
    nothing = rules._Timepoint([], [], "set", {}, {})
    told: list[float] = []
    places = {("P1", f"2020-02-{day}"): nothing for day in range(41)}
    check = rules._FileCheck(tmp_path, HashMemory(tmp_path), False)
    assert check.all(places, lambda fraction, _: told.append(fraction)) == dict.fromkeys(places, ([], [], []))
    assert told == pytest.approx([0.02, 0.02 + 0.78 * 20 / 41, 0.02 + 0.78 * 40 / 41])


def test_only_a_full_run_hashes_what_looks_as_it_did(own: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hash_memory, "SETTLED_NS", -1)
    assert rules.verify(own.ledger) == [LOST]
    monkeypatch.setattr(hash_memory, "digest_of", lambda _: pytest.fail("it was hashed again"))
    assert rules.verify(own.ledger) == [LOST]
    own.close()
    monkeypatch.undo()
    with open_store(own.root, read_only=True) as looking:
        (own.root / "cache" / "file-hashes.json").unlink()
        assert looking.verify() == [LOST]
        assert not (own.root / "cache" / "file-hashes.json").exists(), "who only looks writes nothing"


def test_an_image_that_the_disk_refuses_is_told_from_one_that_was_changed(
    own: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(_: object) -> str:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(hash_memory, "digest_of", refuses)
    assert (
        f"{V1}.nii.gz cannot be read (Input/output error), so nobody knows whether it is the one that was stored."
        in (own.verify(full=True))
    )


def test_what_is_written_meanwhile_is_looked_at_where_it_was_written(own: Store) -> None:
    mask_id = own.masks.version("P1", DAY1, 2).mask_id
    for payload, places in (
        ({"patient_id": "P7", "timepoint": DAY1}, {("P7", DAY1)}),
        ({"patient_id": "P7", "timepoint": None}, set()),
        ({"patient_id": "P1", "mask_ids": [mask_id, "gone"]}, {("P1", DAY1)}),
        ({"name": "ann"}, set()),
    ):
        assert rules._touched(own.db, [{"payload": payload}]) == places


def test_an_acceptance_that_is_taken_out_meanwhile_is_missed(own: Store) -> None:
    def take_out(fraction: float, _: str) -> None:
        if fraction == 0.9:
            own.events.add("P1", DAY1, "steroids", "4 mg", "demo")
            own.db.execute("DELETE FROM decisions")

    assert f"Version 1 of P1 on {DAY1} is accepted, but nobody accepted it." in own.verify(progress=take_out)


def test_volumes_are_the_same_to_a_thousandth_of_a_millionth() -> None:
    assert rules._same(0.0, 0.0)
    assert rules._same(1e6, 1e6 + 5e-4)
    assert not rules._same(1e6, 1e6 + 2e-3)
    assert not rules._same(8.0, -8.0)
