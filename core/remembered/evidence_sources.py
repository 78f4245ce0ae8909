"""What `core` asks of the store for evidence: looks of lesions, marks of people, and that a model was asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from core.remembered.looks import LesionLook, StoredLook
from core.remembered.marks import EvidenceMark, EvidenceQuestion, NewMark


class LookSource(Protocol):
    """How lesions look to encoders."""

    def add(self, mask_id: str, looks: Sequence[LesionLook], person: str) -> None: ...
    def of(self, mask_id: str) -> list[StoredLook]: ...
    def all(self, status: str | None = None, encoder: str | None = None) -> list[StoredLook]: ...
    def without(self, encoder: str, limit: int) -> list[str]: ...


class MarkSource(Protocol):
    """What people say of lesions that were found for others."""

    def add(self, mark: NewMark, person: str) -> EvidenceMark: ...
    def withdraw(self, mark_id: str, person: str) -> None: ...
    def standing(self, mask_id: str | None = None, lesion_id: str | None = None) -> list[EvidenceMark]: ...
    def all(self) -> list[EvidenceMark]: ...


class EvidenceQuestionSource(Protocol):
    """The record that a language model was asked."""

    def record(self, question: EvidenceQuestion, person: str) -> None: ...


class HasLooks(Protocol):
    """A store of looks."""

    @property
    def looks(self) -> LookSource: ...


class HasMarks(Protocol):
    """A store of marks."""

    @property
    def marks(self) -> MarkSource: ...


class HasEvidenceQuestions(Protocol):
    """A store that records what a language model was asked."""

    @property
    def evidence_questions(self) -> EvidenceQuestionSource: ...
