"""Files that people send: limited in number and size, let go after the import and after the session."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from streamlit.runtime.memory_session_storage import MemorySessionStorage
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.script_data import ScriptData
from streamlit.runtime.scriptrunner.script_cache import ScriptCache
from streamlit.runtime.uploaded_file_manager import UploadedFileRec
from streamlit.runtime.websocket_session_manager import WebsocketSessionManager
from streamlit.testing.v1 import AppTest

from core.errors import InputError
from pages.ui.guard import uploads

HOME = Path(__file__).resolve().parents[3]


def _rec(name: str, size: int) -> UploadedFileRec:
    return UploadedFileRec(file_id=name, name=f"{name}.nii.gz", type="", data=bytes(size))


def _manager() -> MemoryUploadedFileManager:
    manager = MemoryUploadedFileManager("/upload")
    uploads.limit_uploads(manager)
    return manager


def _held(manager: MemoryUploadedFileManager) -> int:
    return sum(len(file.data) for files in manager.file_storage.values() for file in files.values())


def test_files_of_a_session_that_is_over_leave_memory_and_so_does_the_session() -> None:
    async def run() -> None:
        manager = _manager()
        sessions = WebsocketSessionManager(MemorySessionStorage(ttl_seconds=1), manager, ScriptCache(), lambda: None)
        script = ScriptData(str(HOME / "pages/ui/frame/main.py"))
        gone, stays = (sessions.connect_session(SimpleNamespace(), script, {}) for _ in range(2))
        for session in (gone, stays):
            manager.add_file(session, _rec("scan", 1000))
        whole = weakref.ref(sessions.get_active_session_info(gone).session)  # type: ignore[union-attr]
        sessions.disconnect_session(gone)
        uploads.forget_closed_sessions(sessions, manager)
        assert gone in manager.file_storage  # it may come back
        time.sleep(1.2)
        assert uploads.forget_closed_sessions(sessions, manager) == 1
        assert list(manager.file_storage) == [stays]
        assert _held(manager) == 1000
        gc.collect()
        assert whole() is None
        sessions.close_session(stays)

    asyncio.run(run())


def test_a_session_may_send_so_much_together_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWIN_MAX_UPLOAD_GB", str(1000 / 2**30))
    manager = _manager()
    manager.add_file("a", _rec("one", 600))
    with pytest.raises(HTTPException) as caught:
        manager.add_file("a", _rec("two", 600))
    assert caught.value.status_code == 413
    assert "TWIN_MAX_UPLOAD_GB" in caught.value.detail
    manager.add_file("a", _rec("three", 400))
    for other in "bcd":
        manager.add_file(other, _rec("one", 900))
    with pytest.raises(HTTPException):  # all together
        manager.add_file("e", _rec("one", 900))
    assert _held(manager) == 3700


def test_a_session_may_send_so_many_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWIN_MAX_UPLOAD_FILES", "2")
    manager = _manager()
    for name in ("one", "two"):
        manager.add_file("a", _rec(name, 1))
    with pytest.raises(HTTPException):
        manager.add_file("a", _rec("three", 1))


class _Page:
    """Stands in for Streamlit: two uploaders of one session, and what the browser says is in them."""

    def __init__(self, manager: MemoryUploadedFileManager, monkeypatch: pytest.MonkeyPatch) -> None:
        self._manager = manager
        self.session_state: dict[str, Any] = {}
        self._chosen: dict[str, list[str]] = {}
        context = SimpleNamespace(session_id="a", uploaded_file_mgr=manager)
        monkeypatch.setattr(uploads, "st", self)
        monkeypatch.setattr(uploads, "get_script_run_ctx", lambda: context)

    def file_uploader(self, label: str, key: str, **_: Any) -> list[Any]:
        files = self._manager.get_files("a", self._chosen.get(key, []))
        return [SimpleNamespace(file_id=file.file_id, size=len(file.data)) for file in files]

    def send(self, key: str, *sizes: int) -> int:
        """Files are chosen together in one uploader and sent one by one; how many were refused."""
        refused = 0
        for n, address in enumerate(self._manager.get_upload_urls("a", [str(size) for size in sizes])):
            file = UploadedFileRec(file_id=address.file_id, name=f"{n}", type="", data=bytes(sizes[n]))
            try:
                self._manager.add_file("a", file)
                self._chosen.setdefault(f"{key}-0", []).append(file.file_id)
            except HTTPException:
                refused += 1
        return refused

    def seen(self, key: str) -> int | str:
        """How many files the uploader gives, or what it says instead."""
        try:
            return len(uploads.uploader(key, "x", accept_multiple_files=True))
        except InputError as error:
            return str(error)[:8]


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> _Page:
    monkeypatch.setenv("TWIN_MAX_UPLOAD_GB", str(1000 / 2**30))
    return _Page(_manager(), monkeypatch)


def test_a_refused_file_of_one_uploader_leaves_the_files_of_another_alone(page: _Page) -> None:
    assert page.send("scan", 300, 300) == 0
    assert page.send("mask", 600) == 1
    assert [page.seen("scan"), page.seen("mask")] == [2, "Expected"]  # nothing of it arrived: an empty one says so
    assert [page.seen("scan"), page.seen("mask")] == [2, 0]


def test_files_of_which_one_was_refused_are_let_go_where_they_are_and_nowhere_else(page: _Page) -> None:
    assert page.send("mask", 100) == 0
    assert page.send("scan", 500, 600, 200) == 1
    assert [page.seen("mask"), page.seen("scan")] == [1, "Expected"]
    assert [page.seen("mask"), page.seen("scan")] == [1, 0]
    assert _held(page._manager) == 100


def test_half_of_a_series_is_let_go_even_when_another_uploader_has_told_of_it(page: _Page) -> None:
    assert page.send("scan", 500, 600) == 1
    assert [page.seen("mask"), page.seen("scan")] == ["Expected", "Expected"]
    assert [page.seen("mask"), page.seen("scan")] == [0, 0]


def test_what_was_refused_of_a_session_is_forgotten_with_it(page: _Page) -> None:
    page.send("scan", 500, 600)
    nobody = SimpleNamespace(list_sessions=list, _session_storage=None)
    uploads.forget_closed_sessions(nobody, page._manager)
    assert page._manager.batches == {}  # type: ignore[attr-defined]


def _form() -> None:
    import streamlit as st

    from pages.ui.frame import shell
    from pages.ui.guard import uploads

    with shell.guarded():
        files = uploads.uploader("f", "Files", accept_multiple_files=True)
        st.write(f"{len(files)} files")
        if st.button("Done"):
            uploads.let_go("f", files)
            st.rerun()


def test_the_uploader_is_empty_after_what_it_held_was_let_go() -> None:
    app = AppTest.from_function(_form).run()
    app.file_uploader[0].set_value([("a.nii", b"12", ""), ("b.nii", b"34", "")]).run()
    assert app.markdown[0].value == "2 files"
    app.button[0].click().run()
    assert app.markdown[0].value == "0 files"


def test_too_many_files_are_refused_with_a_sentence_and_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWIN_MAX_UPLOAD_FILES", "1")
    app = AppTest.from_function(_form).run()
    app.file_uploader[0].set_value([("a.nii", b"12", ""), ("b.nii", b"34", "")]).run()
    assert "Expected at most 1 files" in app.error[0].value
    app.run()
    assert not app.error
    assert app.markdown[0].value == "0 files"


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("scan.nii.gz", "scan.nii.gz"),
        ("../../etc/passwd", "passwd"),
        ("..", "file"),
        ("", "file"),
        ("/", "file"),
        (".hidden.nii", "hidden.nii"),
        ("a\0b\n.nii", "a_b_.nii"),
        ("x" * 300 + ".nii", "x" * 96 + ".nii"),
        ("![](http://x).nii", "x).nii"),
        ("Müller.nii", "Müller.nii"),
        ("漢" * 90 + ".nii.gz", "漢" * 31 + ".nii.gz"),
        ("é" * 200, "é" * 50),
        ("ö" * 60 + "x.nii", "ö" * 47 + "x.nii"),
        ("y." + "x" * 95 + ".nii", "x" * 95 + ".nii"),
        ("😀" * 300, "_" * 100),
        ("\ud800.nii", "_.nii"),
    ],
)
def test_a_name_stays_in_the_scratch_folder(tmp_path: Path, name: str, kept: str) -> None:
    file: Any = SimpleNamespace(name=name, getvalue=lambda: b"x")
    assert uploads.saved([file], tmp_path) == [tmp_path / kept]
    two = uploads.saved([file, file], tmp_path)
    assert len(set(two)) == 2
    assert all(tmp_path in path.parents for path in two)


def test_no_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Choose the image first"):
        uploads.saved([], tmp_path)
