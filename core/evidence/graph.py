"""The property graph of what evidence knows, asked in Cypher: it answers, and nothing can change it.

Four things keep it so. `reading_query` lets through what reads alone. Each query runs in a transaction that only reads,
on a copy in memory that nothing is read back from. The copy is in a process of its own, which can open no file
(`graph_process`); where a query ends that process, that query is refused and the next one finds the graph made again.
Time, memory and rows are bounded.

The database is LadybugDB (docs/adr/0002-dependencies.md says why).
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from core.errors import InputError, ModelError
from core.evidence.cases import CaseKey, PatientEvidence
from core.evidence.graph_database import SECONDS, Answer, Parameter
from core.evidence.graph_schema import rows_of
from core.evidence.reading_query import parameters_of, reading_query
from core.remembered.untyped import JsonObject
from core.settings import for_child

__all__ = ["Answer", "EvidenceGraph", "Parameter"]

_HOME = Path(__file__).resolve().parents[2]
_WORKER = "core.evidence.graph_process"
#: Of this process's settings the graph's process gets these alone.
_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR", "VIRTUAL_ENV")
#: Added to a query's own time limit, which does not hold while it is planned; and longest that the making takes.
_GRACE_S, _MAKING_S = 5.0, 120.0


class EvidenceGraph:
    """Patients, lesions, observations, visits, events and how they hang together; `graph_schema` says which.

    Threads may share it: who asks while another is answered waits.
    """

    def __init__(self, rows: bytes) -> None:
        """Use `of`. Args: rows: a line of JSON."""
        self._rows, self._turn = rows, threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def of(cls, patients: Sequence[PatientEvidence]) -> EvidenceGraph:
        """The graph of these patients, empty of none.

        Raises:
            InputError: a patient, or a lesion at a visit, that is there twice.
            ModelError: the graph's process does not start.
        """
        graph = cls(json.dumps(rows_of(patients)).encode() + b"\n")
        with graph._turn:
            graph._running()
        return graph

    def ask(self, cypher: str, parameters: Mapping[str, Parameter] | None = None, limit: int = 200) -> Answer:
        """The rows that a reading query gives.

        Args:
            cypher: as `reading_query` lets through. parameters: what stands for $name in it; others are not used.
            limit: most rows, 1 to 10,000.

        Raises:
            InputError: the query is none, does more than read, takes longer than 5 s or more memory than there is.
        """
        found = self._answer("ask", cypher, parameters or {}, limit)
        return Answer(tuple(found["columns"]), tuple(tuple(row) for row in found["rows"]), bool(found["cut"]))

    def observation_keys(self, cypher: str, parameters: Mapping[str, Parameter] | None = None) -> set[CaseKey]:
        """The cases that a reading query gives, all of them: what a search is narrowed to before it looks.

        Args:
            cypher: a query that returns observations (RETURN DISTINCT o), or their mask_id and lesion_id.

        Raises:
            InputError: as `ask`; other columns; or far more rows than there are observations.
        """
        found = self._answer("keys", cypher, parameters or {}, 1)
        return {CaseKey(mask_id, lesion_id) for mask_id, lesion_id in found["keys"]}

    def close(self) -> None:
        """Ends its process; the next question starts it again."""
        with self._turn:
            self._end()

    def _answer(self, do: str, cypher: str, parameters: Mapping[str, Parameter], limit: int) -> JsonObject:
        """What the process answers. Refused here is what need not go there."""
        reading_query(cypher)
        question = {"do": do, "cypher": cypher, "parameters": _used(cypher, parameters), "limit": limit}
        with self._turn:
            answer = _asked(self._running(), json.dumps(question).encode() + b"\n", SECONDS + _GRACE_S)
            if answer is None:
                self._end()
                raise InputError(
                    "Expected a query that the graph's database can answer, got one that it gave up on: it takes too "
                    "long or too much memory, or the database has a fault there. Ask for less, or in several steps."
                )
        if "refused" in answer:
            raise InputError(str(answer["refused"]))
        return answer

    def _running(self) -> subprocess.Popen[bytes]:
        """The process, with the graph made."""
        if self._process is None or self._process.poll() is not None:
            self._end()
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", _WORKER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=for_child({"OMP_NUM_THREADS": "1"}, only=_ENVIRONMENT, home=_HOME),
            )
            weakref.finalize(self, _ended, self._process)
            if _asked(self._process, self._rows, _MAKING_S) is None:
                self._end()
                raise ModelError(
                    "Expected the graph of the evidence, and its process did not start. Is ladybug installed "
                    "(pip install -r requirements.txt)?"
                )
        return self._process

    def _end(self) -> None:
        if self._process is not None:
            _ended(self._process)
            self._process = None


def _asked(process: subprocess.Popen[bytes], line: bytes, seconds: float) -> JsonObject | None:
    """Its answer; None where it ended without one, or was ended after so long."""
    assert process.stdin is not None
    assert process.stdout is not None
    watch = threading.Timer(seconds, process.kill)
    watch.daemon = True
    watch.start()
    answer = b""
    with suppress(OSError):
        process.stdin.write(line)
        process.stdin.flush()
        answer = process.stdout.readline()
    watch.cancel()
    if not answer.endswith(b"\n"):
        return None
    found: JsonObject = json.loads(answer)
    return found


def _ended(process: subprocess.Popen[bytes]) -> None:
    """Ends a process, if it has not ended."""
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        with suppress(OSError):
            if stream is not None:
                stream.close()


def _used(cypher: str, parameters: Mapping[str, Parameter]) -> dict[str, Parameter]:
    """The parameters that a query has; refuses what has no value, or one that is no plain one."""
    used = sorted(parameters_of(cypher))
    one = (str, int, float, bool)
    for name in used:
        if name not in parameters:
            raise InputError(f"Expected a value for ${name} in the query, got none. Hand it over as a parameter.")
        value = parameters[name]
        if not isinstance(value, one) and not (
            isinstance(value, list) and all(isinstance(part, one) for part in value)
        ):
            raise InputError(
                f"Expected ${name} as a text, a number, a truth value or a list of these, got {type(value).__name__}. "
                "Hand over plain values."
            )
    return {name: parameters[name] for name in used}
