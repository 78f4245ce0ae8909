"""Summed volumes by limits on them; targets, new lesions and states as in RECIST. The one place of these limits.

| rule | PR | PD | from |
|---|---|---|---|
| RECIST 1.1 as sphere volumes | -65.7 % | +72.8 % | the sphere's arithmetic (0.7³ - 1, 1.2³ - 1) on -30 % and +20 % |
| Macdonald as sphere volumes | -65 % | +40 % | the same of the product of two diameters (0.5^1.5 - 1, 1.25^1.5 - 1) |
| noise band, lung CT | -35 % | +55 % | Beaumont 2015 |

No source sets the first two for volumes. By the same arithmetic "RECIST 1.1 as sphere volumes" also asks for RECIST's 5
mm, of the sum of the diameters of spheres of the same volumes (assumed), and keeps PR until PD. The others have
neither. RANO 2.0's volumes are in `rano_bm`, as steroids and clinical status belong to them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.growth.response_thresholds import RECIST_SPHERE_PD_PERCENT, RECIST_SPHERE_PR_PERCENT
from core.twin.criteria.course import course
from core.twin.criteria.limits import Limits
from core.twin.criteria.values import Call, Protocol, Visit

RECIST_SPHERE = Limits(
    criterion="volume-recist-sphere",
    title="RECIST 1.1 as sphere volumes",
    measure="volume",
    pr_percent=RECIST_SPHERE_PR_PERCENT,
    pd_percent=RECIST_SPHERE_PD_PERCENT,
    least_rise_mm=5.0,
    least_rise_of="spheres",
    keeps_pr=True,
    confirmation_days=None,
    source="the sphere's arithmetic on RECIST 1.1 (10.1016/j.ejca.2008.10.026); no source sets it for volumes",
    assumed="5 mm of sphere diameters",
)
MACDONALD_SPHERE = Limits(
    criterion="volume-macdonald-sphere",
    title="Macdonald as sphere volumes",
    measure="volume",
    pr_percent=-65.0,
    pd_percent=40.0,
    least_rise_mm=0.0,
    least_rise_of="sum",
    keeps_pr=False,
    confirmation_days=None,
    source="the sphere's arithmetic on Macdonald 1990 (10.1200/JCO.1990.8.7.1277)",
)
BEAUMONT = Limits(
    criterion="volume-beaumont",
    title="Noise band, lung CT (Beaumont 2015)",
    measure="volume",
    pr_percent=-35.0,
    pd_percent=55.0,
    least_rise_mm=0.0,
    least_rise_of="sum",
    keeps_pr=False,
    confirmation_days=None,
    source="10.1186/s40644-015-0052-2",
)
VOLUME_LIMITS: Mapping[str, Limits] = {
    limits.criterion: limits for limits in (RECIST_SPHERE, MACDONALD_SPHERE, BEAUMONT)
}


def volumetric(visits: Sequence[Visit], protocol: Protocol) -> tuple[Call, ...]:
    """The protocol's volume rule at every visit; () for no visits. Raises InputError as `course`."""
    return course(visits, protocol, VOLUME_LIMITS[protocol.criterion])
