"""An experiment: does a network find a tumour better when it is shown the last visit's mask? Trained and measured.

    python -m weights.recipes.sts_wide_view.prepare --sts ../shared/data/sts --to cases.npz
    python -m weights.recipes.sts_last_visit.train --sts ../shared/data/sts --cases cases.npz --to FOLDER --seconds 1500

From the weights of `sts-ctpet-wide-view`, with a third input channel that begins without any; of its 18 training
patients alone. Measured on the six held out, at the network's spacing: without a past, with one of half, the same and
twice the volume, and with one in another place. Beside it the same training without the channel, for more training
alone may help. Writes FOLDER/measured.json; no weights are kept. The pasts are simulated (`past.py`).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from weights.recipes.sts_ctpet.prepare import split
from weights.recipes.sts_last_visit.past import past_channel, past_of
from weights.recipes.sts_one_scan.train import AVERAGED
from weights.recipes.sts_wide_view.batches import Volumes, change_values, join
from weights.recipes.sts_wide_view.cases import WINDOWS, Case, decode, load, normalise
from weights.recipes.sts_wide_view.crops import Drawer
from weights.recipes.sts_wide_view.measure import dice, probability
from weights.recipes.sts_wide_view.network import Average, build, loss
from weights.recipes.sts_wide_view.prepare import Preprocessor, cases_of
from weights.recipes.sts_wide_view.train import device, learning_rate, machine
from weights.registry import find, load_model

BEGIN = "sts-ctpet-wide-view"
RATE, PATCH = 3e-4, 48
#: Past volume by present volume of what is measured.
FACTORS = {"past of half the volume": 0.5, "past of the same volume": 1.0, "past of twice the volume": 2.0}
NO_PAST, ELSEWHERE = "no past", "past in another place"

Row = dict[str, str | float]


def beginning(channels: int) -> torch.nn.Module:
    """The shipped network with so many channels; a new one begins with weights of zero."""
    network = build(channels=channels)
    own = network.state_dict()
    for name, value in load_model(find(BEGIN)).states()[0]["network_weights"].items():
        if name in own:
            if value.shape == own[name].shape:
                own[name] = value.float()
            else:
                own[name] = torch.zeros_like(own[name])
                own[name][:, : value.shape[1]] = value.float()
    network.load_state_dict(own)
    return network


def train(cases: Sequence[Case], channels: int, seed: int, iterations: int, seconds: float) -> torch.nn.Module:
    """Runs to the end of its iterations or seconds; the network that predicts (the average of its weights)."""
    torch.manual_seed(seed)
    torch.set_flush_denormal(True)
    where = device()
    network = beginning(channels).to(where).to(memory_format=torch.channels_last_3d)
    average, shown = Average(network, AVERAGED), build(channels=channels).to(where)
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-2)
    volumes, drawer = Volumes(cases, WINDOWS["wide"], where), Drawer(cases, seed, PATCH)
    pasts = np.random.default_rng([seed, 7])  # its own, so that both trainings see the same crops
    top = [(window.high - window.low) / window.scale for window in WINDOWS["wide"]]
    began, done, iteration = time.perf_counter(), 0.0, 0
    while done < 1:
        parts = join(volumes.batch([drawer.draw()], PATCH), drawer.rng)
        image = change_values(parts[0], parts[2], drawer.rng, top)
        if channels == 3:
            image = torch.cat([image, past_channel(parts[1], pasts)], 1)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(done, RATE)
        value = loss(network(image.contiguous(memory_format=torch.channels_last_3d)), parts[1])
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 3.0)
        optimiser.step()
        average.update()
        iteration += 1
        spent = time.perf_counter() - began
        done = max(iteration / iterations, spent / seconds if seconds else 0.0)
        if iteration % 20 == 0:
            print(f"{channels} channels, {iteration}: loss {float(value.detach()):.3f} {spent:.0f} s", flush=True)
    average.copy_to(shown)
    return shown.eval()


def pasts_of(tumour: NDArray[np.bool_], seed: int) -> dict[str, NDArray[np.bool_]]:
    """What a held-out tumour is measured with."""
    found = {
        name: past_of(tumour, by, np.random.default_rng([seed, n])) for n, (name, by) in enumerate(FACTORS.items())
    }
    away = np.roll(found["past of the same volume"], [n // 3 for n in tumour.shape], axis=(0, 1, 2))
    return {NO_PAST: np.zeros_like(tumour), **found, ELSEWHERE: away}


def measured(network: torch.nn.Module, channels: int, cases: Sequence[Case]) -> list[Row]:
    """A row a patient and past: Dice with the truth, and volume found by true volume."""
    rows: list[Row] = []
    for number, case in enumerate(cases):
        image = normalise(decode(case.image), WINDOWS["wide"])
        for name, past in pasts_of(case.tumour, number).items() if channels == 3 else [(NO_PAST, case.tumour)]:
            shown = np.concatenate([image, past[None].astype(np.float32)]) if channels == 3 else image
            found = probability(network, shown) >= 0.5
            row: Row = {"patient": case.patient, "past": name, "dice": round(dice(found, case.tumour), 4)}
            rows.append({**row, "volume": round(float(found.sum() / case.tumour.sum()), 4)})
    return rows


def summary(found: dict[str, list[Row]]) -> list[str]:
    """Lines, the lowest Dice first."""
    lines: list[tuple[float, str]] = []
    for network, rows in found.items():
        for past in dict.fromkeys(str(row["past"]) for row in rows):
            own = [row for row in rows if row["past"] == past]
            scores, volumes = ([float(row[name]) for row in own] for name in ("dice", "volume"))
            mean, least, volume = float(np.mean(scores)), min(scores), float(np.mean(volumes))
            lines.append((mean, f"| {network} | {past} | {mean:.3f} | {least:.3f} | {volume:.2f} |"))
    return ["| network | shown | mean Dice | least | volume by true volume |", "| --- | --- | --- | --- | --- |"] + [
        line for _, line in sorted(lines)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sts", type=Path, required=True)
    parser.add_argument("--cases", type=Path, required=True, help="what sts_wide_view.prepare wrote")
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--iterations", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=0.0, help="of each of the two trainings")
    arguments = parser.parse_args()
    arguments.to.mkdir(parents=True, exist_ok=True)
    preprocess = Preprocessor()
    _, held_out = split(arguments.sts)
    learn = [case for case in load(arguments.cases) if case.patient not in held_out]
    asked = [next(cases_of(arguments.sts, patient, 0, preprocess)) for patient in held_out]
    found = {"sts-ctpet-wide-view as shipped (first seed)": measured(beginning(2).eval(), 2, asked)}
    for channels, name in ((3, "trained on, with the last visit's mask"), (2, "trained on, without")):
        network = train(learn, channels, arguments.seed, arguments.iterations, arguments.seconds)
        found[name] = measured(network, channels, asked)
        facts = {"machine": machine(), "seconds": arguments.seconds, "iterations": arguments.iterations, "rows": found}
        (arguments.to / "measured.json").write_text(json.dumps(facts, indent=1))
    print("\n".join(summary(found)))


if __name__ == "__main__":
    main()
