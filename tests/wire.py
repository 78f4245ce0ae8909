"""A tab of a browser over the real WebSocket, without a browser: what a script of anybody's can say to the server."""

from __future__ import annotations

import contextlib
import http.client
import re
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

#: A token in what a page told its component.
TOKEN = re.compile(rb'"token": ?"([A-Za-z0-9_.-]{20,})"')


def browser_cookie(url: str) -> str:
    """The cookie that a browser without any gets with its first page, as name=value."""
    request = urllib.request.Request(url, headers={"Accept": "text/html"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(answer.headers["Set-Cookie"]).split(";")[0]


def status_of(url: str, path: str, method: str = "GET", **headers: str) -> int:
    """The status of a request with exactly these headers; for `upgrade="websocket"`, of the handshake."""
    return answer_of(url, path, method, **headers)[0]


def answer_of(url: str, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str]]:
    """The same with the headers of the answer, their names in lower case."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if given.get("upgrade") == "websocket":
        given |= {
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        }
    connection.request(method, path, headers=given)
    answer = connection.getresponse()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}


class Tab:
    """One tab, as the person that a cookie names."""

    def __init__(self, url: str, person: str | None = "demo", session: str = "", cookie: str = "") -> None:
        """Args: session: the id of one to go on with; cookie: the browser's, else a new browser's."""
        from pages.ui.guard import who

        self.url, self.session = url, ""
        cookies = [cookie or browser_cookie(url)]
        if person is not None:
            cookies.append(f"{who.cookie_name()}={who.cookie_of(person)}")
        self.cookie = "; ".join(cookies)
        said: Any = {"Cookie": self.cookie}
        own: Any = {
            "origin": url,
            "subprotocols": ["streamlit", *(["x", session] if session else [])],
            "additional_headers": said,
        }
        stream = url.replace("http://", "ws://") + "/_stcore/stream"
        self._opened = contextlib.ExitStack()
        self._socket: ClientConnection = self._opened.enter_context(
            connect(stream, max_size=None, open_timeout=60, proxy=None, **own)
        )

    def send(self, **message: Any) -> None:
        """Sends one BackMsg."""
        self._socket.send(BackMsg(**message).SerializeToString())

    def open(self, page: str = "", query: str = "", seconds: float = 120) -> bytes:
        """Runs a page to its end; returns all that the server said, one message after the other."""
        asked = BackMsg()
        asked.rerun_script.page_name, asked.rerun_script.query_string = page, query
        self._socket.send(asked.SerializeToString())
        said = bytearray()
        while True:
            data = self._socket.recv(timeout=seconds)
            assert isinstance(data, bytes)
            said += data
            message = ForwardMsg.FromString(data)
            if message.WhichOneof("type") == "new_session":
                self.session = message.new_session.initialize.session_id
            if message.WhichOneof("type") == "script_finished":
                return bytes(said)

    def token(self, page: str, query: str) -> str:
        """The token that a page gives its component."""
        found = TOKEN.search(self.open(page, query))
        assert found is not None, "the page gave no token"
        return found[1].decode()

    def get(self, path: str, **headers: str) -> int:
        """The status of a request by the same browser."""
        return status_of(self.url, path, cookie=self.cookie, **headers)

    def close(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            self._opened.close()

    def __enter__(self) -> Tab:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
