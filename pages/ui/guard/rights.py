"""What the one who works may do: a button that a role may not use is grey and says why."""

from __future__ import annotations

from typing import TypedDict

from core.access import ADJUDICATOR, VIEWER, roles_that_may
from store import SeenStore


class ButtonState(TypedDict):
    """The two arguments of a Streamlit button that follow from the role."""

    disabled: bool
    help: str | None


def why_not(store: SeenStore, person: str, action: str) -> str | None:
    """Why this person may not do what the audit calls `action`; None where they may."""
    if store.people.may(person, action):
        return None
    role = store.people.role_of(person) or "nobody that was added"
    return f"Needs the role {roles_that_may(action)}; {person} is {role}. An administrator gives roles on System."


def button(
    store: SeenStore, person: str, action: str, help_text: str | None = None, disabled: bool = False
) -> ButtonState:
    """`disabled` and `help` for a button: as given where the role allows the action, else grey with the reason."""
    reason = why_not(store, person, action)
    return {"disabled": disabled or reason is not None, "help": reason or help_text}


def limits(store: SeenStore) -> list[str]:
    """What the sidebar says of what is kept from whoever works here; [] for who sees all and may change something."""
    said, scope = [], store.scope
    if scope.role == VIEWER:
        said.append(f"{scope.person} is a viewer: may look and change nothing.")
    if scope.datasets is not None:
        several = "the data set" if len(scope.datasets) == 1 else "the data sets"
        seen = f"{several} {', '.join(scope.datasets)} alone" if scope.datasets else "no data set"
        said.append(f"{scope.person} sees {seen}. An administrator gives grants on System.")
    if scope.closed:
        days = "1 timepoint is" if len(scope.closed) == 1 else f"{len(scope.closed)} timepoints are"
        said.append(f"{days} read blind: masks of others there are not shown and count nowhere, until {_until(store)}.")
    return said


def blind_days(store: SeenStore, patient: str) -> str | None:
    """The same on a patient's pages, naming the days; None where nothing of theirs is kept back."""
    days = [day for one, day in store.scope.closed if one == patient]
    if not days:
        return None
    which = f"{', '.join(days)} {'is' if len(days) == 1 else 'are'} read blind"
    return f"{which}: masks of others are not shown and enter no number on this page, until {_until(store)}."


def _until(store: SeenStore) -> str:
    if store.scope.role == ADJUDICATOR:
        return "every reader has said to have finished"
    return f"{store.person} says to have finished reading (Compare, Readers)"
