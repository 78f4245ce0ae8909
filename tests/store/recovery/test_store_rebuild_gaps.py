"""A history that lost a part is never taken for a whole one, and no rebuild ends where none can go on."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import StoreError
from core.twin.curve_points import volume_points
from store import Store, open_store, rebuild
from store.database.connection import StoreDamaged
from store.ledger import journal, ledgers
from store.ledger.audit import make_entry, read_file
from store.ledger.writing import Ledger
from tests.store.ledger.test_store_opening import Killed, kill_rebuild
from tests.store_phantom import DAY1, DAY2, add_mask, add_scan, busy_history

KEY = "a key of a test, not of a clinic"
P1, P2 = "processed/set/P1/ledger.jsonl", "processed/set/P2/ledger.jsonl"


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TWIN_AUDIT_KEY", raising=False)
    monkeypatch.delenv("TWIN_AUDIT_ANCHOR", raising=False)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One patient whose mask was accepted."""
    with open_store(tmp_path / "data") as store:
        add_scan(store)
        add_mask(store, 4, 2)
        store.decisions.decide("P1", DAY1, 1, "accept", "demo", "good")
    return tmp_path / "data"


def lose(root: Path, *names: str) -> None:
    for name in names:
        (root / name).unlink()


def end_of(root: Path, name: str, how: str) -> None:
    """Tear, cut, garble or alter the last line of a file of the history."""
    data = (root / name).read_bytes()
    last = data[data.rstrip().rfind(b"\n") + 1 :]
    new = {"torn": last[:-40], "cut": b"", "garbled": last.replace(b'"demo"', b'"de\x00mo"', 1)}
    (root / name).write_bytes(data.removesuffix(last) + new.get(how, last.replace(b'"demo"', b'"dome"', 1)))


def waiting(root: Path) -> list[str]:
    """Opens the store, checks that nothing of P1 is in a curve and that all is in order; why masks wait."""
    with open_store(root) as store:
        assert volume_points(store, "P1") == []
        assert store.verify() == []
        return list(store.decisions.to_affirm().values())


@pytest.mark.parametrize("how", ["torn", "cut", "garbled", "altered"])
def test_a_withdrawal_whose_line_is_lost_does_not_bring_its_mask_back(root: Path, how: str) -> None:
    with open_store(root) as store:
        store.decisions.decide("P1", DAY1, 1, "withdraw", "demo", "second-look")
    lose(root, "twin.duckdb", "audit.jsonl")
    end_of(root, P1, how)
    counts = rebuild(root)
    assert (counts["gaps"], counts["to_affirm"]) == (None, 1), "nobody knows how much is lost"
    assert len(waiting(root)) == 1
    assert json.loads((root / f"processed/set/P1/{DAY1}/mask_v001.json").read_text())["status"] == "proposed"
    again = rebuild(root)
    assert (again["gaps"], again["to_affirm"], again["audit"]) == (0, 0, counts["audit"]), "once is enough"


def test_a_rejected_lesion_whose_line_is_lost_is_not_counted_again(root: Path) -> None:
    with open_store(root) as store:
        store.decisions.decide("P1", DAY1, 1, "reject", "demo", "vessel", lesion_id="L2")
    lose(root, "twin.duckdb", "audit.jsonl")
    end_of(root, P1, "cut")
    assert rebuild(root)["to_affirm"] == 1
    with open_store(root) as store:
        assert volume_points(store, "P1") == []


def test_the_torn_end_of_the_audit_file_counts_where_nothing_else_is_left(root: Path) -> None:
    with open_store(root) as store:
        store.decisions.decide("P1", DAY1, 1, "withdraw", "demo", "second-look")
    lose(root, "twin.duckdb", P1, ledgers.COMMON)
    shutil.rmtree(root / "processed/set/P1" / DAY1)
    end_of(root, "audit.jsonl", "torn")
    counts = rebuild(root)
    assert (counts["gaps"], counts["to_affirm"]) == (None, 1)


def test_a_patient_whose_ledger_is_gone_is_adopted_whoever_was_there_besides(root: Path) -> None:
    shutil.copytree(root, root.with_name("only"), symlinks=True)
    with open_store(root) as store:
        add_scan(store, "P2", seed=2)
        add_mask(store, 3, patient="P2")
    lose(root, "twin.duckdb", "audit.jsonl", P2)
    counts = rebuild(root)
    assert (counts["gaps"], counts["adopted"], counts["to_affirm"]) == (None, 2, 0)
    with open_store(root) as store:
        assert [row.patient_id for row in store.patients.all()] == ["P1", "P2"]
        assert volume_points(store, "P1")
        assert store.verify() == []
    only = root.with_name("only")
    lose(only, "twin.duckdb", "audit.jsonl", P1)
    counts = rebuild(only)
    assert (counts["gaps"], counts["adopted"], counts["to_affirm"]) == (None, 2, 1)
    assert len(waiting(only)) == 1


@pytest.mark.parametrize(("torn", "lost"), [(P1, ()), (P1, ("twin.duckdb",)), ("audit.jsonl", ())])
def test_a_half_line_of_an_entry_that_another_copy_has_is_no_loss(root: Path, lost: tuple[str, ...], torn: str) -> None:
    end_of(root, torn, "torn")
    lose(root, *lost)
    counts = rebuild(root)
    assert (counts["gaps"], counts["to_affirm"]) == (0, 0)
    with open_store(root) as store:
        assert volume_points(store, "P1")
        assert store.verify() == []


def test_sidecars_put_back_with_an_older_ledger_are_no_sign_that_the_audit_file_lacks_something(tmp_path: Path) -> None:
    root, old = tmp_path / "data", tmp_path / "old"
    with open_store(root) as store:
        add_scan(store)
        add_mask(store, 4)
    shutil.copytree(root / "processed", old, symlinks=True)
    with open_store(root) as store:
        store.decisions.decide("P1", DAY1, 1, "accept", "demo", "good")
    lose(root, "twin.duckdb")
    shutil.rmtree(root / "processed")
    shutil.copytree(old, root / "processed", symlinks=True)
    counts = rebuild(root)
    assert (counts["gaps"], counts["to_affirm"], counts["sidecars"]) == (0, 0, 1)
    with open_store(root) as store:
        assert volume_points(store, "P1")
        assert store.verify() == []


def facts(root: Path) -> dict[str, Any]:
    """What a store holds, without numbers of entries and what a rebuild says of itself."""
    with open_store(root) as store:
        assert store.verify() == []
        tables = {
            "masks": "mask_id, status, lesions",
            "decisions": "decision_id, verdict",
            "events": "event_id",
            "scans": "patient_id, timepoint, scan_id, sha256",
            "mask_anomalies": "anomaly_id",
            "mask_vectors": "mask_id, lesion_id",
            "people": "name, role",
            "growth_fits": "fit_id",
        }
        rows = {name: store.db.query(f"SELECT {what} FROM {name} ORDER BY {what}") for name, what in tables.items()}
        return {**rows, "affirm": store.decisions.to_affirm(), "points": volume_points(store, "P1")}


GAPS: dict[str, Callable[[Path], None]] = {
    "a lost ledger": lambda root: lose(root, "twin.duckdb", "audit.jsonl", P1),
    "a gap in the old database": lambda root: gap_in_database(root),
    "a torn end": lambda root: torn_end(root),
}


def torn_end(root: Path) -> None:
    lose(root, "twin.duckdb", "audit.jsonl")
    end_of(root, P1, "torn")


def gap_in_database(root: Path) -> None:
    with open_store(root) as store:
        store.db.execute("DELETE FROM audit WHERE seq BETWEEN 5 AND 25")
    lose(root, "audit.jsonl", P1, P2, ledgers.COMMON)


@pytest.mark.parametrize("stride", [23, pytest.param(1, marks=pytest.mark.soak)])
@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("key", ["", KEY])
def test_a_rebuild_over_a_gap_that_is_killed_at_any_step_is_ended_by_the_next(
    tmp_path: Path, gap: str, key: str, stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, whole = tmp_path / "data", tmp_path / "whole"
    with open_store(root) as store:
        busy_history(store)
    if key:
        monkeypatch.setenv("TWIN_AUDIT_KEY", key)
        with open_store(root) as store:
            store.ledger.begin_signing("ann")
            store.events.add("P1", DAY2, "steroids", "4 mg", "ann")
            store.events.add("P2", DAY1, "steroids", "4 mg", "ann")
    GAPS[gap](root)
    shutil.copytree(root, whole, symlinks=True)
    rebuild(whole)
    monkeypatch.delenv("TWIN_AUDIT_KEY", raising=False)  # the new chain is unsigned, which `verify` would say
    expected = facts(whole)
    ended = 0
    for stop in range(1, 200, stride):
        copy = tmp_path / f"killed-{stop}"
        shutil.copytree(root, copy, symlinks=True)
        monkeypatch.setenv("TWIN_AUDIT_KEY", key)
        ended = 0 if kill_rebuild(copy, stop) else ended + 1
        rebuild(copy)
        monkeypatch.setenv("TWIN_AUDIT_KEY", "")
        assert facts(copy) == expected, stop
        shutil.rmtree(copy)
        if ended > 1:  # once alone it may be a file that is not there to be removed
            assert stop > 16
            return
    raise AssertionError("it never ended")


def test_an_older_ledger_put_back_after_a_rebuild_over_a_gap_is_no_dead_end(root: Path, tmp_path: Path) -> None:
    with open_store(root) as store:
        add_scan(store, "P2", seed=2)
        add_mask(store, 3, patient="P2")
        store.decisions.decide("P2", DAY1, 1, "accept", "demo", "good")
        for day in range(12):
            store.events.add("P2", DAY1, "steroids", f"{day} mg", "demo")
        store.events.add("P1", DAY1, "steroids", "4 mg", "demo")
    for name in (P1, P2):
        shutil.copy(root / name, tmp_path / name.replace("/", "-"))
    lose(root, "twin.duckdb", "audit.jsonl", P2)
    assert rebuild(root)["gaps"]
    with open_store(root) as store:
        store.decisions.decide("P2", DAY1, 1, "reject", "demo", "leak")
        before = store.db.query("SELECT * FROM masks ORDER BY mask_id")
    for name in (P1, P2):
        shutil.copy(tmp_path / name.replace("/", "-"), root / name)
        with pytest.raises(StoreDamaged, match="Run `rebuild`"):
            open_store(root)
        rebuild(root)
        with open_store(root) as store:
            assert store.verify() == []
            assert store.db.query("SELECT * FROM masks ORDER BY mask_id") == before
            assert volume_points(store, "P1")


def test_what_only_an_older_chain_accepts_waits_for_a_person(root: Path, tmp_path: Path) -> None:
    """P2's ledger comes back after P2 was adopted and P2's acceptance withdrawn; the old acceptance must not count."""
    with open_store(root) as store:
        for day in range(12):
            store.events.add("P1", DAY1, "steroids", f"{day} mg", "demo")
        add_scan(store, "P2", seed=2)
        add_mask(store, 3, patient="P2")
        store.decisions.decide("P2", DAY1, 1, "accept", "demo", "good")
    shutil.copy(root / P2, tmp_path / "P2")
    lose(root, "twin.duckdb", "audit.jsonl", P2)
    (root / P1).write_bytes(b"".join((root / P1).read_bytes().splitlines(True)[:4]))
    rebuild(root)
    shutil.copy(tmp_path / "P2", root / P2)
    rebuild(root)
    with open_store(root) as store:
        assert volume_points(store, "P2") == []
        assert store.verify() == []


ODD: dict[str, Callable[[dict[str, Any]], Any]] = {
    "text for a number": lambda v: v.update(voxels_added="many"),
    "a number as text": lambda v: v.update(voxels_added=str(v["voxels_added"])),
    "a number without end": lambda v: v.update(voxels_added=10**30),
    "no number": lambda v: v.update(volume_mm3=float("nan")),
    "a lesion twice": lambda v: v.update(lesions=v["lesions"] * 2),
    "a label of text": lambda v: v["lesions"][0].update(label="x"),
    "a lesion without volume": lambda v: v["lesions"][0].update(volume_mm3=None),
    "lesions of text": lambda v: v.update(lesions="L1"),
    "nobody": lambda v: v.update(reviewer=None),
    "half a character": lambda v: v.update(reviewer="\ud800"),
    "half a character within": lambda v: v["lesions"][0].update(lesion_id="\ud800"),
    "an id of lists": lambda v: v.update(mask_id=["a"]),
    "an id of keys": lambda v: v.update(mask_id={}),
    "no id": lambda v: v.update(mask_id=None),
    "a patient of lists": lambda v: v.update(patient_id=["P1"]),
    "a version of lists": lambda v: v.update(version=[2]),
}


def adopting(root: Path, place: str, change: Callable[[dict[str, Any]], Any]) -> dict[str, int | None]:
    """Lose all history, change one sidecar, and rebuild."""
    lose(root, "twin.duckdb", "audit.jsonl", P1, ledgers.COMMON)
    values = json.loads((root / place).read_text())
    change(values)
    (root / place).write_text(json.dumps(values))
    return rebuild(root)


@pytest.mark.parametrize("odd", ODD)
def test_one_odd_sidecar_of_a_mask_is_left_out_and_all_others_are_adopted(root: Path, odd: str) -> None:
    with open_store(root) as store:
        add_mask(store, 5)
    counts = adopting(root, f"processed/set/P1/{DAY1}/mask_v002.json", ODD[odd])
    assert (counts["adopted"], counts["left_out"]) == (2, 1)
    with open_store(root) as store:
        assert [p.endswith("belongs to no record.") for p in store.verify()] == [True, True]
        assert [record.version for record in store.masks.of("P1")] == [1]


ODD_SCANS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a hash of lists": lambda v: v.update(content_sha256=["a"]),
    "a kind that there is not": lambda v: v.update(modality="XX"),
    "a shape of text": lambda v: v.update(shape="abc"),
    "nobody": lambda v: v.update(imported_by=None),
    "half a character": lambda v: v.update(metadata={"scanner": "\ud800"}),
    "an id of lists": lambda v: v.update(scan_id=["a"]),
    "a dataset of lists": lambda v: v.update(dataset=["set"]),
}


@pytest.mark.parametrize("odd", ODD_SCANS)
def test_one_odd_sidecar_of_a_scan_is_left_out_and_all_others_are_adopted(root: Path, odd: str) -> None:
    with open_store(root) as store:
        pet = add_scan(store, seed=7, modality="PET")
    counts = adopting(root, pet.path.replace(".nii.gz", ".json"), ODD_SCANS[odd])
    assert (counts["scans"], counts["masks"], counts["left_out"]) == (1, 1, 1)
    with open_store(root) as store:
        assert [p.endswith("belongs to no record.") for p in store.verify()] == [True, True]


def append(root: Path, action: str, payload: dict[str, Any]) -> None:
    last = read_file(root / "audit.jsonl")[0][-1]
    entry = make_entry(last["seq"] + 1, last["created_at"], "demo", action, payload, last["hash"])
    with open(root / "audit.jsonl", "a") as file:
        file.write(json.dumps(entry) + "\n")


def acceptance(store: Store) -> dict[str, Any]:
    """The payload of an acceptance of P1's first mask that nobody made."""
    mask = store.masks.version("P1", DAY1, 1)
    decision = {
        "decision_id": "forged",
        "mask_id": mask.mask_id,
        "lesion_id": None,
        "verdict": "accept",
        "reviewer": "demo",
        "reason": "x",
        "comment": "",
        "created_at": mask.created_at,
    }
    place = {"patient_id": "P1", "timepoint": DAY1, "version": 1}
    return {"decision": decision, **place, "statuses": {mask.mask_id: "accepted"}, "final_version": 1}


FOREIGN: dict[str, tuple[str, dict[str, Any]]] = {
    "a scan of nothing": ("scan.added", {}),
    "a decision of nothing": ("mask.decided", {"decision": {}}),
    "a decision of text": ("mask.decided", {"decision": "accept"}),
    "a person without role": ("person.added", {"name": 5}),
    "a mask of lists": ("mask.added", {"patient_id": ["P1"], "timepoint": DAY1, "version": 2, "lesions": 5}),
    "statuses of lists": ("mask.decided", {"decision": {"mask_id": "a"}, "patient_id": "P1", "statuses": ["a"]}),
    "doubts of numbers": ("mask.unproven", {"patient_id": "P1", "mask_ids": 5}),
    "doubts of lists": ("mask.unproven", {"patient_id": "P1", "mask_ids": [["a"]]}),
    "an event of nothing": ("event.added", {"patient_id": "P1"}),
    "an event without a key": (
        "event.added",
        {"event_id": None, "patient_id": "P1", "date": DAY1, "kind": "x", "detail": ""},
    ),
    "a kind of no version": ("mask.painted", {}),
}


@pytest.mark.parametrize("foreign", FOREIGN)
def test_an_entry_that_is_whole_but_nobody_s_is_named_and_nothing_is_touched(root: Path, foreign: str) -> None:
    append(root, *FOREIGN[foreign])
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file() and path.suffix != ".new"}
    with pytest.raises(StoreError, match=r"Entry 5 of the audit \(.* rebuild\."):
        rebuild(root)
    after = {path: path.read_bytes() for path in root.rglob("*") if path.is_file() and path.suffix != ".new"}
    assert after == before


def test_a_column_that_an_entry_names_is_no_statement(root: Path, tmp_path: Path) -> None:
    with open_store(root) as store:
        payload = acceptance(store)
    out = tmp_path / "stolen.csv"
    payload["decision"][f"seq) SELECT 1; COPY (SELECT 1) TO '{out}'; --"] = 1
    append(root, "mask.decided", payload)
    rebuild(root)
    assert not out.exists()
    with open_store(root) as store:
        assert len(store.decisions.of("P1")) == 2


@pytest.fixture
def signed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A signed history whose one mask was accepted, and that acceptance withdrawn."""
    monkeypatch.setenv("TWIN_AUDIT_KEY", KEY)
    with open_store(tmp_path / "data") as store:
        store.ledger.begin_signing("demo")
        add_scan(store)
        add_mask(store, 4)
        store.decisions.decide("P1", DAY1, 1, "accept", "demo", "good")
        store.decisions.decide("P1", DAY1, 1, "withdraw", "demo", "second-look")
    return tmp_path / "data"


def test_an_unsigned_acceptance_behind_the_signed_end_waits_for_a_person(signed: Path) -> None:
    with open_store(signed) as store:
        payload = acceptance(store)
    append(signed, "mask.decided", payload)
    counts = rebuild(signed)
    assert (counts["gaps"], counts["to_affirm"]) == (0, 1)
    with open_store(signed) as store:
        assert volume_points(store, "P1") == []
        assert store.verify() == ["Entry 7 is not signed, though signing began with entry 2."]
        assert list(store.decisions.to_affirm().values()) == ["it was accepted, but its acceptance is not signed"]
        store.decisions.decide("P1", DAY1, 1, "accept", "demo", "affirmed")
    assert rebuild(signed)["to_affirm"] == 0
    with open_store(signed) as store:
        assert volume_points(store, "P1")


def test_without_the_key_the_longest_history_counts(signed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ADR 12 says of a chain without a key, so that the test above shows what the key does."""
    with open_store(signed) as store:
        payload = acceptance(store)
    append(signed, "mask.decided", payload)
    monkeypatch.delenv("TWIN_AUDIT_KEY")
    assert rebuild(signed)["to_affirm"] == 0


def test_a_longer_history_that_parts_from_the_signed_one_does_not_displace_it(signed: Path) -> None:
    """The withdrawal, entry 6, is left out and three others follow: longer by two than what was signed."""
    path = signed / "audit.jsonl"
    whole = path.read_bytes()
    path.write_bytes(b"".join(whole.splitlines(True)[:5]))
    for number in range(3):
        payload = {"event_id": f"e{number}", "patient_id": "P1", "date": DAY1, "kind": "x", "detail": ""}
        append(signed, "event.added", payload)
    lose(signed, "twin.duckdb")
    rebuild(signed)
    assert path.read_bytes() == whole
    assert waiting(signed) == []


def test_a_signed_history_goes_on_signed_where_only_scans_and_masks_were_unknown(signed: Path) -> None:
    folder = signed / f"processed/set/P1/{DAY1}"
    values = json.loads((folder / "mask_v001.json").read_text())
    values.update(mask_id="00000000-0000-4000-8000-000000000000", version=2, status="accepted")
    (folder / "mask_v002.json").write_text(json.dumps(values))
    shutil.copy(folder / "mask_v001.nii.gz", folder / "mask_v002.nii.gz")
    lose(signed, "twin.duckdb")
    assert rebuild(signed)["adopted"] == 1
    assert len(waiting(signed)) == 1


def test_a_signed_history_without_its_signed_end_is_another_chain_and_says_so(signed: Path) -> None:
    lose(signed, "twin.duckdb", "audit.jsonl")
    end_of(signed, P1, "torn")
    assert rebuild(signed)["to_affirm"] == 1
    assert not (signed / "heads.jsonl").exists()
    with open_store(signed) as store:
        assert volume_points(store, "P1") == []
        assert ["never begun" in text for text in store.verify()] == [True]
        store.ledger.begin_signing("demo")
        assert store.verify() == []


def test_a_rebuild_killed_beside_a_cut_short_write_leaves_no_journal_that_looks_forged(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: Any) -> None:
        raise Killed

    store = open_store(root)
    add_scan(store, "P2", seed=2)
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "_recover", lambda self, *_: None)
        patch.setattr("store.ledger.audit.Audit.insert", dies)
        with pytest.raises(Killed):
            add_mask(store, 5)
    store.close()
    assert journal.pending(root) is not None
    lose(root, "twin.duckdb", "audit.jsonl", ledgers.COMMON)
    for step in ("_end_cut", "_swap"):
        with monkeypatch.context() as patch:
            patch.setattr(sys.modules["store.recovery.rebuild"], step, dies)
            with pytest.raises(Killed):
                rebuild(root)
        with pytest.raises(StoreDamaged, match="Run `rebuild`"):
            open_store(root)
    rebuild(root)
    with open_store(root) as store:
        assert store.verify() == []
        assert [record.version for record in store.masks.of("P1")] == [1, 2]


def cut_short(root: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """A second mask of P1 whose write was killed before its row was there; its image and sidecar."""

    def dies(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch, open_store(root) as store:
        patch.setattr(Ledger, "_recover", lambda self, *_: None)
        patch.setattr("store.ledger.audit.Audit.insert", dies)
        with pytest.raises(Killed):
            add_mask(store, 5)
    cut = journal.pending(root)
    assert cut is not None
    return cut.files


@pytest.mark.parametrize("there", [("image", "sidecar"), ("image",), ()])
def test_a_write_that_was_cut_short_counts_in_a_rebuild_only_if_all_its_files_are_there(
    root: Path, monkeypatch: pytest.MonkeyPatch, there: tuple[str, ...]
) -> None:
    files = dict(zip(("image", "sidecar"), cut_short(root, monkeypatch), strict=True))
    lose(root, "twin.duckdb", *(name for what, name in files.items() if what not in there))
    assert rebuild(root)["adopted"] == 0
    with open_store(root) as store:
        versions = {record.version: record.status for record in store.masks.of("P1")}
        assert versions == {1: "accepted"} | ({2: "proposed"} if len(there) == 2 else {})
        assert [p.volume_mm3 for p in volume_points(store, "P1") if p.lesion_id == "total"] == [12.0]
        assert store.verify() == []
    assert (root / files["image"]).exists() == (len(there) == 2), "else it belongs to nothing and is out of the way"


def test_a_write_that_was_cut_short_counts_in_no_rebuild_where_the_database_says_that_it_did_not_happen(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = cut_short(root, monkeypatch)
    assert rebuild(root)["adopted"] == 0
    with open_store(root) as store:
        assert [record.version for record in store.masks.of("P1")] == [1]
        assert store.verify() == []
    assert not any((root / name).exists() for name in files)


def test_a_rebuild_brings_back_the_record_of_a_mask_whose_file_is_missing_and_counts_it_nowhere(root: Path) -> None:
    lose(root, "twin.duckdb", f"processed/set/P1/{DAY1}/mask_v001.nii.gz")
    counts = rebuild(root)
    assert (counts["masks"], counts["to_affirm"]) == (1, 0)
    with open_store(root) as store:
        assert store.masks.version("P1", DAY1, 1).status == "accepted"
        store.files.check()
        assert volume_points(store, "P1") == []
        problems = store.verify()
        assert problems
        assert all("mask_v001.nii.gz" in problem or "mask_final" in problem for problem in problems)


def test_a_rebuild_without_any_copy_adopts_a_sidecar_whose_mask_is_missing_and_counts_it_nowhere(root: Path) -> None:
    lose(root, "twin.duckdb", "audit.jsonl", P1, ledgers.COMMON, f"processed/set/P1/{DAY1}/mask_v001.nii.gz")
    counts = rebuild(root)
    assert (counts["adopted"], counts["to_affirm"]) == (2, 1)
    with open_store(root) as store:
        assert store.masks.version("P1", DAY1, 1).status == "proposed"
        assert volume_points(store, "P1") == []
        assert any("mask_v001.nii.gz" in problem for problem in store.verify())


def test_a_role_that_was_changed_is_the_changed_one_after_a_rebuild(root: Path) -> None:
    with open_store(root) as store:
        store.people.add("ann", "reader", by="demo")
        store.people.add("ann", "viewer", by="demo")
        store.people.add("bob", "viewer", by="demo")
        store.people.add("bob", "administrator", by="demo")
        before = store.people.all()
    lose(root, "twin.duckdb")
    rebuild(root)
    with open_store(root) as store:
        assert store.people.all() == before
        assert {p.name: p.role for p in before} == {"ann": "viewer", "bob": "administrator", "demo": "administrator"}
        with pytest.raises(StoreError, match="'ann' is viewer"):
            add_mask(store, 3, author="ann")
