"""Animation of blocks on a ring as a GIF: one block moves at every stage, with the probabilities that it was chosen by.

    animation.save("blocks.gif", play.states, play.actions, play.probabilities, "exact")

The ring is cut open between its last location and its first; a block that crosses the cut leaves the picture on one
side and enters it on the other.
"""

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from ppi_robotics import ProblemError
from ppi_robotics.plotting import canvas as pixels

DELAY = 40  # milliseconds between frames
LONG, SHORT = 14, 3  # frames of a stage of short plans and of long ones
MOST_FRAMES = 500
FLOOR = 64  # pixels from the bottom to the ground
LARGEST = 40  # pixels of a block's height


def save(path: str | Path, states: ArrayLike, actions: ArrayLike, probabilities: ArrayLike, title: str = "") -> int:
    """Write an animated GIF of a plan, all of it or nothing.

    Args:
      path: of the GIF.
      states: heights (T + 1, n).
      actions: 3 k + l + 1, (T,).
      probabilities: of the actions (T, 3 n).
      title: a few words for the top right corner.

    Returns:
      Number of frames.

    Raises:
      ProblemError: if the plan has no moves, or the file cannot be written.
    """
    states, T = np.asarray(states), len(actions)
    if T < 1 or len(states) != T + 1:
        raise ProblemError(
            f"the plan has {len(states)} states and {T} actions; expected one action or more, a state more"
        )
    each = int(np.clip(MOST_FRAMES // T, SHORT, LONG))
    scene = Scene(states, np.asarray(actions), np.asarray(probabilities), title)
    # a block rests for the first third of a stage
    times = [(t, max(0.0, 1.5 * i / each - 0.5)) for t in range(T) for i in range(each)] + [(T - 1, 1.0)]
    few = [times[i] for i in np.linspace(0, len(times) - 1, 8).astype(int)]
    palette = pixels.Palette(np.stack([scene.frame(*time)[::2, ::2].copy() for time in few]))
    pixels.write_gif(path, (palette.image(scene.frame(*time)) for time in times), len(times), DELAY)
    return len(times)


class Scene:
    """What is drawn: `frame(t, share)` gives the pixels when a share of the move of stage t is done.

    Args:
      states, actions, probabilities, title: as of `save`.
    """

    def __init__(self, states, actions, probabilities, title):
        self.states, self.actions = states, actions
        self.p = probabilities.reshape(len(actions), -1, 3)
        self.n = states.shape[1]
        self.pitch = (pixels.WIDTH - 2 * pixels.MARGIN) / self.n
        self.high = min((pixels.HEIGHT - FLOOR - pixels.HEADER - 30) / states.max(), LARGEST)
        self.wide = min(0.62 * self.pitch, 2.0 * LARGEST)
        self.gap = min(1.5, 0.15 * self.high)
        self.canvas = pixels.Canvas()
        self._draw_background(title)
        self.background = self.canvas.pixels.copy()

    def frame(self, t, share):
        """Pixels (height, width, 4); the next call overwrites them."""
        canvas = self.canvas
        canvas.pixels[:] = self.background
        k, way = self.actions[t] // 3, self.actions[t] % 3 - 1
        resting = self.states[t].copy()
        resting[k] -= way != 0
        for i, height in enumerate(resting):
            for level in range(height):
                self._draw_block(self._middle(i), FLOOR + level * self.high, pixels.LINK)
        if way:
            self._draw_moving(k, way, resting, share)
        self._draw_chances(t)
        for i, height in enumerate(self.states[t + (share == 1.0)]):
            if not way or share in (0.0, 1.0) or i not in (k, (k + way) % self.n):
                top = int(FLOOR + height * self.high) + 5
                canvas.text(self._middle(i) - 3.5 * len(str(height)), top, str(height), pixels.FAINT, pixels.SMALL)
        stage = t if share < 1.0 else t + 1
        canvas.text(
            pixels.MARGIN, pixels.HEIGHT - 22, f"stage {stage} of {len(self.actions)}", pixels.INK, pixels.LARGE
        )
        return canvas.pixels

    def _draw_background(self, title):
        canvas = self.canvas
        canvas.bar(0, 0, pixels.WIDTH, pixels.HEIGHT, pixels.BACKGROUND)
        canvas.text(pixels.WIDTH - pixels.MARGIN, pixels.HEIGHT - 22, title, pixels.FAINT, pixels.SMALL, right=True)
        canvas.line([(0, FLOOR - 1), (pixels.WIDTH, FLOOR - 1)], pixels.SCENERY, 1.5)
        canvas.text(pixels.MARGIN, 5, "probability of a move to either side", pixels.FAINT, pixels.SMALL)
        for i in range(self.n):
            canvas.text(self._middle(i) - 3.5 * len(str(i + 1)), FLOOR - 16, str(i + 1), pixels.INK, pixels.SMALL)
            for side in (-1, 1):
                canvas.bar(*self._bar(i, side, 1.0), pixels.EMPTY)

    def _draw_moving(self, k, way, resting, share):
        """The block that moves: up, over and down; twice where it crosses the cut."""
        there = (k + way) % self.n
        low, high = FLOOR + resting[k] * self.high, FLOOR + resting[there] * self.high
        lift = max(low, high) + 0.3 * self.high
        y = lift + (low - lift) * _eased(1 - 3 * share) + (high - lift) * _eased(3 * share - 2)
        eased = _eased(1.5 * share - 0.25)
        for first in (k, there - way):
            self._draw_block(self._middle(first) + way * eased * self.pitch, y, pixels.TIP)
            if first == there - way:
                break

    def _draw_block(self, x, y, shade):
        self.canvas.bar(x - self.wide / 2, y + self.gap / 2, self.wide, self.high - self.gap, shade)

    def _draw_chances(self, t):
        """Bars below the locations: probabilities of moves to either side."""
        for i in range(self.n):
            for side in (-1, 1):
                chosen = self.actions[t] == 3 * i + side + 1
                share = self.p[t, i, side + 1]
                if share > 0.01:
                    self.canvas.bar(*self._bar(i, side, share), pixels.TIP if chosen else pixels.LINK)

    def _bar(self, i, side, share):
        """Lower left corner and size of the bar of a move."""
        length = share * (0.5 * self.pitch - 4)
        return self._middle(i) + (2 if side > 0 else -2 - length), 25, length, 10

    def _middle(self, i):
        return pixels.MARGIN + (i + 0.5) * self.pitch


def _eased(share):
    """From 0 to 1, slow at both ends and constant beyond them."""
    share = min(max(share, 0.0), 1.0)
    return share * share * (3 - 2 * share)
