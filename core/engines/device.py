"""Where the networks run."""

from __future__ import annotations

from typing import Any


def pick_device() -> Any:
    """The first CUDA device where there is one, else the CPU (a `torch.device`)."""
    import torch

    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def describe_device() -> str:
    """For the System page: "CUDA: NAME, 16 GB, half precision" or "CPU, N threads"."""
    import torch

    device = pick_device()
    if device.type == "cuda":
        facts = torch.cuda.get_device_properties(device)
        return f"CUDA: {facts.name}, {facts.total_memory / 2**30:.0f} GB, half precision"
    return f"CPU, {torch.get_num_threads()} threads, single precision"
