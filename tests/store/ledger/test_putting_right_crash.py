"""Whenever the process dies while something is put right, it is done whole or not at all, and files follow the rows."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from store import Store, open_store, rebuild
from store.files import following, mask_files
from store.ledger import journal, ledgers
from store.ledger.audit import Audit
from store.ledger.batch import TABLES
from store.ledger.writing import Ledger
from tests.store.reopening import Killed
from tests.store_phantom import DAY1, DAY2, DAY3, add_mark, add_mask, add_scan, grid, looks_of

WHY: dict[str, Any] = {"reason": "a slip", "person": "demo"}


def _withdrawal(store: Store, patient: str) -> str:
    return next(str(c.withdrawal_id) for c in store.corrections.withdrawn() if c.patient_id == patient)


ACTIONS: dict[str, Callable[[Store], Any]] = {
    "timepoint.moved": lambda s: s.corrections.move_timepoint("P1", DAY1, to_timepoint=DAY3, **WHY),
    "timepoint.moved to a patient": lambda s: s.corrections.move_timepoint("P1", DAY1, to_patient_id="P2", **WHY),
    "scan.moved": lambda s: s.corrections.move_scan("P1", DAY1, "PET", to_timepoint=DAY2, **WHY),
    "patients.merged": lambda s: s.corrections.merge_patients("P1", "P2", **WHY),
    "timepoint.withdrawn": lambda s: s.corrections.withdraw_timepoint("P1", DAY1, **WHY),
    "timepoint.restored": lambda s: s.corrections.restore(_withdrawal(s, "P3"), **WHY),
    "patient.deleted": lambda s: s.corrections.delete_patient("P1", confirm="P1", **WHY),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """P1 with two timepoints, one with two versions, CT and PET; P2 with an accepted mask; P3 is withdrawn.
    P1's lesion was looked at, and marks lie between all three."""
    root = tmp_path_factory.mktemp("base") / "data"
    with open_store(root) as store:
        for patient, day, seed in (("P1", DAY1, 1), ("P1", DAY2, 2), ("P2", DAY3, 3), ("P3", DAY1, 4)):
            add_scan(store, patient, day, seed)
        add_scan(store, "P1", DAY1, 5, modality="PET", where=grid((6, 5, 4)))
        for patient, day in (("P1", DAY1), ("P1", DAY1), ("P2", DAY3), ("P3", DAY1)):
            version = add_mask(store, 4, patient=patient, day=day).version
            store.decisions.decide(patient, day, version, "accept", "demo", "good")
        first, second, third = (store.masks.of(patient)[-1] for patient in ("P1", "P2", "P3"))
        store.looks.add(first.mask_id, looks_of(store, first), "demo")
        for ends in ((first, second), (second, first), (second, third)):
            add_mark(store, *ends, person="demo")
        store.corrections.withdraw_timepoint("P3", DAY1, **WHY)
    return root


def _rows(store: Store) -> dict[str, list[str]]:
    return {table: sorted(map(repr, store.db.query(f"SELECT * FROM {table}"))) for table in TABLES}


def _names(root: Path) -> list[str]:
    return sorted(
        path.relative_to(root).as_posix()
        for top in ("raw", "processed", "withdrawn", "quarantine")
        for path in (root / top).rglob("*")
        if path.name != ledgers.NAME and not path.is_dir()
    )


#: Every call that changes something on disk, or commits.
STEPS: list[tuple[Any, str]] = [
    (journal, "begin"),
    (Audit, "insert"),
    (Ledger, "_finish"),
    (os, "rename"),
    (os, "rmdir"),
    (mask_files, "replace_text"),
    (mask_files, "set_final"),
    (following, "_remove"),
    (ledgers, "append"),
    (Audit, "mirror"),
    (journal, "end"),
]


def _dies(store: Store, act: Callable[[Store], Any], stop: int) -> bool:
    """The action in a process that dies before the n-th call of `STEPS`; False if it ended before that."""
    count = 0

    def step(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **more: Any) -> Any:
            nonlocal count
            count += 1
            if count == stop:
                raise Killed
            return function(*arguments, **more)

        return wrapped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ledger, "_recover", lambda self, *_: None)
        for where, name in STEPS:
            patch.setattr(where, name, step(getattr(where, name)))
        try:
            act(store)
        except Killed:
            return True
        return False


#: What moves the most files, and what takes files away; the others in `make soak`.
SOON = ("patient.deleted",)


@pytest.mark.parametrize(
    "action", [pytest.param(name, marks=() if name in SOON else pytest.mark.soak) for name in ACTIONS]
)
def test_dying_at_any_step_leaves_all_of_it_or_nothing(base: Path, tmp_path: Path, action: str) -> None:
    act, whole = ACTIONS[action], tmp_path / "whole"
    shutil.copytree(base, whole, symlinks=True)
    with open_store(whole) as store:
        before = (_rows(store), _names(whole))
        act(store)
        # who restores or moves when is part of the rows, so of those only the keys are compared
        after = _names(whole)
    stop, happened = 0, set()
    while True:
        stop += 1
        root = tmp_path / f"{stop}"
        shutil.copytree(base, root, symlinks=True)
        store = open_store(root)
        withdrawn = {c.withdrawal_id for c in store.corrections.withdrawn()}
        died = _dies(store, act, stop)
        store.close()
        if died and stop % 3 == 0:
            rebuild(root)
        with open_store(root) as again:
            assert again.verify(full=True) == [], f"step {stop}"
            new = {str(c.withdrawal_id) for c in again.corrections.withdrawn()} - withdrawn
            done = again.corrections.history()[-1].action == action.split(" ")[0] and _rows(again) != before[0]
            found = [_plain(name, new) for name in _names(root)]
            assert found == ([_plain(name, None) for name in after] if done else before[1]), f"step {stop}"
            if not done:
                assert _rows(again) == before[0], f"step {stop}"
            assert not (root / journal.NAME).exists()
            happened.add(done)
        shutil.rmtree(root)
        if not died:
            break
    assert happened == {True, False}
    assert stop > 8, "there are steps on the way"


def _plain(name: str, new: set[str] | None) -> str:
    """A file's name without the id of a withdrawal that is another one each time (None: of P1, whichever it is)."""
    parts = name.split("/")
    fresh = parts[0] == "withdrawn" and (parts[2] == "P1" if new is None else parts[4] in new)
    return "/".join([*parts[:4], "id", *parts[5:]]) if fresh else name


def test_what_was_cut_short_is_named_until_the_store_is_opened_again(base: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(base, root, symlinks=True)
    store = open_store(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ledger, "_recover", lambda self, *_: None)
        patch.setattr(Ledger, "_finish", lambda self, entry: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            ACTIONS["timepoint.moved"](store)
    assert any("(timepoint.moved) was cut short" in problem for problem in store.verify())
    store.close()
    with open_store(root, read_only=True) as looking:
        assert looking.patients.timepoints("P1") == [DAY2, DAY3]
    with open_store(root) as again:
        assert again.verify() == []
        assert again.masks.load(again.masks.of("P1", DAY3)[1]).array.any()


def test_a_file_that_somebody_put_in_the_way_stops_it_and_nothing_is_overwritten(base: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(base, root, symlinks=True)
    with open_store(root) as store:
        place = root / f"raw/set/P1/{DAY3}/CT.nii.gz"
        finish = Ledger._finish

        def late(self: Ledger, entry: Any) -> None:
            if not place.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(b"another")
            finish(self, entry)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Ledger, "_finish", late)
            with pytest.raises(Exception, match=r"recorded, but the data folder refused to follow .*never overwritten"):
                ACTIONS["timepoint.moved"](store)
        assert place.read_bytes() == b"another"
        place.unlink()
        add_mask(store, 3, patient="P2", day=DAY3)  # the next write completes it
        assert store.verify() == []
