"""Places on the real pages: two patients who were scanned on one day, unknown places, and what is read blind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.types import LabelMap
from pages.ui.frame import resources
from store import Store, open_store
from tests import clinic

DAY, LATER = clinic.DAYS[:2]


def script(name: str) -> None:
    """A page in the parts of the frame that have to do with its address."""
    import runpy

    import streamlit as st

    from pages.ui.frame import address, resources, shell
    from pages.ui.frame.shell import FOLDER

    leaving = address.departure()
    if leaving is not None:
        st.session_state["left for"] = (leaving.page, leaving.parameters)
    address.begin(st.session_state["who"], name)
    known = [str(patient.patient_id) for patient in resources.whole_store().patients.all()]
    with st.sidebar:
        shell._choose_patient(known)
    with shell._stoppable():
        address.refuse_patient(known)
        runpy.run_path(str(FOLDER / f"{name}.py"))
    address.write()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """KIM and LEO on one day, of one shape: three versions of two lesions each, by ann and bob. KIM has a second day.
    MIA's one day is read blind: ann's version 2 is hidden from bob."""
    folder = tmp_path_factory.mktemp("addresses")
    store: Store
    with open_store(folder / "data") as store:
        for name in ("ann", "bob"):
            store.people.add(name, "reader", by="demo")
        for seed, patient in enumerate(("KIM", "LEO")):
            clinic.add_scan(store, patient, DAY, clinic.noise(seed))
            for n, reader in enumerate(("ann", "bob", "ann")):
                labels = clinic.two_lesions(900 + 50 * n, 200)
                clinic.add_child(store, labels, patient, DAY, method="medsam", author=reader)
            clinic.accept(store, store.masks.version(patient, DAY, 3))
        clinic.add_scan(store, "KIM", LATER, clinic.noise(4))
        clinic.accept(
            store, clinic.add_child(store, clinic.two_lesions(1000, 300), "KIM", LATER, method="manual", author="ann")
        )
        clinic.add_scan(store, "MIA", DAY, clinic.noise(5))
        clinic.add_mask(store, "MIA", DAY, 800)
        store.readings.set_blind("MIA", DAY, True, "demo")
        labels = LabelMap(clinic.lesion(777).astype(np.uint8), clinic.grid())
        clinic.add_child(store, labels, "MIA", DAY, method="medsam", author="ann")
    return folder / "data"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, root: Path) -> Iterator[Callable[..., AppTest]]:
    """opened(page, person, **address) -> the page as that person sees it at that address, run once."""
    monkeypatch.setenv("TWIN_DATA", str(root))
    resources.whole_store.clear()

    def run(name: str, person: str = "ann", **parameters: str) -> AppTest:
        app = AppTest.from_function(script, args=(name,), default_timeout=120)
        app.session_state["who"] = person
        for parameter, value in parameters.items():
            app.query_params[parameter] = value
        app.run()
        assert not app.exception
        return app

    yield run
    resources.whole_store.clear()


def box(app: AppTest, label: str) -> Any:
    return next(widget for widget in [*app.selectbox, *app.number_input] if widget.label == label)


def labels(app: AppTest) -> set[str]:
    return {widget.label for widget in app.selectbox}


def said(app: AppTest) -> list[str]:
    return [text.value.replace("\\", "").replace("\u2060", "") for text in app.warning]


REVIEW = {"patient_id": "KIM", "timepoint": DAY, "version": "1", "beside": LATER, "tab": "Refine"}
PLACES: list[tuple[str, dict[str, str]]] = [
    ("worklist", {"patient_id": "KIM"}),
    ("intake", {"patient_id": "KIM", "tab": "Mask"}),
    ("review", REVIEW),
    ("review", {**REVIEW, "version": "3", "lesion": "L2", "tab": "Decide"}),
    ("compare", {"patient_id": "KIM", "show": "Timepoints", "left": LATER, "right": DAY}),
    ("compare", {"patient_id": "KIM", "show": "Registration", "left": LATER, "right": DAY}),
    ("compare", {"patient_id": "KIM", "show": "Versions", "timepoint": DAY, "left_version": "3", "right_version": "1"}),
    (
        "compare",
        {"patient_id": "KIM", "show": "Readers", "timepoint": DAY, "left_reader": "bob", "right_reader": "ann"},
    ),
    (
        "trajectory",
        {
            "patient_id": "KIM",
            "lesion": "L2",
            "axis": "Linear",
            "weeks": "48",
            "tab": "Steps,Not in the curve",
        },
    ),
    ("lesions", {"patient_id": "KIM", "lesion": "L2", "timepoint": DAY, "version": "3"}),
    ("cohort", {"criterion": "volume-beaumont", "tab": "Left out"}),
    (
        "evidence",
        {
            "patient_id": "KIM",
            "timepoint": DAY,
            "lesion": "L2",
            "by": "shape",
            "tab": "Most alike",
            "size": "within 2×",
            "next": "radiotherapy",
        },
    ),
    ("quality", {"tab": "Mask gate"}),
    ("system", {"tab": "Audit log"}),
]


def test_a_link_from_before_the_sections_opens_the_one_that_has_it_now(opened):
    place = {"patient_id": "KIM", "tab": "Reliability"}
    assert opened("trajectory", **place).query_params["tab"] == "Forecast check"
    gone = opened("trajectory", patient_id="KIM", tab="Not in the curve (1)")
    assert gone.query_params["tab"] == "Not in the curve"


@pytest.mark.parametrize(("name", "place"), PLACES)
def test_a_link_opens_the_same_place_in_another_tab(opened, name, place):
    assert opened(name, **place).query_params == place


UNKNOWN: list[tuple[str, dict[str, str], str]] = [
    ("review", {"patient_id": "ZOE"}, "There is no patient “ZOE” here; there are KIM, LEO, MIA."),
    ("worklist", {"patient_id": "ZOE"}, "There is no patient “ZOE” here; there are KIM, LEO, MIA."),
    (
        "review",
        {**REVIEW, "timepoint": "2024-09-09"},
        f"There is no timepoint “2024-09-09” of KIM; there are {DAY}, {LATER}.",
    ),
    ("review", {**REVIEW, "version": "7"}, f"There is no mask version “7” of KIM on {DAY}; there are 3, 2, 1."),
    ("review", {**REVIEW, "beside": DAY}, f"There is no timepoint beside it “{DAY}” of KIM; there is {LATER}."),
    ("review", {**REVIEW, "lesion": "L5"}, f"There is no lesion “L5” of KIM on {DAY}; there are L1, L2."),
    (
        "review",
        {**REVIEW, "tab": "Points"},
        "There is no tab “Points” on this page; there are Segment, Refine, Decide.",
    ),
    (
        "compare",
        {"patient_id": "KIM", "show": "Versions", "timepoint": DAY, "left_version": "x"},
        f"There is no left mask version “x” of KIM on {DAY}; there are 1, 2, 3.",
    ),
    (
        "compare",
        {"patient_id": "KIM", "show": "Versions", "timepoint": LATER, "left_version": "2"},
        f"There is no left mask version “2” of KIM on {LATER}; there is 1.",
    ),
    (
        "compare",
        {"patient_id": "KIM", "show": "Readers", "timepoint": DAY, "right_reader": "eve"},
        f"There is no right reader “eve” of KIM on {DAY}; there is bob.",
    ),
    (
        "compare",
        {"patient_id": "KIM", "left": "2024-09-09"},
        f"There is no left timepoint “2024-09-09” of KIM; there are {DAY}, {LATER}.",
    ),
    ("trajectory", {"patient_id": "KIM", "lesion": "L9"}, "There is no lesion “L9” of KIM; there are total, L1, L2."),
    (
        "trajectory",
        {"patient_id": "KIM", "weeks": "3"},
        "There is no weeks of the forecast “3” on this page; there are None, 12, 24, 48.",
    ),
    (
        "evidence",
        {"patient_id": "KIM", "timepoint": DAY, "lesion": "L9"},
        f"There is no lesion “L9” of KIM on {DAY}; there are L1, L2.",
    ),
    (
        "evidence",
        {"patient_id": "KIM", "timepoint": "L9"},
        f"There is no timepoint “L9” of KIM; there are {DAY}, {LATER}.",
    ),
    ("lesions", {"patient_id": "KIM", "lesion": "L9"}, "There is no lesion “L9” of KIM; there are L1, L2."),
    ("cohort", {"criterion": "mine"}, "There is no criterion “mine” on this page; there are "),
    ("quality", {"mask": "nothing"}, "There is no mask “nothing” that was scored; there are "),
    ("system", {"tab": "Secrets"}, "There is no tab “Secrets” on this page; there are "),
    ("intake", {"tab": "Secrets"}, "There is no tab “Secrets” on this page; there are Study, Mask, Put right."),
]


@pytest.mark.parametrize(("name", "place", "sentence"), UNKNOWN)
def test_an_unknown_place_says_so_offers_what_is_there_and_shows_nothing_else(opened, name, place, sentence):
    app = opened(name, **place)
    told = said(app)
    assert len(told) == 1
    assert told[0].startswith(sentence)
    assert app.query_params == place, "so a reload is told the same"
    names = {button.label for button in app.button} - {"I have finished reading"}  # of a day that is there
    assert ("Open instead" in labels(app)) != ("Open the page without it" in names)
    shown = names - {"Open the page without it"}
    assert not [*shown, *app.dataframe, *app.metric, *app.error, *app.tabs]


@pytest.mark.parametrize("version", ["2", "9"])
def test_a_version_that_is_hidden_in_blind_reading_is_answered_as_one_that_is_not_there(opened, version):
    sentence = f"There is no mask version “{version}” of MIA on {DAY}; there is 1."
    app = opened("review", "bob", patient_id="MIA", timepoint=DAY, version=version)
    assert said(app) == [sentence]
    assert labels(app) == {"Patient", "Open instead"}
    if version == "2":
        assert opened("review", "ann", patient_id="MIA", timepoint=DAY, version="2").query_params["version"] == "2"


def test_who_takes_over_a_tab_is_told_that_the_version_in_it_is_not_there(opened):
    app = opened("review", "ann", patient_id="MIA", timepoint=DAY, version="2")
    app.session_state["who"] = "bob"
    app.run()
    assert said(app) == [f"There is no mask version “2” of MIA on {DAY}; there is 1."]


def switch_to(app: AppTest, patient: str) -> None:
    app.sidebar.selectbox[0].set_value(patient).run()
    assert not app.exception


def test_a_patient_opens_at_the_newest_version_whatever_was_chosen_for_another_of_that_day(opened):
    app = opened("review", patient_id="KIM", timepoint=DAY, version="1")
    box(app, "Mask version").set_value(2).run()
    box(app, "Beside it").set_value(LATER).run()
    assert (app.query_params["version"], app.query_params["beside"]) == ("2", LATER)
    switch_to(app, "LEO")
    assert (app.query_params["patient_id"], app.query_params["version"]) == ("LEO", "3")
    assert "beside" not in app.query_params
    assert box(app, "Mask version").value == 3


def test_the_fields_of_a_typed_box_are_others_for_another_patient_of_that_day(opened):
    """What is typed stays in the browser, by the key of its field, until it is sent."""
    app = opened("review", patient_id="KIM", timepoint=DAY, tab="Refine")
    names = ("X0", "Y0", "X1", "Y1", "Slice", "Lesion")
    before = {box(app, name).key for name in names}
    switch_to(app, "LEO")
    after = {box(app, name).key for name in names}
    assert len(before) == len(after) == len(names)
    assert before.isdisjoint(after)


def test_versions_and_readers_compared_for_one_patient_are_not_those_of_another_of_that_day(opened):
    app = opened("compare", patient_id="KIM", show="Versions", timepoint=DAY, left_version="3", right_version="1")
    switch_to(app, "LEO")
    assert (app.query_params["left_version"], app.query_params["right_version"]) == ("2", "3")
    app = opened("compare", patient_id="KIM", show="Readers", timepoint=DAY, left_reader="bob", right_reader="ann")
    next(radio for radio in app.radio if radio.label == "Which version").set_value(2).run()
    switch_to(app, "LEO")
    assert (app.query_params["left_reader"], app.query_params["right_reader"]) == ("ann", "bob")
    assert next(radio for radio in app.radio if radio.label == "Which version").value == 3


def test_a_lesion_and_a_what_if_of_one_patient_are_not_those_of_another(opened):
    app = opened("trajectory", patient_id="KIM", lesion="L2", tab="What if")
    box(app, "Start in (weeks)").set_value(9).run()
    switch_to(app, "LEO")
    assert app.query_params["lesion"] == "total"
    assert box(app, "Start in (weeks)").value == 0
    switch_to(app, "KIM")
    app = opened("evidence", patient_id="KIM", timepoint=DAY, lesion="L2")
    switch_to(app, "LEO")
    assert (app.query_params["timepoint"], app.query_params["lesion"]) == (DAY, "L1")


def test_links_inside_the_product_are_addresses(opened):
    app = opened("worklist")
    next(button for button in app.button if button.key == f"open-MIA/{DAY}").click().run()
    assert app.session_state["left for"] == ("review", {"patient_id": "MIA", "timepoint": DAY, "of_page": "leaving"})
    app = opened("cohort")
    box(app, "Look closer at").set_value("KIM")
    next(button for button in app.button if button.label == "Open the trajectory").click().run()
    assert app.session_state["left for"] == ("trajectory", {"patient_id": "KIM", "of_page": "leaving"})
    app = opened("evidence", "bob", patient_id="MIA", timepoint=DAY)
    assert app.query_params["timepoint"] == DAY
