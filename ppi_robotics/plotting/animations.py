"""Animations of a plant, drawn from its shapes at real-time speed into a GIF.

    animation.save("animation.gif", plant, rollouts.x[0], rollouts.u[0])

A plant offers `draw(x)`, a list of shapes (lines, boxes and disks in meters, see `plants.drawing`), and `view`, the
window (left, right, bottom, top) [m]. The window follows a plant that travels farther than it shows.
"""

import functools
import math
from os import PathLike
from typing import Any

import numpy as np
from matplotlib.colors import to_rgb
from numpy.typing import ArrayLike
from PIL import Image
from scipy.ndimage import gaussian_filter1d

from ppi_robotics.checks import as_floats, check_text, shown
from ppi_robotics.errors import ProblemError
from ppi_robotics.plotting import canvas as ink
from ppi_robotics.plotting.canvas import HEIGHT, MARGIN, SMALL, WIDTH, Canvas, Palette, write_gif

CAMERA_SECONDS = 0.3  # time constant with which the window follows
TRAIL_SECONDS, TRAIL_PIECES = 0.8, 16
FADING = tuple(  # of a trail, from the background to half of the tip's color
    tuple(0.5 * share * np.array(to_rgb(ink.TIP)) + (1 - 0.5 * share) * np.array(to_rgb(ink.BACKGROUND)))
    for share in np.arange(1, TRAIL_PIECES + 1) / TRAIL_PIECES
)


def save(path: str | PathLike[str], plant: Any, x: ArrayLike, u: ArrayLike, title: str = "") -> int:
    """Write an animated GIF of a trajectory, all of it or nothing.

    Args:
      path: of the GIF.
      plant: with `draw` and `view`.
      x: states (T + 1, nx).
      u: controls (T, nu), shown as bars.
      title: a few words for the top right corner.

    Returns:
      Number of frames.

    Raises:
      ProblemError: if the plant cannot be drawn, the trajectory is not finite, or the file cannot be written.
    """
    images, delay = render(plant, x, u, title)
    write_gif(path, images, len(images), delay)
    return len(images)


def render(plant: Any, x: ArrayLike, u: ArrayLike, title: str = "") -> tuple[list[Image.Image], int]:
    """Draw the frames of a trajectory; arguments as in `save`.

    Returns:
      Images with one common palette, and the milliseconds between them.
    """
    if not hasattr(plant, "draw") or not hasattr(plant, "view"):
        raise ProblemError(
            f"plant {shown(getattr(plant, 'name', plant))} cannot be drawn; give it draw(x), a list of shapes, and "
            "view, a window in meters"
        )
    x, u, title = as_floats(x, "x"), as_floats(u, "u"), check_text(title, "title")
    if x.ndim != 2 or u.ndim != 2 or len(x) != len(u) + 1 or not np.isfinite(x).all() or not np.isfinite(u).all():
        raise ProblemError(f"states {x.shape} and controls {u.shape}; expected finite (T + 1, nx) and (T, nu)")
    delay = frame_delay(plant.dt)
    times = delay / 1000 * np.arange(int(1000 * len(u) * plant.dt / delay + 1e-6) + 1)
    states, controls = resample(x, u, plant.dt, times)
    scene = Scene(plant, [plant.draw(state) for state in states], controls, times, title)
    strongest = np.argmax(np.abs(controls), axis=0)  # frames that must show the color of every bar
    few = np.concatenate([np.linspace(0, len(times) - 1, 6).astype(int), strongest])
    palette = Palette(np.stack([scene.frame(i)[::2, ::2] for i in few]))
    return [palette.image(scene.frame(i)) for i in range(len(times))], delay


def frame_delay(dt):
    """Milliseconds between frames: GIFs know multiples of 10, viewers honor 20 or more, whole stages are exact."""
    for delay in (20, 30, 40):
        stages = delay / (1000 * dt)
        if stages > 0.5 and abs(stages - round(stages)) < 1e-9:
            return delay
    return 30


def resample(x, u, dt, times):
    """States, linear between stages, and controls, held over their stage, at times [s]."""
    stage = np.asarray(times) / dt
    stage = np.where(np.abs(stage - np.round(stage)) < 1e-6, np.round(stage), stage)
    before = np.minimum(stage.astype(int), len(u) - 1)
    weight = (stage - before)[:, None]
    return (1 - weight) * x[before] + weight * x[before + 1], u[before]


class Scene:
    """What is drawn: `frame(i)` gives the pixels of one frame.

    Args:
      plant: for names, units and window.
      drawings: one list of shapes per frame.
      controls: (n, nu) one row per frame.
      times: (n,) [s].
      title: for the top right corner.
    """

    def __init__(self, plant, drawings, controls, times, title):
        self.controls, self.times = controls, times
        self.names, self.units = plant.control_names, plant.units[plant.nx :]
        # bars are scaled to the largest control that is shown
        self.scale = np.maximum(np.abs(controls).max(axis=0), 1e-12)
        self.floor = ink.BAR * plant.nu + 10
        seconds = times[1] if len(times) > 1 else 1.0
        self.camera = Camera(plant.view, drawings, np.array([WIDTH, HEIGHT - self.floor - ink.HEADER]), seconds)
        self.drawings = [[_prolonged(shape, plant.view) for shape in shapes] for shapes in drawings]
        tips = [[shape.center for shape in shapes if shape.role == "tip"] for shapes in drawings]
        self.tips = np.array(tips).reshape(len(drawings), -1, 2)
        self.trail_frames = max(TRAIL_PIECES, math.ceil(TRAIL_SECONDS / seconds))
        self.canvas = Canvas()
        self._draw_background(title)
        self.background = self.canvas.pixels.copy()

    def frame(self, index):
        """Pixels (height, width, 4) of one frame; the next call overwrites them."""
        canvas = self.canvas
        canvas.pixels[:] = self.background
        for segment in self.camera.grid(index):
            canvas.line(self._to_pixels(segment, index), ink.GRID, 1.0)
        self._draw_trails(index)
        for shape in self.drawings[index]:
            self._draw_shape(shape, index)
        for i, value in enumerate(self.controls[index]):
            y = self._bar_height(i)
            canvas.bar(WIDTH / 2, y - 4, WIDTH / 4 * value / self.scale[i], 8, ink.CONTROL)
            # adding zero turns -0.0 into 0.0
            number = f"{round(float(value), 1) + 0.0:+.1f} {self.units[i]}".replace("-", "\N{MINUS SIGN}").rstrip()
            canvas.text(WIDTH - MARGIN, y - 4, number, ink.INK, SMALL, right=True)
        canvas.text(MARGIN, HEIGHT - 22, f"{self.times[index]:.2f} s", ink.INK, ink.LARGE)
        return canvas.pixels

    def _draw_background(self, title):
        canvas = self.canvas
        canvas.bar(0, 0, WIDTH, HEIGHT, ink.BACKGROUND)
        canvas.text(WIDTH - MARGIN, HEIGHT - 22, title, ink.FAINT, SMALL, right=True)
        if self.camera.spacing:
            canvas.text(MARGIN + 72, HEIGHT - 22, f"lines {self.camera.spacing:g} m apart", ink.FAINT, SMALL)
        for i, name in enumerate(self.names):
            y = self._bar_height(i)
            canvas.text(MARGIN, y - 4, name, ink.FAINT, SMALL)
            canvas.bar(WIDTH / 4, y - 4, WIDTH / 2, 8, ink.EMPTY)
            canvas.bar(WIDTH / 2 - 0.5, y - 7, 1, 14, ink.SCENERY)

    def _draw_trails(self, index):
        """Paths of the tips over the last frames, fading out with age."""
        ages = np.linspace(self.trail_frames, 0, TRAIL_PIECES + 1).astype(int)
        for piece, (start, stop) in enumerate(zip(index - ages[:-1], index - ages[1:], strict=True)):
            if stop > 0:
                for path in self.tips[max(0, start) : stop + 1].swapaxes(0, 1):
                    self.canvas.line(self._to_pixels(path, index), FADING[piece], 2.2)

    def _draw_shape(self, shape, index):
        meter = self.camera.pixels_per_meter
        if hasattr(shape, "points"):
            shade = {"track": ink.SCENERY, "cart-edge": ink.INK}.get(shape.role, ink.LINK)
            self.canvas.line(self._to_pixels(shape.points, index), shade, shape.width_px)
        elif hasattr(shape, "radius"):
            face, edge = (ink.TIP, ink.BACKGROUND) if shape.role == "tip" else (ink.BACKGROUND, ink.INK)
            circle = _rounded(0.0, 0.0, shape.radius * meter)
            self.canvas.fill(circle + self._to_pixels(shape.center, index), face, edge, 1.3)
        else:
            width, height = shape.width * meter, shape.height * meter
            box = _rounded(width, height, 0.15 * min(width, height))
            self.canvas.fill(box + self._to_pixels(shape.center, index), ink.INK)

    def _to_pixels(self, points, index):
        return self.camera.to_pixels(points, index) + (0, self.floor)

    def _bar_height(self, index):
        """Pixels from the bottom to the middle of a control's bar."""
        return 16 + ink.BAR * (len(self.names) - 1 - index)


class Camera:
    """Window of an animation: fixed if the motion nearly fits the plant's view, otherwise following the plant.

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
    return gaussian_filter1d(values, width, axis=0, mode="nearest", truncate=3.0)


def _corners(shape):
    """Points (n, 2) that span a shape."""
    if hasattr(shape, "points"):
        return shape.points
    reach = (shape.radius, shape.radius) if hasattr(shape, "radius") else (shape.width / 2, shape.height / 2)
    return np.array([shape.center - reach, shape.center + reach])


def _prolonged(shape, view):
    """A track that ends at the window's sides goes on beyond them; one that ends before is as long as it is."""
    if shape.role != "track":
        return shape
    points = np.array(shape.points)
    points[points[:, 0] <= view[0], 0] -= 1e3
    points[points[:, 0] >= view[1], 0] += 1e3
    return type(shape)(points, shape.width_px, shape.role)


@functools.lru_cache(maxsize=256)
def _rounded(width, height, radius):
    """Outline (49, 2) of a rectangle about the origin with corners of a radius; at width and height 0 a circle."""
    angles = np.linspace(0.0, 2 * np.pi, 49)
    circle = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    inner = np.maximum(np.array([width, height]) / 2 - radius, 0.0)
    return circle + np.sign(np.round(circle, 9)) * inner
