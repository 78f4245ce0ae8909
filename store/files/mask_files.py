"""Where files lie under the data root, and the only ways in which they are written.

    raw/{dataset}/{patient_id}/{timepoint}/{scan_id}.nii.gz + {scan_id}.json
    processed/{dataset}/{patient_id}/{timepoint}/mask_v001.nii.gz + mask_v001.json, mask_final.nii.gz -> …
    incoming/    files being written; nothing here counts, and opening the store empties it
    quarantine/  files of a write that a crash cut short before it was recorded; kept for a person to look at
    journal.json the one write under way (see `store.ledger.journal`)

A file is made in incoming/, fsynced and renamed into its place; an image is never overwritten.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import uuid
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import nibabel as nib
import numpy as np

from core.errors import InputError, StoreError
from core.remembered.compartments import Compartments, from_comment
from core.remembered.untyped import JsonDict, JsonObject
from core.types import Grid, LabelMap, LesionMeasure
from store.values import plain

FINAL = "mask_final.nii.gz"

#: What a lesion of a sidecar has since it is measured, after its older keys and only where it is known: sidecars and
#: audit entries from before stay what they are, byte for byte, and read as None.
LATER_MEASURES = (
    "short_axis_mm",
    "longest_diameter_3d_mm",
    "slices",
    "intensities",
    "compartments",
    "mean_probability",
)

#: A disk that is full, beyond a quota or a limit, read-only or failing: a sentence, and no bug.
_REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}

#: Names this process's own files in incoming/, so that another Store of the same process leaves them alone.
_RUN = uuid.uuid4().hex[:12]


def raw_dir(dataset: str, patient_id: str, timepoint: str) -> str:
    """Folder of a timepoint's scans, relative to the data root."""
    return f"raw/{dataset}/{patient_id}/{timepoint}"


def processed_dir(dataset: str, patient_id: str, timepoint: str) -> str:
    """Folder of a timepoint's masks, relative to the data root."""
    return f"processed/{dataset}/{patient_id}/{timepoint}"


def mask_name(version: int) -> str:
    """File name of a mask version; its sidecar is the same with .json."""
    return f"mask_v{version:03d}.nii.gz"


def sidecar_of(image: Path | str) -> str:
    """Path of the sidecar that belongs to an image."""
    return str(image).removesuffix(".nii.gz") + ".json"


def fsync_dir(folder: Path) -> None:
    """Make renames inside `folder` last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def incoming(root: Path) -> Path:
    """The folder of files being written, whether it is there or not.

    Raises:
        StoreError: if it is a link: what lies behind it is not ours to write in, and opening would empty it.
    """
    folder = root / "incoming"
    if folder.is_symlink():
        raise StoreError("incoming is a symbolic link, where a folder of the data was expected. Take the link away.")
    return folder


@contextmanager
def staging(root: Path) -> Iterator[Path]:
    """A fresh folder in incoming/ on the data root's own file system; gone afterwards whatever happens.

    Raises:
        StoreError: if the disk refuses what is written inside: it is full, say, or read-only.
    """
    folder = incoming(root) / f"{_RUN}-{uuid.uuid4().hex}"
    try:
        folder.mkdir(mode=0o700, parents=True)  # originals with names lie in it for a while
        yield folder
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        raise StoreError(f"The data folder refused a file ({error.strerror}). Nothing was recorded.") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def temporary(root: Path) -> Path:
    """A free name in incoming/ for one small file that is renamed into its place at once."""
    folder = incoming(root)
    folder.mkdir(exist_ok=True)
    return folder / f"{_RUN}-{uuid.uuid4().hex}"


def strangers_in_incoming(root: Path) -> list[Path]:
    """What is in incoming/ and not of this process: left by one that died, since only one may hold the store.

    Another process may look at a snapshot there (`looking-PID-…`, see `store.database.looking`) as long as it lives.
    """
    folder = incoming(root)
    found = sorted(p for p in folder.iterdir() if not p.name.startswith(_RUN)) if folder.is_dir() else []
    return [path for path in found if not _of_a_living_reader(path.name)]


def _of_a_living_reader(name: str) -> bool:
    word, _, rest = name.partition("-")
    pid = rest.partition("-")[0]
    if word != "looking" or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)  # signal 0 asks only whether it is there
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def place(staged: Path, final: Path) -> None:
    """Rename a finished, fsynced file into its place.

    Raises:
        StoreError: if something is there already.
    """
    if final.exists() or final.is_symlink():
        raise StoreError(f"The file {final.name} is there already and is never overwritten. Run `verify`.")
    final.parent.mkdir(parents=True, exist_ok=True)
    os.rename(staged, final)
    fsync_dir(final.parent)


def write_synced(path: Path, text: str) -> Path:
    """Write a new text file and fsync it."""
    with open(path, "x", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return path


def copy_synced(source: Path, target: Path) -> None:
    """Copy a file and fsync the copy."""
    with open(source, "rb") as old, open(target, "xb") as new:
        shutil.copyfileobj(old, new, 2**20)
        new.flush()
        os.fsync(new.fileno())


def sidecar_text(values: JsonObject) -> str:
    """A sidecar as it stands in its file."""
    return json.dumps(values, indent=2, allow_nan=False) + "\n"


def replace_text(root: Path, final: Path, text: str) -> None:
    """Put new text in place of a text file, atomically: a reader sees the old or the new, whole."""
    replace_bytes(root, final, text.encode("utf-8"))


def replace_bytes(root: Path, final: Path, data: bytes) -> None:
    """The same for bytes."""
    staged = temporary(root)
    try:
        with open(staged, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(staged, final)
    except OSError:
        staged.unlink(missing_ok=True)
        raise
    fsync_dir(final.parent)


def set_final(root: Path, folder: Path, target: str | None) -> None:
    """Let mask_final.nii.gz of a timepoint's folder point at `target` (a name beside it), or take it away."""
    link = folder / FINAL
    if target is None:
        link.unlink(missing_ok=True)
    else:
        new = temporary(root)
        os.symlink(target, new)
        os.replace(new, link)
    if folder.is_dir():
        fsync_dir(folder)


def version_diff(new: LabelMap, old: LabelMap | None) -> dict[str, float | int | None]:
    """How a version differs from the one before it, over all lesions together (voxel is or is not in any lesion).

    Returns:
        dice_vs_previous_version: 2|A and B| / (|A| + |B|) in 0..1; 1.0 when both are empty, None without an old one.
        voxels_added, voxels_removed, voxels_unchanged: in new only, in old only, in both.
        volume_delta_mm3: new minus old; None without an old one, when every voxel counts as added.

    Source: Dice 1945, 10.2307/1932409.
    """
    ours = new.array > 0
    count = int(np.count_nonzero(ours))
    if old is None:
        return {
            "dice_vs_previous_version": None,
            "voxels_added": count,
            "voxels_removed": 0,
            "voxels_unchanged": 0,
            "volume_delta_mm3": None,
        }
    theirs = old.array > 0
    before = int(np.count_nonzero(theirs))
    both = int(np.count_nonzero(ours & theirs))
    return {
        "dice_vs_previous_version": 2.0 * both / (count + before) if count + before else 1.0,
        "voxels_added": count - both,
        "voxels_removed": before - both,
        "voxels_unchanged": both,
        "volume_delta_mm3": (count - before) * new.grid.voxel_volume_mm3,
    }


def read_stored_mask(path: Path) -> LabelMap | None:
    """A mask as the store writes it: the file's uint8 voxels as they are, a fifth of the time of reading any image.

    None for another kind of file, or one that is damaged: `core.imaging.volumes.read_label_map` says what is wrong with
    it.
    """
    try:
        image = cast(nib.Nifti1Image, nib.load(path, mmap=False))
        if image.get_data_dtype() != np.uint8 or image.header.get_slope_inter() not in ((None, None), (1.0, 0.0)):
            return None
        voxels = image.dataobj.get_unscaled()  # type: ignore[attr-defined]
        return LabelMap(voxels, Grid((image.shape[0], image.shape[1], image.shape[2]), image.affine))
    except (OSError, EOFError, ValueError, zlib.error, nib.filebasedimages.ImageFileError, InputError):
        return None


def read_compartments(path: Path, labels: LabelMap) -> Compartments | None:
    """What a mask's file keeps of the parts of its lesions; None where it keeps nothing. Raises InputError: damaged."""
    for extension in cast(nib.Nifti1Image, nib.load(path)).header.extensions:
        found = from_comment(bytes(extension.get_content()), labels) if extension.get_code() == 6 else None
        if found is not None:
            return found
    return None


def lesion_values(labels: LabelMap, lesions: Sequence[LesionMeasure]) -> list[JsonDict]:
    """The sidecar's lesions, one per label ascending; volumes are voxels times the voxel volume of `labels.grid`.

    Raises:
        InputError: if they are not the labels, voxel counts and volumes that the mask has.
    """
    counts = labels.voxel_counts
    there = [int(label) for label in np.flatnonzero(counts[1:]) + 1]
    given = sorted(lesion.label for lesion in lesions)
    if given != there:
        raise InputError(f"Expected one measurement for each lesion of the mask, {there}, got them for {given}.")
    out = []
    for lesion in sorted(lesions, key=lambda item: item.label):
        voxels = int(counts[lesion.label])
        volume_mm3 = voxels * labels.grid.voxel_volume_mm3
        if lesion.lesion_id != f"L{lesion.label}":
            raise InputError(f"Expected lesion id L{lesion.label} for label {lesion.label}, got {lesion.lesion_id!r}.")
        if lesion.voxels != voxels or abs(lesion.volume_mm3 - volume_mm3) > 1e-3 * volume_mm3:
            raise InputError(
                f"The measurement of {lesion.lesion_id} is of another mask: it says {lesion.voxels} voxels and "
                f"{lesion.volume_mm3:.3f} mm3, the mask has {voxels} and {volume_mm3:.3f}. Measure this mask."
            )
        later = {name: getattr(lesion, name) for name in LATER_MEASURES}
        later |= {name: plain(list(later[name]), name) or None for name in ("intensities", "compartments")}
        out.append(
            {
                "label": int(lesion.label),
                "lesion_id": lesion.lesion_id,
                "volume_mm3": volume_mm3,
                "voxels": voxels,
                "longest_diameter_mm": float(lesion.longest_diameter_mm),
                "centroid_mm": [float(x) for x in lesion.centroid_mm],
            }
            | {name: value for name, value in later.items() if value is not None}
        )
    return out
