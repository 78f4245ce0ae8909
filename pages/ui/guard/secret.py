"""The secret with which cookies are signed."""

from __future__ import annotations

import logging
import os
import secrets
from functools import cache
from pathlib import Path

from core.settings import settings
from pages.ui.frame import resources

logger = logging.getLogger("twinreview.pages")

NAME = "secret"


def signing_secret() -> str:
    """TWIN_SECRET; else what the file `secret` of the data root holds, which is made when it is first needed.

    It is no part of the record: losing it asks everybody for their name again, and nothing else. Where the folder
    cannot be written the process makes one for itself.

    Raises:
        InputError: for a TWIN_SECRET that could be guessed.
    """
    given = settings().secret
    return _kept(resources.data_root() / NAME) if given is None else given.get_secret_value()


@cache
def _kept(path: Path) -> str:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            print(made := secrets.token_hex(32), file=stream)
        return made
    except FileExistsError:
        pass
    except OSError:
        logger.warning("the data root cannot be written, so people are asked for their name again after a restart")
        return secrets.token_hex(32)
    path.chmod(0o600)
    kept = path.read_text(encoding="ascii", errors="replace").strip()
    return kept if len(kept) >= 32 else secrets.token_hex(32)  # half written by a process that died
