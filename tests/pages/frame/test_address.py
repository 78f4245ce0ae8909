"""The address of a place: what counts of it, what becomes of it, and what an unknown one is answered."""

from __future__ import annotations

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest


def place() -> None:
    """A page of a patient's lesion, beside it perhaps another, and two tabs; KIM and LEO have three and one lesion."""
    import streamlit as st

    from pages.ui.frame import address, session

    lesions = {"KIM": ["L1", "L2", "L3"], "LEO": ["L1"]}
    address.begin(st.session_state.get("by", "ann"), st.session_state.get("page", "first"))
    address.choose_patient(list(lesions))
    st.selectbox("Patient", list(lesions), index=None, key=session.PATIENT.key(), on_change=address.forget)
    stopped = True
    try:
        address.refuse_patient(list(lesions))
        patient = session.PATIENT.get()
        if patient is not None:
            key, options = session.TRAJECTORY_LESION, lesions[patient]
            lesion = address.choose("lesion", options, key, patient, default="L1", whose=f"of {patient}")
            beside = address.choose("beside", options, session.BESIDE, patient, "day", whose=f"of {patient}")
            labels = ["Steps", f"Left out ({len(options)})"]
            address.choose_tab(labels, session.QUALITY_TAB)
            st.selectbox("Lesion", options, key=key.key(patient))
            st.selectbox("Beside", [None, *options], key=session.BESIDE.key(patient, "day"))
            for tab in address.tabs(labels, session.QUALITY_TAB):
                tab.markdown("open" if tab.open else "closed")
            st.title(f"{patient} {lesion} {beside}")
        stopped = False
    finally:
        if stopped:
            st.session_state["stopped"] = True
            address.write()
    address.write()


def opened(**parameters: str) -> AppTest:
    app = AppTest.from_function(place, default_timeout=60)
    for name, value in parameters.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def address_of(app: AppTest) -> dict[str, Any]:
    return without_page(dict(app.query_params))


def without_page(said: dict[str, Any]) -> dict[str, Any]:
    """As the browser's script shows it."""
    return {name: value for name, value in said.items() if name != "of_page"}


def said(app: AppTest) -> str:
    return " ".join(text.value for text in app.warning).replace("\\", "").replace("\u2060", "")


def box(app: AppTest, label: str) -> Any:
    return next(box for box in app.selectbox if box.label == label)


def test_an_address_opens_its_place_and_a_whole_one_stays_as_it_is():
    whole = {"patient_id": "KIM", "lesion": "L2", "beside": "L3", "tab": "Left out"}
    app = opened(**whole)
    assert app.title[0].value == "KIM L2 L3"
    assert [text.value for text in app.markdown] == ["closed", "open"]
    assert address_of(app) == whole


def test_what_an_address_leaves_out_is_filled_in_with_what_is_shown():
    app = opened(patient_id="KIM", nonsense="x")
    assert address_of(app) == {"patient_id": "KIM", "lesion": "L1", "tab": "Steps"}
    assert address_of(opened()) == {}


def test_what_a_person_chooses_goes_into_the_address_and_holds_against_the_old_one():
    app = opened(patient_id="KIM", lesion="L2")
    box(app, "Lesion").set_value("L3").run()
    assert app.title[0].value == "KIM L3 None"
    assert address_of(app)["lesion"] == "L3"
    app.query_params["lesion"] = "L2"  # a run that was asked for before the browser had the new address
    box(app, "Beside").set_value("L1").run()
    assert address_of(app) == {"patient_id": "KIM", "lesion": "L3", "beside": "L1", "tab": "Steps"}


def test_another_patient_opens_at_a_place_of_their_own():
    app = opened(patient_id="KIM", lesion="L2", beside="L3")
    box(app, "Patient").set_value("LEO").run()
    assert app.title[0].value == "LEO L1 None"
    assert address_of(app) == {"patient_id": "LEO", "lesion": "L1", "tab": "Steps"}


@pytest.mark.parametrize(
    ("parameters", "sentence", "label"),
    [
        ({"patient_id": "NOBODY"}, "There is no patient “NOBODY” here; there are KIM, LEO.", "KIM"),
        ({"patient_id": ""}, "There is no patient “” here; there are KIM, LEO.", "KIM"),
        ({"patient_id": "LEO", "lesion": "L2"}, "There is no lesion “L2” of LEO; there is L1.", "L1"),
        ({"patient_id": "KIM", "lesion": "l1"}, "There is no lesion “l1” of KIM; there are L1, L2, L3.", "L3"),
        (
            {"patient_id": "KIM", "tab": "Points"},
            "There is no tab “Points” on this page; there are Steps, Left out.",
            "Left out",
        ),
    ],
)
def test_an_unknown_one_is_said_in_a_sentence_with_what_is_there_and_nothing_else_is_shown(parameters, sentence, label):
    app = opened(**parameters)
    assert said(app) == sentence
    assert (list(app.title), list(app.markdown)) == ([], [])
    assert address_of(app) == parameters, "a reload is answered the same"
    app.run()
    assert said(app) == sentence, "and so is whatever runs the page again"
    box(app, "Open instead").set_value(label).run()
    assert (said(app), len(app.title)) == ("", 1)
    assert label in address_of(app).values()


def test_text_of_an_address_is_shown_as_it_is_and_no_longer_than_can_be_read():
    text = "**x** ![](http://elsewhere.example/p.png) " + "y" * 5000
    app = opened(patient_id="KIM", lesion=text)
    assert "**x**" not in app.warning[0].value
    assert "![" not in app.warning[0].value
    assert len(said(app)) < 200


def test_another_patient_in_the_sidebar_ends_what_an_unknown_place_says():
    app = opened(patient_id="KIM", lesion="L9")
    box(app, "Patient").set_value("LEO").run()
    assert (said(app), app.title[0].value) == ("", "LEO L1 None")


def test_a_link_to_another_page_opens_its_place_and_the_sidebar_s_keeps_what_was_chosen():
    app = opened(patient_id="KIM", lesion="L2")
    app.session_state["page"] = "second"
    app.query_params = {"patient_id": "KIM", "lesion": "L3"}
    assert app.run().title[0].value == "KIM L3 None"
    app.session_state["page"] = "third"
    app.query_params = {}
    assert app.run().title[0].value == "KIM L3 None"


def test_for_another_person_the_place_is_looked_for_anew():
    app = opened(patient_id="KIM", lesion="L2")
    app.session_state["by"] = "ben"
    app.query_params["lesion"] = "L9"
    assert said(app.run()) == "There is no lesion “L9” of KIM; there are L1, L2, L3."


def test_back_leads_to_the_place_of_that_address_and_what_it_leaves_out_is_not_chosen(monkeypatch):
    from pages.ui.frame import address

    app = opened(patient_id="KIM", lesion="L2")
    before = address_of(app)
    box(app, "Beside").set_value("L3").run()
    box(app, "Patient").set_value("LEO").run()
    monkeypatch.setattr(address, "_went_back", lambda: True)
    app.query_params = dict(before)
    assert app.run().title[0].value == "KIM L2 None"
    assert address_of(app) == before


def test_a_click_that_comes_before_the_browser_has_the_new_address_leaves_none_of_an_older_place(monkeypatch):
    from streamlit.runtime.state.query_params_proxy import QueryParamsProxy

    told: list[dict[str, Any]] = []
    tell = QueryParamsProxy.from_dict

    def note(self: QueryParamsProxy, said: Any) -> None:
        told.append(without_page(dict(said)))
        tell(self, said)

    monkeypatch.setattr(QueryParamsProxy, "from_dict", note)
    app = opened(patient_id="KIM", lesion="L2", tab="Steps")
    before = address_of(app)
    box(app, "Lesion").set_value("L3").run()
    told.clear()
    app.query_params = dict(before)  # the browser had not been told of L3 when it was clicked back to L2
    box(app, "Lesion").set_value("L2").run()
    assert told == [before]
    told.clear()
    app.run()
    assert told == []
