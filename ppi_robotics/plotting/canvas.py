"""Pixel canvas, sizes and colors of animations, and GIF files."""

import functools
import io
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.colors import to_rgb
from matplotlib.path import Path as Curve
from matplotlib.transforms import IdentityTransform
from PIL import Image, ImageFont

from ppi_robotics.files import write_whole
from ppi_robotics.plotting.theme import BLUE, GREEN, VERMILION

WIDTH, HEIGHT = 480, 320  # pixels
MARGIN, HEADER, BAR = 14, 26, 24  # pixels
SMALL, LARGE = 11, 14  # pixels of text
IN_PIXELS = IdentityTransform()
HOLD_MS = 1000  # the last frame stays that long
BACKGROUND, INK, FAINT, GRID, EMPTY = "#FCFCFA", "#2E3440", "#6B7280", "#E3E5E8", "#ECEDEE"
LINK, TIP, CONTROL, SCENERY = BLUE, VERMILION, GREEN, "#9AA0A8"


def write_gif(path, images, count, delay):
    """Write `count` images as an animated GIF, `delay` milliseconds apart; the last one stays longer.

    Raises:
      ProblemError: if the file cannot be written.
    """
    durations = [delay] * (count - 1) + [HOLD_MS]
    first, buffer = next(images := iter(images)), io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=images, duration=durations, loop=0, optimize=False)
    write_whole(path, buffer.getvalue())


class Palette:
    """Up to 255 colors shared by all frames of a GIF, so that static parts do not flicker.

    A table leads from 5 bits a channel to the nearest color: twice as fast as Pillow's own search, and more exact.

    Args:
      sample: some frames (n, height, width, 4) as bytes.
    """

    def __init__(self, sample):
        pool = Image.fromarray(np.ascontiguousarray(sample[..., :3]).reshape(-1, sample.shape[2], 3))
        colors = pool.quantize(255, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        levels = np.arange(32) * 255 // 31
        cube = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(1, -1, 3)
        indexed = Image.fromarray(cube.astype(np.uint8)).quantize(palette=colors, dither=Image.Dither.NONE)
        self.table, self.colors = np.asarray(indexed).ravel(), colors.getpalette()

    def image(self, frame):
        """The indexed image of a frame (height, width, 4)."""
        pixels = frame.view("<u4")[..., 0]  # red in the lowest byte
        index = (pixels & 0xF8) << 7 | (pixels & 0xF800) >> 6 | (pixels & 0xF80000) >> 19
        image = Image.fromarray(np.take(self.table, index, mode="clip"))
        image.putpalette(self.colors)
        return image


class Canvas:
    """Anti-aliased drawing in pixels; x to the right and y upward from the lower left corner."""

    def __init__(self, width=WIDTH, height=HEIGHT):
        self.height = height
        self.renderer = RendererAgg(width, height, 72)  # at 72 dots an inch a point is a pixel
        self.pixels = np.asarray(self.renderer.buffer_rgba())
        self.pen = functools.cache(self._pen)

    def line(self, points, shade, width):
        """Stroke a polyline (n, 2) with round ends."""
        self.renderer.draw_path(self.pen(shade, width), Curve(points), IN_PIXELS)

    def fill(self, points, shade, edge=None, width=0.0):
        """Fill a closed polygon (n, 2), and stroke its edge."""
        self.renderer.draw_path(self.pen(edge or shade, width), Curve(points, closed=True), IN_PIXELS, to_rgb(shade))

    def bar(self, x, y, width, height, shade):
        """Fill a rectangle given by its lower left corner."""
        self.fill([(x, y), (x + width, y), (x + width, y + height), (x, y + height), (x, y)], shade)

    def text(self, x, y, words, shade, size, right=False):
        """One line of text whose baseline starts at (x, y), or ends there if `right`."""
        ink, (dx, dy) = _letters(words, size)
        height, width = ink.shape
        top, left = self.height - y + dy, int(x + dx - (_font(size).getlength(words) if right else 0))
        area = self.pixels[top : top + height, left : left + width, :3]
        ink = ink[: area.shape[0], : area.shape[1], None]
        area[:] = (1 - ink) * area + ink * 255 * np.array(to_rgb(shade))

    def _pen(self, shade, width):
        pen = self.renderer.new_gc()
        pen.set_foreground(to_rgb(shade), isRGBA=True)
        pen.set_linewidth(width)
        pen.set_capstyle("round")
        pen.set_joinstyle("round")
        pen.set_snap(False)  # motion by fractions of a pixel is smooth
        return pen


@functools.cache
def _font(size):
    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf"), size)


@functools.lru_cache(maxsize=1024)
def _letters(words, size):
    """Coverage (height, width) of a text, 0 to 1, and the offset of its upper left corner from its baseline's start."""
    mask, offset = _font(size).getmask2(words or " ", mode="L", anchor="ls")
    return np.asarray(mask, dtype=float).reshape(mask.size[::-1]) / 255, offset
