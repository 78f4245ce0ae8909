"""The web process's end of `service.prompt_worker`: starts it, sends requests, sorts replies, sees it die."""

from __future__ import annotations

import contextlib
import itertools
import json
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from core.settings import for_child

#: Seconds it is given to end by itself.
GRACE_S = 5.0
HOME = Path(__file__).resolve().parents[3]
WORKER = "core.engines.service.prompt_worker"


class WorkerProcess:
    """One running worker: lines out, and a thread that hands each reply to whom it is for (None when it died)."""

    def __init__(self) -> None:
        # From the same folder, so that relative paths in settings mean the same; ours are the modules nevertheless.
        self._popen = subprocess.Popen(
            [sys.executable, "-P", "-m", WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=for_child({}, home=HOME),
        )
        self.pid = self._popen.pid
        self.died = False
        self._waiting: dict[int, queue.SimpleQueue[dict[str, Any] | None]] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        threading.Thread(target=self._listen, name="prompt replies", daemon=True).start()

    def begin(self, request: dict[str, Any]) -> tuple[int, queue.SimpleQueue[dict[str, Any] | None]]:
        """Sends a request; returns its number and where its replies arrive."""
        replies: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        with self._lock:
            number = next(self._numbers)
            if self.died:
                replies.put(None)
            else:
                self._waiting[number] = replies
        self.send({**request, "id": number})
        return number, replies

    def finish(self, number: int) -> None:
        """Nobody waits for these replies any more; what is left of the work is dropped."""
        with self._lock:
            self._waiting.pop(number, None)
        self.send({"do": "cancel", "id": number})

    def send(self, request: dict[str, Any]) -> None:
        """One line. A process that is no more is noticed by `_listen`."""
        stream = self._popen.stdin
        assert stream is not None
        try:
            with self._lock:
                stream.write(json.dumps(request) + "\n")
                stream.flush()
        except (OSError, ValueError):
            return

    def _listen(self) -> None:
        stream = self._popen.stdout
        assert stream is not None
        for line in stream:
            reply = json.loads(line)
            with self._lock:
                replies = self._waiting.get(reply["id"])
            if replies is not None:
                replies.put(reply)
        self._popen.wait()
        with self._lock:
            self.died = True
            for replies in self._waiting.values():
                replies.put(None)
            self._waiting.clear()

    def end(self) -> None:
        """Closes its input, which ends it; insists after a while."""
        assert self._popen.stdin is not None
        with contextlib.suppress(OSError):
            self._popen.stdin.close()
        try:
            self._popen.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
