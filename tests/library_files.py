"""Hands every test file of pydicom, nibabel and highdicom to the reader that a user's file goes to, and counts.

`python -m tests.library_files [NAME=FOLDER ...] [--keep]` reads the files of the installed packages and of the folders
named (highdicom keeps its own in data/test_files of its repository, which its package does not carry); `--keep` writes
the counts into docs/formats.md. Each file is offered as what
it says it is, or where it says nothing, as CT, PET, MR and as a mask. A DICOM slice alone is no volume, so one of one
grey value a voxel is offered a second time as two slices, one a millimetre above the other, and each series as a whole.

What was read is compared with the package's own reader where that reads it; exit status 1 where one file crashed the
reader or gave other voxels.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pydicom.data
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels import apply_modality_lut, pixel_array
from pydicom.uid import MRImageStorage, generate_uid

from core.errors import TwinReviewError
from core.imaging import reading_apart
from core.imaging.dicom import is_dicom
from core.imaging.image_files import image_suffix
from core.imaging.masks.reading import mask_on
from core.imaging.open_scan import open_scan
from core.types import MODALITIES, Modality
from tests.formats import keep_counts

OUTCOMES = ("read", "refused", "crashed", "garbage")
_OF_DICOM: dict[str, Modality] = {"CT": "CT", "PT": "PET", "MR": "MR"}
#: What the reader says of a file that ended its process, or that raised what no check foresaw.
_CRASHES = ("ended its reader", "damaged in an unexpected way", "takes longer")

Open = Callable[[Sequence[Path], str], NDArray[Any]]


@dataclass(frozen=True)
class Tried:
    """One thing that was handed in.

    Args:
        library: whose file it is.
        file: its name, and what it was offered as.
        outcome: one of `OUTCOMES`.
        says: the refusal, or what went wrong.
    """

    library: str
    file: str
    outcome: str
    says: str = ""


def opened_apart(paths: Sequence[Path], kind: str) -> NDArray[Any]:
    """As an import on a page or the command line: in a process of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        if kind == "mask":
            return np.array(reading_apart.read_mask(paths[0], Path(scratch)).labels.array)
        return np.array(reading_apart.read_scan(paths, _modality(kind), "", Path(scratch))[0].array)


def opened_here(paths: Sequence[Path], kind: str) -> NDArray[Any]:
    """As the reading process does it, in this one."""
    if kind == "mask":
        return mask_on(paths[0], None).labels.array
    return open_scan(paths, _modality(kind))[0].array


def _modality(kind: str) -> Modality:
    return next(modality for modality in MODALITIES if modality == kind)


def packages() -> dict[str, list[Path]]:
    """The test files that the installed packages carry."""
    data = Path(nib.__file__).parent / "tests" / "data"
    files = [path for path in map(Path, pydicom.data.get_testdata_files()) if path.is_file()]
    return {
        "pydicom": sorted(path for path in files if "data_store" not in path.parts),
        "pydicom-data": sorted(path for path in files if "data_store" in path.parts),
        "nibabel": sorted(path for path in data.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")),
    }


def try_all(library: str, files: Sequence[Path], open_it: Open) -> Iterator[Tried]:
    """Each file, each slice of DICOM as a pair, each series as a whole."""
    series: dict[str, list[Path]] = {}
    for path in files:
        header = _header(path)
        for kind in _kinds(header):
            yield _try(library, f"{path.name} as {kind}", [path], kind, open_it, header)
        if header is not None and header.get("Rows"):
            series.setdefault(str(header.get("SeriesInstanceUID")), []).append(path)
            yield from _as_a_pair(library, path, header, open_it)
    for paths in series.values():
        header = _header(paths[0])
        if len(paths) > 1 and header is not None:
            name = f"{len(paths)} files of the series of {paths[0].name}"
            yield _try(library, name, paths, _kinds(header)[0], open_it, None)


def _header(path: Path) -> Dataset | None:
    if image_suffix(path.name) or not is_dicom(path):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return pydicom.dcmread(path, force=True, stop_before_pixels=True)
    except Exception:
        return None


def _kinds(header: Dataset | None) -> tuple[str, ...]:
    if header is None:
        return (*MODALITIES, "mask")
    if header.get("Modality") in ("SEG", "RTSTRUCT"):
        return ("mask",)
    return (_OF_DICOM.get(str(header.get("Modality")), "CT"),)


def _as_a_pair(library: str, path: Path, header: Dataset, open_it: Open) -> Iterator[Tried]:
    """A slice as two, so that its voxels are read: what it lacks of a place is put in, its voxels stay as they are."""
    grey = header.get("SamplesPerPixel") == 1 and str(header.get("PhotometricInterpretation")).startswith("MONO")
    if not grey or "PerFrameFunctionalGroupsSequence" in header or str(header.get("NumberOfFrames", "1")) != "1":
        return
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pair = []
        try:
            for n in (0, 1):
                ds = pydicom.dcmread(path, force=True)
                ds.Modality, ds.ImageType = "MR", ["DERIVED", "PRIMARY"]
                ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = MRImageStorage
                ds.ImageOrientationPatient, ds.PixelSpacing = [1, 0, 0, 0, 1, 0], [1, 1]
                ds.ImagePositionPatient, ds.InstanceNumber = [0, 0, n], n + 1
                ds.SOPInstanceUID = generate_uid()
                pair.append(Path(folder) / f"{n}.dcm")
                ds.save_as(pair[n])
        except Exception:
            return  # pydicom itself does not read or write it again
        yield _try(library, f"{path.name} as two slices", pair, "MR", open_it, header)


def _try(library: str, file: str, paths: Sequence[Path], kind: str, open_it: Open, header: Dataset | None) -> Tried:
    try:
        found = open_it(paths, kind)
    except TwinReviewError as error:
        crashed = any(words in str(error) for words in _CRASHES)
        return Tried(library, file, "crashed" if crashed else "refused", str(error))
    except Exception as error:  # what a user would see as "something went wrong"
        return Tried(library, file, "crashed", f"{type(error).__name__}: {error}")
    problem = _compared(found, paths, kind, header)
    return Tried(library, file, "garbage" if problem else "read", problem)


def _compared(found: NDArray[Any], paths: Sequence[Path], kind: str, header: Dataset | None) -> str:
    """How the voxels differ from those of the package's own reader; "" where they agree or it reads none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = _by_its_own(paths, kind, header)
    except Exception:
        return ""
    if expected is None:
        return ""
    if kind == "mask" and header is not None:  # its order of axes is its own
        return "" if np.count_nonzero(found) == np.count_nonzero(expected) else "other voxels are labelled"
    if expected.shape != found.shape:
        return f"shape {found.shape}, its own reader has {expected.shape}"
    if kind == "mask":  # values are renumbered
        return "" if np.array_equal(found > 0, expected != 0) else "other voxels are labelled"
    if kind == "PET" and header is not None:  # SUV: in proportion
        expected = expected * (float(found.max()) / float(expected.max()))
    apart = float(np.abs(found.astype(float) - expected).max())
    most = 1e-5 * max(1.0, float(np.abs(expected).max()))
    return "" if apart <= most else f"voxels differ by up to {apart:.6g}"


def _by_its_own(paths: Sequence[Path], kind: str, header: Dataset | None) -> NDArray[Any] | None:
    if header is not None and len(paths) == 2:
        return np.stack([_scaled(pixel_array(path), pydicom.dcmread(path)).T for path in paths], axis=-1)
    if header is None and image_suffix(paths[0].name):
        image: Any = nib.load(paths[0])
        array = np.asarray(image.get_fdata(), float)
        while array.ndim > 3 and array.shape[-1] == 1:
            array = array[..., 0]
        return array
    if header is not None and "PerFrameFunctionalGroupsSequence" in header:
        return _frames(paths[0])
    return None


def _scaled(stored: NDArray[Any], header: Dataset) -> NDArray[Any]:
    return np.asarray(apply_modality_lut(stored, header), float)


def _frames(path: Path) -> NDArray[Any]:
    """A multi-frame file as highdicom makes a volume of it, on our axes: columns, rows, up along the normal."""
    from highdicom.image import imread

    volume = imread(path).get_volume(dtype=np.float64)
    array, axes = np.asarray(volume.array, float), np.asarray(volume.affine)
    if np.cross(axes[:3, 2], axes[:3, 1]) @ axes[:3, 0] < 0:
        array = array[::-1]
    return array.transpose(2, 1, 0)


def table(tried: Sequence[Tried]) -> str:
    """Counts as a table of Markdown, a row a library."""
    counts = Counter((item.library, item.outcome) for item in tried)
    lines = ["| library | handed in | " + " | ".join(OUTCOMES) + " |", "|---|---|" + "---|" * len(OUTCOMES)]
    for library in dict.fromkeys(item.library for item in tried):
        each = [counts[library, outcome] for outcome in OUTCOMES]
        lines.append(f"| {library} | {sum(each)} | " + " | ".join(map(str, each)) + " |")
    return "\n".join(lines)


def main() -> int:
    """Prints what was neither read nor refused, and the counts; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.library_files", description="Reads the libraries' own files."
    )
    parser.add_argument("more", nargs="*", metavar="NAME=FOLDER", help="a library, and the folder of its test files")
    parser.add_argument("--keep", action="store_true", help="write the counts into docs/formats.md")
    given = parser.parse_args()
    files = packages()
    for name, equals, folder in (argument.partition("=") for argument in given.more):
        if not equals or not Path(folder).is_dir():
            parser.error(f"Expected NAME=FOLDER, got {name!r}. Name the library and the folder of its files.")
        files[name] = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    tried = [item for library, paths in files.items() for item in try_all(library, paths, opened_apart)]
    for item in tried:
        if item.outcome in ("crashed", "garbage"):
            print(f"{item.outcome}: {item.library}, {item.file}: {item.says}")
    print(table(tried))
    if given.keep:
        keep_counts(table(tried))
    return int(any(item.outcome in ("crashed", "garbage") for item in tried))


if __name__ == "__main__":
    sys.exit(main())
