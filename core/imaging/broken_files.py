"""Files of a DICOM folder that cannot be read: of the series that is wanted, or told apart from it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from core.errors import InputError
from core.imaging.dicom_files import BrokenFile, DicomSlice
from core.imaging.planes import check_voxels_there


def whole_slices(
    wanted: Sequence[DicomSlice],
    others: Sequence[DicomSlice],
    broken: Sequence[BrokenFile],
    name: str,
    without_broken: bool,
) -> tuple[list[DicomSlice], list[str]]:
    """The slices of a series, and a sentence about the files that are left out.

    Args:
        wanted: the slices of the series that can be read; all have their pixels, unless `without_broken`.
        others: of other series in the folder.
        without_broken: a person's word that the series is to be taken without what cannot be read. It is asked for ends
            alone: what is left must be numbered without a gap.

    Raises:
        InputError: a file that is, or may be, of this series cannot be read, and it is not to be left out or lies
            between others.
    """
    mine = [item for item in broken if _may_belong(item, wanted, others)]
    warnings = []
    if beside := len(broken) - len(mine):
        files = "1 file of another series was" if beside == 1 else f"{beside} files of other series were"
        warnings.append(f"{files} passed over: it cannot be read." if beside == 1 else f"{files} passed over: unread.")
    if not without_broken:
        if mine:
            raise _refusal(mine, len(wanted) + len(others), name)
        return list(wanted), warnings
    left = [item for item in wanted if _holds_its_voxels(item, name)] or list(wanted)
    count = len(mine) + len(wanted) - len(left)
    if count:
        _check_numbers(left, name)
        files = "1 file of the series was" if count == 1 else f"{count} files of the series were"
        warnings.append(
            f"{files} left out at a person's word: unreadable. The volume lacks as many slices at its ends; volumes of "
            "lesions there are too small."
        )
    return left, warnings


def _refusal(mine: Sequence[BrokenFile], readable: int, name: str) -> InputError:
    named = ", ".join(item.path.name for item in mine[:3]) + (" ..." if len(mine) > 3 else "")
    kinds = {item.what for item in mine}
    what = kinds.pop() if len(kinds) == 1 else "not DICOM"
    return InputError(
        f"{name}: expected DICOM in every file of the series, {len(mine)} of {readable + len(mine)} cannot "
        f"be read: {named} is {what}. Copy or export it again, or take it out of the folder."
    )


def _may_belong(item: BrokenFile, wanted: Sequence[DicomSlice], others: Sequence[DicomSlice]) -> bool:
    """Whether a broken file may be of the wanted series: its own UID says so, or nothing tells it apart."""
    if item.series is not None:
        return item.series == str(wanted[0].header.get("SeriesInstanceUID") or "")
    like_others = any(_pattern(item.path) == _pattern(other.path) for other in others)
    if any(_pattern(item.path) == _pattern(own.path) for own in wanted):
        return True
    if like_others:
        return False
    folder = item.path.parent
    beside_own = any(own.path.parent == folder for own in wanted)
    beside_others = any(other.path.parent == folder for other in others)
    return beside_own or not beside_others


def _pattern(path: Path) -> tuple[Path, str]:
    return path.parent, re.sub(r"\d+", "#", path.name)


def _holds_its_voxels(item: DicomSlice, name: str) -> bool:
    try:
        check_voxels_there(item, name)
    except InputError:
        return False
    return True


def _check_numbers(slices: Sequence[DicomSlice], name: str) -> None:
    """What is left must be numbered one after the other, or the broken ones may lie between them."""
    try:
        numbers = sorted(int(item.header.InstanceNumber) for item in slices)
    except (AttributeError, TypeError, ValueError):
        numbers = []
    if not numbers or numbers != list(range(numbers[0], numbers[0] + len(slices))):
        raise InputError(
            f"{name}: expected that only end slices cannot be read, but the numbers of the others (0020,0013) are not "
            "one after the other: slices are missing between them. Export the complete series."
        )
