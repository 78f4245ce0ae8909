"""A tab may fetch its files, and no other's; also while its page runs anew."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pages.ui.guard import sessions


class Manager:
    """Streamlit's media files, as far as it is asked whose they are."""

    def __init__(self) -> None:
        self._files_by_session_and_coord = {"tab": {"a": "points"}, "other": {"a": "table"}}

    def clear_session_refs(self, session_id: str | None = None) -> None:
        self._files_by_session_and_coord.pop(session_id or "tab", None)


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Manager:
    manager = Manager()
    instance = SimpleNamespace(media_file_mgr=manager)
    monkeypatch.setattr(sessions, "runtime", SimpleNamespace(exists=lambda: True, get_instance=lambda: instance))
    monkeypatch.setattr(sessions, "browser_of", {"tab": "ann's", "other": "bob's"}.get)
    monkeypatch.setattr(sessions, "_HELD_BEFORE", {})
    return manager


def test_a_file_is_its_own_browsers_alone_also_while_the_page_runs_anew(manager: Manager) -> None:
    sessions.remember_files()
    assert sessions.may_download("ann's", "points")
    assert not sessions.may_download("bob's", "points")
    manager.clear_session_refs("tab")
    manager.clear_session_refs("tab")
    assert sessions.may_download("ann's", "points"), "the run has begun and not yet told of its files"
    assert not sessions.may_download("bob's", "points")
    assert not sessions.may_download("ann's", "table")
