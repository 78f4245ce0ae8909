"""Write the averaged weights as a trained-model folder that any nnU-Net v2 reads.

`python -m weights.recipes.sts_ctpet.export --work DIR [--to weights/sts_ctpet_small]`; prints the manifest's hashes.
Holds no optimiser state; loads with `torch.load(weights_only=True)`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

from weights.recipes.sts_ctpet.prepare import DATASET, PLANS


def shared(weights: dict[str, Any]) -> dict[str, Any]:
    """Equal tensors become one. nnU-Net names most of its tensors two to four times; averaging pulled them apart."""
    first: dict[tuple[tuple[int, ...], bytes], Any] = {}
    return {
        name: first.setdefault((tuple(value.shape), value.numpy().tobytes()), value.contiguous())
        for name, value in weights.items()
    }


def export(work: Path, target: Path) -> str:
    """Returns the checkpoint's sha256."""
    import torch

    average = torch.load(work / "average.pth", weights_only=True, map_location="cpu")
    (target / "fold_0").mkdir(parents=True, exist_ok=True)
    for name, source in (("plans.json", f"{PLANS}.json"), ("dataset.json", "dataset.json")):
        content = json.loads((work / "preprocessed" / DATASET / source).read_text())
        (target / name).write_text(json.dumps(content, indent=1))
    checkpoint = target / "fold_0" / "checkpoint_final.pth"
    torch.save(
        {
            "network_weights": shared(average["weights"]),
            # The stock trainer builds the same network, so nothing of this recipe is needed to predict.
            "trainer_name": "nnUNetTrainer",
            "init_args": {"configuration": "3d_fullres", "fold": 0},
            "inference_allowed_mirroring_axes": tuple(average["mirror"]),
            "current_epoch": average["steps"],
        },
        checkpoint,
    )
    curve = [{"iteration": 50 * (n + 1), "loss": round(v, 4)} for n, v in enumerate(average["history"])]
    (target / "training_loss.json").write_text(json.dumps(curve, indent=None))
    return hashlib.sha256(checkpoint.read_bytes()).hexdigest()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--to", type=Path, default=Path("weights/sts_ctpet_small"))
    arguments = parser.parse_args()
    print(f'sha256 = "{export(arguments.work, arguments.to)}"\n\n[models.files]')
    for name in ("dataset.json", "fold_0/checkpoint_final.pth", "plans.json"):
        print(f'"{name}" = "{hashlib.sha256((arguments.to / name).read_bytes()).hexdigest()}"')
