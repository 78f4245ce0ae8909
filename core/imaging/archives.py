"""Zip files from outside: looked through before a byte of them is unpacked."""

from __future__ import annotations

import shutil
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from core.errors import InputError
from core.imaging.image_files import image_suffix, reading
from core.imaging.limits import import_limits

MAX_FILES = 20_000


class Member(NamedTuple):
    """A file of a zip where it was unpacked, and its path within the zip."""

    path: Path
    label: str


@contextmanager
def unpacked(path: Path, scratch: Path, max_bytes: int | None = None) -> Iterator[list[Path]]:
    """The files of a zip, in a folder inside `scratch` that is gone afterwards, in the zip's order. As `unpack`."""
    folder = Path(scratch) / "unpacked"
    try:
        with reading(path):
            folder.mkdir()
        yield [member.path for member in unpack(path, folder, max_bytes)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def unpack(path: Path, folder: Path, max_bytes: int | None = None) -> list[Member]:
    """Unpack a zip, and zips that lie in it, one level deep: download portals put a zip in a zip.

    The files are renamed to numbers (suffix kept): names inside a zip may be a patient's, or an attack.

    Args:
        folder: one of the data root's own, which is swept when a process dies in the middle; the system's folder for
            temporary files is not.
        max_bytes: of all files together; by default what the settings allow (`core.imaging.limits`).

    Raises:
        InputError: not a zip, damaged, encrypted, with paths that lead outside, with links, larger than `max_bytes`
            unpacked, or of more than 20,000 files; zips in a zip in a zip.
    """
    limit = import_limits().file_bytes if max_bytes is None else max_bytes
    with reading(path):
        found = _extract(path, folder, limit, MAX_FILES)
        files = [member for member in found if not _is_zip(member.label)]
        left = limit - sum(member.path.stat().st_size for member in found)
        for number, inner in enumerate(member for member in found if _is_zip(member.label)):
            home = folder / f"inner{number}"
            home.mkdir()
            inside = _extract(inner.path, home, left, MAX_FILES - len(files))
            if any(_is_zip(member.label) for member in inside):
                raise InputError(
                    f"{path.name}: expected a zip of images, got zips in a zip in a zip. Unpack it, and zip the images."
                )
            left -= sum(member.path.stat().st_size for member in inside)
            inner.path.unlink()
            files += [Member(member.path, f"{inner.label}/{member.label}") for member in inside]
    return files


def _is_zip(label: str) -> bool:
    return label.lower().endswith(".zip")


def _extract(path: Path, folder: Path, max_bytes: int, max_files: int) -> list[Member]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = _checked(path.name, archive.infolist(), max_bytes, max_files)
            files = []
            for number, member in enumerate(members):
                target = folder / f"{number:06d}{image_suffix(member.filename) or '.dcm'}"
                with archive.open(member) as source, target.open("xb") as sink:
                    shutil.copyfileobj(source, sink, 2**20)  # zipfile stops at the declared size and checks the CRC
                files.append(Member(target, member.orig_filename.replace("\\", "/")))
            return files
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise InputError(
            f"{path.name}: expected a zip file, got one that is damaged, not a zip, or packed in an unusual way. "
            "Make the zip again with the ordinary method."
        ) from error


def _checked(name: str, members: list[zipfile.ZipInfo], max_bytes: int, max_files: int) -> list[zipfile.ZipInfo]:
    if any(member.flag_bits & 0x1 for member in members):
        raise InputError(
            f"{name}: expected an open zip, got an encrypted one. Unpack it and zip it without a password."
        )
    images = []
    for member in members:
        # zipfile turns backslashes into slashes only on Windows, so look at what was written.
        parts = PurePosixPath(member.orig_filename.replace("\\", "/")).parts
        if (
            not member.filename
            or not parts
            or parts[0] == "/"
            or ".." in parts
            or ":" in parts[0]
            or stat.S_ISLNK(member.external_attr >> 16)
        ):
            raise InputError(
                f"{name}: expected plain files, got a path or link that leads out of the zip. "
                "Do not trust this file; make a new zip of the images alone."
            )
        if not member.is_dir() and "__MACOSX" not in parts and not parts[-1].startswith("."):
            images.append(member)
    size = sum(member.file_size for member in images)
    if size > max_bytes or len(images) > max_files:
        raise InputError(
            f"{name}: expected at most {MAX_FILES:,} files and {max_bytes / 2**30:.3g} GB unpacked, "
            f"got {len(images):,} files and {size / 2**30:.3g} GB. Zip one series at a time."
        )
    return images
