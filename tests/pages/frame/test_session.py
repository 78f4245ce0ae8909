"""What a tab remembers: every key in one module, by patient and timepoint, and of the type that it is said to have."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pages.ui.frame import session
from pages.ui.frame.session import SessionKey

ROOT = Path(__file__).resolve().parents[3]
HOME = Path("pages/ui/frame/session.py")
#: Who is working and how often an uploader was emptied: about no place, and the guard of the frame's own.
EXCEPTIONS = {Path("pages/ui/guard/who.py"), Path("pages/ui/guard/uploads.py")}


def uses(source: str) -> list[int]:
    """The lines on which Streamlit's session is named, as an attribute or an import."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if (isinstance(node, ast.Attribute) and node.attr == "session_state")
        or (isinstance(node, ast.ImportFrom) and any(alias.name == "session_state" for alias in node.names))
        or (isinstance(node, ast.Constant) and node.value == "session_state")
    ]


def sources() -> list[Path]:
    return sorted(path.relative_to(ROOT) for path in [*(ROOT / "pages").rglob("*.py"), ROOT / "app.py"])


def test_the_session_of_streamlit_is_read_and_written_in_one_module():
    using = {path for path in sources() if uses((ROOT / path).read_text())}
    assert using - EXCEPTIONS == {HOME}
    assert using >= EXCEPTIONS, "an exception that is no longer needed must go"


@pytest.mark.parametrize(
    "source",
    [
        "import streamlit as st\nst.session_state['x'] = 1",
        "from streamlit import session_state",
        "import streamlit as st\ngetattr(st, 'session_state')['x']",
    ],
)
def test_a_planted_use_is_caught(source):
    assert uses(source)


def keys_of_widgets(source: str) -> list[tuple[int, str]]:
    """Line and text of every `key=` that is a text written in place, of calls of Streamlit's widgets."""
    return [
        (node.lineno, ast.unparse(word.value))
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        for word in node.keywords
        if word.arg == "key" and isinstance(word.value, ast.Constant | ast.JoinedStr)
    ]


#: Keys written in place: what they hold ends with the click or the job, or is about nobody, or they name a unique id.
WRITTEN_IN_PLACE = (
    "'twin-address'",
    "'who-kept'",
    "'asked-person'",
    "'working-as'",
    "'role-of'",
    "'new-role'",
    "'access-of'",
    "'grants-of'",
    "{kept.measurement_id}",  # a button, which keeps nothing
    "{whose}",  # of one person's grants
    "'account-of'",
    "'waiting-account'",
    "'waiting-role'",
    "sign-in-",  # of one provider
    "{key}/{flip_words(flips)}",  # of one change
    "{'; '.join(told)}",  # of one change of several patients
    "{key}-{",  # an uploader, emptied where the patient changes
    "name-confirmed-",  # of one question
    "paper-",  # a figure of the cohort on white
    "job_id",
    "draft_id",
    "mask_id",
    "{gate.set_id}",  # a button, of one fitted gate
    "{key}'",  # a button, of one lesion and one that is like it
    "evidence-{",  # a button, of one kind of file
    "{mark.mark_id}",  # a button, of one mark
    "{at}",  # of one decision on one mask
    "patient",
)


def test_a_widget_s_choice_about_a_patient_is_keyed_by_the_session_module():
    """Every key that is written in place says whose it is, or is about nobody."""
    found = [(path, *key) for path in sources() for key in keys_of_widgets((ROOT / path).read_text())]
    assert found
    assert [one for one in found if not any(part in one[2] for part in WRITTEN_IN_PLACE)] == []


def all_keys() -> list[SessionKey]:
    return [value for value in vars(session).values() if isinstance(value, SessionKey)]


def test_no_two_keys_share_a_name_and_no_two_places_a_key():
    names = [key.name for key in all_keys()]
    assert len(names) == len(set(names))
    assert session.VERSION.key("P1", "2024-01-01") != session.VERSION.key("P2", "2024-01-01")
    assert session.TYPED_BOX.key("A-B", "C", "X0") != session.TYPED_BOX.key("A", "B-C", "X0")
    for forgotten in ((), ("2024-01-01",)):
        with pytest.raises(ValueError, match=r"version is about \('patient', 'timepoint'\)"):
            session.VERSION.key(*forgotten)


def test_a_value_comes_back_typed_and_one_of_another_type_counts_as_none():
    def page() -> None:
        import streamlit as st

        from pages.ui.frame import session

        session.VERSION.set(3, "P1", "2024-01-01")
        assert session.VERSION.get("P1", "2024-01-01") == 3
        assert session.VERSION.get("P2", "2024-01-01") is None
        st.session_state[session.VERSION.key("P2", "2024-01-01")] = "3"
        assert session.VERSION.get("P2", "2024-01-01") is None
        assert session.VERSION.take("P1", "2024-01-01") == 3
        assert session.VERSION.get("P1", "2024-01-01") is None
        session.VERSION.drop("P1", "2024-01-01")
        st.write("reached the end")

    app = AppTest.from_function(page).run()
    assert not app.exception
    assert app.markdown[0].value == "reached the end"
