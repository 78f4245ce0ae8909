"""Compare, Registration: what is known of a pair's registration, a person's word on it, and what they store instead."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.imaging.registration import RigidTransform, State
from core.imaging.registration.to_remember import found_transform
from core.imaging.registration.transform import about
from core.remembered.links import StoredTransform
from pages.ui.frame import resources, session
from pages.ui.frame.session import PlacesMarked
from store import open_store
from tests import clinic

PAGES = Path(__file__).resolve().parents[3] / "pages"
DAYS = clinic.DAYS[:2]
PAIR = ("KIM", *DAYS)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """KIM: two scans that fit, registered. LEO: the second shows nothing, which was found. MIA: two that nobody has
    registered. "vic" is a viewer."""
    root = tmp_path_factory.mktemp("registration") / "data"
    with open_store(root) as store:
        store.people.add("vic", "viewer", by="demo")
        for n, day in enumerate(DAYS):
            clinic.add_scan(store, "KIM", day, clinic.body(n, (n, 0, 0)))
            clinic.add_scan(store, "LEO", day, clinic.noise(5) if n else clinic.body(3))
            clinic.add_scan(store, "MIA", day, clinic.body(6 + n))
        said: dict[str, tuple[State, str]] = {
            "KIM": ("good", "converged"),
            "LEO": ("failed", "The scans share nothing."),
        }
        for patient, (state, why) in said.items():
            scans = [store.scans.reference(patient, day) for day in DAYS]
            found = RigidTransform(about(np.eye(3), np.zeros(3), np.array([2.0, 0, 0])), 0.9, state, 1.0, why, 0.75)
            store.transforms.add(patient, found_transform(found, scans[0], scans[1]), "demo")
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    """A copy for each test."""
    return shutil.copytree(made, tmp_path / "data", symlinks=True)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, root: Path) -> Iterator[Callable[..., AppTest]]:
    """opened(patient, person, show) -> Compare as that person sees it, run once."""
    monkeypatch.setenv("TWIN_DATA", str(root))
    resources.whole_store.clear()

    def run(patient: str = "KIM", person: str = "demo", show: str = "Registration") -> AppTest:
        app = AppTest.from_file(str(PAGES / "compare.py"), default_timeout=120)
        for key, value in {"who": person, "patient_id": patient, session.COMPARED.key(): show}.items():
            app.session_state[key] = value
        app.run()
        assert not app.exception
        return app

    yield run
    resources.whole_store.clear()


def stored(patient: str = "KIM") -> list[StoredTransform]:
    return resources.whole_store().transforms.of(patient)


def told(app: AppTest) -> str:
    """All sentences of the page, without the marks that keep them from being Markdown."""
    kinds = (app.markdown, app.caption, app.warning, app.info, app.error)
    text = "\n".join(str(element.value) for kind in kinds for element in kind)
    return text.replace("\\", "").replace("\u2060", "")


def button(app: AppTest, label: str) -> Any:
    return next(one for one in app.button if one.label == label)


def field(app: AppTest, name: str) -> Any:
    return app.number_input(key=session.MOVED_BY.key(*PAIR, name))


def test_a_pair_is_registered_once_whichever_way_round_it_is_looked_at(opened):
    said = told(opened("MIA"))
    (one,) = stored("MIA")
    assert (one.person, one.method, one.from_timepoint) == ("demo", "rigid", DAYS[0])
    assert f"By demo on {one.created_at[:10]}" in said
    assert one.transform_id[:8] in said
    assert "Overlap: **" in said
    assert " nats**" in said
    app = opened("MIA", show="Timepoints")
    app.selectbox(key=session.LEFT_TIMEPOINT.key("MIA")).set_value(DAYS[1]).run()
    assert "nobody has looked at it" in told(app)
    assert [t.transform_id for t in stored("MIA")] == [one.transform_id]


def test_a_viewer_looks_at_it_and_neither_stores_nor_judges_nor_corrects(opened):
    app = opened("MIA", person="vic")
    assert stored("MIA") == []
    assert "Not stored: your role does not allow it." in told(app)
    assert button(app, "Accept").disabled
    assert not app.number_input


def test_what_is_accepted_stands_with_the_name_and_what_is_refused_links_no_more(opened):
    app = opened()
    button(app, "Accept").click().run()
    assert "Accepted by demo" in told(app)
    assert [t.verdict for t in stored()] == ["accepted"]
    why = app.text_input(key=session.REFUSED_BECAUSE.key("KIM", stored()[0].transform_id))
    assert button(app, "Refuse it").disabled, "a refusal says why"
    why.set_value("the ribs do not fit").run()
    button(app, "Refuse it").click().run()
    assert "Refused by demo: the ribs do not fit" in told(app)
    said = told(opened(show="Timepoints"))
    assert "The two scans are not linked. The registration was refused by demo: “the ribs do not fit”." in said
    assert "Linked:" not in said


def test_a_failed_one_links_nothing_until_somebody_sets_it_right_by_landmarks(opened):
    assert "The two scans are not linked." in told(opened("LEO", show="Timepoints"))
    app = opened("LEO")
    places = ((20.0, 20.0, 30.0), (80.0, 20.0, 30.0), (40.0, 90.0, 30.0))
    marks = [(side, (x + 3.0 * side, y, z)) for side in (0, 1) for x, y, z in places]
    key = session.PLACES_MARKED.key("LEO", *DAYS)
    app.session_state[key] = PlacesMarked(tuple(marks[:5]))
    app.session_state[session.CORRECTED_BY.key("LEO", *DAYS)] = "Landmarks"
    app.run()
    assert "1 more pair to go." in told(app)
    app.session_state[key] = PlacesMarked(tuple(marks))
    app.run()
    assert app.dataframe[0].value["Residual (mm)"].tolist() == pytest.approx([0, 0, 0], abs=1e-6)
    button(app, "Save and accept").click().run()
    assert not app.exception
    new = stored("LEO")[-1]
    assert (new.method, new.verdict, new.judged_by) == ("landmarks", "accepted", "demo")
    assert np.asarray(new.matrix)[:3, 3] == pytest.approx([3, 0, 0], abs=1e-6)
    assert "Not saved" not in told(app)
    said = told(opened("LEO", show="Timepoints"))
    assert "turned by 0.0° and moved by 3.0 mm (accepted by demo)" in said


def test_places_on_one_line_are_said_to_set_nothing(opened):
    app = opened()
    line = [(side, (10.0 * n, 0.0, 0.0)) for side in (0, 1) for n in range(3)]
    app.session_state[session.PLACES_MARKED.key(*PAIR)] = PlacesMarked(tuple(line))
    app.run()
    assert "Mark a place further to the side." in told(app)
    assert "Save and accept" not in [one.label for one in app.button]


def test_a_shift_in_numbers_is_stored_as_a_transform_of_its_own_and_can_be_undone(opened):
    app = opened()
    before = np.asarray(stored()[0].matrix)
    field(app, "shift x").set_value(4.0).run()
    assert "Not saved: moved by 4.0 mm and turned by 0.0°." in told(app)
    assert "Accept" not in [one.label for one in app.button], "what is seen is not what is stored"
    button(app, "Undo").click().run()
    assert (field(app, "shift x").value, len(stored())) == (0.0, 1)
    field(app, "shift x").set_value(4.0).run()
    button(app, "Save and accept").click().run()
    new = stored()[-1]
    assert (new.method, new.verdict, new.parameters["from_transform"]) == (
        "adjusted",
        "accepted",
        stored()[0].transform_id,
    )
    # What was drawn at x is drawn at x + 4: a point asks what was there before.
    assert np.asarray(new.matrix) @ [0, 0, 0, 1] == pytest.approx(before @ [-4, 0, 0, 1])
    assert field(app, "shift x").value == 0.0
    assert "Accepted by demo" in told(app)


def test_with_a_correction_refused_the_one_that_was_accepted_before_counts_again_and_both_are_listed(opened):
    app = opened()
    button(app, "Accept").click().run()
    field(app, "shift x").set_value(4.0).run()
    button(app, "Save and accept").click().run()
    first, second = stored()
    app.text_input(key=session.REFUSED_BECAUSE.key("KIM", second.transform_id)).set_value("worse").run()
    button(app, "Refuse it").click().run()
    assert not app.exception
    assert first.transform_id[:8] in told(app)
    assert "The one that was accepted before it counts again." in app.toast[0].value
    (row,) = app.dataframe[0].value.to_dict("records")
    assert (row["State"], row["How"], row["Why"], row["Id"]) == (
        "refused",
        "moved by hand",
        "worse",
        second.transform_id[:8],
    )


def test_moves_are_kept_while_the_landmarks_are_looked_at(opened):
    app = opened()
    field(app, "turn z").set_value(2.0).run()
    for way in ("Landmarks", "Move and turn"):
        app.session_state[session.CORRECTED_BY.key(*PAIR)] = way
        app.run()
        assert "turned by 2.0°" in told(app), way
    assert field(app, "turn z").value == 2.0
