"""When a progression under RECIST says that iRECIST may be meant."""

from __future__ import annotations

import pytest

from core.twin.immunotherapy import immunotherapy_at, irecist_note
from tests.core.twin.test_patient_responses import event, of, stored
from tests.core.twin.timeline_phantom import DAYS, lesion, mask, timeline

GROWS = timeline(mask(DAYS[0], lesion("L1", 30)), mask(DAYS[1], lesion("L1", 40)))
START = event(DAYS[0], "drug-start", drug="Pembrolizumab and axitinib")
STOP = event(DAYS[1], "drug-stop", drug="Pembrolizumab and axitinib")


def test_a_progression_under_a_checkpoint_inhibitor_says_so_under_recist_alone():
    told = "It progressed on pembrolizumab: iRECIST may be meant, which asks for progression to be confirmed."
    assert told in of(GROWS, None, START).calls[1].notes
    assert told not in of(GROWS, None, START).calls[0].notes
    assert told not in of(GROWS, stored(criterion="irecist"), START).calls[1].notes
    assert told not in of(GROWS, None, event(DAYS[0], "drug-start", drug="pazopanib")).calls[1].notes


@pytest.mark.parametrize(("day", "drug"), [("2000-01-01", ""), (DAYS[0], "pembrolizumab"), (DAYS[2], "")])
def test_it_is_given_from_its_start_to_its_stop(day: str, drug: str):
    assert immunotherapy_at([START, STOP], day) == drug


def test_without_progression_nothing_is_said():
    assert irecist_note([START], "recist-1.1", None) == ""
