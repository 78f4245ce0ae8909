"""A forged journal, or any other path that a file names, reaches nothing outside of the data's own folders."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError, StoreError
from store import Store, open_store, rebuild
from store.database.connection import StoreDamaged
from store.files.paths import inside, scan_place
from store.ledger import journal
from store.ledger.audit import make_entry
from tests.store_phantom import DAY1, add_mask, add_scan

SCAN = f"raw/set/P1/{DAY1}/CT.nii.gz"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    with open_store(tmp_path / "data") as store:
        add_scan(store)
        add_mask(store, 3)
    (tmp_path / "precious.txt").write_text("keep")
    (tmp_path / "data" / "drafts").mkdir()
    (tmp_path / "data" / "drafts" / "precious.txt").write_text("keep")
    return tmp_path / "data"


def next_entry(root: Path, action: str, payload: dict[str, Any]) -> dict[str, Any]:
    last = json.loads((root / "audit.jsonl").read_text().splitlines()[-1])
    return make_entry(last["seq"] + 1, last["created_at"], "demo", action, payload, last["hash"])


def scan_payload(root: Path, **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((root / SCAN).with_name("CT.json").read_text())
    return {**values, **changes}


def names(root: Path) -> set[str]:
    return {p.relative_to(root.parent).as_posix() for p in root.parent.rglob("*") if "incoming" not in p.parts}


FILES = {
    "absolute": ["/etc/hostname"],
    "upwards": ["../precious.txt"],
    "upwards inside": ["raw/../../precious.txt"],
    "another folder": ["drafts/precious.txt"],
    "the database": ["twin.duckdb"],
    "not normal": ["raw//set/P1"],
    "a number": [7],
    "no list": "raw/x",
    "of another scan": [f"raw/set/P1/{DAY1}/CT.nii.gz", f"raw/set/P1/{DAY1}/CT.json"],
}


@pytest.mark.parametrize("how", FILES)
def test_a_forged_list_of_files_is_refused_and_touches_nothing(root: Path, how: str) -> None:
    payload = scan_payload(root, scan_id="CT-9", path=f"raw/set/P1/{DAY1}/CT-9.nii.gz")
    entry = next_entry(root, "scan.added", payload)
    (root / "journal.json").write_text(json.dumps({"entry": entry, "files": FILES[how]}))
    before = names(root)
    with pytest.raises(StoreError, match="Nothing was touched"):
        open_store(root)
    with pytest.raises(StoreError, match="Nothing was touched"):
        rebuild(root)
    assert names(root) == before
    (root / "journal.json").unlink()
    with open_store(root) as store:
        assert store.verify() == []


def forged_values(root: Path) -> dict[str, Any]:
    """Whole journals with right hashes, whose entries say what no write of this store says."""
    other = "raw/set/P1"
    recorded = next_entry(root, "scan.added", scan_payload(root))
    both = [SCAN, SCAN.replace(".nii.gz", ".json")]
    outside = scan_payload(root, patient_id="../..", path="raw/set/../../x/CT.nii.gz")
    late = make_entry(99, "2020", "demo", "scan.added", scan_payload(root, scan_id="X", path=f"{other}/X"), "00")
    mask = {"mask_id": "m", "patient_id": "P1", "timepoint": DAY1, "version": 1}
    images = [f"processed/set/P1/{DAY1}/mask_v001.nii.gz", f"processed/set/P1/{DAY1}/mask_v001.json"]
    return {
        "a recorded scan": {"entry": recorded, "files": both},
        "a recorded mask": {"entry": next_entry(root, "mask.added", mask), "files": images},
        "ids that are paths": {"entry": next_entry(root, "scan.added", outside), "files": [outside["path"]]},
        "not the next": {"entry": late, "files": []},
        "altered": {"entry": {**recorded, "person": "eve"}, "files": both},
        "no entry": {"entry": {}, "files": both},
        "too much": {"entry": recorded, "files": both, "more": 1},
        "a list": [recorded],
        "files of an event": {"entry": next_entry(root, "event.added", {"patient_id": "P1"}), "files": both},
    }


FORGED = (
    "a recorded scan",
    "a recorded mask",
    "ids that are paths",
    "not the next",
    "altered",
    "no entry",
    "too much",
    "a list",
    "files of an event",
)


@pytest.mark.parametrize("how", FORGED)
def test_a_journal_that_no_write_of_ours_left_is_refused_and_touches_nothing(root: Path, how: str) -> None:
    forged = forged_values(root)
    assert set(forged) == set(FORGED)
    (root / "journal.json").write_text(json.dumps(forged[how]))
    before = names(root)
    with pytest.raises(StoreError, match="Nothing was touched"):
        open_store(root)
    assert names(root) == before
    with pytest.MonkeyPatch.context() as patch:  # nor by a rebuild, which may find it to be of another history
        patch.setattr(journal, "quarantine", lambda *_: pytest.fail("it moved files"))
        try:
            rebuild(root)
        except StoreError:
            assert names(root) == before
    (root / "journal.json").unlink(missing_ok=True)
    with open_store(root) as store:
        assert store.verify() == []


class Killed(BaseException):
    pass


def dies(*_: Any) -> None:
    raise Killed


def test_after_a_rebuild_that_died_before_it_ended_a_cut_short_write_opening_advises_to_rebuild_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(root)
    store.events.add("P1", DAY1, "steroids", "4 mg", "demo")
    with monkeypatch.context() as patch:  # a write dies before it is recorded
        patch.setattr(store.audit, "insert", dies)
        patch.setattr(store.ledger, "_recover", lambda placed=None: None)
        with pytest.raises(Killed):
            add_mask(store, 5)
    store.close()
    left = (root / "journal.json").read_bytes()
    (root / "twin.duckdb").unlink()
    (root / "audit.jsonl").unlink()
    ledger = root / "processed/set/P1/ledger.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join([*lines[:-2], lines[-1]]))  # a gap, so that the new chain is another one
    with monkeypatch.context() as patch:
        patch.setattr(journal, "end", dies)
        with pytest.raises(Killed):
            rebuild(root)
    before = names(root)
    with pytest.raises(StoreDamaged, match="Run `rebuild`"):  # the journal ends before the new database is there
        open_store(root)
    assert names(root) == before
    rebuild(root)
    with open_store(root) as again:
        assert again.verify() == []
    (root / "journal.json").write_bytes(left)  # an older TwinReview's rebuild ended it after that
    before = names(root)
    with pytest.raises(StoreError, match=r"If a rebuild was cut short, run `rebuild` again: it ends it\. Else move it"):
        open_store(root)
    assert names(root) == before
    rebuild(root)
    with open_store(root) as again:
        assert again.verify() == []


def test_a_forged_journal_stops_writing_too_and_verify_names_it(root: Path) -> None:
    with open_store(root) as store:
        (root / "journal.json").write_text('{"entry": {}, "files": ["../precious.txt"]}')
        with pytest.raises(StoreError, match="Nothing was touched"):
            store.events.add("P1", DAY1, "steroids", "x", "demo")
        assert any("journal.json" in problem for problem in store.verify())
    assert (root.parent / "precious.txt").read_text() == "keep"


def test_a_folder_that_is_a_link_is_not_followed(root: Path) -> None:
    """Quarantine would else move files of wherever the link points to."""
    away = root.parent / "away"
    (root / "raw/set/P2").parent.mkdir(exist_ok=True)
    away.mkdir()
    os.symlink(away, root / "raw/set/P2")
    (away / DAY1).mkdir()
    (away / DAY1 / "CT.nii.gz").write_text("keep")
    place = f"raw/set/P2/{DAY1}/CT.nii.gz"
    payload = scan_payload(root, patient_id="P2", path=place)
    entry = next_entry(root, "scan.added", payload)
    (root / "journal.json").write_text(
        json.dumps({"entry": entry, "files": [place, place.replace(".nii.gz", ".json")]})
    )
    with pytest.raises(StoreError, match="Nothing was touched"):
        open_store(root)
    assert (away / DAY1 / "CT.nii.gz").read_text() == "keep"


PARTS = ["raw", "processed", "..", ".", "", "a", "x\x00", "a\\b", "~"]


@given(
    st.one_of(
        st.text(max_size=40),
        st.lists(st.sampled_from(["raw", "processed", "..", ".", "", "a", "x\x00", "a\\b", "~"]), max_size=6).map(
            "/".join
        ),
    )
)
def test_no_path_leads_out_of_the_data_folders(relative: str) -> None:
    root = Path("/nowhere/data")
    try:
        found = inside(root, relative)
    except StoreError:
        return
    assert os.path.normpath(found) == str(found)
    assert found.relative_to(root).parts[0] in ("raw", "processed", "quarantine")
    assert len(found.relative_to(root).parts) > 1


@pytest.mark.parametrize("value", [None, 7, ["raw/x"], b"raw/x", "raw", "/raw/x", "raw/x/", "raw/./x"])
def test_what_is_no_relative_path_is_refused(value: Any) -> None:
    with pytest.raises(StoreError, match="Expected a file of this data folder"):
        inside(Path("/nowhere"), value)


def test_an_entry_whose_scan_lies_elsewhere_is_not_replayed(root: Path) -> None:
    """audit.jsonl written anew with a path out of the folder: rebuild refuses, and the old database is as it was."""
    entry = next_entry(root, "scan.added", scan_payload(root, scan_id="CT-2", path="../../etc/passwd"))
    with open(root / "audit.jsonl", "a") as file:
        file.write(json.dumps(entry) + "\n")
    old = (root / "twin.duckdb").read_bytes()
    with pytest.raises(StoreDamaged, match=r"older than audit\.jsonl"):
        open_store(root)
    with pytest.raises(StoreError, match=r"the record says '\.\./\.\./etc/passwd'"):
        rebuild(root)
    assert (root / "twin.duckdb").read_bytes() == old
    for wrong in ({"dataset": "../x"}, {"patient_id": "a/b"}, {"timepoint": "someday"}, {"scan_id": ""}):
        with pytest.raises((StoreError, InputError)):
            scan_place(scan_payload(root, **wrong))


def test_a_write_that_died_is_still_undone(root: Path) -> None:
    """The strict check lets through what the store itself writes."""
    folder = root / "raw/set/P1" / DAY1
    payload = scan_payload(root, scan_id="CT-2", path=f"raw/set/P1/{DAY1}/CT-2.nii.gz")
    files = [payload["path"], payload["path"].replace(".nii.gz", ".json")]
    shutil.copy(folder / "CT.nii.gz", folder / "CT-2.nii.gz")
    journal.begin(root, next_entry(root, "scan.added", payload), files)
    with open_store(root) as store:
        assert "moved to quarantine" in store.recovered[0]
        assert (root / "quarantine" / files[0]).exists()
        assert store.verify() == []


def test_every_write_of_the_store_passes_its_own_check(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if each were cut short right after its journal was written."""
    seen: list[str] = []
    begin = journal.begin

    def checked(root: Path, entry: Any, files: Any) -> None:
        begin(root, entry, files)
        pending = journal.pending(root)
        assert pending is not None
        assert (pending.entry, list(pending.files)) == (entry, list(files))
        seen.append(entry["action"])

    monkeypatch.setattr(journal, "begin", checked)
    from tests.store_phantom import busy_history

    busy_history(store)
    assert {"scan.added", "mask.added", "mask.decided", "event.added", "job.updated"} <= set(seen)
    assert store.verify() == []


def test_quarantine_passes_over_what_is_not_there_and_keeps_every_file_of_one_name(tmp_path: Path) -> None:
    for words in ("first", "second", "third"):
        (tmp_path / SCAN).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / SCAN).write_text(words)
        assert journal.quarantine(tmp_path, ["raw/set/P1/gone.nii.gz", SCAN]) == [SCAN]
    kept = {name: (tmp_path / "quarantine" / f"{SCAN}{name}").read_text() for name in ("", ".2", ".3")}
    assert kept == {"": "first", ".2": "second", ".3": "third"}
    assert not (tmp_path / SCAN).exists()
