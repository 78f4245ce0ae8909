"""What a browser may say over the WebSocket: that a page is to run, and little else.

Streamlit does what any visitor asks by message, and some messages are about everybody: `clear_cache` empties the
caches of all visitors. Those that the pages need pass; every other is dropped unread, so that one which a later
Streamlit adds is not obeyed before somebody has looked at it.

Of a tab whose person was disabled, or whose sign-in has ended, nothing passes but that its page is run as a whole.
"""

from __future__ import annotations

import logging

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from pages.ui.guard import tokens
from pages.ui.guard.working import SESSIONS

logger = logging.getLogger("twinreview.pages")

ALLOWED = frozenset({"rerun_script", "stop_script", "app_heartbeat", "file_urls_request", "backend_operation_request"})
#: Of the operations without a run of the page: a table's rows and a file made when it is asked for.
ALLOWED_OPERATIONS = frozenset({"dataframe_chunk", "deferred_file"})


def may_pass(data: bytes) -> bool:
    """Whether a message is one that the pages need. What is no message passes: Streamlit closes the connection."""
    message = BackMsg()
    try:
        message.ParseFromString(data)
    except Exception:  # Streamlit looks for any, too
        return True
    kind = message.WhichOneof("type")
    if kind == "backend_operation_request":
        return message.backend_operation_request.WhichOneof("payload") in ALLOWED_OPERATIONS
    return kind in ALLOWED


def of_whoever_is_out(data: bytes) -> bytes | None:
    """What is left of a message from a tab whose person may not go on: that its page is run anew as a whole, which then
    says so; without the click, or the part of the page, that it was about. None: nothing is left."""
    message = BackMsg.FromString(data)
    if message.WhichOneof("type") != "rerun_script":
        return None
    asked, plain = message.rerun_script, BackMsg()
    plain.rerun_script.query_string = asked.query_string
    plain.rerun_script.page_script_hash, plain.rerun_script.page_name = asked.page_script_hash, asked.page_name
    return plain.SerializeToString()


def session_in(data: bytes) -> str | None:
    """The session's id, of the message with which the server begins a run of a page; None of every other."""
    message = ForwardMsg.FromString(data)
    if message.WhichOneof("type") != "new_session":
        return None
    return str(message.new_session.initialize.session_id) or None


class Messages:
    """ASGI middleware that drops the other messages and what comes of a tab whose person may not go on, and ends what
    was bound to a tab once it is gone."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return

        session: str | None = None

        async def passed() -> Message:
            while True:
                message = await receive()
                data = message.get("bytes")
                if message["type"] != "websocket.receive" or data is None:
                    return message
                if not may_pass(data):
                    logger.warning("a browser's message was ignored: it is none that the pages send")
                elif await run_in_threadpool(SESSIONS.may_go_on, session):
                    return message
                elif (rest := of_whoever_is_out(data)) is not None:
                    return {**message, "bytes": rest}

        async def sent(message: Message) -> None:
            nonlocal session
            data = message.get("bytes")
            if session is None and message["type"] == "websocket.send" and data is not None:
                session = session_in(data)
            await send(message)

        try:
            await self._app(scope, passed, sent)
        finally:
            tokens.note_ended_sessions()
