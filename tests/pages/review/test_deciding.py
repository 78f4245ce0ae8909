"""Deciding on Review: what the gates say stands beside it, and a doubt is answered in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.gates.mask import verdicts as mask_gate
from core.remembered.judgements import JUDGEMENT, Judged, Judgement
from core.types import LabelMap, MaskRecord
from pages.ui.frame import resources
from store import Store
from store.files.drafts import pack_edit
from tests.store_phantom import DAY1, DAY2, SHAPE, add_mask, add_scan, measures
from tests.store_phantom import labels as pixels_of

REVIEW = Path(__file__).resolve().parents[3] / "pages" / "review.py"
ANSWER = "The edge is right; the bone beside it is not in it"
Opened = Callable[..., AppTest]


def judgement(verdict: Judged, seen: Sequence[str], reason: str = "", kind: str = "") -> dict[str, Any]:
    kinds = (kind,) if kind else ()
    return {JUDGEMENT: Judgement(verdict, reason or f"It {verdict}.", "gate-1", tuple(seen), (), kinds).to_json()}


def judge(store: Store, record: MaskRecord, scan: Judged | None = "passes", mask: Judged = "passes") -> None:
    """What both gates say of a version and its scans; `scan` None: nothing new."""
    scans = [one.sha256 for one in store.scans.of(record.patient_id, record.timepoint)]
    if scan is not None:
        said = judgement(scan, scans, "The scanner is another one." if scan == "doubtful" else "", "appearance")
        result = {"state": "in distribution", "score": 0.1, "threshold": 0.5, **said}
        store.verdicts.add_scan_verdict(record.patient_id, record.timepoint, result, "demo")
    said = judgement(mask, [record.mask_sha256], "It lies outside the body." if mask == "doubtful" else "", "position")
    result = {"verdict": "usual", "flagged": False, "p_value": 0.5, "n_reference": 30, "lesions": [], **said}
    store.verdicts.add_mask_verdict(record.mask_id, result, "demo")


def panels(day: str) -> None:
    """What Review shows of the newest version beside the picture, without the picture."""
    from pages.ui.frame import resources
    from pages.ui.review.review_panel import decide_form
    from pages.ui.review.verdict_panel import verdict_panel

    store = resources.whole_store().seen_by("bob")
    record = next(reversed(store.masks.of("P1", day)), None)
    verdict_panel(store, "P1", day, record, "bob")
    decide_form(store, "P1", day, record, "bob", keys=False)


@pytest.fixture
def opened(store: Store, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """opened() -> the panels for P1 as bob sees them, run once; opened(REVIEW) -> the whole page."""
    monkeypatch.setattr(resources, "whole_store", lambda: store)

    def run(whole: Path | None = None) -> AppTest:
        if whole is None:
            page = AppTest.from_function(panels, default_timeout=200, args=(DAY1,))
        else:
            page = AppTest.from_file(str(whole), default_timeout=200)
            page.session_state["who"], page.session_state["patient_id"] = "bob", "P1"
        page.run()
        assert not page.exception
        return page

    return run


@pytest.fixture
def version(store: Store) -> MaskRecord:
    """v1 of P1, a proposal."""
    add_scan(store)
    return add_mask(store, 12)


def said(page: AppTest) -> str:
    blocks = (page.markdown, page.caption, page.info, page.warning, page.error)
    return "\n".join(str(x.value) for block in blocks for x in block).replace("\\", "").replace("\u2060", "")


def button(page: AppTest, label: str) -> Any:
    return next(one for one in page.button if one.label.replace("\\", "") == label)


def labels(page: AppTest) -> list[str]:
    return [one.label.replace("\\", "") for one in page.button]


def box(page: AppTest, label: str) -> Any:
    return next(one for one in page.selectbox if one.label == label)


def comment(page: AppTest) -> Any:
    return next(one for one in page.text_input if one.label == "Comment")


def decision(page: AppTest) -> Any:
    return next(one for one in page.radio if one.label == "Decision")


def draw(store: Store, record: MaskRecord | None, person: str = "bob") -> None:
    """A stroke that is in no version: slice 0 is all L1, slice 1 nothing."""
    draft = store.drafts.begin("P1", DAY1, None if record is None else record.version, person)
    pixels = {0: np.ones(SHAPE[:2], np.uint8), 1: np.zeros(SHAPE[:2], np.uint8)}
    store.drafts.edit(draft.draft_id, draft.revision, pack_edit(pixels, None, "brush"))


def test_what_passes_is_accepted_once_a_reason_was_chosen(opened: Opened, store: Store, version: MaskRecord) -> None:
    judge(store, version)
    page = opened()
    assert "Scan gate: passes" in said(page)
    assert "Mask gate: passes" in said(page)
    assert not [label for label in labels(page) if label.startswith("Score")]
    assert (decision(page).value, box(page, "Reason").value) == ("accept", None)
    assert (button(page, "Accept v1").disabled, button(page, "Accept v1").help) == (True, "Choose a reason first.")
    assert "Choose a reason first." in said(page), "not only for who points at it"
    page = box(page, "Reason").set_value("agrees").run()
    page = button(page, "Accept v1").click().run()
    assert not page.exception
    assert store.decisions.of("P1")[-1].answered == ()


def test_a_doubted_mask_is_accepted_by_nothing_but_an_answer_in_words_of_one_s_own(
    opened: Opened, store: Store, version: MaskRecord
) -> None:
    judge(store, version, mask="doubtful")
    page = opened()
    assert "Mask gate: doubtful" in said(page)
    assert "It lies outside the body." in said(page)
    assert decision(page).value is None, "nothing is chosen before"
    assert not [label for label in labels(page) if label.startswith(("Accept", "Reject"))]
    page = decision(page).set_value("accept").run()
    assert "overrules the mask gate (doubtful: position)" in said(page)
    assert box(page, "Reason").options == ["Looked at, fine because …"]
    assert box(page, "Reason").value is None
    assert button(page, "Accept v1").disabled
    page = box(page, "Reason").set_value("doubt-answered").run()
    for words in ("", "ok", "It lies outside the body."):
        page = comment(page).set_value(words).run()
        assert button(page, "Accept v1").disabled, words
        assert "in your own words" in button(page, "Accept v1").help
    page = comment(page).set_value(ANSWER).run()
    page = button(page, "Accept v1").click().run()
    assert not page.exception
    made = store.decisions.of("P1")[-1]
    assert (made.reason, made.comment, made.reviewer) == ("doubt-answered", ANSWER, "bob")
    assert [(one["gate"], one["kinds"]) for one in made.answered] == [("mask", ["position"])]
    assert "overrules mask gate (doubtful: position)" in said(page), "and the list of decisions tells it"


def test_a_doubted_mask_is_rejected_for_any_reason_which_upholds_the_doubt(
    opened: Opened, store: Store, version: MaskRecord
) -> None:
    judge(store, version, scan="doubtful", mask="doubtful")
    page = decision(opened()).set_value("reject").run()
    page = box(page, "Reason").set_value("wrong-lesion").run()
    page = button(page, "Reject v1").click().run()
    assert not page.exception
    assert [one["gate"] for one in store.decisions.of("P1")[-1].answered] == ["scan", "mask"]
    assert "upholds scan gate (doubtful: appearance), mask gate (doubtful: position)" in said(page)


def test_what_cannot_be_judged_and_what_nobody_judged_is_no_pass(opened: Opened, store: Store) -> None:
    add_scan(store)
    drawn = LabelMap(pixels_of(12).array, store.scans.reference_grid("P1", DAY1))
    about: dict[str, Any] = {"method": "nnunet", "author": "demo", "parent_version": None, "lesions": measures(drawn)}
    version = store.masks.add(drawn, patient_id="P1", timepoint=DAY1, **about)
    judge(store, version, scan=None, mask="cannot be judged")
    page = opened()
    assert "Scan gate: cannot be judged" in said(page)
    assert "It has not judged these scans." in said(page)
    assert {"Score the scan", "Score the mask again"} <= set(labels(page))
    page = decision(page).set_value("accept").run()
    assert "overrules the scan gate (cannot be judged), mask gate (cannot be judged: position)" in said(page)


def test_a_scan_that_came_later_makes_the_verdict_stale_and_its_button_scores_again(
    opened: Opened, store: Store, version: MaskRecord
) -> None:
    judge(store, version)
    second = add_scan(store, seed=9, sequence="later")
    assert second.sha256 not in store.verdicts.standing(version)[0].judgement.seen
    page = opened()
    assert "Scan gate: passes, but stale" in said(page)
    assert "of other files than those that are there now" in said(page)
    assert "Score the scan again" in labels(page)
    assert decision(page).value is None


def test_without_a_mask_the_scan_gate_alone_speaks(opened: Opened, store: Store) -> None:
    add_scan(store)
    page = opened()
    assert "Scan gate: cannot be judged" in said(page)
    assert "Mask gate" not in said(page)
    assert "Nothing to decide yet" in said(page)


def test_what_was_nearest_is_a_way_to_it_for_who_may_see_it(opened: Opened, store: Store, version: MaskRecord) -> None:
    add_scan(store, "P2", DAY2, 5)
    other = add_mask(store, 8, patient="P2", day=DAY2, author="ann", method="manual")
    stored = judgement("passes", [version.mask_sha256])
    stored[JUDGEMENT]["nearest"] = [f"{other.mask_id}/L1", "00000000-0000-4000-8000-000000000000/L1"]
    result = {"verdict": "usual", "flagged": False, "p_value": 0.5, "n_reference": 30, "lesions": [], **stored}
    store.verdicts.add_mask_verdict(version.mask_id, result, "demo")
    page = opened()
    assert f"P2 · {DAY2} · L1 of v1" in labels(page)
    assert "1 of them you may not see." in said(page)
    store.readings.set_blind("P2", DAY2, True, "demo")
    page = page.run()
    assert not [label for label in labels(page) if "P2" in label], "nor is anything of what is read blind"
    assert "2 of them you may not see." in said(page)


def test_while_strokes_are_on_the_picture_the_form_asks_which_mask_and_saves_them(
    opened: Opened, store: Store, version: MaskRecord
) -> None:
    judge(store, version)
    draw(store, version)
    page = opened()
    assert "they are not part of v1" in said(page)
    assert not [label for label in labels(page) if label.startswith(("Accept", "Save as"))]
    meant = next(one for one in page.radio if one.label == "Which mask")
    assert (meant.value, meant.options[0]) == (None, "Save what is drawn as v2, and accept that")
    page = meant.set_value("drawn").run()
    assert button(page, "Save as v2 and accept that").disabled
    page = box(page, "Reason").set_value("corrected").run()
    page = button(page, "Save as v2 and accept that").click().run()
    assert not page.exception
    assert [(one.version, one.author) for one in store.masks.of("P1", DAY1)] == [(1, "demo"), (2, "bob")]
    assert not store.drafts.of("P1")
    assert store.masks.accepted("P1", DAY1) is None, "no reference mask is there, so the mask gate cannot judge v2"
    assert "Saved as v2, and not accepted yet: it is doubted by the mask gate" in said(page)
    assert decision(page).value is None


def test_the_stored_mask_is_accepted_beside_strokes_only_by_a_choice_that_names_it(
    opened: Opened, store: Store, version: MaskRecord
) -> None:
    judge(store, version)
    page = box(opened(), "Reason").set_value("agrees").run()
    draw(store, version)  # in the viewer, of which the page has not heard yet
    page = button(page, "Accept v1").click().run()
    assert not page.exception
    assert store.masks.accepted("P1", DAY1) is None, "the click was not for the mask that was on the screen"
    page = next(one for one in page.radio if one.label == "Which mask").set_value("stored").run()
    page = box(page, "Reason").set_value("agrees").run()
    page = button(page, "Accept v1 without what is drawn").click().run()
    assert not page.exception
    assert store.masks.accepted("P1", DAY1) is not None
    assert store.drafts.of("P1"), "what was drawn is still there"


def test_saved_strokes_that_no_gate_doubts_are_accepted_at_once(
    opened: Opened, store: Store, version: MaskRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge(store, version)
    draw(store, version)
    passing = {"verdict": "usual", "flagged": False, "p_value": 0.5, "n_reference": 30, "lesions": []}
    monkeypatch.setattr(mask_gate, "verdict_on", lambda *a, **k: passing)
    page = next(one for one in opened(REVIEW).radio if one.label == "Which mask").set_value("drawn").run()
    page = box(page, "Reason").set_value("corrected").run()
    page = button(page, "Save as v2 and accept that").click().run()
    assert not page.exception
    assert "v2 against v1" in [one.value for one in page.subheader], "it is the version that is shown then"
    accepted = store.masks.accepted("P1", DAY1)
    assert accepted is not None
    assert (accepted.version, accepted.author) == (2, "bob")
    assert store.decisions.of("P1")[-1].reason == "corrected"


def test_a_first_mask_that_is_drawn_can_be_saved_and_accepted(opened: Opened, store: Store) -> None:
    add_scan(store)
    draw(store, None)
    page = opened()
    assert "It can become v1 and be accepted." in said(page)
    page = box(page, "Reason").set_value("corrected").run()
    page = button(page, "Save as v1 and accept that").click().run()
    assert not page.exception
    assert [one.status for one in store.masks.of("P1", DAY1)] == ["proposed"]
    assert "Saved as v1, and not accepted yet: it is doubted by the scan gate" in said(page)


def test_boxes_alone_are_no_strokes(opened: Opened, store: Store, version: MaskRecord) -> None:
    judge(store, version)
    draft = store.drafts.begin("P1", DAY1, 1, "bob")
    scan = store.scans.of("P1", DAY1)[0]
    prompt = {
        "type": "point",
        "scan": scan.scan_id,
        "axis": 2,
        "slice": 0,
        "coords": [1, 1],
        "positive": True,
        "lesion": 1,
    }
    store.drafts.edit(draft.draft_id, 0, pack_edit({}, [{**prompt, "kept": False}], "point", []))
    assert "Which mask" not in [one.label for one in opened().radio]


def test_an_accepted_version_that_is_doubted_since_is_affirmed_with_an_answer_or_withdrawn(
    opened: Opened, store: Store, version: MaskRecord
) -> None:
    judge(store, version)
    store.decisions.decide("P1", DAY1, 1, "accept", "ann", "agrees")
    assert "Decision" not in [one.label for one in opened().radio]
    judge(store, version, mask="doubtful")
    page = opened()
    assert "has come to doubt this version since it was accepted" in said(page)
    page = decision(page).set_value("accept").run()
    assert button(page, "Affirm v1").disabled
    page = box(page, "Reason").set_value("doubt-answered").run()
    page = comment(page).set_value(ANSWER).run()
    page = button(page, "Affirm v1").click().run()
    assert not page.exception
    made = store.decisions.of("P1")
    assert [(one.verdict, one.reviewer, len(one.answered)) for one in made] == [
        ("accept", "ann", 0),
        ("accept", "bob", 1),
    ]
    assert "Decision" not in [one.label for one in page.radio], "it is settled again"
