"""The one way from a path that a file, a row or an entry names to a path on disk: inside the data root, or refused."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from core.errors import StoreError
from core.remembered.untyped import JsonDict
from core.types import parse_date
from store.values import check_id

#: Where recorded files lie. Nothing that a record names is anywhere else.
TOPS = ("raw", "processed", "quarantine")  # and identifiers, for those who name it


def inside(root: Path, relative: object, tops: tuple[str, ...] = TOPS) -> Path:
    """The path on disk of a recorded file.

    Args:
        root: the data root.
        relative: what the record says: relative, normalised, with forward slashes, below one of `tops`.
        tops: the folders of the data root in which it may lie.

    Raises:
        StoreError: for anything else, or if one of its folders is a symbolic link.
    """
    parts = PurePosixPath(relative).parts if isinstance(relative, str) else ()
    good = (
        len(parts) > 1
        and "/".join(parts) == relative
        and parts[0] in tops
        and not any(part == ".." or "\\" in part or not part.isprintable() for part in parts)
    )
    if not good:
        raise StoreError(
            f"Expected a file of this data folder, below {' or '.join(tops)}, got {str(relative)[:80]!r}. "
            "Somebody wrote that by hand; nothing was touched. Run `verify`."
        )
    folder = root
    for part in parts[:-1]:
        folder = folder / part
        if folder.is_symlink():
            raise StoreError(
                f"{folder.relative_to(root).as_posix()} is a symbolic link, where a folder of the data was expected. "
                "Nothing was touched. Put the folder itself there."
            )
    return root.joinpath(*parts)


def scan_place(payload: JsonDict) -> str:
    """Where the image of a scan must lie, by its dataset, patient, timepoint and scan id.

    Raises:
        InputError: if one of them cannot be part of a path.
        StoreError: if the record says another place.
    """
    ids = [check_id(what.replace("_", " "), payload[what]) for what in ("dataset", "patient_id", "timepoint")]
    parse_date(ids[2])
    place = f"raw/{'/'.join(ids)}/{check_id('scan id', payload['scan_id'])}.nii.gz"
    if payload["path"] != place:
        raise StoreError(
            f"Expected the scan at {place}, the record says {str(payload['path'])[:80]!r}. Nothing was touched."
        )
    return place


def mask_place(dataset: str, patient_id: str, timepoint: str, version: int) -> str:
    """Where the image of a mask version must lie.

    Raises:
        InputError: if one of the names cannot be part of a path.
    """
    check_id("dataset", dataset), check_id("patient id", patient_id), parse_date(check_id("timepoint", timepoint))
    return f"processed/{dataset}/{patient_id}/{timepoint}/mask_v{int(version):03d}.nii.gz"
