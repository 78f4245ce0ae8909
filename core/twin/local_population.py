"""A cohort's own accepted history, learned from in place of the shipped one.

A learned population is a reference set of the store: written by a person, in the audit log, never overwritten. The
newest is in force.
"""

from __future__ import annotations

import hashlib
import json

from core.growth.curves import prepare
from core.growth.learn import MIN_POINTS, document
from core.growth.population import KIND
from core.growth.series import Lesion
from core.remembered.untyped import JsonDict
from core.twin.curve_points import volume_points
from core.twin.timeline_store import CurveStore
from core.twin.trajectory import points_by_lesion
from core.types import TOTAL_LESION_ID


def accepted_lesions(store: CurveStore) -> list[Lesion]:
    """Every lesion with at least four accepted volumes; lesions of one patient share a fold."""
    out = []
    for row in store.patients.all():
        patient = row.patient_id
        for lesion, points in points_by_lesion(volume_points(store, patient)).items():
            days, volumes = prepare([p.days for p in points], [p.volume_mm3 for p in points])
            if lesion != TOTAL_LESION_ID and days.size >= MIN_POINTS:
                out.append(Lesion(f"{patient}-{lesion}", days, volumes))
    return out


def fit_local_population(store: CurveStore, person: str) -> JsonDict:
    """Learn from the accepted masks of this installation, and put it in force.

    Raises:
        InputError: fewer than fifty lesions with four accepted volumes: too few to learn from.
    """
    lesions = accepted_lesions(store)
    text = json.dumps([[x.patient_id, x.days.tolist(), x.volumes_mm3.tolist()] for x in lesions])
    population = document(
        lesions,
        f"accepted masks of this installation ({len(lesions)} lesions)",
        hashlib.sha256(text.encode()).hexdigest(),
        "python cli.py learn-growth",
    )
    set_id = store.reference_sets.add(KIND, population, person)
    return {"set_id": set_id, "lesions": len(lesions), "reliability": population["reliability"]}
