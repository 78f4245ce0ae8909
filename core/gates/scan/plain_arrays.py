"""Named arrays with their provenance as one file in NumPy's own format: nothing in it is ever unpickled."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import ModelError


def packed(arrays: Mapping[str, NDArray[Any]], provenance: Mapping[str, Any]) -> bytes:
    """An .npz, the same bytes for the same content."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in {**arrays, "provenance": np.array(json.dumps(dict(provenance)))}.items():
            part = io.BytesIO()
            np.lib.format.write_array(part, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), part.getvalue())
    return sink.getvalue()


def unpacked(
    path: Path, names: Sequence[str], sha256: str | None, what: str, recipe: str, may_lack: Sequence[str] = ()
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The arrays of these names and the provenance of what `packed` made.

    Args:
        sha256: of the very bytes that may be read; None: any. what, recipe: for the sentence about another file.
        may_lack: those of the names that an older file may not have; they are then left out.

    Raises:
        ModelError: missing, damaged, another file than was asked for, or not such a file.
    """
    try:
        content = path.read_bytes()
        if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
            raise ModelError(
                f"{path.name}: expected {what} with SHA-256 {sha256[:12]}…, got another file. Restore the shipped "
                "file, and load the page or start the job again."
            )
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            there = [name for name in names if name in archive or name not in may_lack]
            return {name: archive[name] for name in there}, json.loads(str(archive["provenance"]))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError(
            f"{path.name}: expected {what}, got a file that cannot be read as such ({type(error).__name__}). Run "
            f"{recipe}, or restore the shipped file."
        ) from None
