"""Write a trained network of one scan as a folder that any nnU-Net v2 reads; prints the manifest's hashes.

`python -m weights.recipes.sts_one_scan.export --kind CT --from FOLDER --to weights/sts_ct`
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from weights.recipes.sts_ctpet.export import shared
from weights.recipes.sts_one_scan.scans import KINDS, Kind, dataset, plans
from weights.recipes.sts_wide_view.cases import WINDOWS
from weights.recipes.sts_wide_view.export import hashes


def export(kind: Kind, source: Path, to: Path) -> None:
    """plans.json, dataset.json, training.json and the checkpoint."""
    facts = json.loads((source / f"{kind.modality}.json").read_text())
    weights = torch.load(source / f"{kind.modality}.pth", weights_only=True, map_location="cpu")
    if kind.scheme == "RescaleTo01Normalization":
        # nnU-Net hands over 0..1; training saw it in the place of CT's window.
        window = WINDOWS["wide"][0]
        first = [name for name, value in weights.items() if value.ndim == 5 and value.shape[1] == 1]
        scaled: dict[int, torch.Tensor] = {}
        for name in first:
            key = weights[name].data_ptr()
            scaled.setdefault(key, weights[name] * ((window.high - window.low) / window.scale))
            weights[name] = scaled[key]
    (to / "fold_0").mkdir(parents=True, exist_ok=True)
    (to / "plans.json").write_text(json.dumps(plans(kind), indent=1))
    (to / "dataset.json").write_text(json.dumps(dataset(kind, len(facts["patients"])), indent=1))
    (to / "training.json").write_text(json.dumps(facts))
    torch.save(
        {
            "network_weights": shared(weights),
            # The stock trainer builds the same network, so nothing of this recipe is needed to predict.
            "trainer_name": "nnUNetTrainer",
            "init_args": {"configuration": "3d_fullres", "fold": 0},
            "inference_allowed_mirroring_axes": (0, 1, 2),
            "current_epoch": facts["done_iterations"],
        },
        to / "fold_0" / "checkpoint_final.pth",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=sorted(KINDS), required=True)
    parser.add_argument("--from", dest="source", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True)
    arguments = parser.parse_args()
    export(KINDS[arguments.kind], arguments.source, arguments.to)
    found = hashes(arguments.to)
    print(f'sha256 = "{found["fold_0/checkpoint_final.pth"]}"\n\n[models.files]')
    for name, digest in found.items():
        print(f'"{name}" = "{digest}"')


if __name__ == "__main__":
    main()
