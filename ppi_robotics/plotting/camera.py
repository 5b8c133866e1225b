"""The window of an animation: where it is, and how it follows what moves."""

import math

import numpy as np

CAMERA_SECONDS = 0.3  # how sluggishly the window follows


class Camera:
    """Where the window is: fixed if what moves nearly fits in the plant's view, else following it.

    Attributes:
      path: centers (n, 2) of the window [m].
      half: half of the window's width and height [m].
      pixels_per_meter: scale of the drawing.
      spacing: distance of the grid lines that show a window's motion [m]; 0 if it is fixed.
    """

    def __init__(self, view, drawings, pixels, seconds):
        corners = [np.concatenate([_corners(s) for s in shapes if s.role != "track"]) for shapes in drawings]
        low, high = np.array([c.min(axis=0) for c in corners]), np.array([c.max(axis=0) for c in corners])
        left, right = np.array(view[::2], dtype=float), np.array(view[1::2], dtype=float)
        lowest, highest = np.minimum(left, low.min(axis=0) - 0.05), np.maximum(right, high.max(axis=0) + 0.05)
        self.follows = highest - lowest > 1.4 * (right - left)
        size = np.where(self.follows, right - left, highest - lowest)
        self.pixels_per_meter = min(pixels / size)
        self.half = pixels / self.pixels_per_meter / 2
        path = smooth((low + high) / 2, CAMERA_SECONDS / seconds)
        self.path = np.where(self.follows, path, (lowest + highest) / 2)
        self.spacing = 10.0 ** round(math.log10(self.half[0] / 2)) if self.follows.any() else 0

    def to_pixels(self, points, index):
        """Pixels (..., 2) from the window's lower left corner of points [m] in a frame."""
        return (points - self.path[index] + self.half) * self.pixels_per_meter

    def grid(self, index):
        """Segments (2, 2) of the grid lines in the window of a frame, across the directions in which it moves."""
        for axis in np.flatnonzero(self.follows):
            middle, half = self.path[index, axis], self.half[axis]
            first = math.ceil((middle - half) / self.spacing) * self.spacing
            for place in np.arange(first, middle + half, self.spacing):
                ends = self.path[index] + np.array([-self.half, self.half])
                ends[:, axis] = place
                yield ends


def smooth(values, width):
    """Gaussian average of rows (n, k) over `width` rows, constant beyond the ends."""
    reach = math.ceil(3 * width)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    padded = np.pad(values, ((reach, reach), (0, 0)), mode="edge")
    return np.stack([np.convolve(column, weights / weights.sum(), "valid") for column in padded.T], axis=1)


def _corners(shape):
    """Points (n, 2) that span a shape."""
    if hasattr(shape, "points"):
        return shape.points
    reach = (shape.radius, shape.radius) if hasattr(shape, "radius") else (shape.width / 2, shape.height / 2)
    return np.array([shape.center - reach, shape.center + reach])
