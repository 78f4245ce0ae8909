"""Answers do not wait for the other side's acknowledgement."""

from __future__ import annotations

import socket

from pages.ui.guard.sockets import answer_at_once


def test_connections_of_a_waiting_socket_send_at_once_and_other_sockets_stay_as_they_are():
    with socket.socket() as listener, socket.socket() as idle, socket.socket() as client:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        assert answer_at_once() >= 1
        client.connect(listener.getsockname())
        accepted = listener.accept()[0]
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert not idle.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
