"""Video files from sequences of pictures: GIF with Pillow, MP4 with imageio-ffmpeg."""

import tempfile
from os import PathLike
from pathlib import Path

import numpy as np

from ppi_robotics import files
from ppi_robotics.checks import check_number
from ppi_robotics.errors import ProblemError
from ppi_robotics.plotting.canvas import Palette, write_gif

PALETTE_FRAMES = 8  # that a GIF's common colors are taken from
# a constant rate factor of 18 is visually lossless; the index in front lets browsers start at once
ENCODING = ["-crf", "18", "-preset", "medium", "-movflags", "+faststart"]


def check_path(path: str | PathLike[str], fps: float = 30.0) -> float:
    """Frames a second that a video at this path will have: those asked for or, for a GIF, the nearest that it can have.

    Raises:
      ProblemError: if no video of this name can be written.
    """
    check_rate(fps)
    path = files.check_path(path, "video")
    if path.suffix.lower() not in (".mp4", ".gif"):
        raise ProblemError(f"video '{path}' is neither .mp4 nor .gif; end its name in one of them")
    if not path.parent.is_dir():
        raise ProblemError(f"cannot write '{path}': no folder '{path.parent}'; make it, or choose another")
    if path.suffix.lower() == ".mp4":
        _ffmpeg()
        return fps
    return 1000 / _delay(fps)


def check_rate(fps):
    """Raise `ProblemError` unless this is a number of frames a second."""
    check_number(fps, "fps", above=0, most=1000)


def write(path, film, fps):
    """Write a sequence of pictures (height, width, 3), all of it or nothing; the suffix of the path says which kind.

    Raises:
      ProblemError: if it cannot be written.
    """
    if Path(path).suffix.lower() == ".mp4":
        _write_mp4(path, film, fps)
        return
    some = np.unique(np.linspace(0, len(film) - 1, PALETTE_FRAMES).astype(int))
    palette = Palette(np.stack([film[int(i)][::2, ::2] for i in some]))
    opaque = np.empty((*film[0].shape[:2], 4), dtype=np.uint8)

    def indexed(picture):
        opaque[..., :3] = picture
        return palette.image(opaque)

    write_gif(path, (indexed(film[i]) for i in range(len(film))), len(film), _delay(fps))


def _delay(fps):
    """Milliseconds from frame to frame: GIFs know multiples of 10, and viewers honor 20 or more."""
    return max(10 * round(100 / fps), 20)


def _write_mp4(path, film, fps):
    ffmpeg = _ffmpeg()
    height, width = film[0].shape[:2]
    if height % 2 or width % 2:
        raise ProblemError(f"an MP4 of {width} x {height} pixels; give an even width and height, or write a .gif")
    with tempfile.TemporaryDirectory() as folder:
        partial = Path(folder, "video.mp4")
        size = {"fps": fps, "quality": None, "macro_block_size": 2}
        writer = ffmpeg.write_frames(str(partial), (width, height), output_params=ENCODING, **size)
        writer.send(None)
        try:
            for i in range(len(film)):
                writer.send(film[i])
        except OSError as error:
            reason = " ".join(str(error).split())[:200]
            raise ProblemError(f"ffmpeg could not write '{path}': {reason}; write a .gif") from error
        finally:
            writer.close()
        files.write_whole(path, partial.read_bytes())


def _ffmpeg():
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise ProblemError(
            "MP4 videos need imageio-ffmpeg; pip install ppi-robotics[video], or write a .gif"
        ) from error
    return imageio_ffmpeg
