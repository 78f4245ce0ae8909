"""The files of whatever a person hands in: single files, folders, zips, a whole disc."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from core.errors import InputError
from core.imaging.archives import MAX_FILES, unpack
from core.imaging.image_files import reading
from core.imaging.limits import import_limits


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
    left = import_limits().file_bytes  # of all zips together
    for path in paths:
        with reading(path):
            if not path.exists():
                raise InputError(f"{path.name}: expected a file or folder, there is none. Check the path.")
            for file in _listed(path):
                opened = _opened(file, scratch / f"zip{len(files)}", left)
                if opened != [file]:
                    left -= sum(one.path.stat().st_size for one in opened)
                files += opened
        if len(files) > MAX_FILES:
            raise InputError(
                f"{path.name}: expected at most {MAX_FILES:,} files, got more. Hand in one study at a time."
            )
    return files


def _listed(path: Path) -> list[GivenFile]:
    if not path.is_dir():
        return [GivenFile(path, path.name)]
    found = [one for one in sorted(path.rglob("*")) if one.is_file() and not _is_hidden(one.relative_to(path))]
    return [GivenFile(one, one.relative_to(path).as_posix()) for one in found]


def _opened(file: GivenFile, home: Path, max_bytes: int) -> list[GivenFile]:
    """The file itself, or what is in it where it is a zip."""
    if not file.name.lower().endswith(".zip"):
        return [file]
    home.mkdir()
    folder = f"{file.folder}/" if file.folder else ""
    return [GivenFile(member.path, f"{folder}{member.label}") for member in unpack(file.path, home, max_bytes)]


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
