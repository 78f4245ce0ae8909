"""Files that are not what they should be: each is refused with a message that says what is wrong and what to do."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest

from core.errors import InputError
from tests.core.imaging.bad_inputs import dicom_files, image_files, masks, zip_files
from tests.core.imaging.bad_inputs.registry import CASES, Build, nifti, scan, zipped

#: Registering their cases is what these are imported for.
REGISTERED = (image_files, zip_files, dicom_files, masks)


@pytest.mark.parametrize(("kind", "build", "error", "problem", "remedy"), CASES, ids=[case[0] for case in CASES])
def test_refused_with_what_is_wrong_and_what_to_do(
    tmp_path: Path, kind: str, build: Build, error: type[InputError], problem: str, remedy: str
) -> None:
    with pytest.raises(error) as caught:
        build(tmp_path)
    message = str(caught.value)
    assert problem in message
    assert remedy in message
    assert "xpected " in message  # each says so in as many words
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".tmp")]


def test_every_kind_is_named_once() -> None:
    kinds = [case[0] for case in CASES]
    assert len(set(kinds)) == len(kinds) >= 28


def test_no_memory_is_taken_for_what_a_header_merely_claims(tmp_path: Path) -> None:
    path = nifti(tmp_path, dim=[3, 1200, 1200, 1200, 1, 1, 1, 1])
    tracemalloc.start()
    with pytest.raises(InputError):
        scan(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_a_file_that_may_not_be_read_says_whom_to_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = nifti(tmp_path)

    def refuse(self: Path, *args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # root, who runs tests in containers, may read everything
    with pytest.raises(InputError, match=r"permission denied.*Ask its owner"):
        scan(path)


def test_unpacked_files_are_gone_after_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    with pytest.raises(InputError):
        scan(zipped(tmp_path, ("scan.nii.gz", b"not an image")))
    assert list(temporary.iterdir()) == []
