"""One model as it is listed: what it is, where it lies, and the hashes that prove it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
KINDS = ("nnunet", "litemedsam", "sam_vit_b", "sam2", "rfdeep", "scan-gate", "crop-encoder", "siglip")
CHECKPOINT = "checkpoint_final.pth"
#: What an nnU-Net is loaded from beside its checkpoints.
PLANS, DATASET = "plans.json", "dataset.json"
#: What a network of transformers is built by, beside its weights.
CONFIG = "config.json"


@dataclass(frozen=True)
class ModelEntry:
    """One model: the manifest's line, or what was found in a folder.

    Args:
        path: relative to `root`, or "package:NAME/FILE".
        sha256: of the checkpoint (of several folds: of their hashes, see `weights.registry.verify`): the manifest's,
            else as computed from the file that is there, else "".
        pinned: True if the manifest names the hash of everything that is loaded: of an nnU-Net also of its plans.
        root: the weights folder.
        preprocess: how a slice is prepared, see `core.engines.prompt.preparing.PREPROCESS`.
        files: further files of the model and their SHA-256, by their place beside the checkpoint or in the folder.
        expected: the manifest's `sha256`; "" where nobody has pinned it.
        parts: the pieces of one checkpoint that was cut up to be shipped, in order, by their places in folder `path`.
        requirements: the file whose packages have it, where it lies in one.
        candidate: measured, and offered nowhere yet: it is in no list, and is found by its id alone.
    """

    id: str
    name: str
    kind: str
    source: str
    licence: str
    sha256: str
    input: str
    modality: tuple[str, ...]
    path: str
    pinned: bool = False
    root: Path = HERE
    preprocess: str = ""
    files: tuple[tuple[str, str], ...] = field(default=())
    expected: str = ""
    parts: tuple[str, ...] = ()
    requirements: str = "requirements.txt"
    candidate: bool = False

    @property
    def in_folder(self) -> bool:
        """Whether `path` is a folder with several files in it."""
        return self.kind == "nnunet" or bool(self.parts)
