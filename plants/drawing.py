"""Shapes that a plant is drawn with: plain data in meters, which an animation turns into pixels.

    def draw(self, x):
        tip = x[0] + np.sin(x[1]), np.cos(x[1])
        return [Box((x[0], 0.0), 0.4, 0.2), Line(((x[0], 0.0), tip), 5), Disk(tip, 0.05, "tip")]

Shapes are painted in the order of the list, the first at the back. A plant returns as many shapes, in the same
order and with the same roles, for every state.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Line:
    """A polyline.

    Attributes:
      points: (n, 2) [m], x to the right and y upward.
      width_px: width [pixels of the animation].
      role: "link", "track" (scenery that never moves) or "cart-edge".
    """

    points: np.ndarray
    width_px: float = 5.0
    role: str = "link"

    def __post_init__(self):
        object.__setattr__(self, "points", np.asarray(self.points, dtype=float))


@dataclass(frozen=True, slots=True)
class Box:
    """An upright rectangle.

    Attributes:
      center: (2,) [m].
      width, height: [m].
      role: "cart".
    """

    center: np.ndarray
    width: float
    height: float
    role: str = "cart"

    def __post_init__(self):
        object.__setattr__(self, "center", np.asarray(self.center, dtype=float))


@dataclass(frozen=True, slots=True)
class Disk:
    """A filled circle.

    Attributes:
      center: (2,) [m].
      radius: [m].
      role: "joint", or "tip" for the point whose path an animation traces.
    """

    center: np.ndarray
    radius: float
    role: str = "joint"

    def __post_init__(self):
        object.__setattr__(self, "center", np.asarray(self.center, dtype=float))
