"""Write trained networks as one trained-model folder that any nnU-Net v2 reads, a fold for each; prints its hashes.

`python -m weights.recipes.sts_wide_view.export --from FOLDER --names seed0 seed1 --to weights/sts_ctpet_wide_view`
nnU-Net averages the folds' logits. No optimiser state; loads with `torch.load(weights_only=True)`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import torch

from weights.recipes.sts_ctpet.export import shared
from weights.recipes.sts_wide_view.plans import dataset, plans


def export(source: Path, names: list[str], to: Path, shift: float = 0.0) -> None:
    """`shift` is added to the tumour's logit: 0 decides at a probability of one half."""
    facts = [json.loads((source / f"{name}.json").read_text()) for name in names]
    window = facts[0]["window"]
    to.mkdir(parents=True, exist_ok=True)
    (to / "plans.json").write_text(json.dumps(plans(window), indent=1))
    (to / "dataset.json").write_text(json.dumps(dataset(18), indent=1))
    (to / "training.json").write_text(json.dumps(dict(zip(names, facts, strict=True))))
    for fold, name in enumerate(names):
        weights = torch.load(source / f"{name}.pth", weights_only=True, map_location="cpu")
        last = max(key for key in weights if key.startswith("decoder.seg_layers") and key.endswith("bias"))
        weights[last] = weights[last] + torch.tensor([0.0, shift], dtype=weights[last].dtype)
        folder = to / f"fold_{fold}"
        folder.mkdir(exist_ok=True)
        torch.save(
            {
                "network_weights": shared(weights),
                # The stock trainer builds the same network, so nothing of this recipe is needed to predict.
                "trainer_name": "nnUNetTrainer",
                "init_args": {"configuration": "3d_fullres", "fold": fold},
                "inference_allowed_mirroring_axes": (0, 1, 2),
                "current_epoch": facts[fold]["done_iterations"],
            },
            folder / "checkpoint_final.pth",
        )


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file that the network is loaded from, by its place in the folder; checkpoints first."""
    files = [*sorted(folder.glob("fold_*/checkpoint_final.pth")), folder / "dataset.json", folder / "plans.json"]
    return {f.relative_to(folder).as_posix(): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="source", type=Path, required=True)
    parser.add_argument("--names", nargs="+", required=True)
    parser.add_argument("--to", type=Path, default=Path("weights/sts_ctpet_wide_view"))
    parser.add_argument("--shift", type=float, default=0.0, help="added to the tumour's logit")
    arguments = parser.parse_args()
    export(arguments.source, arguments.names, arguments.to, arguments.shift)
    found = hashes(arguments.to)
    folds = [digest for name, digest in found.items() if name.startswith("fold_")]
    # As `weights.registry` puts several folds together.
    joined = folds[0] if len(folds) == 1 else hashlib.sha256("\n".join(folds).encode()).hexdigest()
    print(f'sha256 = "{joined}"\n\n[models.files]')
    for name, digest in found.items():
        print(f'"{name}" = "{digest}"')


if __name__ == "__main__":
    main()
