"""Evidence as a page: what a mark does, and a language model that is asked only after its prompt was shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Button

from pages.ui.frame import resources
from store import open_store
from tests import clinic
from tests.core.evidence.test_language_model import WORDS, completion, stub
from tests.pages.test_addresses_on_pages import script

OTHERS = {"DORA", "ELLA", "FAY"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("evidence") / "data"
    clinic.build(root)
    with open_store(root) as store:
        store.people.add("vera", "viewer", by="demo")
    return root


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, built: Path) -> Iterator[Callable[..., AppTest]]:
    """opened("demo", **address) -> the page of BEN as that person sees it, run once."""
    monkeypatch.setenv("TWIN_DATA", str(built))
    resources.whole_store.clear()

    def run(person: str = "demo", **parameters: str) -> AppTest:
        app = AppTest.from_function(script, args=("evidence",), default_timeout=120)
        app.session_state["who"] = person
        monkeypatch.setattr("pages.ui.frame.shell.person", lambda: person)
        for parameter, value in {"patient_id": "BEN", **parameters}.items():
            app.query_params[parameter] = value
        app.run()
        assert not app.exception
        return app

    yield run
    resources.whole_store.clear()


def words(app: AppTest) -> str:
    told = [*app.markdown, *app.caption, *app.info, *app.warning, *app.text, *app.error]
    return " ".join(one.value for one in told).replace("\\", "").replace("\u2060", "")


def button(app: AppTest, key: str) -> Button:
    return next(one for one in app.button if one.key is not None and one.key.startswith(key))


def test_a_viewer_sees_evidence_and_may_mark_nothing(opened):
    app = opened("vera")
    assert "Searched 3 lesions of 3 other patients" in words(app)
    marking = [one for one in app.button if one.key and one.key.startswith("mark-")]
    assert marking
    assert all(one.disabled for one in marking)


def test_a_mark_is_listed_and_each_can_be_taken_back(opened):
    app = opened()
    button(app, "mark-False").click().run()
    assert "1 of your marks" in words(app)
    assert len(resources.whole_store().marks.standing()) == 1
    button(app, "unmark-").click().run()
    assert "of your marks" not in words(app)
    assert resources.whole_store().marks.standing() == []


def test_the_patients_own_lesions_are_searched_where_that_is_asked_for(opened):
    app = opened(whose="this one too")
    assert "of 4 patients" in words(app)
    assert app.query_params["whose"] == "this one too"


def test_nothing_is_asked_of_a_model_where_none_is_set_up(opened):
    assert not any(one.label == "Send this" for one in opened().button)


def test_a_model_is_asked_with_the_prompt_that_was_shown_and_its_answer_is_marked(opened, monkeypatch):
    with stub(lambda request: request.reply(200, completion())) as server:
        monkeypatch.setenv("TWIN_LLM_URL", server.url)
        monkeypatch.setenv("TWIN_LLM_MODEL", "medgemma")
        app = opened()
        assert server.asked == [], "not before somebody said so"
        (prompt,) = [one.value for one in app.code]
        assert not any(name in prompt for name in OTHERS | {"BEN"})
        next(one for one in app.button if one.label == "Send this").click().run()
        assert WORDS in words(app)
        assert "language model's words, not a reading" in words(app)
        ((_, _, body),) = server.asked
        assert body["messages"][0]["content"].strip() == prompt.strip()
    entry = resources.whole_store().audit_log(1)[0]
    assert entry["action"] == "evidence.asked"
    assert set(entry["payload"]) >= {"prompt_sha256", "endpoint_host", "model"}
    assert prompt[:80] not in str(entry["payload"])


def test_a_model_that_does_not_answer_is_told_in_a_sentence(opened, monkeypatch):
    with stub(lambda request: request.reply(500, b"{}")) as server:
        monkeypatch.setenv("TWIN_LLM_URL", server.url)
        monkeypatch.setenv("TWIN_LLM_MODEL", "medgemma")
        app = opened()
        next(one for one in app.button if one.label == "Send this").click().run()
        assert app.error
        assert WORDS not in words(app)


def test_the_search_says_what_it_is_narrowed_to_and_a_query_that_cannot_be_does_not_narrow(opened):
    app = opened(tab="Ask the graph")
    app.text_area[0].set_value("MATCH (o:Observation) WHERE o.patient_id = 'FAY' RETURN o").run()
    next(one for one in app.button if one.label == "Most alike among these").click().run()
    assert "Searched 1 lesion of 1 other patient," in words(app)
    next(one for one in app.button if one.label == "Search all again").click().run()
    assert "Searched 3 lesions" in words(app)
    app.text_area[0].set_value("MATCH (o:Observation) DELETE o").run()
    next(one for one in app.button if one.label == "Most alike among these").click().run()
    assert "The search is not narrowed" in words(app)
    assert "Searched 3 lesions" in words(app)
