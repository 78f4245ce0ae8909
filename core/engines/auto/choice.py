"""Which network a timepoint is given to: the one in force that reads the scans that are there."""

from __future__ import annotations

from collections.abc import Sequence

from core.engines.auto.channels import Channelled, WaitsForScan, channels_of, scans_for
from core.errors import InputError

#: The networks in force, those that read most first; one that the manifest keeps as a candidate is passed over.
IN_FORCE = ("sts-ctpet-wide-view", "sts-ct", "sts-mr-t1")


def reads(model_id: str, scans: Sequence[Channelled]) -> bool:
    """Whether the scans feed all channels of a network."""
    try:
        scans_for(channels_of(model_id), scans)
    except InputError:
        return False
    return True


def fitting_model(scans: Sequence[Channelled]) -> str:
    """The first of `IN_FORCE` whose channels these scans feed.

    Raises:
        WaitsForScan: none reads these scans: of the network that misses fewest, which it misses.
        InputError: there is no scan; or none is in force here.
    """
    from weights import registry

    offered = {entry.id for entry in registry.models()}
    refusals: list[InputError] = []
    for model_id in (name for name in IN_FORCE if name in offered):
        try:
            scans_for(channels_of(model_id), scans)
            return model_id
        except InputError as refused:
            refusals.append(refused)
    if not refusals:
        raise InputError(
            f"Expected one of the networks {', '.join(IN_FORCE)} in weights/, got none of them. Name another model."
        )
    raise min(refusals, key=lambda one: len(one.missing) if isinstance(one, WaitsForScan) else 0)
