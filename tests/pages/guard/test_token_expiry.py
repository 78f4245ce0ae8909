"""How long a token lasts, to the second, and whose it is once a role was changed."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from core.errors import StoreError
from pages.ui.frame import resources
from pages.ui.guard import tokens
from pages.ui.guard.tokens import Claims, Registry
from store import Store

CLAIMS = Claims("ann", "P1", (), ("2024-01-01",), True)
HOUR = 3600.0


class Clock:
    """A clock and a set of open tabs, both as the test says."""

    def __init__(self) -> None:
        self.now, self.tabs = 0.0, {"tab"}
        self.registry = Registry(is_active=lambda session: session in self.tabs, now=lambda: self.now)


def test_a_token_ends_eight_hours_after_it_was_made_though_its_tab_is_open_and_it_is_in_use() -> None:
    clock = Clock()
    token = clock.registry.make(CLAIMS, "tab")
    for clock.now in (4 * HOUR, 7.9 * HOUR, 8 * HOUR - 1):
        assert clock.registry.read(token) == CLAIMS, "reading does not lengthen it"
    clock.now = 8 * HOUR
    assert clock.registry.read(token) is None
    clock.now = 80 * HOUR
    assert clock.registry.read(token) is None


def test_a_page_is_given_a_new_token_once_half_of_the_old_ones_time_is_over() -> None:
    clock = Clock()
    token = clock.registry.make(CLAIMS, "tab")
    clock.now = 4 * HOUR - 1
    assert clock.registry.make(CLAIMS, "tab") == token
    clock.now = 4 * HOUR
    later = clock.registry.make(CLAIMS, "tab")
    assert later != token
    clock.now = 8 * HOUR
    assert (clock.registry.read(token), clock.registry.read(later)) == (None, CLAIMS)


def test_a_token_lasts_ten_seconds_after_its_tab_was_seen_to_go() -> None:
    clock = Clock()
    token = clock.registry.make(CLAIMS, "tab")
    clock.tabs.clear()
    clock.registry.note_ended_sessions()
    clock.now = 5.0
    clock.registry.note_ended_sessions()  # another tab went: this one's time does not begin again
    clock.now = 9.9
    assert clock.registry.read(token) == CLAIMS
    clock.now = 10.0
    assert clock.registry.read(token) is None


def test_the_last_strokes_time_does_not_lengthen_a_token_that_ends_before() -> None:
    clock = Clock()
    token = clock.registry.make(CLAIMS, "tab")
    clock.now = 8 * HOUR - 2
    clock.registry.revoke("tab", lambda claims: False, 10.0)
    clock.now = 8 * HOUR
    assert clock.registry.read(token) is None


def test_a_token_that_was_ended_is_not_given_out_again() -> None:
    clock = Clock()
    token = clock.registry.make(CLAIMS, "tab")
    clock.registry.revoke("tab", lambda claims: False, 10.0)
    assert clock.registry.read(token) == CLAIMS
    assert clock.registry.make(CLAIMS, "tab") != token


@pytest.mark.parametrize(("role", "ends"), [("administrator", True), ("reader", False), ("viewer", True)])
def test_a_token_that_was_made_before_a_role_was_changed_is_over_for_good(
    store: Store, monkeypatch: pytest.MonkeyPatch, role: str, ends: bool
) -> None:
    monkeypatch.setattr(resources, "whole_store", lambda: store)

    def read(token: str) -> Claims | None:
        return tokens.read_token(Request({"type": "http", "headers": [(b"x-twin-token", token.encode())]}))

    made = {edit: tokens.make_token("ann", "P1", (), (), edit) for edit in (True, False)}
    store.people.add("ann", role, by="demo")
    assert [read(made[edit]) is None for edit in (True, False)] == [ends, ends]
    store.people.add("ann", "reader", by="demo")
    assert [read(made[edit]) is None for edit in (True, False)] == [ends, ends], "also when the role is back"
    assert read(tokens.make_token("nobody", "P1", (), (), False)) is None


def test_where_the_store_cannot_be_asked_for_a_role_nothing_is_allowed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> Store:
        raise StoreError("The store is open in another process.")

    monkeypatch.setattr(resources, "whole_store", lambda: store)
    token = tokens.make_token("ann", "P1", (), (), False)
    monkeypatch.setattr(resources, "whole_store", away)
    assert tokens.read_token(Request({"type": "http", "headers": [(b"x-twin-token", token.encode())]})) is None
