"""What lies in a DICOM series beside its slices: pages of text, scouts, copies. Passed over, and said."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from operator import sub

from core.imaging.dicom_files import DicomSlice
from core.imaging.image_files import reading
from core.imaging.volumes import file_sha256

#: Secondary captures: screenshots, dose reports, pages of text (1.2.840.10008.5.1.4.1.1.7 and .7.1 to .7.4).
_CAPTURES = "1.2.840.10008.5.1.4.1.1.7"
#: A scan has one scout, or two across each other.
_MOST_SCOUTS = 2
#: A scout lies across the slices: some cosine of its rows or columns differs by more than this.
_TURNED = 0.5


def without_extras(slices: Sequence[DicomSlice]) -> tuple[list[DicomSlice], list[str]]:
    """The slices of a series, and a sentence about each kind of image in it that is none.

    Secondary captures beside slices; one or two images of another orientation than at least three others have; a file
    that is there twice, bit for bit.
    """
    left, warnings = list(slices), []
    for kind, extras in (
        ("a picture or report, no slice (secondary capture)", _captures),
        ("of another orientation than the others, probably a scout", _scouts),
        ("a copy of another, bit for bit", _copies),
    ):
        found = extras(left)
        if found:
            left = [item for item in left if item not in found]
            # Without their names: warnings are stored, and a file may be called after a patient.
            images = "1 image of the series was" if len(found) == 1 else f"{len(found)} images of the series were"
            warnings.append(f"{images} passed over: {kind}.")
    return left, warnings


def _captures(slices: Sequence[DicomSlice]) -> list[DicomSlice]:
    found = [
        item
        for item in slices
        if (uid := str(item.header.get("SOPClassUID") or "")) == _CAPTURES or uid.startswith(f"{_CAPTURES}.")
    ]
    return found if len(found) < len(slices) else []


def _scouts(slices: Sequence[DicomSlice]) -> list[DicomSlice]:
    axes = [_rounded(item, "ImageOrientationPatient", 2) for item in slices]
    usual = Counter(axes).most_common(1)[0][0]
    if usual is None:
        return []
    # What is turned by less is a slice, and whether it fits to the others is for the geometry to say.
    found = [item for item, own in zip(slices, axes, strict=True) if own is not None and _across(own, usual)]
    return found if len(slices) - len(found) > _MOST_SCOUTS >= len(found) else []


def _across(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return len(one) != len(other) or max(map(abs, map(sub, one, other))) > _TURNED


def _copies(slices: Sequence[DicomSlice]) -> list[DicomSlice]:
    """All but the first of files that are the same; read only where two lie in the same place."""
    places = defaultdict(list)
    for item in slices:
        places[_rounded(item, "ImagePositionPatient", 3)].append(item)
    found = []
    for items in places.values():
        seen: set[tuple[str, int]] = set()
        for item in items if len(items) > 1 else ():
            with reading(item.path):
                digest = file_sha256(item.path), item.frame
            if digest in seen:
                found.append(item)
            seen.add(digest)
    return found


def _rounded(item: DicomSlice, keyword: str, digits: int) -> tuple[float, ...] | None:
    """Numbers of a header, or None where they are missing or malformed."""
    try:
        return tuple(round(float(value), digits) + 0.0 for value in item.header[keyword].value)
    except (KeyError, TypeError, ValueError):
        return None
