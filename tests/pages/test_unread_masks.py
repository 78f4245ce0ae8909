"""An accepted mask whose file cannot be read was a visit of unknown volume: never no visit, and never a silent one."""

from __future__ import annotations

import shutil

import pytest
from streamlit.testing.v1 import AppTest

from core.remembered.protocols import ResponseProtocol
from core.twin import trajectory
from core.twin.curve_points import volume_points
from core.twin.outcomes import patient_response
from core.twin.patient_responses import responses_of
from core.twin.timeline import patient_timeline
from pages.ui.compare import comparing
from pages.ui.frame import resources
from pages.ui.review import review_panel
from pages.ui.viewer.describe import Shown, viewer_data
from store import Store
from tests import clinic
from tests.clinic import DAYS
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The clinic's data root, as it is before a file is lost."""
    root = tmp_path_factory.mktemp("whole")
    clinic.build(root)
    return root


@pytest.fixture(params=["file missing", "file lost"])
def state(request):
    """How the file is not there: found missing, or marked lost by a person."""
    return request.param


@pytest.fixture
def without(state, whole, tmp_path, monkeypatch):
    """without(day) -> the store, where the file of ANNA's accepted mask of that day is gone, as `state` says."""
    root = shutil.copytree(whole, tmp_path / "data")
    monkeypatch.setenv("TWIN_DATA", str(root))
    resources.whole_store.clear()

    def lose(day: str) -> Store:
        (root / "processed" / "clinic" / "ANNA" / day / "mask_v001.nii.gz").unlink()
        store = resources.whole_store()
        store.files.check()
        if state == "file lost":
            store.losses.mark_lost("ANNA", day, 1, "disk failure", "demo")
        return store

    yield lose
    resources.whole_store.clear()


def page(name: str) -> AppTest:
    app = AppTest.from_file(str(ROOT / "pages" / f"{name}.py"), default_timeout=120)
    app.session_state["who"], app.session_state["patient_id"] = "demo", "ANNA"
    return app.run()


def said(elements) -> str:
    return " ".join(str(one.value) for one in elements).replace("\\", "").replace("\u2060", "")


def test_with_the_first_mask_lost_there_is_no_baseline_and_no_other_takes_its_place(without, state):
    store = without(DAYS[0])
    points = volume_points(store, "ANNA")
    assert {p.timepoint for p in points} == set(DAYS[1:4])
    assert trajectory.unreadable_accepted_masks(store, "ANNA") == {DAYS[0]: state}
    store.protocols.set("ANNA", ResponseProtocol("volume-recist-sphere", baseline=DAYS[0]), "demo", "the first")
    found = responses_of(store, "ANNA")
    assert found is not None
    # 1300 -> 2200 voxels would be SD of a baseline that was none.
    assert [call.call for call in found.calls] == ["baseline", "NE", "NE", "NE"]
    assert all(call.change_from_baseline_percent is None for call in found.calls)


def test_a_cohort_gives_no_best_change_without_a_baseline_and_says_which_mask_is_gone(without, state):
    store = without(DAYS[0])
    store.protocols.set("ANNA", ResponseProtocol("recist-1.1", baseline=DAYS[0]), "demo", "the first")
    found = patient_response(store, "ANNA", "clinic")
    assert found is not None
    assert (found.best, found.best_response) == (None, "NE")
    assert found.doubt == f"accepted mask of {DAYS[0]}: {state}"
    assert DAYS[0] not in found.waiting, "it was accepted; it does not wait for a decision"


def test_a_mask_lost_between_others_is_not_evaluable_there_and_doubted(without, state):
    store = without(DAYS[1])
    store.protocols.set("ANNA", ResponseProtocol("recist-1.1", baseline=DAYS[0]), "demo", "the first")
    found = patient_response(store, "ANNA", "clinic")
    assert found is not None
    assert [v.category for v in found.visits] == ["baseline", "NE", "SD", "PD"]
    assert f"accepted mask of {DAYS[1]}: {state}" in found.doubt


def test_the_twins_numbers_name_it_and_say_nothing_of_a_response_to_come(without, state):
    found = trajectory.growth_report(without(DAYS[0]), "ANNA")
    assert found["not_read"] == {DAYS[0]: state}
    assert DAYS[0] in found["not_in_the_curve"]
    assert all(lesion["forecast"]["probabilities"] == {} for lesion in found["lesions"].values())


def test_trajectory_warns_and_draws_no_baseline(without, state):
    without(DAYS[0])
    app = page("trajectory")
    assert not app.exception
    assert f"{DAYS[0]} ({state})" in said(app.warning)
    assert "cannot be said while accepted masks cannot be read" in said(app.caption)
    assert "chance to be" not in said(app.markdown)


def test_with_every_mask_lost_trajectory_does_not_say_that_nothing_was_accepted(without, state):
    for day in DAYS[1:4]:
        without(day)
    without(DAYS[0])
    app = page("trajectory")
    assert not app.exception
    assert all(f"{day} ({state})" in said(app.warning) for day in DAYS[:4])
    assert "no accepted mask yet" not in said(app.info)


def test_review_does_not_say_that_it_is_in_the_curve(without):
    store = without(DAYS[0])
    app = AppTest.from_function(_decide, args=(store.masks.version("ANNA", DAYS[0], 1),)).run()
    assert "it is not in the curve" in said(app.warning)
    assert "in the curve" not in said(app.success)


def _decide(record) -> None:
    from pages.ui.frame import resources
    from pages.ui.review.deciding import decision_form

    decision_form(resources.whole_store().seen_by("demo"), record.patient_id, record.timepoint, record, "demo")


def test_no_picture_and_no_table_shows_what_it_held(without):
    store = without(DAYS[0])
    first, second = (store.masks.version("ANNA", day, 1) for day in DAYS[:2])
    panes = [Shown(DAYS[0], first, title="v1 accepted"), Shown(DAYS[1], second)]
    data = viewer_data(store, "ANNA", panes, "demo")
    lost, there = data["panes"]
    assert (lost["mask"], lost["lesions"]) == (None, [])
    assert lost["title"] == "v1 accepted · mask cannot be read"
    assert [lesion["lesion_id"] for lesion in there["lesions"]] == ["L1"]
    (row,) = comparing.lesion_rows(first, second, patient_timeline(store, "ANNA"), "timepoints", {first.mask_id})
    assert (row["Left (mL)"], row["Change (mL)"], row["Change (%)"]) == (None, None, None)
    assert row["Right (mL)"] == pytest.approx(1300 * clinic.VOXEL_ML)
    assert (row["Verdict"], row["Rule"]) == ("unknown", "one of the masks cannot be read")


def test_compare_says_which_mask_it_cannot_read(without, state):
    store = without(DAYS[3])
    assert store.patients.timepoints("ANNA")[-2:] == list(DAYS[4:])
    app = page("compare")
    app.selectbox(key="compare-left/ANNA").set_value(DAYS[3]).run()
    assert not app.exception
    assert ("is missing" if state == "file missing" else "is lost") in said(app.error)


def test_once_it_is_marked_lost_a_mask_is_begun_anew_beside_it(without, state):
    store = without(DAYS[0])
    record = store.masks.version("ANNA", DAYS[0], 1)
    assert review_panel.may_draw(store, record, "demo") == (state == "file lost"), "one that is missing may come back"
    assert viewer_data(store, "ANNA", [Shown(DAYS[0], record)], "demo", edit=True)["panes"][0]["mask"] is None
