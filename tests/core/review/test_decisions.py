"""What decisions do: versions, single lesions, withdrawal; and what is in the curve after any sequence of them."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cli
from core.errors import InputError, StoreError
from core.gates.mask.verdicts import reference, remember_vectors
from core.review.decisions import (
    check_decision,
    counted_volume_mm3,
    lesions_after,
    lesions_in_one_total_only,
    rejected_lesion_ids,
    statuses_after,
)
from core.review.worklist import work_items
from core.twin.curve import accepted_by, exclusion_reasons
from core.twin.curve_points import volume_points
from core.twin.timeline import patient_timeline
from core.twin.timeline_changes import lesion_changes
from core.types import MaskRecord
from store import Store, open_store, rebuild
from tests.store_phantom import ANSWER, DAY1, DAY2, JUDGED, VOXEL_MM3, add_mask, add_scan, folder, with_people


def version(number: int, status: str = "proposed", lesions: dict[str, float] | None = None) -> MaskRecord:
    """A version with lesions of these volumes."""
    volumes = {"L1": 10.0, "L2": 4.0} if lesions is None else lesions
    return MaskRecord(
        f"m{number}",
        "P1",
        DAY1,
        number,
        None,
        "nnunet",
        None,
        (),
        "demo",
        status,  # type: ignore[arg-type]
        "2020-01-01T00:00:00Z",
        None,
        sum(volumes.values()),
        0,
        0,
        0,
        None,
        "",
        "",
        None,
        tuple({"label": int(k[1:]), "lesion_id": k, "volume_mm3": v} for k, v in volumes.items()),
        {},
    )


moves = st.lists(
    st.tuples(
        st.integers(0, 2), st.sampled_from(["accept", "reject", "withdraw"]), st.sampled_from([None, "L1", "L2"])
    ),
    max_size=25,
)


@given(moves)
def test_after_any_decisions_one_version_counts_at_most_and_only_with_lesions_that_stand(steps: Any) -> None:
    versions = [version(n + 1) for n in range(3)]
    newest: dict[tuple[str, str], str] = {}
    for index, verdict, lesion in steps:
        record = versions[index]
        key = (record.mask_id, lesion or "")
        try:
            check_decision(record, verdict, lesion, newest.get(key) if lesion else None)
        except (InputError, StoreError):
            continue
        newest[key] = verdict
        statuses, final = statuses_after(record, versions, verdict, lesion)
        before = versions
        versions = [MaskRecord(**{**vars(v), "status": statuses.get(v.mask_id, v.status)}) for v in versions]
        if lesion:
            changed = tuple(lesions_after(record.lesions, verdict, {int(lesion[1:])}))
            versions[index] = MaskRecord(**{**vars(versions[index]), "lesions": changed})
        now = [v for v in versions if v.status == "accepted"]
        assert [v.version for v in now] == ([] if final is None else [final])
        assert all(b.status != "rejected" or a.status == "rejected" for a, b in zip(versions, before, strict=True))
        for v in versions:
            own = {name for (mask, name), said in newest.items() if mask == v.mask_id and name and said == "reject"}
            assert rejected_lesion_ids(v) == own
            assert counted_volume_mm3(v) == 14.0 - 10.0 * ("L1" in own) - 4.0 * ("L2" in own)
            assert v.status != "accepted" or counted_volume_mm3(v) > 0


def test_totals_are_unlike_where_a_lesion_counts_in_one_of_them_only() -> None:
    whole, alone = version(1), version(2, lesions={"L1": 3.0})
    without = MaskRecord(**{**vars(whole), "lesions": tuple(lesions_after(whole.lesions, "reject", {2}))})
    assert lesions_in_one_total_only(whole, whole) == ()
    assert lesions_in_one_total_only(whole, without) == lesions_in_one_total_only(without, whole) == ("L2",)
    assert lesions_in_one_total_only(without, without) == ()
    assert lesions_in_one_total_only(without, alone) == ()  # rejected in one, absent from the other


@pytest.fixture
def two_visits(store: Store) -> Store:
    """P1: 4 + 2 voxels and 5 + 3 voxels of L1 + L2, proposed at two timepoints."""
    for seed, (day, first, second) in enumerate(((DAY1, 4, 2), (DAY2, 5, 3))):
        add_scan(store, day=day, seed=seed)
        add_mask(store, first, second, day=day)
    return store


def points(store: Store) -> list[tuple[str, str, float]]:
    return [(p.lesion_id, p.timepoint, p.volume_mm3 / VOXEL_MM3) for p in volume_points(store, "P1")]


def test_a_rejected_lesion_is_absent_from_the_curve_and_the_total_and_its_voxels_stay(two_visits: Store) -> None:
    store = two_visits
    before = store.masks.path(store.masks.version("P1", DAY2, 1)).read_bytes()
    decision = store.decisions.decide("P1", DAY2, 1, "reject", "ann", "not-a-lesion", "a vessel", "L2")
    assert (decision.lesion_id, decision.verdict) == ("L2", "reject")
    assert store.masks.version("P1", DAY2, 1).status == "proposed"
    assert points(store) == []
    store.decisions.decide("P1", DAY1, 1, "accept", "ann", "agrees")
    store.decisions.decide("P1", DAY2, 1, "accept", "ann", "agrees")
    assert points(store) == [("L1", DAY1, 4), ("L1", DAY2, 5), ("L2", DAY1, 2), ("total", DAY1, 6), ("total", DAY2, 5)]
    assert store.masks.path(store.masks.version("P1", DAY2, 1)).read_bytes() == before
    sidecar = json.loads((folder(store, day=DAY2) / "mask_v001.json").read_text())
    assert [lesion.get("rejected") for lesion in sidecar["lesions"]] == [None, True]
    assert store.verify() == []


def test_a_lesion_that_counts_nowhere_has_no_curve(two_visits: Store) -> None:
    store = two_visits
    for day in (DAY1, DAY2):
        store.decisions.decide("P1", day, 1, "reject", "ann", "not-a-lesion", lesion_id="L2")
        store.decisions.decide("P1", day, 1, "accept", "ann", "agrees")
    assert points(store) == [("L1", DAY1, 4), ("L1", DAY2, 5), ("total", DAY1, 4), ("total", DAY2, 5)]


def test_a_lesion_of_the_accepted_version_can_be_rejected_and_accepted_again(two_visits: Store) -> None:
    store = two_visits
    store.decisions.decide("P1", DAY1, 1, "accept", "ann", "agrees")
    store.decisions.decide("P1", DAY1, 1, "reject", "bob", "wrong-lesion", lesion_id="L1")
    assert points(store) == [("L2", DAY1, 2), ("total", DAY1, 2)]
    assert store.masks.version("P1", DAY1, 1).status == "accepted"
    assert os.readlink(folder(store) / "mask_final.nii.gz") == "mask_v001.nii.gz"
    store.decisions.decide("P1", DAY1, 1, "accept", "bob", "agrees", lesion_id="L1")
    assert points(store) == [("L1", DAY1, 4), ("L2", DAY1, 2), ("total", DAY1, 6)]
    text = (folder(store) / "mask_v001.json").read_text()
    assert '"rejected"' not in text
    assert store.verify() == []


def test_a_new_version_starts_with_all_its_lesions_undecided(two_visits: Store) -> None:
    two_visits.decisions.decide("P1", DAY1, 1, "reject", "ann", "under-segmented", lesion_id="L1")
    child = add_mask(two_visits, 6, 2)
    assert child.parent_version == 1
    assert rejected_lesion_ids(child) == frozenset()


def test_withdrawing_reopens_the_version_and_its_point_goes(two_visits: Store) -> None:
    store = two_visits
    add_mask(store, 1, 1)
    store.decisions.decide("P1", DAY1, 1, "reject", "ann", "under-segmented", lesion_id="L2")
    store.decisions.decide("P1", DAY1, 1, "accept", "ann", "agrees")
    store.decisions.decide("P1", DAY1, 1, "withdraw", "bob", "withdrawn-error", "wrong side")
    assert [r.status for r in store.masks.of("P1", DAY1)] == ["proposed", "superseded"]
    assert points(store) == []
    assert not os.path.lexists(folder(store) / "mask_final.nii.gz")
    assert rejected_lesion_ids(store.masks.version("P1", DAY1, 1)) == {"L2"}  # what was said of a lesion stands
    assert store.verify() == []
    store.decisions.decide("P1", DAY1, 1, "accept", "bob", "agrees")
    assert points(store) == [("L1", DAY1, 4), ("total", DAY1, 4)]
    assert [(d.verdict, d.lesion_id, d.reviewer) for d in store.decisions.of("P1")] == [
        ("reject", "L2", "ann"),
        ("accept", None, "ann"),
        ("withdraw", None, "bob"),
        ("accept", None, "bob"),
    ]


def test_decisions_that_make_no_sense_are_refused_in_words_and_nothing_is_written(two_visits: Store) -> None:
    store = two_visits
    refused: list[tuple[tuple[str, str | None], type[Exception], str]] = [
        (("withdraw", None), StoreError, "is proposed, not accepted"),
        (("withdraw", "L1"), InputError, "whole version is withdrawn"),
        (("accept", "L3"), StoreError, "no lesion 'L3'; it has L1, L2"),
        (("reject", "../L1"), StoreError, "no lesion"),
    ]
    for (verdict, lesion), kind, message in refused:
        with pytest.raises(kind, match=message):
            store.decisions.decide("P1", DAY1, 1, verdict, "ann", "x", lesion_id=lesion)
    assert store.decisions.of("P1") == []
    store.decisions.decide("P1", DAY1, 1, "reject", "ann", "x", lesion_id="L1")
    with pytest.raises(StoreError, match="L1 of version 1 of P1 on 2020-01-01 is rejected already"):
        store.decisions.decide("P1", DAY1, 1, "reject", "ann", "x", lesion_id="L1")
    store.decisions.decide("P1", DAY1, 1, "reject", "ann", "x", lesion_id="L2")
    with pytest.raises(StoreError, match="Every lesion of version 1"):
        store.decisions.decide("P1", DAY1, 1, "accept", "ann", "x")
    store.decisions.decide("P1", DAY1, 1, "accept", "ann", "x", lesion_id="L2")
    store.decisions.decide("P1", DAY1, 1, "accept", "ann", "x")
    with pytest.raises(StoreError, match=r"L2 is the last lesion .* that counts"):
        store.decisions.decide("P1", DAY1, 1, "reject", "ann", "x", lesion_id="L2")
    add_mask(store, 3)
    store.decisions.decide("P1", DAY1, 2, "accept", "ann", "x")
    with pytest.raises(StoreError, match="superseded"):
        store.decisions.decide("P1", DAY1, 1, "accept", "ann", "x", lesion_id="L1")
    store.decisions.decide("P1", DAY1, 2, "reject", "ann", "x")
    with pytest.raises(StoreError, match="rejected, which is final"):
        store.decisions.decide("P1", DAY1, 2, "withdraw", "ann", "x")
    assert store.verify() == []


def test_a_clock_that_went_back_keeps_no_decision_from_being_made_and_counting(
    two_visits: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_visits.decisions.decide("P1", DAY1, 1, "accept", "ann", "x")
    monkeypatch.setattr("store.ledger.writing.utc_now", lambda: "2020-01-01T00:00:00.000000Z")
    two_visits.decisions.decide("P1", DAY1, 1, "withdraw", "ann", "x")
    assert two_visits.masks.version("P1", DAY1, 1).status == "proposed"
    assert [d.verdict for d in two_visits.decisions.of("P1", DAY1)][-2:] == ["accept", "withdraw"]


def test_an_empty_version_can_be_accepted(store: Store) -> None:
    add_scan(store)
    add_mask(store, 0)
    store.decisions.decide("P1", DAY1, 1, "accept", "ann", "agrees")
    assert points(store) == [("total", DAY1, 0)]


@pytest.fixture
def decided_root(tmp_path: Path) -> Path:
    """A store in which lesions were rejected, accepted again, and a version withdrawn and accepted."""
    root = tmp_path / "decided"
    with open_store(root) as store:
        with_people(store, "ann")
        for seed, day in enumerate((DAY1, DAY2)):
            add_scan(store, day=day, seed=seed)
            add_mask(store, 4, 2, day=day)
        for verdict, lesion in (
            ("reject", "L1"),
            ("reject", "L2"),
            ("accept", "L1"),
            ("accept", None),
            ("withdraw", None),
            ("accept", None),
        ):
            store.decisions.decide("P1", DAY1, 1, verdict, "ann", "x", lesion_id=lesion)
        store.decisions.decide("P1", DAY2, 1, "reject", "ann", "x", lesion_id="L1")
    return root


@pytest.mark.parametrize("audit", ["kept", "lost", "lost with all ledgers"])
def test_a_rebuilt_store_has_the_same_curve(decided_root: Path, audit: str) -> None:
    with open_store(decided_root) as store:
        before, masks = points(store), store.masks.of("P1")
        assert before == [("L1", DAY1, 4), ("total", DAY1, 4)]
    if audit != "kept":
        (decided_root / "audit.jsonl").unlink()
        (decided_root / "twin.duckdb").unlink()
    if audit == "lost with all ledgers":
        for path in decided_root.glob("processed/**/ledger.jsonl"):
            path.unlink()
    rebuild(decided_root)
    with open_store(decided_root) as store:
        assert store.verify() == []
        assert len(store.decisions.of("P1")) == (0 if audit == "lost with all ledgers" else 7)
        if audit == "lost with all ledgers":  # nobody is known to have accepted it until a person does so again
            assert points(store) == []
            store.verdicts.add_mask_verdict(masks[0].mask_id, JUDGED, "demo")
            with_people(store, "ann").decisions.decide("P1", DAY1, 1, "accept", "ann", *ANSWER)
        assert (points(store), store.masks.of("P1")) == (before, masks)


def test_a_sidecar_that_hides_a_rejection_is_found(decided_root: Path) -> None:
    with open_store(decided_root) as store:
        path = folder(store) / "mask_v001.json"
        values = json.loads(path.read_text())
        del values["lesions"][1]["rejected"]
        path.write_text(json.dumps(values))
        assert any("disagree on lesions" in problem for problem in store.verify())


def test_rows_that_hide_a_rejection_are_found(decided_root: Path) -> None:
    with open_store(decided_root) as store:
        row = store.db.query("SELECT lesions FROM masks WHERE timepoint = ?", [DAY1])[0]
        lesions = [{k: v for k, v in lesion.items() if k != "rejected"} for lesion in json.loads(row["lesions"])]
        store.db.execute("UPDATE masks SET lesions = ? WHERE timepoint = ?", [json.dumps(lesions), DAY1])
        assert any("the audit disagree on lesions of masks row" in problem for problem in store.verify())


def test_a_lesion_decision_that_was_cut_short_is_finished(decided_root: Path, monkeypatch: Any) -> None:
    """The row is committed, the sidecar is not written: opening the store again writes it."""
    store = open_store(decided_root)

    def power_cut(*_: Any) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr("store.files.mask_files.replace_text", power_cut)
        with pytest.raises(StoreError):
            store.decisions.decide("P1", DAY2, 1, "reject", "ann", "x", lesion_id="L2")
    store.close()
    with open_store(decided_root) as again:
        assert again.verify() == []
        assert rejected_lesion_ids(again.masks.version("P1", DAY2, 1)) == {"L1", "L2"}


def test_many_random_decisions_leave_a_store_that_verifies(tmp_path: Path) -> None:
    rng = random.Random(5)
    with open_store(tmp_path / "data") as store:
        add_scan(with_people(store, "ann"))
        for first in (3, 4, 5):
            add_mask(store, first, 2)
        done = 0
        for _ in range(60):
            verdict, lesion = rng.choice(["accept", "accept", "reject", "withdraw"]), rng.choice([None, "L1", "L2"])
            if lesion is None and verdict == "reject" and rng.random() < 0.8:
                continue
            try:
                store.decisions.decide("P1", DAY1, rng.randint(1, 3), verdict, "ann", "x", lesion_id=lesion)
                done += 1
            except (InputError, StoreError):
                pass
        assert done > 10
        before = points(store), store.masks.of("P1")
        assert store.verify() == []
    shutil.copy(tmp_path / "data" / "audit.jsonl", tmp_path / "audit.jsonl")
    rebuild(tmp_path / "data")
    with open_store(tmp_path / "data") as store:
        assert (points(store), store.masks.of("P1")) == before


def test_totals_of_different_lesions_are_not_called_a_change(two_visits: Store) -> None:
    store = two_visits
    for day in (DAY1, DAY2):
        store.decisions.decide("P1", day, 1, "accept", "ann", "agrees")
    store.decisions.decide("P1", DAY2, 1, "reject", "ann", "under-segmented", lesion_id="L1")
    change = lesion_changes(patient_timeline(store, "P1"), "total")[0].change
    assert (change.verdict, change.rule) == ("unknown", "totals of different lesions")
    assert "L1" in change.why


def test_a_rejected_lesion_is_no_reference_for_the_mask_gate(two_visits: Store) -> None:
    store = two_visits
    record = store.masks.version("P1", DAY1, 1)
    remember_vectors(store, record, store.masks.load(record), "demo")
    store.decisions.decide("P1", DAY1, 1, "accept", "ann", "agrees")
    assert [row.lesion_id for row in reference(store)] == ["L1", "L2"]
    store.decisions.decide("P1", DAY1, 1, "reject", "ann", "wrong-lesion", lesion_id="L2")
    assert [row.lesion_id for row in reference(store)] == ["L1"]


def test_what_is_left_out_and_what_waits_say_that_a_lesion_was_rejected_or_an_acceptance_withdrawn(
    two_visits: Store,
) -> None:
    store = two_visits
    for day in (DAY1, DAY2):
        store.decisions.decide("P1", day, 1, "accept", "ann", "agrees")
    store.decisions.decide("P1", DAY1, 1, "reject", "ann", "under-segmented", lesion_id="L1")
    store.decisions.decide("P1", DAY2, 1, "withdraw", "ann", "withdrawn-second-look")
    assert exclusion_reasons(store, "P1") == {
        DAY1: "L1 of version 1: rejected, and not in that total",
        DAY2: "version 1 is proposed, its acceptance was withdrawn",
    }
    assert [(item.timepoint, item.task, item.reason) for item in work_items(store)] == [
        (DAY2, "Accept or reject", "version 1 (nnunet) is proposed: its acceptance was withdrawn")
    ]


def test_who_accepted_a_lesion_did_not_accept_the_mask(two_visits: Store) -> None:
    two_visits.decisions.decide("P1", DAY1, 1, "accept", "ann", "agrees")
    two_visits.decisions.decide("P1", DAY1, 1, "accept", "bob", "agrees", lesion_id="L1")
    assert accepted_by(two_visits.decisions.of("P1")) == {two_visits.masks.version("P1", DAY1, 1).mask_id: "ann"}


def test_the_command_line_decides_on_lesions_and_withdraws(two_visits: Store, capsys: Any) -> None:
    root = two_visits.root
    two_visits.close()

    def run(*arguments: str, status: int = 0) -> Any:
        assert cli.main([*arguments, "--data", str(root), "--json", "--reviewer", "ann", "--reason", "x"]) == status
        out, err = capsys.readouterr()
        return err if status else json.loads(out)

    assert run("reject", "P1", DAY1, "1", "--lesion", "2", "--comment", "a vessel")["lesion_id"] == "L2"
    assert run("accept", "P1", DAY1, "1")["lesion_id"] is None
    assert "no lesion 'L7'" in run("reject", "P1", DAY1, "1", "--lesion", "7", status=1)
    with open_store(root) as store:
        assert points(store) == [("L1", DAY1, 4), ("total", DAY1, 4)]
    assert run("withdraw", "P1", DAY1, "1")["verdict"] == "withdraw"
    assert "nothing to withdraw" in run("withdraw", "P1", DAY1, "1", status=1)
    with open_store(root) as store:
        assert points(store) == []
        assert store.verify() == []
