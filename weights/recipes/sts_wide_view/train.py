"""Train one network, on CUDA where there is one.

    python -m weights.recipes.sts_wide_view.train --cases FILE --to FOLDER --seed 0
    python -m weights.recipes.sts_wide_view.train --cases FILE --to FOLDER --fold 0   # one third kept back

Writes FOLDER/NAME.pth (the average of the weights in half precision, once a minute and at the end) and FOLDER/NAME.json
(losses, seconds, the machine). With --fold it also measures the patients kept back (`measure.py`).
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from weights.recipes.sts_wide_view import measure
from weights.recipes.sts_wide_view.batches import Volumes, change_values, join, with_bladders
from weights.recipes.sts_wide_view.cases import WINDOWS, Case, folds, load
from weights.recipes.sts_wide_view.crops import PATCH, Drawer
from weights.recipes.sts_wide_view.network import FEATURES, Average, build, loss

FOLDS = 3


@dataclass(frozen=True)
class Settings:
    """One training.

    Args:
        seed: of weights, crops and noise.
        iterations: of the schedule; it ends sooner at `seconds` (0: no limit).
        batch: patches an iteration.
        rate, decay: AdamW's.
        window: key of `cases.WINDOWS`.
        patch: voxels along each side.
        compiled: 1 = by torch.compile, which takes a minute before it pays.
    """

    seed: int = 0
    iterations: int = 8000
    seconds: float = 0.0
    batch: int = 6
    rate: float = 1e-3
    decay: float = 1e-2
    window: str = "wide"
    patch: int = PATCH
    compiled: int = 0


def learning_rate(done: float, highest: float) -> float:
    """At the share `done` of training (0..1): up over the first 3 %, then down along a cosine to a hundredth."""
    if done < 0.03:
        return highest * max(done / 0.03, 0.01)
    return highest * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (done - 0.03) / 0.97)))


def device() -> torch.device:
    """CUDA where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def machine() -> str:
    """What trains, by its own name."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"


def write_weights(path: Path, network: torch.nn.Module) -> None:
    """In half precision: the rounding is a thousandth of what two seeds differ by, and the file is half as large.

    nnU-Net names most of its tensors two to four times; each is written once.
    """
    written: dict[int, torch.Tensor] = {}
    state = {}
    for name, value in network.state_dict().items():
        if value.data_ptr() not in written:
            written[value.data_ptr()] = value.half().cpu()
        state[name] = written[value.data_ptr()]
    torch.save(state, path)


class Run:
    """A training under way: network, optimiser, average, and the batches they are fed.

    Args:
        cases: to learn from.
        settings: see there.
    """

    def __init__(self, cases: list[Case], settings: Settings) -> None:
        self.settings, self.device = settings, device()
        torch.manual_seed(settings.seed)
        self.network = build(FEATURES).to(self.device).to(memory_format=torch.channels_last_3d)
        if settings.compiled:
            self.network.compile()
        self.average, self.shown = Average(self.network), build(FEATURES).to(self.device)
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=settings.rate, weight_decay=settings.decay, fused=self.device.type == "cuda"
        )
        self.volumes = Volumes(cases, WINDOWS[settings.window], self.device)
        self.drawer = Drawer(cases, settings.seed)
        self.top = [(window.high - window.low) / window.scale for window in WINDOWS[settings.window]]
        self.began = time.perf_counter()

    def seconds(self) -> float:
        """Since the start."""
        return time.perf_counter() - self.began

    def done(self, iteration: int) -> float:
        """Share of the training behind it, by iterations or seconds, whichever is further."""
        share = iteration / self.settings.iterations
        return max(share, self.seconds() / self.settings.seconds) if self.settings.seconds else share

    def step(self, done: float) -> torch.Tensor:
        """One batch; its loss, still on the device."""
        crops = [self.drawer.draw() for _ in range(self.settings.batch)]
        parts = join(self.volumes.batch(crops, self.settings.patch), self.drawer.rng)
        image = with_bladders(parts, self.drawer.rng, WINDOWS[self.settings.window])
        image = change_values(image, parts[2], self.drawer.rng, self.top)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(done, self.settings.rate)
        image = image.contiguous(memory_format=torch.channels_last_3d)
        with torch.autocast(self.device.type, torch.bfloat16):
            outputs = self.network(image)
        value = loss(outputs, parts[1])
        self.optimiser.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 3.0)
        self.optimiser.step()
        self.average.update()
        return value.detach()


def train(cases: list[Case], settings: Settings, to: Path, name: str) -> torch.nn.Module:
    """Runs to the end; the network that predicts (the average)."""
    run = Run(cases, settings)
    history: list[dict[str, float]] = []
    kept: list[torch.Tensor] = []
    saved, iteration = 0.0, 0
    while (done := run.done(iteration)) < 1:
        kept.append(run.step(done))
        iteration += 1
        if iteration % 100 == 0:
            mean = float(torch.stack(kept).mean())
            history.append({"iteration": iteration, "loss": round(mean, 4), "seconds": round(run.seconds(), 1)})
            kept = []
            if not math.isfinite(mean):
                raise RuntimeError(f"Expected a finite loss, got {mean} at iteration {iteration}. Lower the rate.")
            if run.seconds() - saved > 55:
                saved = run.seconds()
                run.average.copy_to(run.shown)
                write_weights(to / f"{name}.pth", run.shown)
                print(f"{name} {iteration} loss {mean:.3f} {saved:.0f} s", flush=True)
    run.average.copy_to(run.shown)
    write_weights(to / f"{name}.pth", run.shown)
    facts = {
        **asdict(settings),
        "done_iterations": iteration,
        "took_seconds": round(run.seconds(), 1),
        "machine": machine(),
        "torch": str(torch.__version__),
        "cases": len(cases),
        "history": history,
    }
    (to / f"{name}.json").write_text(json.dumps(facts))
    print(f"{name}: {iteration} iterations in {run.seconds():.0f} s on {machine()}", flush=True)
    return run.shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=Path, required=True, help="what prepare wrote")
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--name", default="")
    parser.add_argument("--fold", type=int, choices=range(FOLDS), help="keep this third of the patients back")
    for key, value in asdict(Settings()).items():
        parser.add_argument(f"--{key}", type=type(value), default=value)
    arguments = parser.parse_args()
    settings = Settings(**{key: getattr(arguments, key) for key in asdict(Settings())})
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    cases = load(arguments.cases)
    back: list[str] = []
    if arguments.fold is not None:
        sizes = {case.patient: int(case.tumour.sum()) for case in cases if case.kind == "real"}
        back = folds(sizes, sizes, FOLDS)[arguments.fold]
    name = arguments.name or (f"seed{settings.seed}" if arguments.fold is None else f"fold{arguments.fold}")
    arguments.to.mkdir(parents=True, exist_ok=True)
    network = train([case for case in cases if case.patient not in back], settings, arguments.to, name)
    if back:
        rows = measure.kept_back(network, [case for case in cases if case.patient in back], settings.window)
        (arguments.to / f"{name}_measured.json").write_text(json.dumps(rows))
        print(name, json.dumps(measure.summary(rows)), flush=True)


if __name__ == "__main__":
    main()
