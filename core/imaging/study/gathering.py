"""The files of whatever a person hands in: single files, folders, zips, a whole disc."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from core.errors import InputError
from core.imaging.archives import MAX_FILES, unpack
from core.imaging.image_files import reading


class GivenFile(NamedTuple):
    """A file, and its path as the person knows it: within the folder or zip that was handed in."""

    path: Path
    label: str

    @property
    def name(self) -> str:
        """The last part of its label."""
        return self.label.rpartition("/")[2]

    @property
    def folder(self) -> str:
        """What its label says before the name."""
        return self.label.rpartition("/")[0]


def gather(paths: Sequence[Path], scratch: Path) -> list[GivenFile]:
    """Every file that is handed in, zips unpacked into `scratch`; hidden files and a Mac's `__MACOSX` are left out.

    Raises:
        InputError: nothing is handed in, or it is not there; more than 20,000 files; as `core.imaging.archives.unpack`.
    """
    if not paths:
        raise InputError("Expected at least one file or folder, got none. Choose an image, a DICOM folder or a zip.")
    files: list[GivenFile] = []
    for number, path in enumerate(paths):
        with reading(path):
            if not path.exists():
                raise InputError(f"{path.name}: expected a file or folder, there is none. Check the path.")
            if path.is_dir():
                files += [
                    GivenFile(found, found.relative_to(path).as_posix())
                    for found in sorted(path.rglob("*"))
                    if found.is_file() and not _is_hidden(found.relative_to(path))
                ]
            else:
                files.append(GivenFile(path, path.name))
        if len(files) > MAX_FILES:
            raise InputError(
                f"{path.name}: expected at most {MAX_FILES:,} files, got more. Hand in one study at a time."
            )
        if path.is_dir():
            continue
        if path.name.lower().endswith(".zip"):
            files.pop()
            home = scratch / f"zip{number}"
            home.mkdir()
            files += [GivenFile(member.path, member.label) for member in unpack(path, home)]
    return files


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
