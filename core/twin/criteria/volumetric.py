"""Summed volumes by the rules of `core.twin.response.RULES`; targets, new lesions and states as in RECIST.

-65.7 % and +72.8 % are the sphere's arithmetic (0.7³ - 1, 1.2³ - 1) on RECIST's -30 % and +20 %; no source sets them
for volumes. By the same arithmetic "RECIST 1.1 as sphere volumes" also asks for RECIST's 5 mm, of the sum of the
diameters of spheres of the same volumes (assumed), and keeps PR until PD. The other rules have neither.

Source: each rule's own, in `RULES`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.twin.criteria.course import course
from core.twin.criteria.limits import Limits
from core.twin.criteria.values import Call, Protocol, Visit
from core.twin.response import RULES, ResponseRule

#: The rule that stands for RECIST on volumes.
_SPHERE = "recist_sphere"
#: RANO 2.0 is judged with steroids and clinical status: `rano_bm`.
_ELSEWHERE = "rano2_volumetric"


def criterion_of_rule(rule: str) -> str:
    """The criterion's name of a volume rule: "volume-recist-sphere" of "recist_sphere"."""
    return f"volume-{rule.replace('_', '-')}"


def limits_of_rule(rule: ResponseRule) -> Limits:
    """A volume rule as limits on a sum."""
    is_sphere = rule.name == _SPHERE
    return Limits(
        criterion=criterion_of_rule(rule.name),
        title=rule.label,
        measure="volume",
        pr_percent=rule.pr_percent,
        pd_percent=rule.pd_percent,
        least_rise_mm=5.0 if is_sphere else 0.0,
        least_rise_of="spheres" if is_sphere else "sum",
        keeps_pr=is_sphere,
        confirmation_days=None,
        source=rule.source,
        assumed="the limits" if rule.assumed else "5 mm of sphere diameters" if is_sphere else "",
    )


VOLUME_LIMITS: Mapping[str, Limits] = {
    criterion_of_rule(name): limits_of_rule(rule) for name, rule in RULES.items() if name != _ELSEWHERE
}


def volumetric(visits: Sequence[Visit], protocol: Protocol) -> tuple[Call, ...]:
    """The protocol's volume rule at every visit; () for no visits. Raises InputError as `course`."""
    return course(visits, protocol, VOLUME_LIMITS[protocol.criterion])
