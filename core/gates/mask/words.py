"""What the mask gate says, in sentences for a clinician."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from core.gates.mask.components import (
    APPEARANCE,
    BEYOND,
    CONTRAST,
    HISTORY,
    POSITION,
    SHAPE,
    WITHIN,
    component_of,
    kind_of,
)

#: Last part of a name -> what more of it means.
_MEANS: Mapping[str, str] = {
    "left_out": "uptake goes on beyond its border",
    "taken_in": "its rim has no uptake",
    "open_border": "the uptake does not fall at a part of its border",
    "fat_inside": "fat or air lies in it",
    "fat_in_rim": "fat or air lies in its rim",
    "bone_inside": "bone lies in it",
    "blunt": "the image does not change at its border",
    "alike_outside": "what lies outside of its border looks like it",
    "gap": "it lies away from its last place",
    "moved": "its middle moved",
    "apart": "it lies beside its last place",
    "unlike": "its outline is another one than in the last accepted mask",
    "jump": "its volume jumped since the last accepted mask",
}
_OF = {SHAPE: "its shape", APPEARANCE: "its appearance", POSITION: "its place"}


def component_words(component: str) -> str:
    """A component in words: "contrast on the PET"."""
    return f"{kind_of(component)}{_where(component)}"


def _where(component: str) -> str:
    """ " on the PET" of "contrast/PET/beyond"."""
    channel = component.partition("/")[2].removesuffix(f"/{BEYOND}").removesuffix(f"/{WITHIN}")
    return f" on the {channel}" if channel else ""


def oddity_words(component: str, features: Sequence[tuple[str, float]], on: str = "") -> str:
    """Why a component is odd, without its kind.

    Args:
        features: (name, signed distance from the median in MAD units), the farthest first.
    """
    where = _where(component)
    told = [_MEANS[last] for name, away in features if away > 0 and (last := name.rpartition("/")[2]) in _MEANS]
    if told:
        return f"{on}{' and '.join(told[:2])}{where}"
    far = ", ".join(f"{name.rpartition('/')[2].replace('_', ' ')} {away:+.1f} spreads" for name, away in features[:3])
    return f"{on}{_OF.get(component, component)} is unlike those of other patients ({far})"


def not_judged_words(components: Iterable[str], had_past: bool, problems: Sequence[str]) -> str:
    """What a verdict does not rest on; "" where nothing is missing."""
    present = {component_of(f"{component}/x").split("/")[0] for component in components}
    missing = []
    if CONTRAST not in present:
        missing.append("contrast")
    if HISTORY not in present:
        missing.append("history" if had_past else "history (no earlier accepted mask)")
    if POSITION not in present and had_past:
        missing.append("position against its last place")
    if APPEARANCE not in present:
        missing.append(APPEARANCE)
    said = f"Not judged by statistics: {', '.join(missing)}." if missing else ""
    return " ".join(part for part in (said, *problems) if part)
