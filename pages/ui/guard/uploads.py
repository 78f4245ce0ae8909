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
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

import streamlit as st
from starlette.exceptions import HTTPException
from streamlit.runtime import get_instance
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile, UploadedFileRec, UploadFileUrlInfo

from core.errors import InputError
from core.imaging.limits import import_limits
from core.remembered.untyped import Json

if TYPE_CHECKING:
    from streamlit.runtime import Runtime

#: Streamlit's managers of sessions and of uploaded files, whose inner parts have no types of their own.
Sessions = Json
Uploads = Json

logger = logging.getLogger("twinreview.uploads")

#: How often it is looked for files of sessions that are over.
SWEEP_S = 30.0
#: As much as so many sessions may hold is taken of all together.
SESSIONS_AT_ONCE = 4
_NAME = re.compile(r"[^\w.()+ -]")
#: Of a name: file systems take 255, some that encrypt 143.
_NAME_BYTES = 100


class UploaderOptions(TypedDict, total=False):
    """Further arguments of `st.file_uploader`."""

    accept_multiple_files: bool
    help: str
    type: list[str]


@dataclass
class _Batch:
    """Files that were chosen together, for one uploader: whether one was refused, and somebody has been told."""

    refused: bool = False
    told: bool = False


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


async def _sweep(runtime: Runtime) -> None:
    while True:
        await asyncio.sleep(SWEEP_S)
        try:
            forget_closed_sessions(runtime._session_mgr, runtime.uploaded_file_mgr)
        except Exception:  # the next time is another one
            logger.exception("closed sessions could not be looked through")


def forget_closed_sessions(sessions: Sessions, uploads: Uploads) -> int:
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
    batches = getattr(uploads, "batches", {})
    for session_id in [one for one in list(batches) if one not in alive]:
        batches.pop(session_id, None)
    expire = getattr(getattr(sessions._session_storage, "_cache", None), "expire", None)
    if expire is not None:
        expire()  # the session itself holds them, too, as the value of its widget
    if gone:
        gc.collect()
    return len(gone)


def limit_uploads(uploads: Uploads) -> None:
    """Make Streamlit's manager refuse a file with which its session, or all together, would hold too much.

    An upload does not say of which uploader it is. But the addresses for files that are chosen together are asked for
    together, so the manager's `batches` knows, by session and file, what belongs to one that is refused.
    """
    add, addresses = uploads.add_file, uploads.get_upload_urls
    batches: dict[str, dict[str, _Batch]] = {}
    uploads.batches = batches

    def addresses_of_a_batch(session_id: str, file_names: Sequence[str]) -> list[UploadFileUrlInfo]:
        found, batch = addresses(session_id, file_names), _Batch()
        batches.setdefault(session_id, {}).update((one.file_id, batch) for one in found)
        return list(found)

    def add_if_it_fits(session_id: str, file: UploadedFileRec) -> None:
        limits = import_limits()
        held = {one: list(files.values()) for one, files in list(uploads.file_storage.items())}
        own = held.get(session_id, [])
        size = sum(len(one.data) for one in own) + len(file.data)
        total = sum(len(one.data) for files in held.values() for one in files) + len(file.data)
        if (
            size > limits.upload_bytes
            or len(own) >= limits.upload_files
            or total > SESSIONS_AT_ONCE * limits.upload_bytes
        ):
            batches.setdefault(session_id, {}).setdefault(file.file_id, _Batch()).refused = True
            raise HTTPException(413, too_much())
        add(session_id, file)

    uploads.add_file, uploads.get_upload_urls = add_if_it_fits, addresses_of_a_batch


def too_much() -> str:
    """The sentence for who sends more than is taken."""
    limits = import_limits()
    return (
        f"Expected at most {limits.upload_files:,} files of {limits.upload_bytes / 2**30:.3g} GB together, got more. "
        "Remove some, or send one series at a time as a zip; the administrator can raise TWIN_MAX_UPLOAD_GB and "
        "TWIN_MAX_UPLOAD_FILES."
    )


def uploader(key: str, label: str, **options: Unpack[UploaderOptions]) -> list[UploadedFile]:
    """Streamlit's file uploader, empty again after `let_go(key)`; what was chosen, as a list.

    Raises:
        InputError: more files, or larger ones together, than one session may hold, or one that was chosen with them was
            refused. What came of them is let go: half a series would look like a whole one.
    """
    chosen = st.file_uploader(label, key=f"{key}-{st.session_state.get(f'{key}-turn', 0)}", **options)
    files = list(chosen) if isinstance(chosen, list) else [chosen] if chosen is not None else []
    limits = import_limits()
    if (
        _was_refused(files)
        or len(files) > limits.upload_files
        or sum(file.size for file in files) > limits.upload_bytes
    ):
        let_go(key, files)
        raise InputError(too_much())
    return files


def let_go(key: str, files: Sequence[UploadedFile]) -> None:
    """Remove files from memory and make the uploader of that key an empty one at the page's next run."""
    context: Json = get_script_run_ctx()
    for file in files:
        if context is not None:
            context.uploaded_file_mgr.remove_file(context.session_id, file.file_id)
    st.session_state[f"{key}-turn"] = st.session_state.get(f"{key}-turn", 0) + 1


def _was_refused(files: Sequence[UploadedFile]) -> bool:
    """Whether a file that was chosen together with one of these was refused.

    Where none of such a batch arrived, nothing tells of which uploader it was: an empty one says so, once.
    """
    context: Json = get_script_run_ctx()
    batches: dict[str, dict[str, _Batch]] = getattr(getattr(context, "uploaded_file_mgr", None), "batches", {})
    own = batches.get(context.session_id, {}) if context is not None else {}
    refused = [batch for batch in list(own.values()) if batch.refused]
    here = {id(own.get(file.file_id)) for file in files}
    mine = [batch for batch in refused if id(batch) in here or (not files and not batch.told)]
    for batch in mine:
        batch.told = True
    return bool(mine)


def saved(files: Sequence[UploadedFile], folder: Path) -> list[Path]:
    """Uploads as files in `folder`, under the last part of their names; raises InputError when there are none."""
    if not files:
        raise InputError("Expected at least one file, got none. Choose the image first.")
    paths = []
    for number, file in enumerate(files):
        # DICOM files of several folders may share a name.
        home = folder / str(number) if len(files) > 1 else folder
        home.mkdir(exist_ok=True)
        end = _NAME.sub("_", Path(file.name).name).encode()[-_NAME_BYTES:]
        path = home / (end.decode(errors="ignore").lstrip(".") or "file")  # the end: it says which kind of file it is
        path.write_bytes(file.getvalue())  # not `getbuffer`, which copies what it shares with the manager
        paths.append(path)
    return paths
