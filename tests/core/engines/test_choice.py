"""The network that reads the scans there; where none does, what is missing."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from core.engines.auto import choice
from core.engines.auto.channels import WaitsForScan
from core.errors import InputError


@dataclass(frozen=True)
class Named:
    modality: str
    sequence: str = ""

    @property
    def channel(self) -> str:
        return f"{self.modality} {self.sequence}".strip()


CT, PET, FLAIR = Named("CT"), Named("PET"), Named("MR", "FLAIR")


def test_ct_and_pet_get_the_wide_view_network():
    assert choice.fitting_model([PET, CT]) == "sts-ctpet-wide-view"


def test_scans_that_no_network_reads_are_told_what_is_missing():
    with pytest.raises(WaitsForScan) as refused:
        choice.fitting_model([FLAIR])
    assert "MR FLAIR" in str(refused.value)


def test_without_a_network_in_force_another_has_to_be_named(monkeypatch):
    monkeypatch.setattr(choice, "IN_FORCE", ("not-here",))
    with pytest.raises(InputError, match="Name another model"):
        choice.fitting_model([CT, PET])
