"""What the one who works may do: a button that a role may not use is grey and says why."""

from __future__ import annotations

from typing import TypedDict

from core.access import VIEWER, roles_that_may
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


def only_looks(store: SeenStore, person: str) -> str | None:
    """What the sidebar says to a viewer, before any button has to be tried; None for whoever may change something."""
    if store.people.role_of(person) != VIEWER:
        return None
    return f"{person} is a viewer: may look at everything and change nothing."
