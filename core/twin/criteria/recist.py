"""RECIST 1.1: sums of diameters, one call a visit.

CR: every non-nodal target gone, every node below 10 mm short axis, non-target lesions gone. PR: sum at least 30 % below
baseline. PD: sum at least 20 % and 5 mm above the nadir, an unequivocal new lesion, or unequivocal non-target
progression. NE: a target is missing and the others alone are no PD.

- PR stays until PD: 100, 70, 70, 80, 80, 80 mm is PR at every visit. Read: EORTC, "Managing PR when TP measurements
  change slightly over time" (recist.eortc.org/faq/managing-pr-when-tp-measurements-change-slightly-over-time/) and "The
  definition of SD: a clarification" (…/faq/the-definition-of-sd-a-clarification/: 165, 63, 65 mm is continued PR).
- A lesion that was gone and is back is PD only after an overall CR, or where the sum says so. Read: EORTC, "Does a new
  lesion always result in PD?" (…/faq/does-a-new-lesion-always-result-in-pd/). A node is back from 10 mm on: "Abnormal
  lymph node" (…/faq/abnormal-lymph-node-2/).
- A new node of 10 to below 15 mm is in doubt: "New lymph node lesions" (…/faq/new-lymph-node-lesions/).

Source: Eisenhauer 2009, 10.1016/j.ejca.2008.10.026, sections 4.3 and 4.4, tables 1 and 2; not re-read, by way of
PMC2755245 and PMC2872013. Confirmation: only where response is the aim of a study without randomisation (4.6).
"""

from __future__ import annotations

from collections.abc import Sequence

from core.twin.criteria.course import course
from core.twin.criteria.limits import Limits
from core.twin.criteria.values import Call, Protocol, Visit

RECIST = Limits(
    criterion="recist-1.1",
    title="RECIST 1.1",
    measure="diameter",
    pr_percent=-30.0,
    pd_percent=20.0,
    least_rise_mm=5.0,
    least_rise_of="sum",
    keeps_pr=True,
    confirmation_days=None,
    source="RECIST 1.1, 10.1016/j.ejca.2008.10.026; EORTC's answers, recist.eortc.org",
    assumed="the least size of a new lesion, that the nadir stops at progression",
)


def recist(visits: Sequence[Visit], protocol: Protocol) -> tuple[Call, ...]:
    """RECIST 1.1 at every visit; () for none. Raises InputError as `course`."""
    return course(visits, protocol, RECIST)
