"""Doses of steroids as doses of dexamethasone."""

from __future__ import annotations

from collections.abc import Mapping

#: drug -> mg by mouth or vein that act as 0.75 mg of dexamethasone against inflammation and oedema.
#: Source: the equivalences of the labels that the FDA approves for prednisolone sodium phosphate (cortisone 75,
#: hydrocortisone 60, prednisone and prednisolone 15, methylprednisolone and triamcinolone 12, betamethasone and
#: dexamethasone 2.25 mg, here a third of each). They are of oral and intravenous doses and are approximate: another
#: published table (10.1093/nop/npu029) has dexamethasone 25 to 30 times as strong as cortisol, this one 26.7.
MG_AS_DEXAMETHASONE_0_75: Mapping[str, float] = {
    "dexamethasone": 0.75,
    "betamethasone": 0.75,
    "methylprednisolone": 4.0,
    "triamcinolone": 4.0,
    "prednisolone": 5.0,
    "prednisone": 5.0,
    "hydrocortisone": 20.0,
    "cortisone": 25.0,
}
STEROIDS = tuple(MG_AS_DEXAMETHASONE_0_75)


def dexamethasone_mg(drug: str, mg: float) -> float | None:
    """The dose of dexamethasone that acts alike, mg; None for a drug that is not in the table.

    Args:
        drug: one of `STEROIDS`. mg: its dose, >= 0.
    """
    alike = MG_AS_DEXAMETHASONE_0_75.get(drug.lower())
    return None if alike is None else mg * 0.75 / alike
