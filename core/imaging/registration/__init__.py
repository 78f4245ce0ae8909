"""Two scans of one patient in one position: rigid registration that says how far to trust it, a person's correction.

Only points are mapped by it; masks are never resampled.
"""

from core.imaging.registration.align import rigid
from core.imaging.registration.points import Landmarks, adjusted, from_landmarks
from core.imaging.registration.transform import Figure, RigidTransform, State

__all__ = ["Figure", "Landmarks", "RigidTransform", "State", "adjusted", "from_landmarks", "rigid"]
