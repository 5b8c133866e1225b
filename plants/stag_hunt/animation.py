"""Animations of stag hunts: the hunters walk over the grid, one hunt beside the other, into a GIF.

animation.save("hunt.gif", {"λ = 0.1": (hunt, path)})
"""

from pathlib import Path

import numpy as np

from plants.stag_hunt.figures import APART, HARE, STAG
from ppi_robotics import ProblemError
from ppi_robotics.plotting import canvas as pixels

EMPTY_CELL, PATH = "#EDEFF1", "#9CC6E0"
PANEL, GAP, FLOOR = 320, 20, 30  # pixels of a grid's side, between grids, and below them
DELAY = 40  # milliseconds between frames
FRAMES, PAUSE = 10, 3  # frames of a move, and of rest after it


def save(path: str | Path, hunts: dict[str, tuple]) -> int:
    """Write an animated GIF of hunts, all of it or nothing.

    Args:
      path: of the GIF.
      hunts: titles, and pairs of a hunt (with side, hares, stags and caught, such as plants.StagHunt) and cells
        (stages + 1, M) of the hunters; shorter ones wait at their end.

    Returns:
      Number of frames.

    Raises:
      ProblemError: if there are none, or the file cannot be written.
    """
    if not hunts:
        raise ProblemError("there is no hunt to animate; give one or more")
    scene = HuntScene(hunts)
    palette = pixels.Palette(
        np.stack([scene.frame(i)[::2, ::2].copy() for i in (0, scene.frames // 2, scene.frames - 1)])
    )
    pixels.write_gif(path, (palette.image(scene.frame(i)) for i in range(scene.frames)), scene.frames, DELAY)
    return scene.frames


class HuntScene:
    """What is drawn: `frame(i)` gives the pixels of one frame.

    Args:
      hunts: as for `save`.
    """

    def __init__(self, hunts):
        self.hunts = [(title, hunt, np.asarray(path)) for title, (hunt, path) in hunts.items()]
        self.places = [_places(hunt.side, path) for _, hunt, path in self.hunts]
        self.stages = max(map(len, self.places)) - 1
        self.frames = self.stages * (FRAMES + PAUSE) + 1
        width = 2 * pixels.MARGIN + len(hunts) * PANEL + (len(hunts) - 1) * GAP
        self.canvas = pixels.Canvas(width, pixels.HEADER + PANEL + FLOOR)
        self.canvas.bar(0, 0, width, self.canvas.height, pixels.BACKGROUND)
        for number, (title, hunt, _) in enumerate(self.hunts):
            self._draw_grid(number, title, hunt)
        self.background = self.canvas.pixels.copy()

    def frame(self, index):
        """Pixels (height, width, 4) of one frame; the next call overwrites them."""
        canvas, stage, part = self.canvas, *divmod(index, FRAMES + PAUSE)
        canvas.pixels[:] = self.background
        share = min(part / FRAMES, 1.0)
        share = share * share * (3.0 - 2.0 * share)  # starts and stops gently
        canvas.text(
            pixels.MARGIN, 10, f"move {min(stage + (part > 0), self.stages)} of {self.stages}", pixels.INK, pixels.LARGE
        )
        for number, ((_, hunt, path), places) in enumerate(zip(self.hunts, self.places, strict=True)):
            self._draw_hunters(number, hunt.side, places, stage, share)
            at_hares, caught = hunt.caught(path[min(stage + (part >= FRAMES), len(path) - 1)])
            words = f"at hares {at_hares} of {path.shape[1]}, stags {caught} of {len(hunt.stags)}"
            canvas.text(pixels.MARGIN + number * (PANEL + GAP) + PANEL, 10, words, pixels.INK, pixels.SMALL, right=True)
        return canvas.pixels

    def _draw_grid(self, number, title, hunt):
        cell = PANEL / hunt.side
        canvas, inset = self.canvas, max(1.0, 0.04 * cell)
        left = pixels.MARGIN + number * (PANEL + GAP)
        canvas.text(left, FLOOR + PANEL + 8, title, pixels.INK, pixels.LARGE)
        shades = dict.fromkeys(np.asarray(hunt.hares).tolist(), HARE) | dict.fromkeys(
            np.asarray(hunt.stags).tolist(), STAG
        )
        for position in range(hunt.side**2):
            row, column = divmod(position, hunt.side)
            corner = left + column * cell, FLOOR + PANEL - (row + 1) * cell
            side = cell - inset
            canvas.bar(*corner, side, side, shades.get(position, EMPTY_CELL))

    def _draw_hunters(self, number, side, places, stage, share):
        """Trails and hunters, some of the way from a stage to the next."""
        cell, corner = PANEL / side, np.array([pixels.MARGIN + number * (PANEL + GAP), FLOOR])
        before, behind = places[min(stage, len(places) - 1)], places[min(stage + 1, len(places) - 1)]
        here = (1.0 - share) * before + share * behind
        trail = np.concatenate([places[: stage + 1], here[None]])
        for points in trail.swapaxes(0, 1):
            self.canvas.line(corner + cell * points, PATH, max(2.0, 0.08 * cell))
        angles = np.linspace(0.0, 2.0 * np.pi, 25)
        circle = max(4.0, 0.18 * cell) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        for center in here:
            self.canvas.fill(corner + cell * center + circle, pixels.LINK, pixels.BACKGROUND, 1.2)


def _places(side, path):
    """Where hunters are (stages + 1, M, 2), x to the right and y upward from the lower left corner, in cells."""
    M = path.shape[1]
    angle = 2.0 * np.pi * np.arange(M) / M
    apart = APART * np.stack([np.sin(angle), -np.cos(angle)], axis=1) * (M > 1)
    row, column = np.divmod(path, side)
    return np.stack([column + 0.5, side - row - 0.5], axis=-1) + apart
