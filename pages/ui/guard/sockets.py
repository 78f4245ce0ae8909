"""The sockets on which this process waits for visitors, and how answers leave it."""

from __future__ import annotations

import contextlib
import gc
import socket

_TCP = (socket.AF_INET, socket.AF_INET6)


def answer_at_once() -> int:
    """Sets TCP_NODELAY on every TCP socket that waits for visitors; the connections it accepts inherit that.

    The server writes an answer in two pieces, its head and its body. Streamlit binds its socket without naming the
    protocol, and asyncio sets the option only where it is named, so the body of every answer on a connection that is
    kept open waited 40 ms for the other side to acknowledge the head.

    Returns:
        On how many it was set.
    """
    waiting = _waiting()
    for listener in waiting:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return len(waiting)


def waiting_addresses() -> list[str]:
    """The addresses on which this process waits for visitors over TCP, as 127.0.0.1, ::1 or 0.0.0.0 (all there are)."""
    return [str(listener.getsockname()[0]) for listener in _waiting()]


def _waiting() -> list[socket.socket]:
    return [thing for thing in gc.get_objects() if issubclass(type(thing), socket.socket) and _waits(thing)]


def _waits(thing: socket.socket) -> bool:
    with contextlib.suppress(OSError, AttributeError):  # closed meanwhile; a system without SO_ACCEPTCONN
        return (
            thing.fileno() >= 0
            and thing.family in _TCP
            and thing.type == socket.SOCK_STREAM
            and bool(thing.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
        )
    return False
