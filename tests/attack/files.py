"""Doors of files: what a file that somebody hands in can read, fill or leave behind."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.attack.door import ROOT, SECRET, Door, Opened, Ran, Skipped, cli, holds
from tests.attack.scene import image, import_scan

#: 10 x 10 x 10 bytes: the secret and what stands after it, as a scan would show them.
_VOXELS = 1000
_AS_CT = ("--dataset", "c", "--patient", "P0", "--date", "2024-01-10", "--modality", "CT")
_NRRD = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 10 10 10\nspacings: 1 1 1\nencoding: raw\n"
_MHA = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nElementSpacing = 1 1 1\nDimSize = 10 10 10\n"
    "ElementType = MET_UCHAR\n"
)


def _secret(folder: Path) -> Path:
    path = folder / "secret.txt"
    path.write_bytes((SECRET * 100).encode()[:_VOXELS])
    return path


def _refused(root: Path, ran: Ran) -> str:
    """The refusal's words; Opened if it was none, or something was stored."""
    if ran.status == 0:
        raise Opened(f"it was imported; the secret's bytes are in {holds(root, SECRET) or 'no stored file'}")
    stored = [p for p in root.rglob("*") if p.is_file() and p.parent.name != "ledger" and "raw" in p.parts]
    if stored:
        raise Opened(f"it was refused, but {stored[0].name} was left")
    return ran.err


def _pointer(name: str, text: Callable[[Path], str]) -> Callable[[Path], str]:
    def attempt(folder: Path) -> str:
        secret, scan = _secret(folder), folder / name
        scan.write_bytes(text(secret).encode())
        return _refused(folder / "data", import_scan(folder / "data", scan))

    return attempt


def _comments() -> str:
    return ("#" + "x" * 78 + "\n") * 920  # 72 kB


def _pair(folder: Path) -> str:
    import nibabel as nib

    voxels = np.random.default_rng(1).integers(0, 200, (10, 10, 10)).astype(np.uint8)
    nib.save(nib.Nifti1Pair(voxels, np.eye(4)), folder / "scan.hdr")
    (folder / "scan.hdr").rename(folder / "scan.nii")
    return _refused(folder / "data", import_scan(folder / "data", folder / "scan.nii"))


def _nifti_bomb(folder: Path) -> str:
    """A header that is right, and gigabytes of zeros packed small."""
    import nibabel as nib

    shape = (1200, 1200, 900)
    header = nib.Nifti1Header()
    header.set_data_dtype(np.uint8)
    header.set_data_shape(shape)
    header.set_sform(np.eye(4), 1)
    header["magic"], header["vox_offset"] = b"n+1", 352
    bomb = folder / "bomb.nii.gz"
    with gzip.open(bomb, "wb", compresslevel=9) as sink:
        sink.write(header.binaryblock + b"\0" * 4)
        block = bytes(2**24)
        for _ in range(int(np.prod(shape)) // len(block) + 1):
            sink.write(block)
    before = cli(folder / "empty", "import", str(folder / "none.nii"), *_AS_CT).peak_bytes
    ran = import_scan(folder / "data", bomb)
    said = f"{bomb.stat().st_size >> 10} kB were"
    if ran.status != 1:
        raise Opened(f"{said} not refused (status {ran.status}, {ran.peak_bytes / 2**30:.1f} GB)")
    if ran.peak_bytes > before + 2**30:
        raise Opened(f"{said} refused after {ran.peak_bytes / 2**30:.1f} GB were taken")
    return f"{said} refused, with {(ran.peak_bytes - before) >> 20} MB more than any other command takes; {ran.err}"


def _zip(name: str, megabytes: int, declared: int | None = None) -> Callable[[Path], str]:
    """A zip of one file of zeros, whose headers say that it has `declared` bytes."""

    def attempt(folder: Path) -> str:
        path = folder / "scan.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, bytes(megabytes << 20))
        if declared is not None:
            content = path.read_bytes().replace((megabytes << 20).to_bytes(4, "little"), declared.to_bytes(4, "little"))
            path.write_bytes(content)
        before = set(folder.rglob("*"))
        said = _refused(folder / "data", import_scan(folder / "data", path))
        beside = {p for p in folder.rglob("*") if p not in before and folder / "data" not in (p, *p.parents)}
        if beside:
            raise Opened(f"a file came to lie outside: {sorted(beside)[0].name}")
        return said

    return attempt


def _killed(folder: Path) -> str:
    """A zip of a named patient's DICOM files; the process is killed while it reads them; the store is opened again."""
    from tests.dicom_phantom import stored_values, write_series

    write_series(folder / "dicom", stored=stored_values(60, 64, 64))
    archive = folder / "scan.zip"
    with zipfile.ZipFile(archive, "w") as sink:
        for path in sorted((folder / "dicom").iterdir()):
            sink.write(path, path.name)
    root, temp = folder / "data", folder / "tmp"
    temp.mkdir()
    command = [sys.executable, "cli.py", "import", str(archive), *_AS_CT, "--data", str(root)]
    killed = 0
    for _ in range(4):
        child = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "TMPDIR": str(temp)},
        )
        if _wait_for(child, lambda: bool(holds(temp, "DOE^JANE") + holds(root, "DOE^JANE"))):
            os.killpg(child.pid, signal.SIGKILL)
            killed += 1
        child.wait()
        shutil.rmtree(root / "raw", ignore_errors=True)
    if not killed:
        raise Skipped("the process was never seen with the patient's files on disk")
    cli(root, "verify")
    named = holds(temp, "DOE^JANE") + holds(root, "DOE^JANE")
    if named:
        raise Opened(f"{len(named)} files with the patient's name are left, the first {named[0]}")
    return f"killed {killed} times while it read; opened again, no file with the patient's name is left"


def _wait_for(child: subprocess.Popen[bytes], seen: Callable[[], bool]) -> bool:
    """Whether something was seen while the process ran."""
    until = time.monotonic() + 60
    while child.poll() is None and time.monotonic() < until:
        if seen():
            return True
        time.sleep(0.005)
    return False


def _other_accounts(folder: Path) -> str:
    """An import under the umask that most accounts have, into a folder that is there already."""
    root = folder / "data"
    root.mkdir(0o755)
    before = os.umask(0o022)
    try:
        ran = import_scan(root, image(folder / "scan.nii.gz", 1))
    finally:
        os.umask(before)
    if ran.status != 0:
        raise Opened(f"a good scan was refused: {ran.text}")
    found = [path for path in (root, *root.rglob("*")) if not path.is_symlink()]
    others = [path for path in found if path.stat().st_mode & 0o077]
    if others or len(found) < 5:
        raise Opened(f"{len(others)} of {len(found)} files and folders have rights for others, the first {others[:1]}")
    return f"none of {len(found)} files and folders of the data folder has rights for another account"


def _shifted(folder: Path) -> str:
    from tests.dicom_phantom import write_series

    write_series(folder / "dicom")
    ran = import_scan(folder / "data", folder / "dicom", "--json", day="2031-01-01")
    if ran.status != 0:
        raise Opened(f"a shifted import was refused: {ran.text}")
    text = json.dumps(ran.out) + ran.err
    found = [date for date in ("2024-03-05", "20240305", "2024/03/05") if date in text]
    found += [name for date in ("2024-03-05", "20240305") for name in holds(folder / "data", date)]
    if found:
        raise Opened(f"the file's own date is in {found[0]}")
    return "the file's own date is in no file, row, entry or message"


def _named_id(folder: Path) -> str:
    from tests.dicom_phantom import write_series

    write_series(folder / "dicom")
    for name in ("DOE_JANE_19510203", "Mueller-1954-03-02"):
        ran = import_scan(folder / "data", folder / "dicom", patient=name)
        if ran.status == 0:
            raise Opened(f"{name} was taken as a pseudonym without a question")
    return ran.err


DOORS = [
    Door(
        "Files",
        "NRRD with 72 kB of comments before 'data file: secret.txt'",
        _pointer("scan.nrrd", lambda s: _NRRD + _comments() + f"data file: {s}\n\n"),
    ),
    Door(
        "Files", "NRRD 'datafile:' with an absolute path", _pointer("scan.nrrd", lambda s: _NRRD + f"datafile: {s}\n\n")
    ),
    Door("Files", "NRRD 'Data File: LIST'", _pointer("scan.nrrd", lambda s: _NRRD + f"Data File: LIST\n{s}\n")),
    Door("Files", "NRRD header without an end", _pointer("scan.nrrd", lambda s: _NRRD + _comments() * 40)),
    Door(
        "Files",
        "MetaImage ElementDataFile = secret.txt",
        _pointer("scan.mha", lambda s: _MHA + f"ElementDataFile = {s}\n"),
    ),
    Door(
        "Files",
        "MetaImage with 72 kB of comments before ElementDataFile",
        _pointer("scan.mha", lambda s: _MHA + "Comment = " + "x" * 72_000 + f"\nElementDataFile = {s}\n"),
    ),
    Door(
        "Files",
        "MetaImage ElementDataFile = LIST",
        _pointer("scan.mha", lambda s: _MHA + f"ElementDataFile = LIST\n{s}\n"),
    ),
    Door("Files", "half of a NIfTI pair", _pair),
    Door("Files", "gzip that expands to 1.3 GB of voxels", _nifti_bomb),
    Door("Files", "zip whose one file is said to have 4 GB", _zip("a.nii", 1, 2**32 - 2)),
    Door("Files", "zip of 200 MB that is said to hold 4 kB", _zip("a.nii", 200, 4096)),
    Door("Files", "zip with a path that leads out", _zip("../outside.dcm", 1)),
    Door("Files", "killed while it unpacks a named patient's files", _killed),
    Door("Files", "another account of the machine reads the data folder", _other_accounts),
    Door("Files", "the date inside the file after a shifted import", _shifted),
    Door("Files", "an id that is a name and a birth date", _named_id),
]
