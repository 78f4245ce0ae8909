"""How much of this machine one import may take: from the settings, with defaults for a CT of 1024 x 1024 x 1000."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import InputError
from core.settings import settings


@dataclass(frozen=True)
class ImportLimits:
    """Limits of one import.

    Args:
        voxel_bytes: of the image's voxels as float32, which is how they are worked with (TWIN_MAX_IMPORT_GB).
        upload_bytes: of the files of one browser session (a tab) together, as they were sent (TWIN_MAX_UPLOAD_GB). Who
            opens several tabs has as much in each, up to the limit of all sessions together.
        upload_files: how many files one session may hold at once (TWIN_MAX_UPLOAD_FILES).
        seconds: for reading one image, by the clock and of the processor (TWIN_IMPORT_SECONDS).
    """

    voxel_bytes: int
    upload_bytes: int
    upload_files: int
    seconds: float

    @property
    def memory_bytes(self) -> int:
        """Memory limit of the reading process: stored voxels (8 bytes each at most), two float32 copies, and a rest."""
        return 4 * self.voxel_bytes + 2**28

    @property
    def file_bytes(self) -> int:
        """Size limit of a zip's files together, and of any file that the reading process writes: voxels of 8 bytes."""
        return 2 * self.voxel_bytes + 2**26


def import_limits() -> ImportLimits:
    """The limits in force; raises InputError as `core.settings.settings`."""
    now = settings()
    return ImportLimits(
        int(now.max_import_gb * 2**30), int(now.max_upload_gb * 2**30), now.max_upload_files, now.import_seconds
    )


def check_voxel_bytes(name: str, shape: tuple[int, int, int]) -> None:
    """Refuse an image that is larger than the installation takes, by what its header declares.

    Raises:
        InputError: more than `TWIN_MAX_IMPORT_GB` of float32 voxels.
    """
    most = import_limits().voxel_bytes
    needed = 4 * shape[0] * shape[1] * shape[2]  # Python integers: no overflow
    if needed > most:
        raise InputError(
            f"{name}: expected at most {most / 2**30:.3g} GB of voxels, the header claims {needed / 2**30:,.4g} GB "
            f"({' x '.join(map(str, shape))}). Crop or resample it, or ask the administrator to raise "
            "TWIN_MAX_IMPORT_GB."
        )
