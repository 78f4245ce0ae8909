"""What an alignment was made with, as data, and its hash: another hash means that a stored transform is stale."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from core.imaging.registration import figures, judging, prepared, refine, robust, search

#: Raised by hand when the method changes in what no parameter shows.
VERSION = 3
#: Places of the coarse search that are followed, beside the usual starts.
SEARCHED = 5
#: Starts nearer than this are one; refined places nearer than this are one optimum, mm (mean over the fixed body).
ONE_START_MM, ONE_OPTIMUM_MM = 6.0, 8.0
#: So many starts that all came to one place are enough.
ENOUGH = 5
#: A scan whose voxels are so many times larger is the coarser one.
COARSER = 1.2
#: Of two places that fit alike the one with more of the fields in common is taken: information times overlap to this.
OVERLAP_POWER = 0.25
#: Where the next best place has less than this share of the best one's fit, it is not followed further.
FAR_BEHIND = 0.7
#: A place is hopeless where edges and pieces at home are both below these; of 29 simulated second scans (20 with a
#: tumour that grew or shrank) put 10 mm off on purpose, the lowest edges were 0.64.
HOPELESS_EDGES, HOPELESS_AT_HOME = 0.6, 0.2


def parameters_of() -> dict[str, Any]:
    """Every number that the answer depends on, as JSON values; the versions of ITK and numpy are not in it."""
    return {
        "method": "rigid, several starts by Mattes mutual information, at last robust least squares",
        "version": VERSION,
        "prepared": upper(prepared),
        "search": upper(search),
        "refine": {"bins": refine.BINS, "coarse": asdict(refine.COARSE), "fine": asdict(refine.FINE)},
        "starts": {
            "searched": SEARCHED,
            "one_start_mm": ONE_START_MM,
            "one_optimum_mm": ONE_OPTIMUM_MM,
            "enough": ENOUGH,
            "overlap_power": OVERLAP_POWER,
            "coarser": COARSER,
            "far_behind": FAR_BEHIND,
        },
        "robust": upper(robust),
        "hopeless": {"edges": HOPELESS_EDGES, "at_home": HOPELESS_AT_HOME},
        "figures": upper(figures),
        "limits": {name: [limit.doubted, limit.failed] for name, limit in judging.LIMITS.items()},
        "edges_alone": judging.EDGES_ALONE,
    }


def upper(module: Any) -> dict[str, Any]:
    """The module's numbers: names in capitals that are numbers or tuples of numbers."""
    plain = {n: v for n, v in vars(module).items() if n.isupper() and isinstance(v, int | float | tuple)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in sorted(plain.items())}


def parameters_hash(parameters: Mapping[str, Any]) -> str:
    """sha256 of the parameters as JSON with sorted keys, hexadecimal."""
    return hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()


PARAMETERS: Mapping[str, Any] = parameters_of()
PARAMETERS_HASH = parameters_hash(PARAMETERS)
