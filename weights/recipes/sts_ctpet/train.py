"""Train the shipped CT + PET network, in two rounds; each goes on from the one before.

    python -m weights.recipes.sts_ctpet.train --sts DIR --work DIR
    python -m weights.recipes.sts_ctpet.train --sts DIR --work DIR --second [--start CHECKPOINT]

nnU-Net v2's own trainer, loss and augmentation with fewer iterations and a running average of the weights, which is
what is exported. The first round sees the real patients; the second also scans without a tumour and small tumours
(`simulated.py`), at a third of the learning rate, and starts from the first's average or from an exported checkpoint.
nnU-Net logs one validation batch of the held-out patients each epoch; nothing is learned from it, and
what is exported is always the last average.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weights.recipes.sts_ctpet.prepare import DATASET, PLANS, prepare

ITERATIONS_PER_EPOCH = 50
LEARNING_RATE = 1e-2
SECOND_LEARNING_RATE = 3e-3


@dataclass
class Start:
    """Where a round begins: its weights (None: nnU-Net's own start) and what went before."""

    weights: dict[str, Any] | None = None
    steps: int = 0
    history: list[float] = field(default_factory=list)


def read_start(path: Path) -> Start:
    """A round's average.pth, or an exported checkpoint with its loss curve beside."""
    import torch

    saved = torch.load(path, weights_only=True, map_location="cpu")
    if "weights" in saved:
        return Start(saved["weights"], saved["steps"], saved["history"])
    curve = json.loads((path.parent.parent / "training_loss.json").read_text())
    return Start(saved["network_weights"], saved["current_epoch"], [point["loss"] for point in curve])


def build_trainer(work: Path, epochs: int, fold: int, start: Start):  # type: ignore[no-untyped-def]  # nnunetv2 has no types
    """nnUNetTrainer with a short schedule, an average of the weights (EMA), and no validation inside training."""
    import numpy as np
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    def plain(network):  # type: ignore[no-untyped-def]
        return getattr(network, "_orig_mod", network)

    class ShortTrainer(nnUNetTrainer):
        # nnU-Net reads its own argument names from this signature.
        def __init__(self, plans, configuration, fold, dataset_json, device):  # type: ignore[no-untyped-def]
            super().__init__(plans, configuration, fold, dataset_json, device)
            self.num_epochs, self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = (
                epochs,
                ITERATIONS_PER_EPOCH,
                1,
            )
            self.initial_lr = SECOND_LEARNING_RATE if start.weights else LEARNING_RATE
            self.average, self.steps, self.history = None, 0, list(start.history)

        def initialize(self):  # type: ignore[no-untyped-def]
            # Both only for speed on a CPU: 1.9 -> 1.3 s an iteration on one core of an AVX2 machine.
            super().initialize()
            if start.weights:
                self.network.load_state_dict(start.weights)  # type: ignore[has-type]
            self.network = torch.compile(self.network.to(memory_format=torch.channels_last_3d))  # type: ignore[has-type]

        def plot_network_architecture(self):  # type: ignore[no-untyped-def]
            """Needs graphviz; the plans say the same."""

        def train_step(self, batch):  # type: ignore[no-untyped-def]
            out = super().train_step(batch)
            self.steps += 1
            weights = plain(self.network).state_dict()
            if self.average is None:
                self.average = copy.deepcopy(weights)
            decay = min(0.998, (1 + self.steps) / (10 + self.steps))
            for name, value in weights.items():
                self.average[name].mul_(decay).add_(value, alpha=1 - decay)
            return out

        def on_epoch_end(self):  # type: ignore[no-untyped-def]
            self.history.append(float(np.mean(self.logger.get_value("train_losses", step=-1))))
            done = start.steps + self.steps
            print(f"{time.strftime('%H:%M:%S')} iteration {done}: loss {self.history[-1]:.3f}", flush=True)
            # As nnU-Net's own checkpoint, without the optimiser: the average is what predicts.
            torch.save(
                {
                    "weights": self.average,
                    "history": self.history,
                    "steps": done,
                    "mirror": self.inference_allowed_mirroring_axes,
                },
                work / "average.pth",
            )
            super().on_epoch_end()

    plans = json.loads((work / "preprocessed" / DATASET / f"{PLANS}.json").read_text())
    dataset = json.loads((work / "preprocessed" / DATASET / "dataset.json").read_text())
    plans["continue_training"] = False
    torch.manual_seed(20261121)
    np.random.seed(20261121)  # noqa: NPY002  # nnU-Net's augmentation draws from the global generator
    return ShortTrainer(plans, "3d_fullres", fold, dataset, torch.device("cpu"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sts", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--iterations", type=int, help="default: 2600, of the second round 1600")
    parser.add_argument("--second", action="store_true", help="the second round, with simulated cases")
    parser.add_argument("--start", type=Path, help="what the second round starts from; default: WORK/average.pth")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    prepare(arguments.sts, arguments.work)

    # Augment in this process: no second one fights for the cores.
    os.environ["nnUNet_n_proc_DA"] = "0"  # noqa: SIM112  # nnU-Net's own name
    import torch

    torch.set_num_threads(arguments.threads)
    start = read_start(arguments.start or arguments.work / "average.pth") if arguments.second else Start()
    iterations = arguments.iterations or (1600 if arguments.second else 2600)
    build_trainer(arguments.work, iterations // ITERATIONS_PER_EPOCH, int(arguments.second), start).run_training()


if __name__ == "__main__":
    main()
