"""Which network Review offers: those that read the scans there, the one in force first."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest


def form(*modalities: str) -> None:
    from dataclasses import dataclass

    import streamlit as st

    from pages.ui.review.review_panel import choose_model

    @dataclass(frozen=True)
    class Named:
        modality: str
        sequence: str = ""

        @property
        def channel(self) -> str:
            return self.modality

    st.text(f"chosen: {choose_model([Named(name) for name in modalities])}")  # type: ignore[misc]


@pytest.mark.parametrize(
    ("modalities", "chosen"), [(("PET", "CT"), "sts-ctpet-wide-view"), (("CT",), "None"), (("MR",), "None")]
)
def test_the_network_that_reads_the_scans_is_chosen_and_where_none_does_it_is_said(modalities, chosen):
    page = AppTest.from_function(form, default_timeout=120, args=modalities).run()
    assert not page.exception
    assert [one.value for one in page.text] == [f"chosen: {chosen}"]
    told = [one.value for one in page.warning]
    assert len(told) == (chosen == "None")
    assert all("No network here reads these scans" in words and "Waits for" in words for words in told)
