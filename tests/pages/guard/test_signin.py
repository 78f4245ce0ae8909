"""Who signed in works under the name that an administrator gave the account; mistakes in the settings let nobody in."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.testing.v1 import AppTest

from core.access import Identity
from core.errors import InputError
from pages.ui.frame import resources
from pages.ui.guard import doors, messages, sessions, signin, tokens, who, working
from store import Store, open_store
from tests import clinic
from tests.conftest import ROOT

ANN = Identity("https://id.example.org", "account-1", "ann@example.org")
AUTH = {
    "redirect_uri": "http://127.0.0.1:{port}/oauth2callback",
    "cookie_secret": "a secret of these tests",
    "client_id": "twin",
    "client_secret": "x",
    "server_metadata_url": "http://localhost:1/.well-known/openid-configuration",
}


def toml(section: str = "auth", **changes: str | None) -> str:
    """A file of secrets; None leaves a key out."""
    values = {name: value for name, value in {**AUTH, **changes}.items() if value is not None}
    return "\n".join([f"[{section}]", *(f'{name} = "{value}"' for name, value in values.items())])


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., None]]:
    """settings(text, **options) -> those are Streamlit's secrets and options."""
    from streamlit import config
    from streamlit.runtime.secrets import secrets_singleton

    file, before = tmp_path / "secrets.toml", config.get_option

    def use(text: str, **options: Any) -> None:
        file.write_text(text)
        values = {"secrets.files": [str(file)], "server.address": "127.0.0.1", **options}
        monkeypatch.setattr(config, "get_option", lambda name: values.get(name, before(name)))
        secrets_singleton._reset()
        signin._providers.cache_clear()

    yield use
    monkeypatch.undo()
    secrets_singleton._reset()
    signin._providers.cache_clear()


def test_without_a_section_about_it_nobody_signs_in(settings: Callable[..., None]):
    settings("[other]\nx = 1\n")
    assert not signin.configured()
    assert signin.own_host() is None
    assert doors.problem_at_start() is None


def test_a_provider_is_named_in_the_secrets_and_its_way_back_is_a_name_of_the_server(settings: Callable[..., None]):
    settings(toml(redirect_uri="https://twin.example.org/oauth2callback"))
    assert signin.configured()
    assert signin._providers() == (None,)
    assert "twin.example.org" in doors.hosts()
    named = "\n".join([toml(client_id=None, client_secret=None), "[auth.clinic]", 'client_id = "a"'])
    settings(named + '\nclient_secret = "b"\nserver_metadata_url = "https://x"\n')
    assert signin._providers() == ("clinic",)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[auth\n", "as TOML"),
        (toml(client_id=None), "client_id"),
        (toml(cookie_secret=None), "cookie_secret"),
        (toml(cookie_secret="short"), "at least 16 characters"),
        (toml(redirect_uri=None), "redirect_uri"),
        (toml(redirect_uri="https://twin.example.org/"), "redirect_uri"),
        (toml(server_metadata_url=None), "server_metadata_url"),
    ],
)
def test_settings_of_sign_in_that_cannot_work_never_become_a_demo(settings: Callable[..., None], text: str, says: str):
    settings(text)
    with pytest.raises(InputError, match=says):
        signin.configured()
    assert says in str(doors.problem_at_start())
    with pytest.raises(InputError, match=says):
        who.settle()


def test_a_header_that_would_say_who_somebody_is_is_refused(settings: Callable[..., None]):
    settings(toml(), **{"server.trustedUserHeaders": {"x-user": "sub"}})
    with pytest.raises(InputError, match="trustedUserHeaders"):
        signin.configured()


@pytest.mark.parametrize("address", [None, "", "0.0.0.0", "::", "10.0.0.5", "twin.example.org"])
def test_without_sign_in_a_server_for_other_machines_does_not_start(settings: Callable[..., None], address: str | None):
    settings("", **{"server.address": address})
    assert doors.problem_at_start() == doors.EXPOSED
    settings(toml(), **{"server.address": address})
    assert doors.problem_at_start() is None


@pytest.mark.browser
def test_the_refusal_to_start_is_one_sentence(tmp_path: Path):
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", "0", "--server.address", "0.0.0.0"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, env=_environment(tmp_path))
    assert ran.returncode != 0
    assert doors.EXPOSED in ran.stdout + ran.stderr
    assert "Traceback" not in ran.stdout + ran.stderr


def _environment(root: Path) -> dict[str, str]:
    import os

    return {**os.environ, "TWIN_DATA": str(root / "data")}


@pytest.fixture
def user(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the provider said of whoever has the tab; the test changes it."""
    said = {
        "is_logged_in": True,
        "iss": ANN.issuer,
        "sub": ANN.subject,
        "email": ANN.email,
        "name": "Ann",
        "nonce": "n",
    }
    said["iat"] = time.time()
    monkeypatch.setattr(signin.st, "user", type("User", (), {"to_dict": lambda self: dict(said)})())
    monkeypatch.setattr(signin, "_providers", lambda: (None,))
    monkeypatch.setattr(signin, "SESSIONS", (people := working.Sessions()))
    for module in (who, sessions, tokens, messages):
        monkeypatch.setattr(module, "SESSIONS", people)
    return said


def test_a_sign_in_is_an_account_and_lasts_for_a_shift(user: dict[str, Any]):
    found = signin.current()
    assert found is not None
    assert (found.identity, found.name) == (ANN, "Ann")
    user["iat"] -= working.SHIFT_S + 1
    assert signin.current() is None, "Streamlit would keep it for 30 days"
    user["iat"] += working.SHIFT_S + 1
    for claim, value in (("is_logged_in", False), ("iss", None), ("sub", 7), ("iat", None), ("iat", "now")):
        kept, user[claim] = user[claim], value
        assert signin.current() is None, claim
        user[claim] = kept
    assert signin.current() == found


def test_an_account_is_found_by_issuer_and_subject_and_by_nothing_else(
    store: Store, user: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(resources, "whole_store", lambda: store)
    assert signin.settle() is None, "ann is known, but the account was not given her name"
    store.people.identify("ann", ANN, by="demo")
    worker = signin.settle()
    assert worker is not None
    assert worker.person == "ann"
    user["email"], user["name"] = "other@example.org", "demo"
    assert getattr(signin.settle(), "person", None) == "ann"
    for claim in ("iss", "sub"):
        kept, user[claim] = user[claim], "another"
        assert signin.settle() is None
        user[claim] = kept
    store.people.disable("ann", by="demo")
    assert signin.settle() is None


def test_a_sign_out_ends_every_tab_of_that_sign_in_and_their_tokens(
    store: Store, user: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(resources, "whole_store", lambda: store)
    monkeypatch.setattr(tokens, "_REGISTRY", (registry := tokens.Registry(is_active=lambda session: True)))
    out: list[bool] = []
    monkeypatch.setattr(signin.st, "logout", lambda: out.append(True))
    store.people.identify("ann", ANN, by="demo")
    made = {}
    for tab in ("first", "second", "of another"):
        signin.SESSIONS.note(tab, signin.settle() if tab != "of another" else working.Working("demo", "other", 9e9 * 2))
        made[tab] = registry.make(tokens.Claims("ann", "P1", (), (), True), tab)
    signin.sign_out()
    assert out == [True]
    assert [registry.read(made[tab]) is None for tab in made] == [True, True, False]
    assert [signin.SESSIONS.may_go_on(tab) for tab in made] == [False, False, True]
    assert signin.current() is None
    user["nonce"] = "of the next sign-in"
    assert signin.current() is not None


@pytest.fixture
def frame(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[], AppTest]]:
    """frame() -> the first page; ANNA and ann are known."""
    monkeypatch.setenv("TWIN_DATA", str(tmp_path / "data"))
    with open_store(tmp_path / "data") as store:
        clinic.add_scan(store, "ANNA", clinic.DAYS[0], clinic.noise(1))
        store.people.add("ann", "reader", by="demo")
    resources.whole_store.clear()
    yield lambda: AppTest.from_file(str(ROOT / "pages/ui/frame/main.py"), default_timeout=120).run()
    resources.whole_store.clear()


def text_of(page: AppTest) -> str:
    blocks = (page.title, page.markdown, page.caption, page.info, page.error, page.code)
    return "\n".join(str(element.value) for block in blocks for element in block).replace("\\", "")


def test_every_page_of_a_demo_says_that_it_is_one(frame: Callable[[], AppTest]):
    page = frame()
    assert [title.value for title in page.title] == ["Who is working?"]
    assert signin.DEMO in text_of(page)
    page.selectbox(key="asked-person").set_value("ann")
    page.button[0].click().run()
    assert signin.DEMO in text_of(page)


def test_who_signed_in_works_under_the_name_that_the_account_was_given(
    frame: Callable[[], AppTest], user: dict[str, Any]
):
    page = frame()
    assert [title.value for title in page.title] == ["You have no role here yet"]
    assert "demo" in text_of(page), "whom to ask"
    assert ANN.issuer in text_of(page)
    assert ANN.subject in text_of(page)
    assert "ANNA" not in text_of(page)
    assert [found.identity for found in signin.WAITING.all()][-1] == ANN
    store = resources.whole_store()
    store.people.identify("ann", ANN, by="demo")
    assert ANN not in [found.identity for found in signin.WAITING.all()]
    page.run()
    assert page.session_state["who"] == "ann"
    assert signin.DEMO not in text_of(page)
    assert not [box for box in page.sidebar.selectbox if box.label == "Working as"], "no name can be chosen"
    store.people.disable("ann", by="demo")
    page.run()
    assert [title.value for title in page.title] == ["Your access was taken away"]
    user["is_logged_in"] = False
    page.run()
    assert [title.value for title in page.title] == ["Sign in"]
    assert page.session_state["who"] is None


def test_where_people_sign_in_no_name_can_be_chosen_once_the_provider_is_gone(frame: Callable[[], AppTest]):
    resources.whole_store().people.identify("ann", ANN, by="demo")
    page = frame()
    assert "no provider is named" in text_of(page)
    assert not page.selectbox
    assert page.session_state["who"] is None


def test_of_a_tab_whose_person_may_not_go_on_only_a_plain_run_of_the_page_passes():
    asked = BackMsg()
    asked.rerun_script.page_name, asked.rerun_script.query_string = "review", "patient_id=ANNA"
    asked.rerun_script.fragment_id = "a part that refreshes itself"
    asked.rerun_script.widget_states.widgets.add(id="a button", trigger_value=True)
    rest = messages.of_whoever_is_out(asked.SerializeToString())
    assert rest is not None
    plain = BackMsg.FromString(rest).rerun_script
    assert (plain.page_name, plain.query_string) == ("review", "patient_id=ANNA")
    assert (plain.fragment_id, len(plain.widget_states.widgets)) == ("", 0)
    for kind in ("app_heartbeat", "stop_script"):
        message = BackMsg()
        setattr(message, kind, True)
        assert messages.of_whoever_is_out(message.SerializeToString()) is None
    chunk = BackMsg()
    chunk.backend_operation_request.dataframe_chunk.SetInParent()
    assert messages.of_whoever_is_out(chunk.SerializeToString()) is None
