"""Two scans of one patient in one position: the rigid registration in force, a candidate for it, a person's correction.

The candidate is `align`; `python -m tests.bench registration` measures it beside the one in force.

Only points are mapped by it; masks are never resampled.
"""

from core.imaging.registration.in_force import rigid
from core.imaging.registration.points import Landmarks, adjusted, from_landmarks
from core.imaging.registration.transform import Figure, RigidTransform, State

__all__ = ["Figure", "Landmarks", "RigidTransform", "State", "adjusted", "from_landmarks", "rigid"]
