"""Tokens end: with their tab, when the person or patient is another, when the role is, with time."""

from __future__ import annotations

import time

import pytest
from starlette.requests import Request

from pages.ui.frame import resources
from pages.ui.guard import tokens
from pages.ui.guard.tokens import LINGER_S, MAX_AGE_S, Claims, Registry
from store import Store, open_store
from tests import clinic
from tests.store_phantom import add_scan
from tests.wire import Tab

CLAIMS = Claims("demo", "ANNA", ("a" * 64,), ("2024-01-01",), True)


class Clock:
    """A clock and a set of open tabs, both as the test says."""

    def __init__(self):
        self.now, self.tabs = 1000.0, {"tab"}
        self.registry = Registry(is_active=lambda session: session in self.tabs, now=lambda: self.now)

    def close(self):
        self.tabs.clear()
        self.registry.note_ended_sessions()


def test_a_token_says_nothing_and_is_the_same_while_it_is_young():
    clock = Clock()
    token = clock.registry.make(CLAIMS, "tab")
    assert clock.registry.read(token) == CLAIMS
    assert not any(word in token for word in ("tab", "demo", "ANNA"))
    assert clock.registry.make(CLAIMS, "tab") == token
    assert clock.registry.make(CLAIMS, "other tab") != token
    clock.now += MAX_AGE_S * 0.6
    later = clock.registry.make(CLAIMS, "tab")
    assert later != token
    assert clock.registry.read(token) == clock.registry.read(later) == CLAIMS
    clock.now += MAX_AGE_S * 0.5
    assert clock.registry.read(token) is None
    assert clock.registry.read(later) == CLAIMS
    assert clock.registry.read("") is clock.registry.read("x" * 5000) is None


def test_a_token_ends_soon_after_its_tab_and_lives_on_in_one_that_is_back():
    clock = Clock()
    token = clock.registry.make(CLAIMS, "tab")
    clock.close()
    clock.now += LINGER_S * 0.9
    assert clock.registry.read(token) == CLAIMS
    clock.tabs.add("tab")  # the network is back
    clock.now += LINGER_S
    assert clock.registry.read(token) == CLAIMS
    clock.close()
    clock.now += LINGER_S * 1.1
    assert clock.registry.read(token) is None


def test_a_tab_that_goes_unnoticed_takes_its_token_with_it_at_once():
    clock = Clock()
    token = clock.registry.make(CLAIMS, "tab")
    clock.tabs.clear()
    assert clock.registry.read(token) is None


def test_what_was_given_to_closed_tabs_is_forgotten():
    clock = Clock()
    for n in range(100):
        clock.tabs = {f"tab {n}"}
        clock.registry.make(CLAIMS, f"tab {n}")
        clock.registry.note_ended_sessions()
    clock.now += 3600
    clock.registry.make(CLAIMS, "tab 99")
    assert len(clock.registry._issued) == 1
    assert clock.registry._ended == {}


def test_another_person_ends_a_token_at_once_and_another_patient_after_the_last_stroke():
    clock = Clock()
    claims = {
        name: Claims(person, patient, (), (), True)
        for name, person, patient in (("own", "ann", "P1"), ("person", "ben", "P1"), ("patient", "ann", "P2"))
    }
    made = {name: clock.registry.make(one, "tab") for name, one in claims.items()}
    elsewhere = clock.registry.make(claims["person"], "other tab")
    clock.tabs.add("other tab")
    clock.registry.revoke("tab", lambda c: c.person == "ann")
    clock.registry.revoke("tab", lambda c: c.patient_id == "P1", LINGER_S)
    assert [clock.registry.read(made[name]) is None for name in claims] == [False, True, False]
    clock.now += LINGER_S
    assert [clock.registry.read(made[name]) is None for name in claims] == [False, True, True]
    assert clock.registry.read(elsewhere) == claims["person"]


def test_a_role_is_asked_for_at_every_request(store: Store, monkeypatch):
    monkeypatch.setattr(resources, "whole_store", lambda: store)
    add_scan(store)  # by demo

    def read(person, edit):
        token = tokens.make_token(person, "P1", (), (), edit)
        return tokens.read_token(Request({"type": "http", "headers": [(b"x-twin-token", token.encode())]}))

    assert read("demo", True) is not None
    assert read("nobody", False) is None
    token = tokens.make_token("ann", "P1", (), (), True)
    request = Request({"type": "http", "headers": [(b"x-twin-token", token.encode())]})
    assert tokens.read_token(request) is not None
    store.people.add("ann", "viewer", by="demo")
    assert tokens.read_token(request) is None
    assert read("ann", True) is None, "a viewer edits nothing, whatever a page claims"
    assert read("ann", False) is not None
    store.people.add("ann", "reader", by="demo")
    assert tokens.read_token(request) is None, "it does not come back with the role"


@pytest.mark.browser
def test_on_a_running_server_a_token_ends_with_its_tab(start_server, tmp_path):
    with open_store(tmp_path / "data") as store:
        clinic.add_scan(store, "ANNA", clinic.DAYS[0], clinic.body(0))
        (scan,) = store.scans.of("ANNA", clinic.DAYS[0])
    dashboard = start_server(tmp_path / "data")
    url = f"/api/viewer/scan/{scan.sha256}/slab/0"
    with Tab(dashboard.url) as tab:
        token = tab.token("review", "patient_id=ANNA")
        assert tab.get(url, x_twin_token=token) == 200
        assert tab.get(url) == 403
        assert tab.token("review", "patient_id=ANNA") == token
    other = Tab(dashboard.url)
    assert other.get(url, x_twin_token=token) == 403, "another browser"
    until = time.monotonic() + 60
    while tab.get(url, x_twin_token=token) == 200:
        assert time.monotonic() < until, "the token outlives its tab"
        time.sleep(0.2)
    assert other.get(url, x_twin_token=other.token("review", "patient_id=ANNA")) == 200
    assert other.get(url, x_twin_token=token) == 403
    other.close()


@pytest.mark.browser
def test_nobody_goes_on_with_the_session_of_another_browser(server):
    own = Tab(server.url)
    own.open("worklist")
    browser = own.cookie.split(";")[0]
    own.close()
    with Tab(server.url, session=own.session) as stranger:
        stranger.open("worklist")
        assert stranger.session != own.session
    with Tab(server.url, session=own.session, cookie=browser) as back:
        back.open("worklist")
        assert back.session == own.session
