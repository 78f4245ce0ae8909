"""The one family of errors whose text is meant for people.

Every message says what was expected, what was got and what to do next; pages and the command line show the text and
nothing else. Anything that is not a `TwinReviewError` is a bug and is logged, never shown as a traceback.
"""

from __future__ import annotations


class TwinReviewError(Exception):
    """Base of all errors that a user can act on."""


class InputError(TwinReviewError):
    """A file, prompt or argument that cannot be used."""


class GeometryError(InputError):
    """An image grid that is not a grid: singular, sheared, non-finite, or not the one that was asked for."""


class ModelError(TwinReviewError):
    """Weights that are missing, altered, or do not fit."""


class StoreError(TwinReviewError):
    """The store refuses: not found, already there, or not allowed by the rules of review."""


class JobCancelled(TwinReviewError):
    """Raised inside a job when its cancel flag is set."""
