"""What `core` asks of the store's events; `core.remembered.sources` has them with all other parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from core.remembered.flips import Flip
from core.remembered.rows import Event, EventRecord, NewEvent


class EventRecordSource(Protocol):
    """Events of patients, to be read."""

    def of(self, patient_id: str) -> list[Event]: ...


class EventSource(EventRecordSource, Protocol):
    """Events of patients."""

    def add(
        self,
        patient_id: str,
        date: str,
        kind: str,
        detail: Any,
        person: str,
        flips: Sequence[Flip] = (),
        flips_told: str = "",
    ) -> str: ...
    def add_all(
        self,
        events: Sequence[NewEvent],
        person: str,
        flips: Mapping[str, Sequence[Flip]] | None = None,
        flips_told: str = "",
    ) -> list[str]: ...
    def correct(
        self,
        event_id: str,
        date: str,
        kind: str,
        detail: Any,
        person: str,
        reason: str,
        flips: Sequence[Flip] = (),
        flips_told: str = "",
    ) -> str: ...
    def withdraw(
        self, event_id: str, person: str, reason: str, flips: Sequence[Flip] = (), flips_told: str = ""
    ) -> None: ...
    def history(self, patient_id: str) -> list[EventRecord]: ...
    def by_id(self, event_id: str) -> EventRecord: ...
