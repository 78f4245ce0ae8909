"""Who else on this machine may read what TwinReview writes: nobody, unless TWIN_UMASK says so."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

from core.errors import InputError
from core.settings import settings
from core.strict import PRIVATE

logger = logging.getLogger("twinreview.store")


def umask() -> int:
    """TWIN_UMASK, the rights that are taken from every file and folder; 0o077 where it is not set.

    Raises:
        InputError: if it is no octal number of three digits (or four, of which the first is 0), takes rights from the
            owner, or lets everybody write.
    """
    return settings().umask


def keep_private() -> None:
    """From here on, what this process and its children write is closed to other accounts, as `umask` says.

    A setting that is wrong closes all; the store, when it is opened, says what is wrong with it.
    """
    try:
        os.umask(umask())
    except InputError:
        os.umask(PRIVATE)


def close_folder(folder: Path) -> None:
    """Take from the data folder the rights that others than `umask` allows have; with it, all below is closed to them.

    A folder of another account, or one that is everybody's on purpose (sticky, as /tmp), stays as it is; the log says
    so each time.

    Raises:
        InputError: as `umask`.
    """
    mode = stat.S_IMODE(folder.stat().st_mode)
    closed = mode & ~umask()
    if mode == closed:
        return
    try:
        if mode & stat.S_ISVTX:
            raise PermissionError
        folder.chmod(closed)
    except OSError:
        logger.warning(
            "other accounts of this machine can enter the data folder, and it could not be closed to them; its owner "
            "can: chmod go-rwx (TWIN_UMASK says which accounts may)"
        )
        return
    logger.warning(
        "other accounts of this machine could enter the data folder; it is closed to them now (mode %03o). For a group "
        "that shares it, set TWIN_UMASK and give the folder its rights back",
        closed,
    )
