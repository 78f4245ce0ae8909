"""Who is working is chosen, kept by the browser, and never assumed once there are two people."""

from __future__ import annotations

import stat
from types import SimpleNamespace

import pytest
from itsdangerous import URLSafeTimedSerializer
from starlette.applications import Starlette
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest

from core.errors import InputError
from core.remembered.rows import Person
from pages.ui.api import routes
from pages.ui.frame import resources
from pages.ui.guard import secret, sessions, tokens, who
from pages.ui.shared.text import plain
from store import open_store
from tests import clinic
from tests.conftest import ROOT


@pytest.fixture
def opened(monkeypatch, tmp_path):
    """opened.run(*names) -> the dashboard's first page, run once, where opened.known(*names) are known alone."""
    monkeypatch.setenv("TWIN_DATA", str(tmp_path / "data"))
    with open_store(tmp_path / "data") as store:
        clinic.add_scan(store, "ANNA", clinic.DAYS[0], clinic.noise(1))
        for name, role in (("ann", "reader"), ("ben", "reader"), ("vic", "viewer")):
            store.people.add(name, role, by="demo")
    resources.whole_store.clear()

    def known(*names: str) -> None:
        people = [Person(name, "reader", "") for name in names]
        monkeypatch.setattr(resources.whole_store().people, "all", lambda: people)
        monkeypatch.setattr(resources.whole_store().people, "named", {person.name: person for person in people}.get)

    def run(*names):
        known(*names)
        return AppTest.from_file(str(ROOT / "pages/ui/frame/main.py"), default_timeout=120).run()

    yield SimpleNamespace(run=run, known=known)
    resources.whole_store.clear()


def asked(page):
    """Whether the page asks who is working, and shows nothing else."""
    if "Who is working?" not in [title.value for title in page.title]:
        return False
    assert [box.label for box in page.selectbox] == ["Name"]
    assert [button.label for button in page.button] == ["Continue"]
    assert page.session_state["who"] is None
    return True


def choose(page, name):
    page.selectbox(key="asked-person").set_value(name)
    return page.button[0].click().run()


def test_the_only_person_needs_no_choice_and_is_asked_once_there_is_a_second(opened):
    page = opened.run("ann")
    assert not asked(page)
    assert page.session_state["who"] == "ann"
    opened.known("ann", "ben")
    assert asked(page.run()), "nobody chose ann, so she is not assumed any more"
    assert not asked(choose(page, "ben"))
    assert page.session_state["who"] == "ben"


def test_while_it_is_asked_who_is_working_nothing_can_be_written_under_the_name_of_before(opened, monkeypatch):
    registry = tokens.Registry(is_active=lambda session: True)
    monkeypatch.setattr(tokens, "_REGISTRY", registry)
    monkeypatch.setattr(sessions, "current", lambda: "tab")
    page = opened.run("ann")
    claims = tokens.Claims("ann", "ANNA", (), (clinic.DAYS[0],), True)
    here, elsewhere = (registry.make(claims, session) for session in ("tab", "other tab"))
    assert registry.read(here) == claims
    opened.known("ann", "ben")
    assert asked(page.run())
    assert registry.read(here) is None
    assert registry.read(elsewhere) == claims, "another tab is not asked yet"


def test_with_two_people_nothing_is_shown_before_one_is_chosen(opened):
    page = opened.run("ann", "demo")
    assert asked(page)
    assert asked(page.button[0].click().run()), "continuing without a name is no choice"
    assert not asked(choose(page, "ann"))
    assert page.session_state["who"] == "ann"
    assert page.sidebar.selectbox(key="working-as").value == "ann"


def test_the_field_in_the_sidebar_gives_the_page_to_another(opened):
    page = choose(opened.run("ann", "ben"), "ann")
    page.sidebar.selectbox(key="working-as").set_value("ben").run()
    assert page.session_state["who"] == "ben"
    assert page.run().session_state["who"] == "ben"


def test_a_viewer_reads_beside_the_name_that_nothing_can_be_changed_and_others_do_not(opened):
    page = choose(opened.run("ann", "vic"), "vic")
    said = "vic is a viewer: may look and change nothing."
    assert plain(said) in " ".join(caption.value for caption in page.sidebar.caption)
    page.sidebar.selectbox(key="working-as").set_value("ann").run()
    assert "viewer" not in " ".join(caption.value for caption in page.sidebar.caption)


def test_somebody_whom_the_store_does_not_know_any_more_is_asked_again(opened):
    page = choose(opened.run("ann", "ben", "cleo"), "cleo")
    opened.known("ann", "ben")
    assert asked(page.run())


def test_where_nobody_is_known_nobody_works_and_nobody_is_invented(opened):
    page = opened.run()
    assert [title.value for title in page.title] == ["Who is working?"]
    assert "knows nobody yet" in page.info[0].value
    assert not page.selectbox
    assert page.session_state["who"] is None


class Ended(BaseException):
    """As Streamlit ends a run for the next one, wherever it asks for what a tab remembers."""


def test_a_run_that_a_click_ends_leaves_who_works_as_it_was(monkeypatch):
    class State(dict):
        def get(self, key, default=None):
            raise Ended

    state = State(who="ann")
    monkeypatch.setattr(who.st, "session_state", state)
    monkeypatch.setattr(who, "names", lambda: ["ann", "ben"])
    with pytest.raises(Ended):
        who.settle()
    assert state["who"] == "ann", "the click is ann's"


def test_a_run_that_cannot_settle_who_works_leaves_nobody(monkeypatch):
    def closed():
        raise InputError("Expected a store, got none.")

    state = {"who": "ann"}
    monkeypatch.setattr(who.st, "session_state", state)
    monkeypatch.setattr(who, "names", closed)
    with pytest.raises(InputError, match="Expected a store"):
        who.settle()
    assert state["who"] is None


def test_a_click_before_the_page_is_drawn_for_a_new_name_is_nobody_s(monkeypatch):
    state = {"who": "ann", "working-as": "ben"}
    monkeypatch.setattr(who.st, "session_state", state)
    who._chosen("working-as")
    with pytest.raises(InputError, match="who is working"):
        who.person()


def test_no_name_is_no_person():
    with pytest.raises(InputError, match="who is working"):
        who.person()


@pytest.fixture
def client(monkeypatch):
    """The routes, with every tab open."""
    monkeypatch.setattr(sessions, "is_active", lambda session: session == "tab")
    monkeypatch.setattr(who, "CHOICES", who.Choices())
    return TestClient(Starlette(routes=routes.ROUTES), base_url="http://localhost")


def test_the_browser_takes_a_choice_once_as_a_cookie_that_no_script_reads(client):
    who.CHOICES.make("tab", "Ann Ünlü; Path=/")
    choice = who.CHOICES.open_of("tab")
    answer = client.post(who.URL, headers={who.HEADER: choice})
    assert answer.status_code == 204
    said = answer.headers["set-cookie"]
    for word in ("HttpOnly", "SameSite=strict", "Path=/", f"Max-Age={who.MAX_AGE_S}"):
        assert word in said
    value = said.partition("=")[2].partition(";")[0]
    assert who._signer().loads(value) == {"person": "Ann Ünlü; Path=/"}
    assert who.CHOICES.open_of("tab") is None
    assert client.post(who.URL, headers={who.HEADER: choice}).status_code == 403


def test_a_choice_of_a_closed_tab_or_a_made_up_or_old_one_is_none(client, monkeypatch):
    who.CHOICES.make("closed tab", "ann")
    who.CHOICES.make("tab", "ann")
    monkeypatch.setattr(who, "_CHOICE_S", 0.0)
    for choice in (who.CHOICES.open_of("closed tab"), who.CHOICES.open_of("tab"), "made up", "", "x" * 5000):
        answer = client.post(who.URL, headers={who.HEADER: choice})
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers
    assert client.get(who.URL).status_code == 405, "a link or picture chooses nobody"


@pytest.mark.parametrize("short", ["x", "  x  ", "fifteen letters", " " * 40])
def test_a_secret_that_can_be_guessed_signs_nothing_and_the_page_says_so(short, opened, monkeypatch):
    opened.known("ann", "ben")  # opens the store, which a wrong setting would refuse
    monkeypatch.setenv("TWIN_SECRET", short)
    with pytest.raises(InputError, match="at least 16 characters in TWIN_SECRET"):
        secret.signing_secret()
    page = opened.run("ann", "ben")
    assert not page.exception
    assert any("TWIN_SECRET" in error.value.replace("\\", "") for error in page.error)
    assert not page.selectbox, "nobody works with cookies that anybody could sign"


@pytest.mark.parametrize("forge", ["other secret", "other salt", "cut", "plain", "empty", "long"])
def test_a_cookie_that_this_installation_did_not_sign_names_nobody(forge, monkeypatch):
    good = who.cookie_of("ann")
    value = {
        "other secret": URLSafeTimedSerializer("another", salt="twin-who").dumps({"person": "ann"}),
        "other salt": URLSafeTimedSerializer(secret.signing_secret(), salt="other").dumps({"person": "ann"}),
        "cut": good[:-1],
        "plain": "ann",
        "empty": "",
        "long": "x" * 5000,
    }[forge]
    cookies = {who.cookie_name(): value}
    monkeypatch.setattr(who.st, "context", type("Context", (), {"cookies": cookies}))
    assert who._of_cookie() is None
    cookies[who.cookie_name()] = good
    assert who._of_cookie() == "ann"
    monkeypatch.setattr(who, "MAX_AGE_S", -1)
    assert who._of_cookie() is None, "the shift is over"


def test_the_secret_is_of_the_settings_or_a_file_that_only_its_owner_reads(tmp_path, monkeypatch):
    monkeypatch.setenv("TWIN_DATA", str(tmp_path))
    assert secret.signing_secret() == "of the tests alone"
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("TWIN_SECRET", "")
    made = secret.signing_secret()
    assert len(made) == 64
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    (tmp_path / "secret").chmod(0o644)
    secret._kept.cache_clear()
    assert secret.signing_secret() == made, "the next process reads it"
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    (tmp_path / "secret").write_text("")
    secret._kept.cache_clear()
    assert len(secret.signing_secret()) == 64, "an empty secret signs nothing"
    secret._kept.cache_clear()
