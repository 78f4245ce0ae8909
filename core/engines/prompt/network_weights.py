"""Verified weights into a network, all of them or none; for every model that answers boxes and points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.errors import ModelError

if TYPE_CHECKING:
    import torch


def fill_network(network: torch.nn.Module, state: dict[str, Any], model_id: str) -> None:
    """Loads `state` into `network`, all of it or not at all.

    Raises:
        ModelError: naming the parameters that are missing, unknown or of another shape.
    """
    state = state.get("model", state.get("state_dict", state))
    state = {name.removeprefix("module."): value for name, value in state.items()}
    expected = network.state_dict()
    missing = sorted(expected.keys() - state.keys())
    unknown = sorted(state.keys() - expected.keys())
    misfit = [
        n for n in expected.keys() & state.keys() if tuple(getattr(state[n], "shape", ())) != tuple(expected[n].shape)
    ]
    if missing or unknown or misfit:
        sample = ", ".join((missing + unknown + sorted(misfit))[:3])
        raise ModelError(
            f"The weights of {model_id} are for another network: of {len(expected)} parameters expected, "
            f"{len(missing)} are missing, {len(misfit)} have another shape, and {len(unknown)} are unknown "
            f"({sample} ...). Check that the file is the one its name says, or choose another model."
        )
    network.load_state_dict(state)
