"""Where in the body something lies, in the words that people write, and whether two such places may be one.

What is not known is never taken for another place: two sites are apart only where both are read in full.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

#: site -> the words for it, as patterns. What is within another site stands in `WITHIN` as well.
SITES: Mapping[str, str] = {
    "whole body": r"(?:whole|total)[ -]body",
    "head and neck": r"head and neck|h&n",
    "brain": r"(?:whole[ -])?brain|cerebr(?:um|al)|cerebell(?:um|ar)|crani(?:um|al)|intracranial|"
    r"(?:frontal|parietal|temporal|occipital)(?: lobe)?|brain ?stem",
    "skull": r"skull(?: base)?",
    "face": r"face|facial|orbit(?:al)?|nas\w+|sinus(?:es)?|maxill\w+|mandib\w+|parotid",
    "neck": r"neck|cervical (?:lymph )?nodes?|larynx|laryngeal|pharynx|hypopharynx|oropharynx|thyroid",
    "chest": r"chest|thora(?:x|cic)",
    "lung": r"lungs?|pulmonary|bronch\w+|(?:upper|middle|lower) lobe",
    "mediastinum": r"mediastin(?:um|al)|hil(?:um|ar)|thym(?:us|ic)",
    "oesophagus": r"o?esophag(?:us|eal)",
    "breast": r"breasts?|mammary",
    "chest wall": r"chest wall|ribs?|pleura\w*|stern(?:um|al)|scapula\w*|clavic\w+|axilla\w*",
    "abdomen": r"abdom(?:en|inal)",
    "liver": r"liver|hepatic",
    "stomach": r"stomach|gastric",
    "bowel": r"bowel|colon|intestin\w+",
    "retroperitoneum": r"retroperiton(?:eum|eal)",
    "pancreas": r"pancrea(?:s|tic)",
    "kidney": r"kidneys?|renal",
    "adrenal": r"adrenals?(?: glands?)?",
    "spine": r"(?:(?:cervical|thoracic|lumbar) )?(?:spine|spinal|vertebra\w*)",
    "pelvis": r"pelvi(?:s|c)|ili(?:um|ac)|pub(?:is|ic)",
    "sacrum": r"sacr(?:um|al)",
    "prostate": r"prostat(?:e|ic)(?: bed)?",
    "bladder": r"bladder",
    "rectum": r"rect(?:um|al)|an(?:us|al)",
    "cervix": r"cervix|uter(?:us|ine)|vagina\w*",
    "groin": r"groin|inguinal",
    "buttock": r"buttocks?|glute\w+",
    "hip": r"hips?|acetabul(?:um|ar)|femoral head",
    "leg": r"(?<!lower )(?<!upper )legs?|lower (?:extremity|limb)",
    "thigh": r"thighs?|upper legs?|fem(?:ur|oral)(?! head)|quadriceps|hamstrings?",
    "knee": r"knees?|patella\w*|poplite\w+",
    "lower leg": r"lower legs?|calf|calves|shins?|tibia\w*|fibula\w*|cr(?:us|ural)",
    "foot": r"f(?:oo|ee)t|ankles?|heels?|toes?",
    "arm": r"(?<!upper )arms?|upper (?:extremity|limb)",
    "shoulder": r"shoulders?|deltoid",
    "upper arm": r"upper arms?|humer(?:us|al)|biceps|triceps",
    "forearm": r"forearms?|elbows?|radius|ulna\w*",
    "hand": r"hands?|wrists?|fingers?",
}
#: What a wider site holds. The spine runs through three of them.
WITHIN: Mapping[str, frozenset[str]] = {
    "head and neck": frozenset({"brain", "skull", "face", "neck", "spine"}),
    "chest": frozenset({"lung", "mediastinum", "oesophagus", "breast", "chest wall", "spine"}),
    "retroperitoneum": frozenset({"pancreas", "kidney", "adrenal"}),
    "abdomen": frozenset({"liver", "stomach", "bowel", "retroperitoneum", "pancreas", "kidney", "adrenal", "spine"}),
    "pelvis": frozenset({"sacrum", "prostate", "bladder", "rectum", "cervix", "groin", "buttock", "hip"}),
    "spine": frozenset({"sacrum"}),
    "leg": frozenset({"hip", "groin", "buttock", "thigh", "knee", "lower leg", "foot"}),
    "arm": frozenset({"shoulder", "upper arm", "forearm", "hand"}),
    "whole body": frozenset(SITES),
}
_SIDES = {"bilateral": "both", "both": "both"}
_SIDES |= dict.fromkeys(("left", "lt", "l"), "left") | dict.fromkeys(("right", "rt", "r"), "right")
_SIDE = re.compile(r"\b(left|right|bilateral|both|lt|rt|l|r)\b\.?", re.IGNORECASE)
#: Words that say nothing of another place.
_HARMLESS = re.compile(
    r"\b(?:and|of|the|to|in|on|at|proximal|distal|mid(?:dle)?|anterior|posterior|medial|lateral|region|area|field|bone|"
    r"bony|muscles?|soft tissues?|lesions?|metasta\w+|mets?|tumou?rs?|primary|bed|side|whole)\b",
    re.IGNORECASE,
)
_KNOWN = {name: re.compile(rf"\b(?:{words})\b", re.IGNORECASE) for name, words in SITES.items()}


@dataclass(frozen=True)
class BodySite:
    """A place in words.

    Args:
        names: keys of `SITES`; empty where no word is known.
        side: None where none is said.
        unread: words that are in no table, "" where all are read.
    """

    names: frozenset[str]
    side: Literal["left", "right", "both"] | None = None
    unread: str = ""

    @property
    def is_read(self) -> bool:
        """Whether the whole text was understood."""
        return bool(self.names) and not self.unread


@lru_cache(maxsize=4096)
def read_site(text: str) -> BodySite:
    """A place as people write it: "left hip", "proximal right femur", "whole brain"."""
    rest, names = text, set()
    # The longest words first: "chest wall" is no chest, "lower leg" no leg.
    found = sorted(
        ((match.span(), name) for name, pattern in _KNOWN.items() for match in pattern.finditer(text)),
        key=lambda one: (one[0][0] - one[0][1], one[0][0]),
    )
    taken: list[tuple[int, int]] = []
    for (start, end), name in found:
        if all(end <= first or start >= last for first, last in taken):
            taken.append((start, end))
            names.add(name)
    for start, end in sorted(taken, reverse=True):
        rest = rest[:start] + " " + rest[end:]
    sides = {_SIDES[side.lower()] for side in _SIDE.findall(rest)}
    side = "both" if len(sides) > 1 else next(iter(sides), None)
    left = _HARMLESS.sub(" ", _SIDE.sub(" ", rest))
    unread = " ".join(re.findall(r"[^\W_]+", left))
    return BodySite(frozenset(names), side, unread)  # type: ignore[arg-type]  # a side of `_SIDES`


def apart(first: BodySite, second: BodySite) -> bool:
    """Whether two sites are surely two places: both read in full, neither within the other, or on opposite sides.

    Neighbours count as apart: the hip is not the thigh.
    """
    if not (first.is_read and second.is_read):
        return False
    if not _spread(first.names) & _spread(second.names):
        return True
    return {first.side, second.side} == {"left", "right"}


def _spread(names: frozenset[str]) -> frozenset[str]:
    return names.union(*(WITHIN.get(name, frozenset()) for name in names))
