"""How sure the network was of a lesion, in words, and from when on that is a doubt."""

from __future__ import annotations

from collections.abc import Iterable

from core.remembered.untyped import JsonObject

#: Of a doubt about it, in a mask's verdict (`core.remembered.judgements.Judgement.kinds`).
PROBABILITY = "probability"
#: Below this mean probability a lesion is doubted. Measured by `python -m weights.recipes.sts_wide_view.sureness` (the
#: card has every piece): six held-out tumours had .934 and more, the two false pieces .803 and less. Few to rest on.
LEAST_MEAN_PROBABILITY = 0.9


def probability_doubt(mean_probability: float | None) -> str | None:
    """Why a lesion is doubted: the network that drew it was not sure of it; None where it was, or no network drew it.

    Args:
        mean_probability: over the lesion's voxels, 0..1.
    """
    if mean_probability is None or mean_probability >= LEAST_MEAN_PROBABILITY:
        return None
    return (
        f"The network was not sure of it: mean probability {mean_probability:.2f}, "
        f"expected at least {LEAST_MEAN_PROBABILITY:.2f}."
    )


def probability_doubts(lesions: Iterable[JsonObject]) -> list[tuple[str, str]]:
    """(lesion id, why) of each lesion of a record that the network was not sure of."""
    found = ((str(lesion["lesion_id"]), probability_doubt(lesion.get("mean_probability"))) for lesion in lesions)
    return [(name, why) for name, why in found if why is not None]
