"""Signed tokens: what a browser may fetch and change beside the page. Made by a page after its own checks.

A token is bound to one person, one patient, the scans and timepoints on the page, and to `MAX_AGE_S`.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from itsdangerous import BadData, URLSafeTimedSerializer
from starlette.requests import Request

#: A working shift. The page makes a new token whenever it runs.
MAX_AGE_S = 8 * 3600
HEADER = "x-twin-token"
#: Replicas that share visitors need the same secret; alone, one of the process's own will do.
_SIGNER = URLSafeTimedSerializer(os.environ.get("TWIN_SECRET") or secrets.token_hex(32), salt="twin-viewer")


@dataclass(frozen=True)
class Claims:
    """What a token allows.

    Args:
        person: under whose name everything is recorded.
        patient_id: the one patient.
        scans: sha256 of the scans that may be read.
        timepoints: whose masks may be read.
        edit: whether drafts may be changed and saved.
    """

    person: str
    patient_id: str
    scans: tuple[str, ...]
    timepoints: tuple[str, ...]
    edit: bool


def make_token(person: str, patient_id: str, scans: Sequence[str], timepoints: Sequence[str], edit: bool) -> str:
    """The signed token of these claims."""
    return _SIGNER.dumps(asdict(Claims(person, patient_id, tuple(scans), tuple(timepoints), edit)))


def read_token(request: Request) -> Claims | None:
    """The request's claims; None for a token that is missing, altered or too old."""
    try:
        values = _SIGNER.loads(request.headers.get(HEADER, ""), max_age=MAX_AGE_S)
    except BadData:
        return None
    return Claims(values["person"], values["patient_id"], tuple(values["scans"]), tuple(values["timepoints"]),
                  bool(values["edit"]))  # fmt: skip
