"""From which size on something is a lesion, and not noise."""

from __future__ import annotations

#: What the network draws below this is noise of the network or too small to measure: half a millilitre, about a 10 mm
#: sphere, below what RECIST 1.1 calls measurable.
MIN_LESION_MM3 = 500.0
#: A piece below this is a speck: smaller than a ball of 3.9 mm diameter (assumed noise).
MIN_PIECE_MM3 = 30.0
