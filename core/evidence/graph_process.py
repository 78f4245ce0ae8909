"""The process in which the graph is kept and asked, started by `core.evidence.graph`.

The first line of its input is the graph's rows; each further line is a question, and each has a line of answer: JSON
all of them. What a query does to memory or to the database's own code happens to this process. Once the graph is made
it can open no file and no socket, whatever it is asked, and write to nothing but its answers.
"""

from __future__ import annotations

import datetime  # noqa: F401  (here and below: loaded while files can still be opened)
import decimal  # noqa: F401
import encodings.idna  # noqa: F401
import json
import os
import resource
import signal
import sys
import uuid  # noqa: F401
from pathlib import Path
from typing import BinaryIO

from core.errors import InputError
from core.evidence.graph_database import GraphDatabase
from core.remembered.untyped import JsonObject

#: Memory that planning and answering may take beyond what the graph has taken.
_MORE_BYTES = 1 << 30


def answer(database: GraphDatabase, question: JsonObject) -> JsonObject:
    """Columns, rows and whether they were cut; or "keys"; or why it was "refused"."""
    cypher, parameters = str(question["cypher"]), question["parameters"]
    try:
        if question["do"] == "keys":
            return {"keys": [[key.mask_id, key.lesion_id] for key in database.observation_keys(cypher, parameters)]}
        found = database.ask(cypher, parameters, int(question["limit"]))
        return {"columns": found.columns, "rows": found.rows, "cut": found.cut}
    except InputError as error:
        return {"refused": str(error)}


def shut_in() -> None:
    """From here on this process opens nothing, writes no file and takes so much memory more."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    for kind, most in (
        (resource.RLIMIT_AS, pages * resource.getpagesize() + _MORE_BYTES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),  # a dump would hold the graph
        (resource.RLIMIT_NOFILE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (least, least))


def main() -> None:
    """Answers until its input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    answers: BinaryIO = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (1, 2):  # the library may print what it was asked
        os.dup2(nowhere, descriptor)
    database = GraphDatabase(json.loads(sys.stdin.buffer.readline()))
    answer(
        database,
        {"do": "ask", "cypher": "MATCH (n) RETURN n, count(*), date('2024-01-01')", "parameters": {}, "limit": 1},
    )
    shut_in()
    _tell(answers, {"made": True})
    for line in sys.stdin.buffer:
        _tell(answers, answer(database, json.loads(line)))


def _tell(answers: BinaryIO, what: JsonObject) -> None:
    answers.write(json.dumps(what).encode() + b"\n")
    answers.flush()


if __name__ == "__main__":
    main()
