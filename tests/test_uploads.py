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
from pages.ui import uploads

HOME = Path(__file__).resolve().parents[1]


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
        sessions = WebsocketSessionManager(
            MemorySessionStorage(ttl_seconds=1), manager, ScriptCache(), lambda: None
        )  # fmt: skip
        script = ScriptData(str(HOME / "pages/ui/main.py"))
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


def _form() -> None:
    import streamlit as st

    from pages.ui import shell, uploads

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
        ("scan.nii.gz", "scan.nii.gz"), ("../../etc/passwd", "passwd"), ("..", "file"), ("", "file"), ("/", "file"),
        (".hidden.nii", "hidden.nii"), ("a\0b\n.nii", "a_b_.nii"), ("x" * 300 + ".nii", "x" * 96 + ".nii"),
        ("![](http://x).nii", "x).nii"),
    ],
)  # fmt: skip
def test_a_name_stays_in_the_scratch_folder(tmp_path: Path, name: str, kept: str) -> None:
    file: Any = SimpleNamespace(name=name, getvalue=lambda: b"x")
    assert uploads.saved([file], tmp_path) == [tmp_path / kept]
    two = uploads.saved([file, file], tmp_path)
    assert len(set(two)) == 2
    assert all(tmp_path in path.parents for path in two)


def test_no_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Choose the image first"):
        uploads.saved([], tmp_path)
