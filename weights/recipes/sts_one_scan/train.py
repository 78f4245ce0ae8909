"""Train a network that reads one scan alone, from the wide-view network's weights without the channel that is missing.

    python -m weights.recipes.sts_one_scan.train --sts ../shared/data/sts --kind CT --to FOLDER --seconds 2400
    python -m weights.recipes.sts_one_scan.train --sts ../shared/data/sts --kind MR --to FOLDER --seconds 1200

Of the 18 training patients alone (9 of them have MR). Writes FOLDER/KIND.pth (the average of the weights in half
precision, every few minutes and at the end) and FOLDER/KIND.json. Made for a CPU; it ends by the clock.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from weights.recipes.sts_ctpet.prepare import split
from weights.recipes.sts_one_scan.scans import KINDS, Kind, cases
from weights.recipes.sts_wide_view.batches import Volumes, change_values, join
from weights.recipes.sts_wide_view.cases import WINDOWS, Case
from weights.recipes.sts_wide_view.crops import Drawer
from weights.recipes.sts_wide_view.network import Average, build, loss
from weights.recipes.sts_wide_view.train import Settings, device, learning_rate, machine, write_weights
from weights.registry import find, load_model

BEGIN = "sts-ctpet-wide-view"
#: Of the running average: a few hundred steps must not be outweighed by the weights that they began with.
AVERAGED = 0.985
SAVED_EVERY_S = 120.0


def beginning(network: torch.nn.Module, checkpoint: dict[str, Any]) -> None:
    """Puts a two-channel network's weights into one of a single channel: those that looked at CT."""
    own = network.state_dict()
    taken = {}
    for name, value in checkpoint["network_weights"].items():
        if name in own:
            cut = value[:, :1] if value.shape[1:2] == (2,) and own[name].shape[1:2] == (1,) else value
            taken[name] = cut.float()
    network.load_state_dict(taken)


def train(found: list[Case], kind: Kind, settings: Settings, to: Path) -> torch.nn.Module:
    """Runs to the end of its iterations or seconds; the network that predicts (the average)."""
    torch.manual_seed(settings.seed)
    torch.set_flush_denormal(True)
    where = device()
    start = load_model(find(BEGIN))
    network = build(channels=1).to(where).to(memory_format=torch.channels_last_3d)
    beginning(network, start.states()[0])
    average, shown = Average(network, AVERAGED), build(channels=1).to(where)
    optimiser = torch.optim.AdamW(network.parameters(), lr=settings.rate, weight_decay=settings.decay)
    volumes, drawer = Volumes(found, WINDOWS["wide"], where), Drawer(found, settings.seed, settings.patch)
    top = [(window.high - window.low) / window.scale for window in WINDOWS["wide"]]
    began, saved, iteration, done = time.perf_counter(), 0.0, 0, 0.0
    history: list[dict[str, float]] = []
    losses: list[float] = []

    def save() -> None:
        average.copy_to(shown)
        write_weights(to / f"{kind.modality}.pth", shown)
        facts = {
            **asdict(settings),
            "began_from": BEGIN,
            "began_from_sha256": start.checkpoint_sha256,
            "done_iterations": iteration,
            "took_seconds": round(time.perf_counter() - began, 1),
            "machine": machine(),
            "torch": str(torch.__version__),
            "cases": len(found),
            "patients": sorted({case.patient for case in found}),
            "history": history,
        }
        (to / f"{kind.modality}.json").write_text(json.dumps(facts))

    while done < 1:
        crops = [drawer.draw() for _ in range(settings.batch)]
        image, tumour, inside = join(volumes.batch(crops, settings.patch), drawer.rng)
        image = change_values(image, inside, drawer.rng, top)[:, :1].contiguous(memory_format=torch.channels_last_3d)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(done, settings.rate)
        value = loss(network(image), tumour)
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 3.0)
        optimiser.step()
        average.update()
        losses.append(float(value.detach()))
        iteration += 1
        seconds = time.perf_counter() - began
        done = max(iteration / settings.iterations, seconds / settings.seconds if settings.seconds else 0.0)
        if iteration % 20 == 0:
            mean = sum(losses) / len(losses)
            losses = []
            history.append({"iteration": iteration, "loss": round(mean, 4), "seconds": round(seconds, 1)})
            print(f"{kind.modality} {iteration} loss {mean:.3f} {seconds:.0f} s", flush=True)
        if seconds - saved > SAVED_EVERY_S:
            saved = seconds
            save()
    save()
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sts", type=Path, required=True)
    parser.add_argument("--kind", choices=sorted(KINDS), required=True)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--iterations", type=int, default=4000)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rate", type=float, default=3e-4)
    arguments = parser.parse_args()
    kind = KINDS[arguments.kind]
    settings = Settings(
        seed=arguments.seed,
        iterations=arguments.iterations,
        seconds=arguments.seconds,
        batch=arguments.batch,
        rate=arguments.rate,
        patch=kind.patch,
    )
    arguments.to.mkdir(parents=True, exist_ok=True)
    training, _ = split(arguments.sts)
    began = time.perf_counter()
    found = list(cases(arguments.sts, training, kind))
    print(f"{len(found)} cases in {time.perf_counter() - began:.0f} s", flush=True)
    train(found, kind, settings, arguments.to)


if __name__ == "__main__":
    main()
