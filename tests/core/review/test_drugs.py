from __future__ import annotations

import pytest

from core.review.drugs import CHECKPOINT_INHIBITORS, drug_classes


@pytest.mark.parametrize(
    ("words", "classes"),
    [
        ("doxorubicin", ("chemotherapy",)),
        ("Doxorubicin 75 mg/m2 + ifosfamide", ("chemotherapy",)),
        ("AIM", ("chemotherapy",)),
        ("R-CHOP", ("chemotherapy",)),
        ("pazopanib", ("targeted therapy",)),
        ("imatinib 400 mg", ("targeted therapy",)),
        ("trastuzumab deruxtecan", ("targeted therapy",)),
        ("carboplatin, paclitaxel and pembrolizumab", ("chemotherapy", "immunotherapy")),
        ("letrozole", ("hormone therapy",)),
        ("XY-123", ()),
        ("", ()),
        ("with the aim of a vacation, see map", ()),
        ("unpembrolizumabed", ()),
    ],
)
def test_classes_of_drugs_and_none_for_what_is_not_known(words: str, classes: tuple[str, ...]) -> None:
    assert drug_classes(words) == classes


def test_every_checkpoint_inhibitor_is_immunotherapy() -> None:
    assert {drug_classes(name) for name in CHECKPOINT_INHIBITORS} == {("immunotherapy",)}
