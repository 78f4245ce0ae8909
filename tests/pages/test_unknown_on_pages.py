"""What is not known is said on the pages: it is no zero and no pass."""

from __future__ import annotations

from dataclasses import replace

from streamlit.testing.v1 import AppTest

from core.remembered.lists import QualityRow
from pages.ui.review.history_tree import Row, describe
from pages.ui.shared.text import plain
from tests.pages.review.test_history import version


def flagged(masks: list) -> None:
    from pages.ui.quality.gates_panel import doubtful_list

    doubtful_list(masks)


def scored(flagged: bool | None = None, p_value: float | None = None) -> QualityRow:
    return QualityRow("m", "P", "2024-01-01", 1, "proposed", p_value, flagged, None, '{"lesions": []}')


def test_masks_that_could_not_be_judged_are_not_told_as_unflagged() -> None:
    app = AppTest.from_function(flagged, args=([scored(), scored(flagged=False, p_value=0.4)],)).run()
    assert [one.value for one in app.caption] == [
        plain("Of 2 scored masks 1 pass, 0 are doubtful, 1 cannot be judged. What cannot be judged is no pass.")
    ]


def test_a_flagged_mask_without_a_p_value_is_listed() -> None:
    app = AppTest.from_function(flagged, args=([scored(flagged=True)],)).run()
    assert not app.exception
    assert any("p unknown" in one.value for one in app.markdown)


def test_a_change_of_volume_that_is_not_known_is_not_told_as_none() -> None:
    record = replace(version(2, 1), volume_delta_mm3=None, dice_vs_previous_version=0.9)
    assert "volume change unknown" in describe(Row(record, 0), None)["changes"]
