"""Zip files that are refused: what they hold, and where it would go."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import Any

from core.imaging.archives import unpacked
from core.types import Volume
from tests.core.imaging.bad_inputs.registry import bad, nifti, scan, zipped


@bad("zip without images", "1 files of which none is DICOM", "Choose the folder")
def _(folder: Path) -> Volume:
    return scan(zipped(folder, ("letter.txt", b"Dear colleague")))


@bad("empty zip", "got no files", "Choose the folder")
def _(folder: Path) -> Volume:
    return scan(zipped(folder))


@bad("zip with a path that leads out", "leads out of the zip", "Do not trust this file")
def _(folder: Path) -> Volume:
    return scan(zipped(folder, ("../../evil.nii.gz", b"x")))


@bad("zip with an absolute path", "leads out of the zip", "Do not trust this file")
def _(folder: Path) -> Volume:
    return scan(zipped(folder, ("/etc/evil.nii.gz", b"x")))


@bad("zip with a Windows path", "leads out of the zip", "Do not trust this file")
def _(folder: Path) -> Volume:
    return scan(zipped(folder, ("..\\evil.nii.gz", b"x")))


@bad("zip with a symbolic link", "leads out of the zip", "Do not trust this file")
def _(folder: Path) -> Volume:
    link = zipfile.ZipInfo("scan.nii.gz")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(folder / "scan.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    return scan(folder / "scan.zip")


@bad("encrypted zip", "encrypted", "without a password")
def _(folder: Path) -> Volume:
    path = zipped(folder, ("scan.nii.gz", b"x" * 50))
    raw = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):  # flag bit 0 in the local and the central header
        raw[raw.index(signature) + offset] |= 1
    path.write_bytes(raw)
    return scan(path)


@bad("damaged zip", "damaged, not a zip", "Make the zip again")
def _(folder: Path) -> Volume:
    path = zipped(folder, ("scan.nii.gz", nifti(folder).read_bytes()))
    raw = bytearray(path.read_bytes())
    raw[200] ^= 0xFF
    path.write_bytes(raw)
    return scan(path)


@bad("zip that is none", "not a zip", "Make the zip again")
def _(folder: Path) -> Volume:
    (folder / "scan.zip").write_text("hello")
    return scan(folder / "scan.zip")


@bad("zip that declares too much", "GB unpacked, got 3 files", "one series at a time")
def _(folder: Path) -> Volume:
    path = zipped(folder, *[(f"{n}.dcm", b"x") for n in range(3)])
    raw = bytearray(path.read_bytes())
    at = -1
    while (at := raw.find(b"PK\1\2", at + 1)) >= 0:
        struct.pack_into("<I", raw, at + 24, 0xFFFFFFF0)  # uncompressed size in the central directory
    path.write_bytes(raw)
    return scan(path)


@bad("zip that unpacks to more than is allowed", "0.0001 GB", "one series at a time")
def _(folder: Path) -> Any:
    with unpacked(zipped(folder, ("bomb.dcm", bytes(10**6))), folder, max_bytes=107_374) as files:
        return files


@bad("zip of two images", "expected one image, got 2", "Import them one at a time")
def _(folder: Path) -> Volume:
    content = nifti(folder).read_bytes()
    return scan(zipped(folder, ("a.nii.gz", content), ("b.nii.gz", content)))
