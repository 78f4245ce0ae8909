"""Names for what comes without a type: JSON, rows of a database or a table, voxels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

#: JSON from outside, and rows as the database gives them, of keys that its reader names; `Any` stands nowhere else.
JsonObject = Mapping[str, Any]
JsonDict = dict[str, Any]
#: One JSON value of whatever kind.
Json = Any
#: Numbers of whatever type, as a file or a picture holds them; and a range of their indices.
Voxels = NDArray[Any]
if TYPE_CHECKING:
    Span = slice[Any, Any, Any]
else:
    Span = slice  # takes no types in this Python
#: A row of a table as it is shown or saved: column -> value.
TableRow = Mapping[str, object]
