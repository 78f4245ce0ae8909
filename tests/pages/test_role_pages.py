"""Review and System by themselves: what a role may not do is grey and says why; what cannot be read says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from core.access import SYSTEM, Identity
from core.gates.mask import fitted
from core.jobs.jobs import run_inline
from core.jobs.stages import verify
from core.lesions.masks import measure
from pages.ui.frame import resources
from pages.ui.viewer import describe
from store import Store, open_store, rebuild
from store.seen import ACCOUNT_WITHHELD, CHECK_WITHHELD
from tests import clinic

PAGES = Path(__file__).resolve().parents[2] / "pages"
DAY = clinic.DAYS[0]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """KIM: v1 was scored, v2 was not; "vic" is a viewer, "ann" a reader."""
    with open_store(tmp_path / "data") as store:
        store.people.add("vic", "viewer", by="demo")
        store.people.add("ann", "reader", by="demo")
        clinic.add_scan(store, "KIM", DAY, clinic.noise(1))
        record = clinic.add_mask(store, "KIM", DAY, 800)
        store.masks.add(
            store.masks.load(record),
            patient_id="KIM",
            timepoint=DAY,
            method="manual",
            author="demo",
            parent_version=1,
            lesions=measure(store.masks.load(record)),
        )
        assert store.verdicts.of_masks()[0].verdict == "not enough reference masks"
    return tmp_path / "data"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, root: Path) -> Iterator[Callable[..., AppTest]]:
    """opened(page, person) -> the page as that person sees it, run once."""
    monkeypatch.setenv("TWIN_DATA", str(root))
    resources.whole_store.clear()

    def run(name: str, person: str, **state: Any) -> AppTest:
        page = AppTest.from_file(str(PAGES / f"{name}.py"), default_timeout=120)
        for key, value in {"who": person, "patient_id": "KIM", **state}.items():
            page.session_state[key] = value
        page.run()
        assert not page.exception
        return page

    yield run
    resources.whole_store.clear()


def button(page: AppTest, label: str) -> Any:
    return next(b for b in page.button if b.label == label)


def store_of() -> Store:
    return resources.whole_store()


def test_a_viewer_sees_grey_buttons_that_say_why_and_may_not_draw(opened, monkeypatch):
    tokens = []
    make = describe.make_token
    monkeypatch.setattr(describe, "make_token", lambda *a: tokens.append(a[-1]) or make(*a))  # type: ignore[func-returns-value]
    page = opened("review", "vic")
    for label in ("Run nnU-Net again", "Score the scan", "Score the mask", "Accept v2"):
        assert button(page, label).disabled, label
        assert "vic is viewer" in button(page, label).help
    assert any("vic is viewer" in info.value for info in page.info), "in place of how to draw"
    assert "Refine with MedSAM" not in [b.label for b in page.button]
    assert tokens == [False]
    page = opened("review", "ann")
    for label in ("Refine with MedSAM", "Score the scan", "Score the mask"):
        assert not button(page, label).disabled, label
    assert tokens == [False, True]


def test_a_version_that_was_not_scored_says_so_and_is_scored_by_its_button(opened):
    page = opened("review", "ann")
    assert any("Mask gate: cannot be judged" in warning.value for warning in page.warning)
    assert button(page, "Accept v2").disabled
    assert "Press Score the mask" in button(page, "Accept v2").help
    button(page, "Score the mask").click().run()
    assert not page.exception
    assert not button(page, "Accept v2").disabled
    assert not any("Mask gate: cannot be judged" in warning.value for warning in page.warning)
    said = store_of().verdicts.of_masks("KIM")[-1]
    assert (said.version, said.person) == (2, "ann")


def test_the_mask_gate_knows_what_was_just_accepted_on_the_page(opened):
    page = opened("review", "ann")
    button(page, "Score the mask").click().run()
    button(page, "Accept v2").click().run()
    assert not page.exception
    gate, row = fitted.stored_gate(store_of()), store_of().reference_sets.newest(fitted.KIND)
    assert gate is not None
    assert row is not None
    assert gate.seq == store_of().vectors.last_change()[0]
    assert row.person == SYSTEM


def test_an_acceptance_that_a_rebuild_could_not_prove_says_on_every_page_what_it_waits_for(root, monkeypatch):
    with open_store(root) as store:
        clinic.accept(store, store.masks.version("KIM", DAY, 1))
    for lost in (root / "twin.duckdb", root / "audit.jsonl", *root.glob("processed/**/ledger.jsonl")):
        lost.unlink()
    assert rebuild(root)["to_affirm"] == 1
    monkeypatch.setenv("TWIN_DATA", str(root))
    resources.whole_store.clear()
    for name, said in (("review", "Waits to be affirmed: its file claims"), ("trajectory", "waits to be affirmed")):
        page = AppTest.from_file(str(PAGES / f"{name}.py"), default_timeout=120)
        page.session_state["who"], page.session_state["patient_id"] = "demo", "KIM"
        page.session_state[f"version/KIM/{DAY}"] = 1
        page.run()
        assert not page.exception
        assert any(said in text.value.replace("\\", "") for text in [*page.warning, *page.markdown]), name
    resources.whole_store.clear()


def test_a_version_whose_file_is_gone_can_be_marked_lost_and_found_where_it_is_shown(opened, root):
    path = root / "processed/clinic/KIM" / DAY / "mask_v002.nii.gz"
    path.rename(root / "away")
    page = opened("review", "ann")
    assert any("is missing" in error.value for error in page.error)
    assert not any(str(root) in error.value for error in page.error)
    next(t for t in page.text_input if t.label == "What became of the file").set_value("a disk broke")
    button(page, "Mark the file as lost").click().run()
    assert not page.exception
    assert [row.reason for row in store_of().masks.losses().values()] == ["a disk broke"]
    assert any("is lost" in error.value for error in page.error)
    (root / "away").rename(path)
    button(page, "The file is back").click().run()
    assert not page.exception
    assert store_of().masks.losses() == {}
    assert not page.error


def test_system_shows_roles_and_only_an_administrator_changes_them(opened):
    page = opened("system", "ann")
    for label in ("Add", "Change the role"):
        assert button(page, label).disabled
    assert any("ann is reader" in info.value for info in page.info)
    page = opened("system", "demo")
    next(t for t in page.text_input if t.label == "Name").set_value("Reader Two")
    button(page, "Add").click().run()
    assert store_of().people.role_of("Reader Two") == "reader"
    next(s for s in page.selectbox if s.label == "Person").set_value("Reader Two")
    next(s for s in page.selectbox if s.label == "New role").set_value("viewer")
    button(page, "Change the role").click().run()
    assert not page.exception
    assert store_of().people.role_of("Reader Two") == "viewer"
    assert store_of().audit_log(1)[0]["person"] == "demo"


def test_an_administrator_grants_data_sets_and_a_patient_of_another_is_on_no_page(opened):
    page = opened("system", "ann")
    assert button(page, "Give these grants").disabled
    page = opened("system", "demo")
    next(s for s in page.selectbox if s.label == "Whose data sets").set_value("ann")
    page.run()
    next(r for r in page.radio if r.label == "Sees").set_value("Only these")
    next(m for m in page.multiselect if m.label == "Data sets").set_value(["trial"])
    button(page, "Give these grants").click().run()
    assert not page.exception
    known = store_of().people.named("ann")
    assert known is not None
    assert known.datasets == ("trial",)
    people = next(frame.value for frame in page.dataframe if "sees" in frame.value.columns)
    assert dict(zip(people["name"], people["sees"], strict=True)) == {
        "ann": "trial",
        "demo": "All data sets",
        "vic": "All data sets",
    }
    for name in ("worklist", "cohort", "quality", "system", "intake"):
        page = opened(name, "ann")
        shown = [str(frame.value) for frame in page.dataframe] + [
            text.value for text in [*page.markdown, *page.caption]
        ]
        assert not [text for text in shown if "KIM" in text], name


def test_system_and_worklist_tell_of_files_that_are_not_as_they_were_stored(opened, root):
    path = root / "processed/clinic/KIM" / DAY / "mask_v001.nii.gz"
    path.write_bytes(path.read_bytes()[:-9])
    store_of().files.check()
    page = opened("system", "vic")
    assert any("1 file is not as it was stored" in error.value for error in page.error)
    assert button(page, "Look at all files again")
    page = opened("worklist", "vic")
    shown = [text.value.replace("\\", "").replace("\u2060", "") for text in page.markdown]
    assert any("version 1: file altered" in text for text in shown)


def test_the_audit_log_shows_an_account_to_administrators_alone(opened):
    resources.whole_store().people.identify("ann", Identity("https://login.example", "4711", "ann@example"), by="demo")

    def told(person: str) -> list[str]:
        frames = [frame.value for frame in opened("system", person).dataframe if "payload" in frame.value.columns]
        return [str(text) for frame in frames for text in frame["payload"]]

    assert any("4711" in text for text in told("demo"))
    for person in ("ann", "vic"):
        assert not [text for text in told(person) if "4711" in text or "ann@example" in text]
        assert ACCOUNT_WITHHELD in told(person)


def test_what_a_check_found_is_for_administrators_alone(opened, root):
    (root / "processed/clinic/KIM" / DAY / "mask_v001.nii.gz").unlink()
    store = resources.whole_store()
    store.people.add("adm", "administrator", by="demo")
    run_inline(store, verify.KIND, {}, "adm")

    def told(person: str) -> tuple[bool, str, list[str]]:
        page = opened("system", person)
        shown = [text.value.replace("\\", "").replace("\u2060", "") for text in [*page.markdown, *page.caption]]
        frames = [frame.value for frame in page.dataframe if "payload" in frame.value.columns]
        payloads = [str(text) for frame in frames for text in frame["payload"]]
        return any(b.label == "Check again" for b in page.button), " ".join(shown), payloads

    button_there, shown, payloads = told("demo")
    assert button_there
    assert "asked for by adm; files hashed that did not look as before" in shown
    assert "mask_v001.nii.gz" in shown
    assert CHECK_WITHHELD not in payloads
    for person in ("ann", "vic"):
        button_there, shown, payloads = told(person)
        assert not button_there
        assert "mask_v001.nii.gz is missing" not in shown
        assert CHECK_WITHHELD in payloads
        assert not [text for text in payloads if "is missing" in text]
