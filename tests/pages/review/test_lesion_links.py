"""Accepting a version on Review: its lesions are confirmed or changed, and what needs a word is asked for before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.remembered.links import LinkProposal
from core.review.replaced import ended_acceptances
from core.types import MaskRecord
from pages.ui.frame import resources
from store import Store
from tests.store_phantom import DAY1, DAY2, add_mask, add_scan

ROOT = Path(__file__).resolve().parents[3]
DOUBT = "Another lesion lies nearer."


@pytest.fixture
def clinic(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """L1 and L2 accepted on the first day; a second day with a scan."""
    monkeypatch.setattr(resources, "whole_store", lambda: store)
    for n, day in enumerate((DAY1, DAY2)):
        add_scan(store, day=day, seed=n)
    add_mask(store, 4, 2)
    store.decisions.decide("P1", DAY1, 1, "accept", "ann", "agrees")
    return store


def proposed(store: Store) -> MaskRecord:
    """Label 1 is L1 (doubted), label 2 is said to be new; nothing is said of L2 but that it is gone."""
    seen = {"from_timepoint": DAY1, "from_mask_id": store.masks.version("P1", DAY1, 1).mask_id}
    links = [
        LinkProposal(1, "L1", "stable", 0.4, evidence={**seen, "doubts": [DOUBT]}),
        LinkProposal(2, "L3", "new", 0.9),
        LinkProposal(None, "L2", "gone", 0.8, evidence=seen),
    ]
    return add_mask(store, 3, 3, day=DAY2, links=links)


def form(person: str, day: str, version: int) -> None:
    from pages.ui.frame import resources
    from pages.ui.review.deciding import decision_form

    store = resources.whole_store().seen_by(person)
    decision_form(store, "P1", day, store.masks.version("P1", day, version), person)


@pytest.fixture
def opened(clinic: Store) -> Callable[..., AppTest]:
    def run(record: MaskRecord, person: str = "bob") -> AppTest:
        args = (person, record.timepoint, record.version)
        page = AppTest.from_function(form, default_timeout=200, args=args).run()
        assert not page.exception
        return page

    return run


def press(page: AppTest, label: str, **more: Any) -> AppTest:
    if label.startswith("Accept"):
        page = next(one for one in page.selectbox if one.label == "Reason").set_value("agrees").run()
    found = [one for one in page.button if one.label.replace("\\", "") == label]
    page = found[more.get("n", 0)].click().run()
    assert not page.exception
    return page


def said(page: AppTest) -> str:
    blocks = (page.markdown, page.caption, page.info, page.warning, page.error)
    return "\n".join(str(x.value) for block in blocks for x in block).replace("\\", "")


def links(store: Store, record: MaskRecord) -> dict[object, tuple[str | None, str, str | None]]:
    found = store.links.of_mask(record.mask_id)
    return {x.label or x.lesion_id: (x.lesion_id, x.relation, x.confirmed_by) for x in found}


def test_the_rows_say_what_is_proposed_how_surely_and_what_speaks_against_it(opened, clinic: Store) -> None:
    told = said(opened(proposed(clinic)))
    for words in ("**Lesions** (3)", "**L1** stable · 0.40", DOUBT, "**L3** new · 0.90", "**L2** gone · 0.80"):
        assert words in told


def test_a_label_is_said_to_be_another_lesion_and_accepting_confirms_it_and_the_rest(opened, clinic: Store) -> None:
    record = proposed(clinic)
    page = press(opened(record), "Change")  # the first row is open: this is label 2's
    page = press(page, "L2")
    assert "you: L2" in said(page)
    assert "**Lesions** (2)" in said(page), "L2 is there now"
    page = press(page, f"Accept v{record.version}")
    assert clinic.masks.version("P1", DAY2, record.version).status == "accepted"
    assert links(clinic, record)[1] == ("L1", "stable", "bob")
    assert links(clinic, record)[2] == ("L2", "stable", "bob")


def test_a_label_that_is_no_lesion_is_rejected_when_the_version_is_accepted(opened, clinic: Store) -> None:
    record = proposed(clinic)
    page = press(press(opened(record), "Change"), "not a lesion")
    page = press(page, f"Accept v{record.version} without label 2")
    found = clinic.masks.version("P1", DAY2, record.version)
    assert found.status == "accepted"
    assert [bool(lesion.get("rejected")) for lesion in found.lesions] == [False, True]


def test_an_empty_mask_after_a_tumour_asks_where_it_went_before_and_when_it_is_accepted(opened, clinic: Store) -> None:
    record = add_mask(clinic, 0, day=DAY2, links=[LinkProposal(None, name, "gone") for name in ("L1", "L2")])
    page = opened(record)
    assert "Say in the comment where the tumour went." in said(page)
    page = press(page, "Accept v1")
    assert clinic.masks.version("P1", DAY2, 1).status == "proposed"
    page.text_input[0].set_value("resected in May").run()
    press(page, "Accept v1")
    assert clinic.masks.version("P1", DAY2, 1).status == "accepted"


def test_a_second_acceptance_is_told_to_both(opened, clinic: Store) -> None:
    second = add_mask(clinic, 5, 2)
    page = opened(second)
    assert "v1 was accepted by ann on" in said(page)
    assert "this takes its place, and ann is told" in said(page)
    press(page, "Accept v2")
    ann = clinic.seen_by("ann")
    (ended,) = ended_acceptances(ann, "ann")
    assert ended.words == "your acceptance of v1 was replaced by bob, who accepted v2"
    worklist = AppTest.from_file(str(ROOT / "pages" / "worklist.py"), default_timeout=200)
    worklist.session_state["who"] = "ann"
    worklist.run()
    assert ended.words in said(worklist)
    assert ended_acceptances(clinic.seen_by("bob"), "bob") == []
    assert "Your acceptance of v1 was replaced by bob" in said(opened(second, "ann"))
    add_mask(clinic, 6, 2)
    clinic.decisions.decide("P1", DAY1, 3, "accept", "ann", "agrees")
    assert ended_acceptances(clinic.seen_by("ann"), "ann") == []


def test_what_was_told_before_others_were_accepted_is_told_anew_once_or_says_why_not(
    opened, clinic: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.jobs.stages import relinking

    record, asked = proposed(clinic), []
    again = add_mask(clinic, 4, 3)
    clinic.decisions.decide("P1", DAY1, again.version, "accept", "ann", "agrees")
    assert clinic.links.why_outdated(record.mask_id)
    monkeypatch.setattr(relinking, "relink", lambda *given: asked.append(given[1].version))
    page = opened(record)
    assert asked == [1]
    page.run()
    assert asked == [1], "not at every run"
    assert "could not be told anew" in said(page)
    (button,) = [one for one in page.button if one.label.startswith("Accept")]
    assert button.disabled
    press(page, "Tell them anew")
    assert asked == [1, 1]


def test_a_picture_is_of_the_asked_labels_alone_and_none_where_there_is_none(clinic: Store) -> None:
    from pages.ui.shared.thumbnails import largest_slice, lesion_picture

    record, seen = clinic.masks.version("P1", DAY1, 1), clinic.seen_by("ann")
    k, labels = largest_slice(clinic.masks.path(record), (12, 10, 8), [2])
    assert (k, np.unique(labels).tolist()) == (5, [0, 2])
    assert (lesion_picture(seen, record, (2,), "L7") or "").startswith("data:image/png;base64,")
    assert lesion_picture(seen, record, (), "L7") is None
