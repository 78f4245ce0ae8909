"""Which models a weights folder has: those that its manifest.toml lists, and those that somebody put there.

Trained nnU-Net v2 folders are found anywhere in it, MedSAM, SAM and SAM2 checkpoints in its `local/` folder.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path, PurePosixPath

from core.errors import ModelError
from weights.model_entry import CHECKPOINT, DATASET, KINDS, PLANS, ModelEntry


def read_manifest(folder: Path, places: Sequence[Path]) -> list[ModelEntry]:
    """What the folder's manifest.toml lists.

    Args:
        places: all weights folders; an entry's file may lie in any of them.

    Raises:
        ModelError: no TOML, a line that lacks or misnames something, or one id twice.
    """
    known = {f.name for f in fields(ModelEntry)} - {"root", "pinned", "expected"}
    try:
        lines = tomllib.loads((folder / "manifest.toml").read_text(encoding="utf-8")).get("models", [])
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise ModelError(f"The manifest of the weights folder cannot be read: {problem}. Correct it.") from None
    entries = []
    for line in lines:
        values = dict(line)
        wrong = sorted(values.keys() - known) + sorted({"id", "name", "kind", "path", "sha256"} - values.keys())
        pins = {name: str(digest) for name, digest in dict(values.get("files", {})).items()}
        wrong += sorted(name for name, digest in pins.items() if not _is_pin(name, digest))
        wrong += [] if isinstance(values.get("candidate", False), bool) else ["candidate"]
        wrong += [name for name in values.get("parts", ()) if not _is_inside(name)]
        if wrong or values["kind"] not in KINDS or not re.fullmatch(r"[0-9a-f]{64}|", values["sha256"]):
            raise ModelError(
                f"The manifest's entry {values.get('id', '?')!r} is not right ({', '.join(wrong) or 'kind or hash'}). "
                f"Correct manifest.toml; kinds are {', '.join(KINDS)}."
            )
        values = {
            "source": "",
            "licence": "unknown",
            "input": "",
            **values,
            "modality": tuple(values.get("modality", ())),
            "parts": tuple(values.get("parts", ())),
        }
        values["files"] = tuple(sorted(pins.items()))
        needed = {PLANS, DATASET} if values["kind"] == "nnunet" else set()
        pinned = bool(values["sha256"]) and needed <= pins.keys()
        root = _home(values["path"], folder, places)
        entries.append(ModelEntry(**values, pinned=pinned, expected=values["sha256"], root=root))
    if len({e.id for e in entries}) < len(entries):
        raise ModelError("The manifest names one model id twice. Correct manifest.toml.")
    return entries


def _is_pin(name: str, digest: str) -> bool:
    """A file within the model's folder, and a SHA-256."""
    return _is_inside(name) and re.fullmatch(r"[0-9a-f]{64}", digest) is not None


def _is_inside(name: str) -> bool:
    return not PurePosixPath(name).is_absolute() and ".." not in PurePosixPath(name).parts


def _home(path: str, folder: Path, places: Sequence[Path]) -> Path:
    """The first weights folder that has the model, so that a pinned hash also holds for a file under TWIN_WEIGHTS."""
    if path.startswith("package:"):
        return folder
    return next((place for place in (folder, *places) if (place / path).exists()), folder)


def dropped_in(folder: Path) -> list[ModelEntry]:
    """Trained nnU-Nets anywhere in the folder; single checkpoints in its `local/`."""
    found = []
    for plans in sorted(folder.rglob("plans.json")):
        home = plans.parent
        if (home / "dataset.json").is_file() and any(home.glob(f"fold_*/{CHECKPOINT}")):
            place = home.relative_to(folder)
            channels = _channels(home / "dataset.json")
            model_id = _slug("-".join(p for p in place.parts if p != "local") or home.name)
            found.append(_entry(folder, model_id, str(place), "nnunet", ", ".join(channels), _modalities(channels)))
    for file in sorted((folder / "local").glob("*.pt*")):
        if file.suffix not in (".pt", ".pth") or not file.is_file():
            continue
        kind = "sam2" if file.suffix == ".pt" else "litemedsam" if "lite" in file.stem.lower() else "sam_vit_b"
        checkpoint = str(file.relative_to(folder))
        preprocess = {"sam2": "", "litemedsam": "litemedsam"}.get(
            kind, "medsam" if "medsam" in file.stem.lower() else "sam"
        )
        entry = _entry(folder, _slug(file.stem), checkpoint, kind, "one slice; boxes and points", ("CT", "PET", "MR"))
        found.append(replace(entry, preprocess=preprocess))
    return found


def _entry(folder: Path, model_id: str, path: str, kind: str, takes: str, modality: tuple[str, ...]) -> ModelEntry:
    return ModelEntry(
        id=model_id,
        name=model_id,
        kind=kind,
        source="put into the weights folder by a user",
        licence="unknown",
        sha256="",
        input=takes,
        modality=modality,
        path=path,
        root=folder,
    )


def _channels(dataset_json: Path) -> list[str]:
    """The channel names an nnU-Net was trained on; [] if its dataset.json cannot be read."""
    try:
        names = json.loads(dataset_json.read_text(encoding="utf-8")).get("channel_names", {})
        return [str(names[key]) for key in sorted(names, key=int)]
    except (ValueError, AttributeError, OSError):
        return []


def _modalities(channels: list[str]) -> tuple[str, ...]:
    known = {"CT": "CT", "PET": "PET", "SUV": "PET"}
    return tuple(dict.fromkeys(known.get(name.upper().split()[0] if name.split() else "", "MR") for name in channels))


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-") or "model"
