"""Text and faces that may stand in the pixels themselves, by what headers say of it: warned about before storing.

Pixels are not searched: a check of them would need a rate of false alarms on real scans that nobody has measured.
Overlays and curves (groups 60xx and 50xx) are never read, so nothing of them is stored.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydicom import Dataset

#: The attributes that are asked of every header, beside ImageType and SOPClassUID.
KEYWORDS = ("BurnedInAnnotation", "RecognizableVisualFeatures", "ConversionType")
#: Secondary captures (1.2.840.10008.5.1.4.1.1.7 and .7.1 to .7.4).
_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def burned_in_warnings(headers: Sequence[Dataset]) -> list[str]:
    """A sentence for each way in which the images may show who they are of; [] where no header says so.

    Args:
        headers: of the slices that are taken, each with `KEYWORDS`, as far as it has them.
    """
    warnings = []
    if any(_is_yes(header, "BurnedInAnnotation") for header in headers):
        warnings.append(
            "The file says that text is burned into its pixels (BurnedInAnnotation). It is stored with the image: look "
            "at every slice for a name before it is shown to others."
        )
    if any(map(_is_picture, headers)):
        warnings.append(
            "The images are screenshots or captures, no originals: what stood on the screen, a name too, is in their "
            "pixels. Import the original series instead."
        )
    if any(_is_yes(header, "RecognizableVisualFeatures") for header in headers):
        warnings.append(
            "The file says that a person can be recognised in its images (RecognizableVisualFeatures), by the face for "
            "example."
        )
    return warnings


def _is_yes(header: Dataset, keyword: str) -> bool:
    return str(header.get(keyword) or "").strip().upper() == "YES"


def _is_picture(header: Dataset) -> bool:
    kind = str(header.get("SOPClassUID") or "")
    image_type = header.get("ImageType") or ()
    values = [image_type] if isinstance(image_type, str) else list(image_type)
    said = any("SCREEN" in str(value).upper() for value in values)
    return kind == _CAPTURE or kind.startswith(f"{_CAPTURE}.") or said or bool(header.get("ConversionType"))
