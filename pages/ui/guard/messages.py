"""What a browser may say over the WebSocket: that a page is to run, and little else.

Streamlit does what any visitor asks by message, and some messages are about everybody: `clear_cache` empties the
caches of all visitors. Those that the pages need pass; every other is dropped unread, so that one which a later
Streamlit adds is not obeyed before somebody has looked at it.
"""

from __future__ import annotations

import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.proto.BackMsg_pb2 import BackMsg

from pages.ui.guard import tokens

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


class Messages:
    """ASGI middleware that drops the other messages, and ends what was bound to a tab once it is gone."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return

        async def passed() -> Message:
            while True:
                message = await receive()
                data = message.get("bytes")
                if message["type"] != "websocket.receive" or data is None or may_pass(data):
                    return message
                logger.warning("a browser's message was ignored: it is none that the pages send")

        try:
            await self._app(scope, passed, send)
        finally:
            tokens.note_ended_sessions()
