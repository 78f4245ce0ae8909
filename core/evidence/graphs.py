"""The graphs of the evidence that people ask: each made when it is first asked, kept with its base, a few at a time."""

from __future__ import annotations

import threading
from weakref import WeakKeyDictionary

from core.evidence.base import EvidenceBase
from core.evidence.graph import EvidenceGraph

#: Graphs whose processes run; each takes some hundred megabytes.
MOST_RUNNING = 2

_lock = threading.Lock()
_graphs: WeakKeyDictionary[EvidenceBase, EvidenceGraph] = WeakKeyDictionary()
_asked: list[EvidenceGraph] = []


def graph_of(base: EvidenceBase) -> EvidenceGraph:
    """The graph of a base, in step with it: another base is another graph.

    Raises:
        ModelError: the graph's process does not start.
    """
    with _lock:
        if base not in _graphs:
            _graphs[base] = EvidenceGraph.of(list(base.patients.values()))
        graph = _graphs[base]
        _asked[:] = [one for one in _asked if one is not graph] + [graph]
        while len(_asked) > MOST_RUNNING:
            _asked.pop(0).close()  # who asks it again finds it made again
        return graph
