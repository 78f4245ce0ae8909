"""Files that people send: how much of it is taken, and how long it stays in memory.

Streamlit keeps what is uploaded in memory, by session. It has no limit for all files of a session together, and of a
session whose browser went away it keeps them until another one is closed. Both are mended here, around its own manager.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import streamlit as st
from starlette.exceptions import HTTPException
from streamlit.runtime import get_instance
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFileRec

from core.errors import InputError
from core.limits import import_limits

logger = logging.getLogger("twinreview.uploads")

#: How often it is looked for files of sessions that are over.
SWEEP_S = 30.0
#: As much as so many people may send is taken of all together.
PEOPLE_AT_ONCE = 4
_NAME = re.compile(r"[^\w.()+ -]")


@asynccontextmanager
async def watched() -> AsyncIterator[None]:
    """Around the server's life: uploads are limited, and those of closed sessions are let go."""
    runtime = get_instance()
    limit_uploads(runtime.uploaded_file_mgr)
    sweeping = asyncio.create_task(_sweep(runtime))
    try:
        yield
    finally:
        sweeping.cancel()


async def _sweep(runtime: Any) -> None:
    while True:
        await asyncio.sleep(SWEEP_S)
        try:
            forget_closed_sessions(runtime._session_mgr, runtime.uploaded_file_mgr)
        except Exception:  # the next time is another one
            logger.exception("closed sessions could not be looked through")


def forget_closed_sessions(sessions: Any, uploads: Any) -> int:
    """Let go of files whose session neither is connected nor may come back.

    A session that lost its connection may come back for two minutes. Streamlit only marks it as expired then; what it
    holds goes when the next session is closed, which may be never.

    Returns:
        Of how many sessions files were removed.
    """
    alive = {info.session.id for info in sessions.list_sessions()}
    gone = [session_id for session_id in list(uploads.file_storage) if session_id not in alive]
    for session_id in gone:
        uploads.remove_session_files(session_id)
    expire = getattr(getattr(sessions._session_storage, "_cache", None), "expire", None)
    if expire is not None:
        expire()  # the session itself holds them, too, as the value of its widget
    if gone:
        gc.collect()
    return len(gone)


def limit_uploads(uploads: Any) -> None:
    """Make Streamlit's manager refuse a file with which its session, or all together, would hold too much."""
    add = uploads.add_file

    def add_if_it_fits(session_id: str, file: UploadedFileRec) -> None:
        limits = import_limits()
        held = {one: list(files.values()) for one, files in list(uploads.file_storage.items())}
        own = held.get(session_id, [])
        size = sum(len(one.data) for one in own) + len(file.data)
        total = sum(len(one.data) for files in held.values() for one in files) + len(file.data)
        if (
            size > limits.upload_bytes
            or len(own) >= limits.upload_files
            or total > PEOPLE_AT_ONCE * limits.upload_bytes
        ):
            refused: set[str] = getattr(uploads, "refused_sessions", set())
            uploads.refused_sessions = refused | {session_id}
            raise HTTPException(413, too_much())
        add(session_id, file)

    uploads.add_file = add_if_it_fits


def too_much() -> str:
    """The sentence for who sends more than is taken."""
    limits = import_limits()
    return (
        f"Expected at most {limits.upload_files:,} files of {limits.upload_bytes / 2**30:.3g} GB together, got more. "
        "Remove some, or send one series at a time as a zip; the administrator can raise TWIN_MAX_UPLOAD_GB and "
        "TWIN_MAX_UPLOAD_FILES."
    )


def uploader(key: str, label: str, **options: Any) -> list[Any]:
    """Streamlit's file uploader, empty again after `let_go(key)`; what was chosen, as a list.

    Raises:
        InputError: more files, or larger ones together, than one person may send. What came of them is let go.
    """
    chosen = st.file_uploader(label, key=f"{key}-{st.session_state.get(f'{key}-turn', 0)}", **options)
    files = list(chosen) if isinstance(chosen, list) else [chosen] if chosen is not None else []
    limits = import_limits()
    if _was_refused() or len(files) > limits.upload_files or sum(file.size for file in files) > limits.upload_bytes:
        let_go(key, files)
        raise InputError(too_much())
    return files


def let_go(key: str, files: Sequence[Any]) -> None:
    """Remove files from memory and make the uploader of that key an empty one at the page's next run."""
    context: Any = get_script_run_ctx()
    for file in files:
        if context is not None:
            context.uploaded_file_mgr.remove_file(context.session_id, file.file_id)
    st.session_state[f"{key}-turn"] = st.session_state.get(f"{key}-turn", 0) + 1


def _was_refused() -> bool:
    """Whether a file of this session did not fit since it was last asked."""
    context = get_script_run_ctx()
    refused: set[str] = getattr(getattr(context, "uploaded_file_mgr", None), "refused_sessions", set())
    if context is None or context.session_id not in refused:
        return False
    refused.discard(context.session_id)
    return True


def saved(files: Sequence[Any], folder: Path) -> list[Path]:
    """Uploads as files in `folder`, under the last part of their names; raises InputError when there are none."""
    if not files:
        raise InputError("Expected at least one file, got none. Choose the image first.")
    paths = []
    for number, file in enumerate(files):
        # DICOM files of several folders may share a name.
        home = folder / str(number) if len(files) > 1 else folder
        home.mkdir(exist_ok=True)
        name = _NAME.sub("_", Path(file.name).name).lstrip(".")[-100:] or "file"
        path = home / name
        path.write_bytes(file.getvalue())  # not `getbuffer`, which copies what it shares with the manager
        paths.append(path)
    return paths
